//! What is said of failures: one member, the pool, the balancer's own host, clients that go away.

use super::balancer::{Fate, Pool};
use crate::detect::{Assessment, Finding, Verdict};

fn failing(assessment: &Assessment) -> Vec<usize> {
    let members = assessment.members.iter().enumerate();
    members.filter(|(_, member)| member.finding == Some(Finding::Failing)).map(|(index, _)| index).collect()
}

#[test]
fn a_member_that_refuses_is_failing_and_nothing_else() {
    for share in [1.0, 0.2, 3.0] {
        for seed in 0..20 {
            let mut pool = Pool::new(4, 200.0, seed % 2 == 0, seed);
            pool.run(30);
            pool.fates[2] = Fate::Refused;
            pool.actual[2] = share;
            let (ticks, assessment) = pool.until(Verdict::BackendFailing, 5).unwrap();
            assert!(ticks <= 4, "{ticks}");
            assert_eq!(failing(&assessment), [2]);
            assert!(
                assessment.summary.starts_with("10.0.0.13:8080 fails: connections refused, "),
                "{}",
                assessment.summary
            );
            for _ in 0..120 {
                let assessment = pool.step();
                assert_eq!(assessment.findings, [Verdict::BackendFailing], "{}", assessment.summary);
                assert_eq!(failing(&assessment), [2]);
            }
            pool.fates[2] = Fate::Served;
            pool.actual[2] = 1.0;
            let cleared = (1..=45).find(|_| !pool.step().verdict.is_finding());
            assert!(cleared.is_some());
            for _ in 0..60 {
                assert!(!pool.step().verdict.is_finding());
            }
        }
    }
}

#[test]
fn an_ejected_member_is_failing_and_never_skewed() {
    for seed in 0..20 {
        let mut pool = Pool::new(4, 200.0, seed % 2 == 0, seed);
        pool.run(30);
        pool.fates[1] = Fate::Refused;
        pool.actual[1] = 0.0;
        let mut said = None;
        for tick in 0..200 {
            if tick % 10 == 0 {
                pool.extra.push((1, 1));
            }
            let assessment = pool.step();
            assert!(
                !assessment.verdict.is_finding() || assessment.findings == [Verdict::BackendFailing],
                "seed {seed} tick {tick}: {}",
                assessment.summary
            );
            if assessment.verdict.is_finding() {
                said.get_or_insert(tick);
            }
        }
        assert!(said.is_some_and(|tick| tick <= 60), "{said:?}");
    }
}

#[test]
fn an_ejected_member_that_is_not_tried_again_is_missing_after_failures() {
    let mut pool = Pool::new(4, 200.0, true, 4);
    pool.run(30);
    pool.fates[1] = Fate::Refused;
    pool.actual[1] = 0.0;
    pool.extra.push((1, 1));
    let (ticks, assessment) = pool.until(Verdict::MemberMissing, 90).unwrap();
    assert!((60..=63).contains(&ticks), "{ticks}");
    assert_eq!(assessment.summary, "10.0.0.12:8080 gets no new connections after it failed, declared 25.0 %");
}

#[test]
fn an_ejection_that_ends_well_is_no_finding() {
    for seed in 0..20 {
        let mut pool = Pool::new(4, 200.0, true, seed);
        pool.run(30);
        for _ in 0..20 {
            pool.fates[0] = Fate::Refused;
            pool.actual[0] = 0.0;
            pool.extra.push((0, 1));
            for _ in 0..10 {
                let assessment = pool.step();
                assert!(!assessment.verdict.is_finding(), "{}", assessment.summary);
            }
            pool.fates[0] = Fate::Served;
            pool.actual[0] = 1.0;
            for _ in 0..110 {
                let assessment = pool.step();
                assert!(!assessment.verdict.is_finding(), "{}", assessment.summary);
            }
        }
    }
}

