//! What is said of a member that load-aware balancing passes over because it holds more connections than the others.

use super::balancer::{Fate, member, sane};
use super::properties::sample;
use crate::collect::Stock;
use crate::detect::{Assessment, PoolJudge, Settings, Verdict};
use crate::pools::Method;

/// Two hours of one connection a second, in turn, each done within its second; then ten minutes in which the first
/// member gets none, and holds `held` connections.
fn without_the_first(method: Method, held: u64) -> Vec<Assessment> {
    among(method, &[1, 2, 3], held)
}

/// The same, but then the first gets all, and the others hold so many each.
fn with_the_first_only(method: Method, held: u64) -> Vec<Assessment> {
    among(method, &[0], held)
}

/// The same, but then these take turns, and the others hold so many each.
fn among(method: Method, chosen: &[usize], held: u64) -> Vec<Assessment> {
    let mut judge = PoolJudge::new(Settings::default());
    let tell = |tick: u32| {
        let alone = tick > 7200;
        let turn = if alone { chosen[tick as usize % chosen.len()] } else { tick as usize % 4 };
        let members = (0..4).map(|index| {
            let opened = u64::from(index == turn);
            let mut member = member(index, Some(1.0), opened, Fate::Served);
            member.delta.closed = opened;
            let live = if alone && !chosen.contains(&index) {
                held
            } else {
                u64::from(opened == 1 && (tick / 4).is_multiple_of(2))
            };
            member.stock = Some(Stock { live, ..Stock::default() });
            member
        });
        let assessment = judge.judge(&sample(members.collect(), method, true), f64::from(tick));
        sane(&assessment);
        assessment
    };
    (1..=7800).map(tell).skip(7200).collect()
}

#[test]
fn a_member_that_holds_the_one_long_connection_is_rightly_passed_over() {
    let seen = without_the_first(Method::LeastConnections, 1);
    for (second, assessment) in seen.iter().enumerate() {
        assert!(!assessment.verdict.is_finding(), "second {second}: {}", assessment.summary);
    }
    let last = seen.last().unwrap();
    assert_eq!(last.verdict, Verdict::InsufficientEvidence, "{}", last.summary);
    assert_eq!(
        last.summary,
        "10.0.0.11:8080 gets less while it holds more connections than the others: load-aware balancing passes it over"
    );
}

#[test]
fn a_member_that_holds_nothing_and_gets_nothing_is_found_within_two_minutes() {
    let seen = without_the_first(Method::LeastConnections, 0);
    let found = seen.iter().position(|assessment| assessment.verdict.is_finding()).unwrap();
    assert!(found <= 120, "{found}");
    assert_eq!(seen.last().unwrap().verdict, Verdict::MemberMissing, "{}", seen.last().unwrap().summary);
}

#[test]
fn a_balancer_that_does_not_count_connections_has_no_such_excuse() {
    let seen = without_the_first(Method::RoundRobin, 1);
    assert!(seen.iter().take(120).any(|assessment| assessment.verdict.is_finding()));
    assert_eq!(seen.last().unwrap().verdict, Verdict::MemberMissing, "{}", seen.last().unwrap().summary);
}

#[test]
fn a_member_that_gets_everything_while_the_others_hold_long_connections_is_rightly_preferred() {
    let seen = with_the_first_only(Method::LeastConnections, 1);
    for (second, assessment) in seen.iter().enumerate() {
        assert!(!assessment.verdict.is_finding(), "second {second}: {}", assessment.summary);
    }
    let why =
        "10.0.0.11:8080 gets more while the others hold more connections: load-aware balancing prefers it";
    assert!(seen.iter().any(|assessment| assessment.summary == why));
    for (method, held) in [(Method::LeastConnections, 0), (Method::RoundRobin, 1)] {
        let seen = with_the_first_only(method, held);
        assert!(seen.iter().take(120).any(|assessment| assessment.verdict.is_finding()), "{method:?}");
    }
}
