//! A pool against its own past, members that come and go, and what is written down.

use super::super::{Answer, Pace, Slowness};
use super::servers::{Measured, Servers, durations, found, named};
use crate::collect::Histogram;
use crate::detect::Settings;
use proptest::prelude::*;

#[test]
fn a_pool_that_becomes_slower_than_in_its_past_is_found_and_cleared() {
    let mut pool = Servers::new(4, 100.0, 0.02, 1.0, 3);
    pool.quietly(1200);
    let fault = pool.now;
    pool.servers.iter_mut().for_each(|server| server.median *= 4.0);
    let (seconds, _) = pool.until(60, |answer| found(answer).1.is_some()).unwrap();
    assert!(seconds >= 8, "a spell of some seconds is no news");
    for _ in 0..300 {
        assert!(found(&pool.step()).1.is_some());
    }
    let (members, whole) = found(&pool.step());
    let slow = whole.unwrap();
    assert!(members.is_empty() && slow.members == 4);
    assert!((3.0..5.5).contains(&slow.ratio()) && (slow.since_seconds - fault).abs() < 10.0, "{slow:?}");
    pool.servers.iter_mut().for_each(|server| server.median = 0.02);
    assert!(pool.until(45, |answer| found(answer).1.is_none()).is_some());
}

#[test]
fn a_check_of_a_minute_never_finds_a_slow_pool() {
    let mut pool = Servers::new(4, 200.0, 0.01, 0.5, 3);
    pool.quietly(30);
    pool.servers.iter_mut().for_each(|server| server.median *= 10.0);
    pool.quietly(60);
}

#[test]
fn a_day_and_its_night_are_no_finding() {
    let mut pool = Servers::new(4, 20.0, 0.02, 1.0, 3);
    for second in 0..48 * 3600 {
        let phase = f64::from(second) / 86_400.0 * std::f64::consts::TAU;
        let median = 0.02 * (0.55 * phase.sin()).exp();
        pool.servers.iter_mut().for_each(|server| server.median = median);
        assert!(!matches!(pool.step(), Answer::Found { .. }), "second {second}");
    }
}

#[test]
fn one_slow_member_is_no_slow_pool() {
    let mut pool = Servers::new(4, 100.0, 0.02, 1.0, 3);
    pool.quietly(1200);
    pool.servers[1].median *= 20.0;
    for _ in 0..600 {
        assert!(found(&pool.step()).1.is_none());
    }
}

#[test]
fn members_come_and_go_and_the_slow_one_stays_named() {
    let mut pool = Servers::new(4, 200.0, 0.01, 1.0, 3);
    pool.servers[1].median *= 5.0;
    pool.until(20, |answer| named(answer) == [1]).unwrap();
    // The first leaves, the slow one is now the first, and a new one comes.
    pool.slowness.rearrange(&[Some(1), Some(2), Some(3), None]);
    pool.servers.rotate_left(1);
    assert_eq!(named(&pool.slowness.judge()), [0]);
    for _ in 0..60 {
        assert_eq!(named(&pool.step()), [0]);
    }
    assert!(pool.slowness.is_whole(4) && !pool.slowness.is_whole(3));
}

#[test]
fn who_takes_no_part_is_neither_named_nor_compared_with() {
    let mut pool = Servers::new(4, 200.0, 0.01, 1.0, 3);
    pool.servers[1].median *= 5.0;
    pool.until(20, |answer| named(answer) == [1]).unwrap();
    pool.servers[1].takes_part = false;
    pool.quietly(60);
}

#[test]
fn what_is_written_down_goes_on_bit_for_bit() {
    for measured in [Measured::Responses, Measured::Connects, Measured::Lifetimes, Measured::Held] {
        let mut straight = Servers::new(4, 60.0, 0.3, 1.0, 3).measuring(measured);
        let mut interrupted = Servers::new(4, 60.0, 0.3, 1.0, 3).measuring(measured);
        for second in 0..1300 {
            if second == 40 || second == 900 {
                straight.servers[1].median *= 5.0;
                interrupted.servers[1].median *= 5.0;
            }
            let (one, other) = (straight.step(), interrupted.step());
            assert_eq!(format!("{one:?}"), format!("{other:?}"), "{measured:?}, second {second}");
            let text = serde_json::to_string(&interrupted.slowness).unwrap();
            interrupted.slowness = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&interrupted.slowness).unwrap(), text);
        }
        assert_eq!(named(&straight.slowness.judge()), [1]);
    }
}

proptest! {
    #[test]
    fn no_input_is_too_strange(
        ticks in prop::collection::vec(
            (prop::collection::vec((any::<bool>(), 0_usize..86, any::<u64>(), any::<f64>(), any::<f64>()), 0..5), any::<f64>()),
            1..40,
        )
    ) {
        let mut slowness = Slowness::default();
        let mut now = 0.0;
        for (members, seconds) in ticks {
            let times: Vec<Histogram> = members
                .iter()
                .map(|&(_, bucket, count, ..)| {
                    let mut times = Histogram::default();
                    times.counts_mut()[bucket] = count;
                    times.counts_mut()[85 - bucket] = count / 2;
                    times
                })
                .collect();
            let paces: Vec<Pace> = members
                .iter()
                .zip(&times)
                .map(|(&(takes_part, _, _, live, closed), times)| Pace {
                    // Without them held times are looked at.
                    response_time: (seconds < 0.5).then_some(durations(times)),
                    connect_time: takes_part.then_some(durations(times)),
                    held_time: takes_part.then_some(durations(times)),
                    live: Some(live),
                    closed: Some(closed),
                    takes_part,
                })
                .collect();
            slowness.tick(&paces, now, now + seconds, &Settings::default());
            let step = seconds.abs().min(1e6);
            now += if step.is_finite() { step } else { 1.0 };
            for slow in found(&slowness.judge()).0 {
                prop_assert!(slow.ratio() >= 1.4 && slow.nats.is_finite(), "{slow:?}");
                prop_assert!(!slow.sentence("a").contains("NaN"));
            }
            let text = serde_json::to_string(&slowness).unwrap();
            let read: Slowness = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }
}