#[test]
fn a_black_hole_is_failing_on_one_member_and_the_pool_on_all() {
    let mut pool = Pool::new(4, 100.0, true, 6);
    pool.run(30);
    pool.fates[3] = Fate::GivenUp(1.0);
    let (_, assessment) = pool.until(Verdict::BackendFailing, 3).unwrap();
    assert_eq!(failing(&assessment), [3]);
    let said = "no answer before the balancer's own timeout, median 1.0 s";
    assert!(assessment.summary.contains(said), "{}", assessment.summary);
    pool.fates = vec![Fate::GivenUp(1.0); 4];
    let assessment = pool.run(15);
    assert_eq!(assessment.findings, [Verdict::PoolFailing]);
    assert_eq!(failing(&assessment), [0, 1, 2, 3]);
    assert!(assessment.summary.starts_with("all 4 members fail: "), "{}", assessment.summary);
    assert!(assessment.summary.contains(said), "{}", assessment.summary);
    pool.fates = vec![Fate::Served; 4];
    assert!((1..=45).any(|_| !pool.step().verdict.is_finding()));
    assert_eq!(pool.run(60).verdict, Verdict::Balanced);
}

#[test]
fn a_black_hole_everywhere_from_the_start_is_the_pool() {
    let mut pool = Pool::new(4, 20.0, true, 6);
    pool.fates = vec![Fate::GivenUp(1.0); 4];
    let seen: Vec<Assessment> = (0..10).map(|_| pool.step()).collect();
    assert!(
        seen.iter().all(|assessment| matches!(
            assessment.verdict,
            Verdict::PoolFailing | Verdict::BackendFailing | Verdict::InsufficientEvidence
        )),
        "{seen:?}"
    );
    assert_eq!(seen[9].verdict, Verdict::PoolFailing);
}

#[test]
fn clients_that_go_away_are_no_finding() {
    for everywhere in [true, false] {
        let mut pool = Pool::new(4, 200.0, true, 6);
        pool.run(30);
        for member in 0..if everywhere { 4 } else { 1 } {
            pool.fates[member] = Fate::GivenUp(0.002);
        }
        for _ in 0..100 {
            let assessment = pool.step();
            assert!(!assessment.verdict.is_finding(), "{}", assessment.summary);
        }
    }
}

#[test]
fn ports_run_out_on_the_balancer_not_on_its_members() {
    let mut pool = Pool::new(4, 100.0, true, 6);
    pool.run(30);
    pool.fates = vec![Fate::NoLocalPort; 4];
    let assessment = pool.run(20);
    assert_eq!(assessment.verdict, Verdict::PoolFailing);
    assert!(
        assessment.summary.starts_with("all 4 members fail: no local port left on the balancer's own host, "),
        "{}",
        assessment.summary
    );
}

#[test]
fn failures_too_thin_for_any_member_are_the_pools() {
    let mut pool = Pool::new(100, 20.0, false, 6);
    pool.run(60);
    pool.fates = vec![Fate::Refused; 100];
    let assessment = pool.run(8);
    assert_eq!(assessment.verdict, Verdict::PoolFailing, "{}", assessment.summary);
    assert!(
        assessment.summary.starts_with("the whole pool fails: connections refused"),
        "{}",
        assessment.summary
    );
}

#[test]
fn a_few_failures_everywhere_are_no_finding() {
    let mut pool = Pool::new(4, 200.0, true, 6);
    for tick in 0..600_usize {
        pool.fates = vec![Fate::Served; 4];
        if tick % 100 == 50 {
            pool.fates[tick / 100 % 4] = Fate::Served;
        }
        let assessment = pool.step();
        assert!(!assessment.verdict.is_finding(), "{}", assessment.summary);
    }
}

#[test]
fn a_failing_member_that_is_taken_out_becomes_missing() {
    let mut pool = Pool::new(4, 50.0, true, 6);
    pool.run(30);
    pool.fates[0] = Fate::Refused;
    pool.run(10);
    pool.actual[0] = 0.0;
    let findings: Vec<Verdict> = (0..400).map(|_| pool.step().verdict).collect();
    assert_eq!(findings[250], Verdict::BackendFailing);
    assert_eq!(findings[399], Verdict::MemberMissing);
    assert!(findings.iter().all(|verdict| verdict.is_finding()));
}
