//! How long connections were held, exactly, where so few are live at a time that their stock tells little.

use super::super::{Answer, Measure};
use super::servers::{Measured, Servers, found, named};

/// Four members that hold connections for so many seconds, under least connections.
fn pool(rate: f64, median: f64, sigma: f64, seed: u64) -> Servers {
    Servers::new(4, rate, median, sigma, seed).measuring(Measured::Held)
}

/// From now on a member is so many times slower. Least connections gives it one when it has none and its turn comes.
fn slow_down(pool: &mut Servers, member: usize, times: f64) {
    let server = &mut pool.servers[member];
    server.median *= times;
    server.rate = 1.0 / (server.median + 1.0 / server.rate);
}

/// Seconds until the third of four is found, `times` slower, in so many pools; sorted.
fn found_after(rate: f64, times: f64, known_seconds: u32, runs: u64, most: u32) -> Vec<u32> {
    let mut seconds: Vec<u32> = (0..runs)
        .map(|seed| {
            let mut pool = pool(rate, 0.01, 0.3, seed);
            pool.quietly(known_seconds);
            slow_down(&mut pool, 2, times);
            let (seconds, answer) =
                pool.until(most, |answer| matches!(answer, Answer::Found { .. })).unwrap();
            assert_eq!(named(&answer), [2], "{rate}/s, {times} ×, seed {seed}");
            assert!(found(&answer).0[0].measure.is_of_ended(), "{answer:?}");
            seconds
        })
        .collect();
    seconds.sort_unstable();
    seconds
}

#[test]
fn a_member_eight_times_slower_under_least_connections_is_found_within_five_seconds() {
    let seconds = found_after(200.0, 8.0, 3700, 50, 60);
    assert!(seconds[48] <= 5, "{seconds:?}");
    // In a pool's first hour twice the evidence is needed.
    let seconds = found_after(200.0, 8.0, 30, 50, 60);
    assert!(seconds[48] <= 6, "{seconds:?}");
}

#[test]
fn with_twenty_connections_a_second_a_member_five_times_slower_is_found_within_fifteen_seconds() {
    let seconds = found_after(20.0, 5.0, 3700, 50, 120);
    assert!(seconds[48] <= 15, "{seconds:?}");
}

#[test]
fn with_one_connection_a_second_it_is_found_in_minutes() {
    let seconds = found_after(1.0, 5.0, 3700, 5, 1200);
    assert!(seconds[4] <= 600, "{seconds:?}");
}

#[test]
fn times_however_spread_are_no_slowness() {
    for (rate, seed) in [(1.0, 1), (20.0, 2)] {
        pool(rate, 0.05, 2.0, seed).quietly(24 * 3600);
    }
}

#[test]
fn what_makes_everybody_hold_connections_longer_is_blamed_on_nobody_and_no_finding() {
    for (rate, sigma) in [(2.0, 0.2), (20.0, 0.2), (200.0, 1.0)] {
        for seed in 0..10 {
            let mut pool = pool(rate, 0.02, sigma, seed);
            pool.quietly(900);
            pool.servers.iter_mut().for_each(|server| server.median *= 5.0);
            pool.quietly(300);
        }
    }
}

#[test]
fn a_few_very_long_connections_at_one_member_do_not_make_it_slow() {
    for rate in [4.0, 20.0, 200.0] {
        let mut pool = pool(rate, 0.02, 1.0, 5).measuring(Measured::Ended);
        pool.servers[1].hard = (0.05, 500.0);
        pool.quietly(1800);
    }
}

#[test]
fn connections_that_ended_acquit_a_member_that_holds_a_few_for_long_and_no_slow_one() {
    let mut pool = pool(200.0, 0.05, 0.5, 5).measuring(Measured::Ended);
    pool.servers[1].hard = (0.05, 500.0);
    assert!(!pool.slowness.is_as_fast_by_ended(1), "nothing was seen yet");
    pool.quietly(60);
    assert!((0..4).all(|member| pool.slowness.is_as_fast_by_ended(member)));
    slow_down(&mut pool, 2, 5.0);
    let acquitted = |pool: &Servers| pool.slowness.is_as_fast_by_ended(2);
    assert!((0..10).any(|_| {
        pool.step();
        !acquitted(&pool)
    }));
    pool.until(30, |answer| named(answer) == [2]).unwrap();
    assert!(!acquitted(&pool) && pool.slowness.is_as_fast_by_ended(1));
}

