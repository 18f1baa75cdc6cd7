//! What is said while something is suspected and not yet sure: never "balanced".

use super::balancer::Pool;
use crate::collect::Counters;
use crate::detect::{Assessment, Finding, PoolJudge, Settings, Verdict};
use crate::pools::Method;
use tracer_ebpf::histogram::bucket_of;

#[test]
fn a_pool_with_a_silent_member_is_never_balanced_however_high_the_rate() {
    for round_robin in [true, false] {
        for rate in [20.0, 200.0, 4600.0] {
            let mut pool = Pool::new(4, rate, round_robin, 2);
            pool.actual[3] = 0.0;
            let seen: Vec<Assessment> = (0..30).map(|_| pool.step()).collect();
            assert!(seen.iter().all(|assessment| assessment.verdict != Verdict::Balanced), "{rate}");
            assert_eq!(seen[29].verdict, Verdict::MemberMissing, "{rate}");
            assert!(seen[29].since_start);
            let early = &seen[2];
            assert_eq!(early.verdict, Verdict::InsufficientEvidence);
            assert!(early.summary.starts_with("10.0.0.14:8080 has had none of "), "{}", early.summary);
            assert!(early.summary.ends_with("to be sure"), "{}", early.summary);
            assert!(rate < 1000.0 || early.summary.ends_with("; a moment more to be sure"));
            assert!(early.needed.is_some());
        }
    }
}

#[test]
fn a_pool_that_is_plainly_uneven_is_never_balanced() {
    for weight in [0.02, 0.5, 2.0, 10.0] {
        let mut pool = Pool::new(4, 4600.0, true, 2);
        pool.actual[1] = weight;
        let seen: Vec<Assessment> = (0..30).map(|_| pool.step()).collect();
        assert!(seen.iter().all(|assessment| assessment.verdict != Verdict::Balanced), "{weight}");
        assert_eq!(seen[29].verdict, Verdict::Skewed, "{weight}");
        assert!(seen[29].since_start);
    }
}

#[test]
fn an_uneven_start_is_told_with_what_is_needed_to_be_sure_of_it() {
    let mut pool = Pool::new(4, 20.0, true, 2);
    pool.actual[1] = 10.0;
    let assessment = pool.run(2);
    assert_eq!(assessment.verdict, Verdict::InsufficientEvidence);
    let (line, needed) = (&assessment.summary, assessment.needed.unwrap());
    assert!(
        line.starts_with("10.0.0.12:8080 gets 7") && line.contains("so far, declared 25.0 %; "),
        "{line}"
    );
    assert!(line.ends_with(&format!("; about {needed} more connections to be sure")), "{line}");
    assert!(needed < 300, "{needed}");
}

#[test]
fn one_member_with_everything_hints_at_one_client() {
    let mut pool = Pool::new(3, 50.0, true, 2);
    pool.actual = vec![0.0, 1.0, 0.0];
    let hint = "all from one client? (client hashing or stickiness)";
    for assessment in (0..40).map(|_| pool.step()).skip(10) {
        assert!(assessment.verdict.is_finding());
        assert!(assessment.summary.ends_with(hint), "{}", assessment.summary);
    }
}

#[test]
fn a_fault_that_came_later_is_not_from_the_start() {
    let mut pool = Pool::new(4, 200.0, true, 2);
    pool.run(60);
    pool.actual[3] = 0.0;
    let (_, assessment) = pool.until(Verdict::MemberMissing, 10).unwrap();
    assert!(!assessment.since_start);
}

#[test]
fn healthy_pools_hardly_ever_waver() {
    for (members, rate, learning_seconds) in
        [(2, 20.0, 3600.0), (4, 200.0, 0.0), (8, 20.0, 0.0), (40, 400.0, 3600.0)]
    {
        for round_robin in [true, false] {
            let mut wavered = 0;
            for seed in 0..10 {
                let mut pool = Pool::new(members, rate, round_robin, seed);
                pool.judge = PoolJudge::new(Settings { learning_seconds, ..Settings::default() });
                pool.until(Verdict::Balanced, 3000).unwrap();
                for _ in 0..2000 {
                    let assessment = pool.step();
                    assert!(!assessment.verdict.is_finding(), "{}", assessment.summary);
                    wavered += u32::from(assessment.verdict != Verdict::Balanced);
                }
            }
            assert!(wavered <= 200, "{members} members, {rate}/s: {wavered} of 20000");
        }
    }
}

