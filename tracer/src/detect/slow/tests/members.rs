//! A member against the others.

use super::super::{Answer, Measure};
use super::servers::{Measured, Server, Servers, found, named};

/// Episodes of findings in so many hours.
fn episodes(pool: &mut Servers, hours: u32) -> u32 {
    let (mut count, mut before) = (0, false);
    for _ in 0..hours * 3600 {
        let finding = matches!(pool.step(), Answer::Found { .. });
        count += u32::from(finding && !before);
        before = finding;
    }
    count
}

#[test]
fn a_member_five_times_slower_is_found_within_ten_seconds_of_a_fresh_start() {
    let mut late = Vec::new();
    for seed in 0..200 {
        let mut pool = Servers::new(4, 200.0, 0.01, 1.0, seed);
        pool.servers[2].median *= 5.0;
        let (seconds, answer) = pool.until(60, |answer| matches!(answer, Answer::Found { .. })).unwrap();
        assert_eq!(named(&answer), [2], "seed {seed}");
        if seconds > 10 {
            late.push((seed, seconds));
        }
    }
    assert!(late.len() <= 4, "{late:?}");
}

#[test]
fn a_member_that_becomes_slow_is_named_with_its_figures_and_cleared_after_repair() {
    for (measured, rate, median) in [
        (Measured::Responses, 200.0, 0.01),
        (Measured::Connects, 200.0, 0.01),
        (Measured::Lifetimes, 200.0, 0.5),
        (Measured::Held, 200.0, 0.01),
    ] {
        let mut pool = Servers::new(4, rate, median, 1.0, 7).measuring(measured);
        pool.quietly(3700);
        let fault = pool.now;
        pool.servers[1].median *= 5.0;
        let (seconds, _) = pool.until(10, |answer| named(answer) == [1]).unwrap();
        assert!(seconds >= 3, "three ticks at least");
        for _ in 0..40 {
            assert_eq!(named(&pool.step()), [1]);
        }
        let (members, whole) = found(&pool.step());
        let [slow] = members[..] else { panic!("{members:?}") };
        assert!(whole.is_none());
        assert!((3.5..7.0).contains(&slow.ratio()), "{measured:?}: {slow:?}");
        assert!((slow.since_seconds - fault).abs() <= 5.0 && slow.nats > 15.0, "{measured:?}: {slow:?}");
        let expected = match measured {
            Measured::Connects => Measure::ConnectTime,
            Measured::Lifetimes => Measure::Lifetime,
            Measured::Held | Measured::Ended => Measure::HeldTime,
            Measured::Responses | Measured::Nothing => Measure::ResponseTime,
        };
        assert_eq!(slow.measure, expected);
        pool.servers[1].median = median;
        let cleared = pool.until(45, |answer| named(answer).is_empty());
        assert!(cleared.is_some(), "{measured:?}");
    }
}

#[test]
fn a_member_that_holds_connections_five_times_longer_is_found_within_ten_seconds_of_a_fresh_start() {
    let mut late = Vec::new();
    for seed in 0..100 {
        let mut pool = Servers::new(4, 200.0, 0.5, 1.0, seed).measuring(Measured::Lifetimes);
        pool.servers[2].median *= 5.0;
        let (seconds, answer) = pool.until(60, |answer| matches!(answer, Answer::Found { .. })).unwrap();
        assert_eq!(named(&answer), [2], "seed {seed}");
        if seconds > 10 {
            late.push((seed, seconds));
        }
    }
    assert!(late.len() <= 2, "{late:?}");
}

#[test]
fn a_slow_member_of_many_is_named_alone() {
    let mut pool = Servers::new(200, 2000.0, 0.01, 1.0, 11);
    pool.quietly(60);
    pool.servers[150].median *= 5.0;
    pool.until(60, |answer| named(answer) == [150]).unwrap();
    for _ in 0..60 {
        assert_eq!(named(&pool.step()), [150]);
    }
}

#[test]
fn a_few_connections_that_last_are_no_slowness() {
    for (members, rate, hours) in [(2, 1.0, 96), (2, 20.0, 24), (20, 1.0, 48), (20, 20.0, 12)] {
        for seed in [1, 2] {
            let mut pool = Servers::new(members, rate, 0.5, 2.0, seed).measuring(Measured::Lifetimes);
            assert_eq!(episodes(&mut pool, hours), 0, "{members} members, {rate}/s, seed {seed}");
        }
    }
}