#[test]
fn where_the_others_hold_connections_for_too_long_to_say_nobody_is_acquitted() {
    let mut pool = pool(80.0, 10.0, 0.3, 5).measuring(Measured::Ended);
    pool.quietly(300);
    assert!(!(0..4).any(|member| pool.slowness.is_as_fast_by_ended(member)));
}

#[test]
fn members_that_begin_again_make_nobody_slow() {
    // Short ones, and long ones of which the ends alone would deceive.
    let short = [(20.0, 0.3, 1.0), (400.0, 0.6, 1.0), (400.0, 0.1, 2.0)];
    let long = [(400.0, 5.0, 2.0), (400.0, 20.0, 2.0), (2000.0, 3.0, 2.0)];
    for (rate, median, sigma) in short.into_iter().chain(long) {
        for (again, seed) in [(&[0][..], 1), (&[0], 2), (&[1, 2, 3], 1), (&[1, 2, 3], 2)] {
            let mut pool = pool(rate, median, sigma, seed).measuring(Measured::Ended);
            pool.quietly(300);
            again.iter().for_each(|&member| pool.cut(member));
            pool.quietly(120);
        }
    }
}

#[test]
fn a_member_that_is_given_more_or_less_or_no_more_traffic_is_not_slow() {
    for (rate, median) in [(20.0, 0.3), (100.0, 0.6), (400.0, 0.8)] {
        for factor in [0.0, 0.2, 5.0] {
            let mut pool = pool(rate, median, 0.3, 5).measuring(Measured::Ended);
            pool.quietly(300);
            pool.servers[1].rate *= factor;
            pool.quietly(120);
        }
    }
}

#[test]
fn a_member_that_ends_no_connection_any_more_is_found_all_the_same() {
    let mut pool = pool(40.0, 0.05, 0.5, 5);
    pool.quietly(300);
    pool.servers[1].median = 1e6;
    let (_, answer) = pool.until(30, |answer| matches!(answer, Answer::Found { .. })).unwrap();
    assert_eq!(named(&answer), [1]);
    assert_eq!(found(&answer).0[0].measure, Measure::Lifetime);
}

#[test]
fn where_responses_are_measured_held_times_are_forgotten() {
    let mut pool = pool(200.0, 0.01, 0.3, 5);
    slow_down(&mut pool, 2, 8.0);
    pool.until(30, |answer| named(answer) == [2]).unwrap();
    pool.servers[2].median = 0.01;
    pool.measured = Measured::Responses;
    pool.quietly(30);
}

#[test]
fn one_of_a_few_that_holds_connections_for_seconds_is_found_where_the_others_do_not() {
    for members in [2, 3, 4] {
        let mut pool = Servers::new(members, 60.0, 0.05, 0.3, 5).measuring(Measured::Ended);
        pool.quietly(300);
        pool.servers[1].median = 3.0;
        let (_, answer) = pool.until(30, |answer| matches!(answer, Answer::Found { .. })).unwrap();
        assert_eq!(named(&answer), [1]);
        for _ in 0..120 {
            assert_eq!(named(&pool.step()), [1]);
        }
    }
}

#[test]
fn a_flag_of_held_times_falls_when_the_others_hold_them_for_too_long_to_say() {
    let mut pool = Servers::new(4, 200.0, 0.05, 0.3, 5).measuring(Measured::Ended);
    pool.quietly(300);
    slow_down(&mut pool, 2, 8.0);
    pool.until(30, |answer| named(answer) == [2]).unwrap();
    pool.servers.iter_mut().for_each(|server| server.median = 10.0);
    assert!(pool.until(120, |answer| named(answer).is_empty()).is_some());
    pool.quietly(120);
}
