//! What is said of a member that load-aware balancing passes over because it holds more connections than the others.

use super::balancer::{Chance, Fate, member, sane};
use super::properties::sample;
use crate::collect::Stock;
use crate::detect::{Assessment, Finding, PoolJudge, Settings, Verdict};
use crate::pools::Method;
use tracer_ebpf::histogram::bucket_of;

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

/// What is said half a minute after exchanges over kept connections, of which each member has so many, became uneven.
fn over_kept_connections(method: Method, declared: bool, live: [u64; 4], exchanges: [f64; 4]) -> Assessment {
    let (mut judge, mut chance) = (PoolJudge::new(Settings::default()), Chance::new(7));
    let mut tell = |tick: u32| {
        let fault = tick > 4000;
        let members = (0..4).map(|index| {
            let mut member = member(index, Some(1.0), 0, Fate::Served);
            member.requests = Some(chance.arrivals(if fault { exchanges[index] } else { 50.0 }));
            let live = if fault { live[index] } else { 5 };
            member.stock = Some(Stock { live, ..Stock::default() });
            member
        });
        judge.judge(&sample(members.collect(), method, declared), f64::from(tick))
    };
    (1..=4030).map(&mut tell).last().unwrap()
}

#[test]
fn kept_connections_excuse_no_uneven_exchanges() {
    let hot = over_kept_connections(Method::RoundRobin, false, [2, 5, 5, 5], [150.0, 17.0, 17.0, 16.0]);
    assert_eq!(hot.verdict, Verdict::Skewed, "{}", hot.summary);
    let drained =
        over_kept_connections(Method::LeastConnections, true, [8, 4, 4, 4], [1e-9, 67.0, 67.0, 66.0]);
    assert_eq!(drained.verdict, Verdict::MemberMissing, "{}", drained.summary);
}

#[test]
fn members_that_are_down_excuse_no_drained_one() {
    let (mut judge, mut chance) = (PoolJudge::new(Settings::default()), Chance::new(9));
    let mut tell = |tick: u32| {
        let (down, drained) = (tick > 4000, tick > 4200);
        let fails = if down { 0.02 } else { 1.0 };
        let weights = [if drained { 0.0 } else { 1.0 }, 1.0, fails, fails];
        let mut counts = [0_u64; 4];
        for _ in 0..chance.arrivals(100.0) {
            counts[chance.pick(&weights)] += 1;
        }
        let members = (0..4).map(|index| {
            let dead = down && index >= 2;
            let fate = if dead { Fate::Refused } else { Fate::Served };
            let mut member = member(index, Some(1.0), counts[index], fate);
            member.delta.closed = if dead { 0 } else { counts[index] };
            member.stock = Some(Stock { live: if dead { 0 } else { 20 }, ..Stock::default() });
            member
        });
        judge.judge(&sample(members.collect(), Method::LeastConnections, true), f64::from(tick))
    };
    let last = (1..=4230).map(&mut tell).last().unwrap();
    assert_eq!(last.members[0].finding, Some(Finding::Missing), "{}", last.summary);
}

/// Least connections among twenty at 60 a second, which last for half a second each. After ten minutes the first two
/// hold two more connections each for half a minute, and with `drained` the first is chosen no more from then on. What is said a second.
fn among_twenty(drained: bool, seed: u64) -> Vec<Assessment> {
    const STEPS: u32 = 20;
    let (mut judge, mut chance) = (PoolJudge::new(Settings::default()), Chance::new(seed));
    // When each of a member's connections ends, and for how long it lasts, in steps.
    let mut live: Vec<Vec<(u32, u32)>> = vec![Vec::new(); 20];
    let mut turn = 0;
    let mut tell = |tick: u32| {
        let mut opened = [0_u64; 20];
        let mut members: Vec<_> = (0..20).map(|index| member(index, Some(1.0), 0, Fate::Served)).collect();
        for step in tick * STEPS..(tick + 1) * STEPS {
            for (ends, member) in live.iter_mut().zip(&mut members) {
                for (_, steps) in ends.extract_if(.., |(end, _)| *end <= step) {
                    let lasted = u64::from(steps) * 1_000_000_000 / u64::from(STEPS);
                    member.delta.lifetime.counts_mut()[bucket_of(lasted) as usize] += 1;
                    member.delta.closed += 1;
                }
            }
            if step == 600 * STEPS {
                (0..2).for_each(|member| live[member].extend([(step + 30 * STEPS, 30 * STEPS); 2]));
            }
            for _ in 0..chance.arrivals(60.0 / f64::from(STEPS)) {
                turn += 1;
                let in_turn = (0..20).map(|index| (turn + index) % 20);
                let chosen = in_turn.filter(|index| !(drained && tick >= 600 && *index == 0));
                let chosen = chosen.min_by_key(|index| live[*index].len()).unwrap();
                let lasts = 1 + u32::try_from(chance.arrivals(9.0)).unwrap();
                live[chosen].push((step + lasts, lasts));
                opened[chosen] += 1;
            }
        }
        for (index, seen) in members.iter_mut().enumerate() {
            seen.decisions = opened[index];
            (seen.delta.attempts, seen.delta.established) = (opened[index], opened[index]);
            seen.stock = Some(Stock { live: live[index].len() as u64, ..Stock::default() });
        }
        let sample = sample(members, Method::LeastConnections, true);
        judge.judge(&sample, f64::from(tick + 1))
    };
    (0..720).map(&mut tell).collect()
}

#[test]
fn two_connections_that_last_keep_others_away_and_that_is_no_skew() {
    for seed in 0..20 {
        for (second, assessment) in among_twenty(false, seed).iter().enumerate() {
            assert!(!assessment.verdict.is_finding(), "seed {seed}, {second} s: {}", assessment.summary);
        }
    }
}

#[test]
fn they_excuse_a_drained_member_until_they_end() {
    for seed in 0..5 {
        let seen = among_twenty(true, seed);
        let found = seen.iter().position(|assessment| assessment.verdict.is_finding()).unwrap();
        assert!(found < 650, "seed {seed}: {found}");
        assert_eq!(seen[found].members[0].finding, Some(Finding::Missing), "{}", seen[found].summary);
    }
}