#[test]
fn two_slow_members_of_four_are_both_named_and_no_other() {
    let mut pool = Servers::new(4, 200.0, 0.01, 1.0, 11);
    pool.quietly(60);
    pool.servers[0].median *= 5.0;
    pool.servers[3].median *= 5.0;
    let (seconds, _) = pool.until(60, |answer| named(answer) == [0, 3]).unwrap();
    for _ in 0..60 {
        assert_eq!(named(&pool.step()), [0, 3], "found after {seconds} s");
    }
}

#[test]
fn members_within_the_margin_are_fine() {
    for (measured, median) in [
        (Measured::Responses, 0.01),
        (Measured::Lifetimes, 0.5),
        (Measured::Lifetimes, 30.0),
        (Measured::Held, 0.02),
    ] {
        for (rate, sigma) in [(1.0, 1.0), (20.0, 1.0), (20.0, 2.0), (200.0, 1.0)] {
            let mut pool = Servers::new(4, rate, median, sigma, 5).measuring(measured);
            pool.servers[1].median *= 1.3;
            pool.servers[2].median *= 1.15;
            assert_eq!(episodes(&mut pool, 3), 0, "{measured:?} {median} s, {rate}/s, sigma {sigma}");
        }
    }
}

#[test]
fn outliers_are_no_slowness() {
    let mut pool = Servers::new(4, 200.0, 0.01, 0.3, 5);
    pool.servers[1].hard = (0.05, 100.0);
    assert_eq!(episodes(&mut pool, 1), 0);
}

#[test]
fn a_member_that_is_always_slow_with_some_requests_is_slow() {
    let mut pool = Servers::new(4, 200.0, 0.01, 0.5, 5);
    pool.quietly(60);
    pool.servers[1].hard = (0.35, 10.0);
    let (_, answer) = pool.until(60, |answer| named(answer) == [1]).unwrap();
    assert_eq!(found(&answer).0[0].measure, Measure::UpperResponseTime);
}

#[test]
fn requests_of_two_kinds_in_unequal_parts_are_no_slowness() {
    let mut pool = Servers::new(4, 200.0, 0.001, 0.3, 5);
    for (server, part) in pool.servers.iter_mut().zip([0.3, 0.35, 0.4, 0.35]) {
        server.hard = (part, 100.0);
    }
    assert_eq!(episodes(&mut pool, 2), 0);
}

#[test]
fn answers_within_a_millisecond_are_not_slow() {
    let mut pool = Servers::new(4, 200.0, 0.000_05, 0.5, 5);
    pool.servers[1].median *= 5.0;
    assert_eq!(episodes(&mut pool, 1), 0);
}

#[test]
fn nothing_measured_and_a_lonely_request_are_not_enough() {
    let mut pool = Servers::new(4, 200.0, 0.01, 1.0, 5).measuring(Measured::Nothing);
    assert_eq!(pool.quietly(600), Answer::NotEnough);
    let mut pool = Servers::new(4, 0.0, 0.01, 1.0, 5);
    pool.servers[1].rate = 1.0 / 3600.0;
    assert_eq!(pool.quietly(4 * 3600), Answer::NotEnough);
    let mut alone = Servers::new(1, 50.0, 0.01, 1.0, 5);
    assert_eq!(alone.quietly(120), Answer::NotEnough, "there is nobody to compare with");
}

#[test]
fn a_pool_is_clear_once_everybody_was_seen_and_not_while_one_was_not() {
    for measured in [Measured::Responses, Measured::Lifetimes, Measured::Held] {
        let mut pool = Servers::new(4, 200.0, 0.5, 1.0, 5).measuring(measured);
        assert_eq!(pool.step(), Answer::NotEnough);
        assert_eq!(pool.quietly(60), Answer::Clear, "{measured:?}");
        let mut pool = Servers::new(4, 200.0, 0.5, 1.0, 5).measuring(measured);
        pool.servers[3].rate = 0.0;
        assert_eq!(pool.quietly(60), Answer::NotEnough, "{measured:?}");
    }
}

#[test]
fn at_low_traffic_a_slow_member_is_found_in_minutes() {
    let mut pool = Servers::new(4, 1.0, 0.01, 0.5, 5);
    pool.servers[1].median *= 5.0;
    let (_, answer) = pool.until(1200, |answer| matches!(answer, Answer::Found { .. })).unwrap();
    assert_eq!(named(&answer), [1]);
}

