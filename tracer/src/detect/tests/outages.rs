//! Members that are down behind a balancer that leaves them out, and what is said until that is sure.

use super::balancer::{Fate, Pool};
use crate::detect::{Assessment, Finding, Verdict};

fn findings(assessment: &Assessment) -> Vec<Option<Finding>> {
    assessment.members.iter().map(|member| member.finding).collect()
}

/// Four members, some of which were stopped; nginx tries each of these every ten seconds.
fn stopped(rate: f64, members: &[usize], seed: u64) -> Pool {
    let mut pool = Pool::new(4, rate, true, seed);
    for &member in members {
        (pool.fates[member], pool.actual[member]) = (Fate::Refused, 0.0);
    }
    pool
}

fn step(pool: &mut Pool, members: &[usize]) -> Assessment {
    if pool.tick.is_multiple_of(10) {
        pool.extra.extend(members.iter().map(|&member| (member, 1)));
    }
    pool.step()
}

#[test]
fn a_stopped_member_is_failing_once_its_retry_is_refused_and_never_in_a_balanced_pool() {
    for rate in [33.0, 200.0, 2000.0] {
        for down in [&[2][..], &[0, 2]] {
            let mut pool = stopped(rate, down, 1);
            let seen: Vec<Assessment> = (0..60).map(|_| step(&mut pool, down)).collect();
            for (tick, assessment) in seen.iter().enumerate() {
                let expected =
                    if tick < 10 { Verdict::InsufficientEvidence } else { Verdict::BackendFailing };
                assert_eq!(assessment.verdict, expected, "{rate} {tick}: {}", assessment.summary);
                assert!(!assessment.summary.contains("served again"), "{}", assessment.summary);
                let failing =
                    (0..4).map(|member| (tick >= 10 && down.contains(&member)).then_some(Finding::Failing));
                assert_eq!(findings(assessment), failing.collect::<Vec<_>>());
            }
            assert!(
                seen[10].summary.contains(" fails: connections refused, 2 of 2 attempts"),
                "{}",
                seen[10].summary
            );
        }
    }
}

/// One attempt of a member is refused, and so many retries after it, ten seconds apart.
fn refused_by_accident(pool: &mut Pool, member: usize, retries: u32) -> Vec<Assessment> {
    (pool.fates[member], pool.actual[member]) = (Fate::Refused, 0.0);
    let mut seen = Vec::new();
    for second in 0..10 * (retries + 1) {
        if second % 10 == 0 {
            pool.extra.push((member, 1));
        }
        seen.push(pool.step());
    }
    (pool.fates[member], pool.actual[member]) = (Fate::Served, 1.0);
    seen
}

#[test]
fn where_attempts_are_refused_now_and_then_one_refused_retry_may_be_chance_and_two_are_not() {
    let mut pool = Pool::new(4, 200.0, true, 7);
    for round in 0..20 {
        pool.run(50);
        let seen = refused_by_accident(&mut pool, round % 4, 0);
        assert!(seen.iter().all(|assessment| !assessment.verdict.is_finding()));
    }
    pool.run(50);
    for member in [1, 3] {
        let seen = refused_by_accident(&mut pool, member, 1);
        let found = seen.iter().find(|assessment| assessment.verdict.is_finding());
        assert!(found.is_none(), "{}", found.unwrap().summary);
        let after = pool.run(50);
        assert!(!after.verdict.is_finding(), "{}", after.summary);
    }
    let seen = refused_by_accident(&mut pool, 2, 2);
    assert_eq!(seen[20].verdict, Verdict::BackendFailing, "{}", seen[20].summary);
}

#[test]
fn one_accident_is_enough_to_know_that_they_happen_and_an_outage_that_was_told_is_none() {
    let mut pool = Pool::new(4, 200.0, true, 7);
    pool.run(600);
    refused_by_accident(&mut pool, 0, 0);
    pool.run(50);
    let seen = refused_by_accident(&mut pool, 1, 1);
    assert!(seen.iter().all(|assessment| !assessment.verdict.is_finding()));

    let mut pool = Pool::new(4, 200.0, true, 7);
    pool.run(600);
    for member in [2, 2, 1] {
        let seen = refused_by_accident(&mut pool, member, 1);
        assert_eq!(seen[10].verdict, Verdict::BackendFailing, "{}", seen[10].summary);
        assert!(!pool.run(600).verdict.is_finding());
    }
}

#[test]
fn a_stopped_member_that_is_started_again_clears_soon() {
    let mut pool = stopped(33.0, &[2], 3);
    for _ in 0..40 {
        step(&mut pool, &[2]);
    }
    (pool.fates[2], pool.actual[2]) = (Fate::Served, 1.0);
    let cleared = (1..=60).find(|_| !pool.step().verdict.is_finding());
    assert!(cleared.is_some_and(|tick| tick <= 10), "{cleared:?}");
    assert!((0..120).all(|_| !pool.step().verdict.is_finding()));
    assert_eq!(pool.step().verdict, Verdict::Balanced);
}

