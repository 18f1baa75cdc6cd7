//! What the bench of the detector feeds it, and what it makes of the figures.

// The bench as a module: a target without the test harness runs no tests.
#[expect(dead_code, reason = "the runs themselves are not tested here")]
#[path = "main.rs"]
mod bench;

use bench::baselines::{Baselines, alarms};
use bench::chance::Chance;
use bench::fault::Fault;
use bench::pools::{Kind, Pool};
use bench::stats::{bound, poisson_limit, quantile, shares};
use bench::streams::hash::alias;
use bench::streams::turn::Turn;
use bench::streams::{Policy, Tally};
use std::iter::repeat_n;

/// What each member got in so many seconds.
fn counted(pool: &Pool, fault: Option<Fault>, seconds: u64) -> Vec<u64> {
    let mut stream = pool.stream(Chance::new(7, &pool.name, 0));
    let mut subject = pool.subject();
    if let Some(fault) = fault {
        fault.begin(&mut stream, &mut subject);
    }
    let mut sums = vec![0; stream.weights().len()];
    for _ in 0..seconds {
        let tick = stream.next();
        sums.iter_mut().zip(pool.counts(tick)).for_each(|(sum, count)| *sum += count);
    }
    sums
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn parts(counts: &[u64]) -> Vec<f64> {
    let sum = counts.iter().sum::<u64>() as f64;
    counts.iter().map(|count| *count as f64 / sum).collect()
}

fn close(parts: &[f64], shares: &[f64], to: f64) -> bool {
    parts.len() == shares.len() && parts.iter().zip(shares).all(|(part, share)| (part - share).abs() <= to)
}

fn farm(policy: Policy) -> Kind {
    Kind::farm(policy, &[0.5])
}

#[test]
fn the_declared_shares_are_delivered() {
    let kinds = [
        (Kind::random(), 0.01),
        (Kind::RoundRobin { workers: 1 }, 1e-4),
        (Kind::RoundRobin { workers: 32 }, 0.002),
        (farm(Policy::RoundRobin), 1e-4),
        (farm(Policy::Random), 0.01),
        (Kind::KeepAlive, 0.001),
    ];
    for (kind, to) in kinds {
        let pool = Pool::new(kind, 4, 20.0).weighing(&[4, 2, 1, 1]);
        let counts = counted(&pool, None, 4000);
        assert!(close(&parts(&counts), &[0.5, 0.25, 0.125, 0.125], to), "{}: {counts:?}", pool.name);
    }
}

#[test]
fn methods_that_look_at_the_load_give_equal_members_equal_shares_and_slow_ones_less() {
    for policy in [Policy::TwoChoices, Policy::LeastConnections] {
        let pool = Pool::new(farm(policy), 4, 50.0);
        let counts = counted(&pool, None, 4000);
        assert!(close(&parts(&counts), &[0.25; 4], 0.01), "{}: {counts:?}", pool.name);
        let slow = parts(&counted(&pool, Some(Fault::Slow(5.0)), 4000));
        assert!(slow[0] < 0.2 && slow[1..].iter().all(|part| *part > 0.25), "{}: {slow:?}", pool.name);
    }
}

#[test]
fn least_connections_spreads_more_evenly_than_chance() {
    let variance = |kind| {
        let pool = Pool::new(kind, 4, 20.0);
        let mut stream = pool.stream(Chance::new(3, "variance", 0));
        let mut sum = 0.0;
        for _ in 0..4000 {
            let counts: Vec<u64> = pool.counts(stream.next()).collect();
            sum += parts(&counts)
                .iter()
                .map(|part| if part.is_nan() { 0.0 } else { (part - 0.25).powi(2) })
                .sum::<f64>();
        }
        sum
    };
    assert!(variance(farm(Policy::LeastConnections)) < 0.8 * variance(Kind::random()));
}

#[test]
fn as_many_come_as_is_said_over_a_day() {
    for kind in [Kind::random(), Kind::RoundRobin { workers: 8 }, farm(Policy::Random), Kind::KeepAlive] {
        let pool = Pool::new(kind, 4, 10.0);
        let sum: u64 = counted(&pool, None, 86_400).iter().sum();
        // e^(0.2²/2) of the noise; bursts of keep-alive are 5 % more.
        let expected = 10 * 86_400;
        assert!((expected * 95 / 100..expected * 112 / 100).contains(&sum), "{}: {sum}", pool.name);
    }
}

#[test]
fn under_hashing_clients_keep_to_their_member_and_few_of_them_weigh_heavily() {
    let pool = Pool::new(Kind::Hash { clients: 2000, exponent: 1.1 }, 4, 20.0);
    let parts = parts(&counted(&pool, None, 3600));
    assert!(!close(&parts, &[0.25; 4], 0.03), "as even as chance: {parts:?}");
    assert!(parts.iter().all(|part| *part > 0.02), "{parts:?}");
}

#[test]
fn faults_deliver_the_shares_that_the_bound_is_computed_from() {
    for (fault, to) in [
        (Fault::Weight(10, 1), 0.01),
        (Fault::Weight(0, 1), 0.01),
        (Fault::Weight(1, 2), 0.01),
        (Fault::Diffuse, 0.01),
    ] {
        for kind in [Kind::random(), Kind::RoundRobin { workers: 8 }, Kind::KeepAlive] {
            let pool = Pool::new(kind, 4, 20.0);
            let counts = counted(&pool, Some(fault), 4000);
            let shares = fault.shares(&pool.weights);
            assert!(close(&parts(&counts), &shares, to), "{} {fault:?}: {counts:?}", pool.name);
        }
    }
    let pool = Pool::new(Kind::Hash { clients: 2000, exponent: 1.1 }, 4, 20.0);
    assert_eq!(counted(&pool, Some(Fault::Collapse), 100)[1..], [0; 3]);
    let pool = Pool::new(farm(Policy::RoundRobin), 4, 20.0);
    assert!(close(&parts(&counted(&pool, Some(Fault::Stranger), 1000)), &[0.2; 5], 1e-3));
}

/// The sums of a farm's counts over some seconds of a fault.
fn told(policy: Policy, fault: Fault) -> Vec<Tally> {
    let pool = Pool::new(farm(policy), 4, 50.0);
    let mut stream = pool.stream(Chance::new(5, "told", 0));
    fault.begin(&mut stream, &mut pool.subject());
    let mut sums = vec![Tally::default(); 4];
    for _ in 0..200 {
        for (sum, now) in sums.iter_mut().zip(&stream.next().members) {
            sum.attempts += now.attempts;
            sum.refused += now.refused;
            sum.cancelled += now.cancelled;
            sum.established += now.established;
            sum.closed += now.closed;
            sum.live = now.live;
        }
    }
    sums
}

#[test]
fn attempts_and_connections_add_up() {
    for fault in [Fault::Refuses(0.5), Fault::Hangs, Fault::Slow(5.0), Fault::AllRefuse(0.5)] {
        for (member, sum) in told(Policy::LeastConnections, fault).iter().enumerate() {
            assert_eq!(sum.established, sum.closed + sum.live, "{fault:?} {member}: {sum:?}");
            let pending = sum.attempts - sum.established - sum.refused - sum.cancelled;
            // Silence is given up after a second.
            assert!(
                if fault == Fault::Hangs && member == 0 { pending < 100 } else { pending == 0 },
                "{sum:?}"
            );
        }
    }
}

#[test]
fn refused_and_silent_attempts_fail_and_are_tried_elsewhere() {
    let refused = told(Policy::RoundRobin, Fault::Refuses(1.0));
    assert_eq!((refused[0].established, refused[0].refused), (0, refused[0].attempts));
    assert!(refused[1..].iter().all(|other| other.refused == 0), "{refused:?}");
    // Some 10,000 came, and a third more attempts were made.
    assert!(refused.iter().map(|sum| sum.attempts).sum::<u64>() > 12_000, "{refused:?}");
    let silent = told(Policy::RoundRobin, Fault::Hangs);
    assert!(silent[0].cancelled > 1000 && silent[0].established == 0, "{silent:?}");
}

#[test]
fn a_black_hole_attracts_traffic_under_least_connections() {
    let told = told(Policy::LeastConnections, Fault::Refuses(0.95));
    assert!(told[1..].iter().all(|other| told[0].attempts > 2 * other.attempts), "{told:?}");
}

#[test]
fn a_seed_gives_the_same_again_and_another_does_not() {
    let kinds = [
        Kind::random(),
        Kind::RoundRobin { workers: 8 },
        farm(Policy::LeastConnections),
        Kind::Hash { clients: 200, exponent: 1.1 },
        Kind::KeepAlive,
    ];
    for kind in kinds {
        let pool = Pool::new(kind, 4, 20.0);
        let seconds = |seed| {
            let mut stream = pool.stream(Chance::new(seed, "same", 0));
            (0..300).map(|_| stream.next().members.clone()).collect::<Vec<_>>()
        };
        assert_eq!(seconds(1), seconds(1), "{}", pool.name);
        assert_ne!(seconds(1), seconds(2), "{}", pool.name);
    }
}

#[test]
fn the_order_of_a_turn_is_nginxs_for_its_documented_example() {
    let order = |weights: &[u32]| {
        let turn = Turn::new(weights);
        (0..turn.len()).map(|place| turn.at(place)).collect::<Vec<_>>()
    };
    assert_eq!(order(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
    assert_eq!(order(&[4, 4]), [0, 1]);
    assert_eq!(order(&[1, 0, 1]), [0, 2]);
}

#[test]
fn clients_are_drawn_by_their_weight() {
    let weights = [8.0, 4.0, 2.0, 1.0, 1.0];
    let table = alias(&weights);
    for (client, weight) in weights.iter().enumerate() {
        let drawn = table.iter().enumerate().map(|(place, &(kept, other))| {
            let others = if other as usize == client { 1.0 - kept } else { 0.0 };
            others + if place == client { kept } else { 0.0 }
        });
        let drawn: f64 = drawn.sum();
        assert!((drawn / 5.0 - weight / 16.0).abs() < 1e-12, "client {client}: {drawn}");
    }
}

#[test]
fn even_counts_raise_no_alarm_of_the_usual_tests_and_tenfold_ones_all_three() {
    assert_eq!(alarms(&[0.25; 4], &[300, 290, 310, 300]), [false; 3]);
    assert_eq!(alarms(&[0.25; 4], &[900, 90, 95, 92]), [true; 3]);
    assert_eq!(alarms(&[0.25; 4], &[0; 4]), [false; 3]);
}

#[test]
fn the_limit_of_chi_square_is_near_that_of_the_tables() {
    // With 3 degrees of freedom p = 1e-6 is at 30.7, and 5e-7 at 32.1.
    let counts = |more: u64| [250 + more, 250 - more, 250, 250];
    assert!(!alarms(&[0.25; 4], &counts(60))[0]);
    assert!(alarms(&[0.25; 4], &counts(64))[0]);
}

#[test]
fn a_minute_is_judged_at_its_end_and_alone() {
    let mut tests = Baselines::new(vec![0.5; 2]);
    let mut minute = |counts: [u64; 2]| -> Vec<_> {
        repeat_n(counts, 60).map(|counts| tests.tick(counts.into_iter())).collect()
    };
    let first = minute([10, 0]);
    assert!(first[..59].iter().all(Option::is_none));
    assert_eq!(first[59], Some([true; 3]));
    assert_eq!(minute([10, 10])[59], Some([false; 3]));
}

#[test]
fn upper_limits_of_events_are_those_of_the_tables() {
    // Garwood 1936.
    for (events, limit) in [(0, 2.996), (1, 4.744), (5, 10.513), (10, 16.962)] {
        assert!((poisson_limit(events) - limit).abs() < 2e-3, "{events}: {}", poisson_limit(events));
    }
    assert!((poisson_limit(201) - poisson_limit(200) - 1.0).abs() < 0.5, "the approximation carries on");
}

#[test]
fn the_bound_is_that_of_the_study() {
    for (weights, connections) in [([10, 1, 1, 1], 29.0), ([0, 1, 1, 1], 60.0), ([2, 1, 1, 1], 319.0)] {
        let bound = bound(&[0.25; 4], &shares(&weights));
        assert!((bound - connections).abs() < 0.7, "{weights:?}: {bound}");
    }
}

#[test]
fn a_quantile_is_one_of_the_values() {
    let values = [5.0, 1.0, 4.0, 2.0, 3.0];
    assert_eq!(quantile(&values, 0.95), Some(5.0));
    assert_eq!(quantile(&values, 0.5), Some(3.0));
    assert_eq!(quantile(&[], 0.5), None);
}