#[test]
fn a_slow_member_under_least_connections_is_not_the_balancers_skew() {
    let slow = |method, held: Vec<f64>| {
        let mut pool = Pool::new(4, 200.0, false, 2);
        pool.identity.method = method;
        pool.actual = vec![1.0, 1.0, 1.0, 0.34];
        pool.held_seconds = Some(held);
        let seen: Vec<Assessment> = (0..120).map(|_| pool.step()).collect();
        assert!(seen.iter().all(|assessment| assessment.verdict != Verdict::Balanced));
        seen[119].clone()
    };
    let assessment = slow(Method::LeastConnections, vec![1.0, 1.0, 1.0, 3.0]);
    assert_eq!(assessment.findings, [Verdict::BackendSlow], "{}", assessment.summary);
    let findings: Vec<_> = assessment.members.iter().map(|member| member.finding).collect();
    assert_eq!(findings, [None, None, None, Some(Finding::Slow)]);
    assert!(assessment.summary.starts_with("10.0.0.14:8080 holds connections "), "{}", assessment.summary);
    assert!(assessment.summary.contains(" × longer than the others"), "{}", assessment.summary);
    assert!(assessment.summary.contains("load-aware balancing gives it less"), "{}", assessment.summary);
    assert_eq!(slow(Method::LeastConnections, vec![1.0; 4]).verdict, Verdict::Skewed);
    assert_eq!(slow(Method::RoundRobin, vec![1.0, 1.0, 1.0, 3.0]).verdict, Verdict::Skewed);
    // Another member is the slow one: that explains nothing.
    assert_eq!(slow(Method::LeastConnections, vec![3.0, 1.0, 1.0, 1.0]).verdict, Verdict::Skewed);
}

#[test]
fn a_slow_member_with_less_than_one_connection_at_a_time_is_not_the_balancers_skew() {
    let slow = |method, slow: usize, actual: [f64; 4]| {
        let mut pool = Pool::new(4, 200.0, false, 2);
        pool.identity.method = method;
        pool.actual = actual.to_vec();
        let held = |index: usize| if index == slow { 80_000_000 } else { 10_000_000 };
        // No stock: how long they were held that ended is all that is known.
        let ended = |index: usize, delta: &mut Counters| {
            delta.closed = delta.attempts;
            delta.lifetime.counts_mut()[bucket_of(held(index)) as usize] = delta.attempts;
        };
        (0..60).map(|_| pool.step_with(ended)).last().unwrap()
    };
    let less = [1.0, 1.0, 1.0, 0.34];
    let assessment = slow(Method::LeastConnections, 3, less);
    assert_eq!(assessment.findings, [Verdict::BackendSlow], "{}", assessment.summary);
    assert!(assessment.summary.contains(" × longer than the others: median "), "{}", assessment.summary);
    assert!(assessment.summary.contains("load-aware balancing gives it less"), "{}", assessment.summary);
    assert!(slow(Method::RoundRobin, 3, less).findings.contains(&Verdict::Skewed));
    // Another member is the slow one: that explains nothing.
    assert!(slow(Method::LeastConnections, 0, less).findings.contains(&Verdict::Skewed));
    // Nor that somebody gets ten times as much, or the slow one next to nothing.
    for actual in [[10.0, 1.0, 1.0, 1.0], [10.0, 1.0, 1.0, 0.34], [1.0, 1.0, 1.0, 0.02]] {
        let findings = slow(Method::LeastConnections, 3, actual).findings;
        assert!(findings.contains(&Verdict::Skewed), "{actual:?}: {findings:?}");
    }
}