#[test]
fn what_makes_everybody_slower_is_blamed_on_nobody() {
    for (rate, sigma) in [(2.0, 0.2), (20.0, 0.2), (200.0, 1.0)] {
        for seed in 0..10 {
            let mut pool = Servers::new(4, rate, 0.01, sigma, seed);
            pool.quietly(300);
            pool.servers.iter_mut().for_each(|server| server.median *= 5.0);
            for _ in 0..300 {
                assert!(named(&pool.step()).is_empty(), "{rate}/s, seed {seed}");
            }
        }
    }
}

#[test]
fn a_member_that_is_given_more_or_no_more_traffic_is_not_slow() {
    for factor in [0.0, 5.0] {
        let mut pool = Servers::new(4, 100.0, 10.0, 0.3, 5).measuring(Measured::Lifetimes);
        pool.quietly(120);
        pool.servers[1].rate *= factor;
        pool.quietly(120);
    }
}

#[test]
fn a_fast_member_is_no_finding() {
    for measured in [Measured::Responses, Measured::Lifetimes, Measured::Held] {
        let mut pool = Servers::new(4, 200.0, 0.5, 1.0, 5).measuring(measured);
        pool.servers[1].median /= 10.0;
        pool.quietly(600);
    }
}

#[test]
fn the_order_of_members_does_not_matter() {
    let order = [3, 0, 2, 1];
    let mut straight = Servers::new(4, 0.0, 0.01, 1.0, 5);
    let mut other = Servers::new(4, 0.0, 0.01, 1.0, 5);
    let server =
        |index: usize| Server { median: [0.01, 0.05, 0.01, 0.012][index], ..straight.servers[0].clone() };
    let servers: Vec<Server> = (0..4).map(server).collect();
    straight.servers = servers.clone();
    other.servers = order.iter().map(|&index| servers[index].clone()).collect();
    // Everybody has the same stream of numbers wherever it stands.
    let mut times = crate::collect::Histogram::default();
    for second in 0..60 {
        let answered: Vec<_> = (0..4)
            .map(|member| {
                times.counts_mut().fill(0);
                let slower = usize::from(member == 1) * 9;
                for answer in 0..40 {
                    times.counts_mut()[30 + slower + (second * 7 + answer * 5 + member) % 13] += 1;
                }
                times.clone()
            })
            .collect();
        straight.take(&answered);
        other.take(&order.map(|index| answered[index].clone()));
    }
    let names = |answer: Answer, order: [usize; 4]| -> Vec<_> {
        let slow = found(&answer).0;
        slow.iter().map(|slow| (order[slow.member], slow.measure, slow.since_seconds)).collect()
    };
    let one = names(straight.slowness.judge(), [0, 1, 2, 3]);
    assert_eq!(one.len(), 1);
    assert_eq!(one, names(other.slowness.judge(), order));
}

#[test]
fn a_member_of_which_all_connections_end_at_once_makes_nobody_slow() {
    // Little's law alone tells of connections that last so long; what the kernel measures of each does not change that.
    for (members, rate, median) in [(2, 100.0, 20.0), (4, 100.0, 20.0), (4, 100.0, 100.0), (8, 400.0, 20.0)] {
        for (measured, seed) in [(Measured::Lifetimes, 1), (Measured::Lifetimes, 2), (Measured::Held, 3)] {
            let mut pool = Servers::new(members, rate, median, 0.5, seed).measuring(measured);
            pool.quietly(300);
            pool.cut(1);
            pool.quietly(300);
            pool.cut(0);
            pool.quietly(300);
        }
    }
}

#[test]
fn a_member_of_which_the_connections_end_within_seconds_makes_nobody_slow() {
    for (members, seed) in [(2, 1), (4, 2), (4, 3)] {
        let mut pool = Servers::new(members, 100.0, 20.0, 0.5, seed).measuring(Measured::Held);
        pool.quietly(300);
        for _ in 0..10 {
            pool.cut_part(1, 0.3);
            pool.quietly(1);
        }
        pool.quietly(300);
    }
}

#[test]
fn a_member_that_joins_makes_nobody_slow() {
    for (members, median) in [(2, 20.0), (2, 3.0), (4, 20.0)] {
        for (measured, seed) in [(Measured::Lifetimes, 1), (Measured::Held, 2), (Measured::Held, 3)] {
            let mut pool = Servers::new(members, 100.0, median, 0.5, seed).measuring(measured);
            let rate = pool.servers[1].rate;
            (pool.servers[1].takes_part, pool.servers[1].rate) = (false, 0.0);
            pool.quietly(300);
            (pool.servers[1].takes_part, pool.servers[1].rate) = (true, rate);
            pool.quietly(300);
        }
    }
}