#[test]
fn a_missing_member_whose_retries_are_refused_is_failing_and_not_served_again() {
    let mut pool = stopped(200.0, &[1], 5);
    let assessment = pool.run(28);
    assert_eq!(assessment.verdict, Verdict::MemberMissing);
    let seen: Vec<Assessment> = (0..60).map(|_| step(&mut pool, &[1])).collect();
    assert!(seen.iter().all(|assessment| !assessment.summary.contains("served again")));
    assert!(seen[4].summary.contains("after it failed"), "{}", seen[4].summary);
    assert_eq!(seen[59].findings, [Verdict::BackendFailing], "{}", seen[59].summary);
}

#[test]
fn attempts_that_are_refused_do_not_end_an_absence() {
    let mut pool = Pool::new(4, 200.0, true, 5);
    pool.actual[1] = 0.0;
    assert_eq!(pool.run(20).verdict, Verdict::MemberMissing);
    pool.fates[1] = Fate::Refused;
    for _ in 0..4 {
        pool.extra.push((1, 1));
        let assessment = pool.step();
        assert!(!assessment.summary.contains("served again"), "{}", assessment.summary);
    }
    (pool.fates[1], pool.actual[1]) = (Fate::Served, 1.0);
    assert!((1..=45).any(|_| !pool.step().verdict.is_finding()));
}

#[test]
fn four_stopped_members_are_the_pool() {
    let mut pool = stopped(0.0, &[0, 1, 2, 3], 1);
    let assessment = step(&mut pool, &[0, 1, 2, 3]);
    assert_eq!(assessment.verdict, Verdict::PoolFailing, "{}", assessment.summary);
    assert!(
        assessment.summary.starts_with("all 4 members fail: connections refused, 4 of 4 attempts"),
        "{}",
        assessment.summary
    );
    for _ in 0..100 {
        assert_eq!(step(&mut pool, &[0, 1, 2, 3]).findings, [Verdict::PoolFailing]);
    }
    (pool.fates, pool.actual, pool.rate) = (vec![Fate::Served; 4], vec![1.0; 4], 20.0);
    let cleared = (1..=60).find(|_| !pool.step().verdict.is_finding());
    assert!(cleared.is_some_and(|tick| tick <= 15), "{cleared:?}");
}

#[test]
fn one_success_is_enough_for_the_pool_not_to_fail() {
    let mut pool = stopped(0.0, &[0, 1, 2], 1);
    pool.extra.push((3, 1));
    for _ in 0..5 {
        let assessment = step(&mut pool, &[0, 1, 2]);
        assert_ne!(assessment.verdict, Verdict::PoolFailing, "{}", assessment.summary);
    }
}

/// All that are left are stopped too: the balancer tries everybody once in a while, and refuses its clients meanwhile.
fn stop_all(pool: &mut Pool) {
    for member in 0..4 {
        (pool.fates[member], pool.actual[member]) = (Fate::Refused, 0.0);
    }
}

#[test]
fn when_the_last_three_of_four_stop_it_is_the_pool_within_ten_seconds_and_one_more_member_is_never_blamed() {
    for (rate, seed) in [(20.0, 1), (20.0, 2), (200.0, 3), (200.0, 4)] {
        let mut pool = stopped(rate, &[2], seed);
        (0..400).for_each(|_| drop(step(&mut pool, &[2])));
        stop_all(&mut pool);
        let mut told = None;
        for second in 0..15 {
            // Two of the clients' requests a second find a member to try.
            pool.extra.extend([(second % 4, 1), ((second + 1) % 4, 1)]);
            let assessment = pool.step();
            match assessment.verdict {
                Verdict::PoolFailing => told = told.or(Some(second)),
                Verdict::BackendFailing => {
                    let named = findings(&assessment).iter().flatten().count();
                    assert_eq!(named, 1, "{second}: {}", assessment.summary);
                    assert_eq!(assessment.members[2].finding, Some(Finding::Failing));
                }
                verdict => panic!("{second}: {verdict}, {}", assessment.summary),
            }
        }
        assert!(told.is_some_and(|second| second <= 9), "{rate} {seed}: {told:?}");
    }
}

#[test]
fn after_an_outage_the_pool_is_balanced_soon_and_its_old_failures_are_not_found_again() {
    for seed in 1..6 {
        let mut pool = Pool::new(4, 75.0, true, seed);
        pool.run(120);
        stop_all(&mut pool);
        for second in 0..40 {
            pool.extra.extend((0..4).map(|member| (member, u64::from(second % 4 == 0))));
            pool.step();
        }
        (pool.fates, pool.actual) = (vec![Fate::Served; 4], vec![1.0; 4]);
        let seen: Vec<Assessment> = (0..300).map(|_| pool.step()).collect();
        let cleared = seen.iter().position(|assessment| !assessment.verdict.is_finding());
        assert!(cleared.is_some_and(|second| second <= 15), "{cleared:?}");
        for (second, assessment) in seen.iter().enumerate().skip(15) {
            assert!(!assessment.verdict.is_finding(), "{second}: {}", assessment.summary);
            assert!(
                second < 45 || assessment.verdict == Verdict::Balanced,
                "{second}: {}",
                assessment.summary
            );
            for member in assessment.members.iter().filter(|_| assessment.verdict == Verdict::Balanced) {
                let share = member.observed_share.unwrap();
                assert!((share - 0.25).abs() < 0.01, "{second}: {share}: what is shown is of the time since");
            }
        }
    }
}
