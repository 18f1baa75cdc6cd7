use super::decide::{Alert, Change, Decider, GONE_SECONDS, MOST_FIRING, PoolKey};
use super::wording::Annotations;
use crate::agent::Judged;
use crate::chronicle::STEADY_INTERVALS;
use crate::detect::Verdict;
use crate::outputs::metrics::tests::pool;
use crate::pools::ExpectedSource;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn judged(name: &str, verdict: Verdict) -> Judged {
    let mut judged = pool(name, "nginx", &[(1, 1)]);
    judged.assessment.as_mut().unwrap().verdict = verdict;
    judged
}

fn assumed(name: &str, verdict: Verdict) -> Judged {
    let mut judged = judged(name, verdict);
    judged.sample.pool.expected_source = ExpectedSource::Assumed;
    judged
}

fn left(name: &str, verdict: Verdict) -> Alert {
    Alert {
        key: PoolKey { pool: name.into(), balancer: "nginx".into() },
        verdict,
        starts_seconds: 7.0,
        annotations: Annotations::default(),
    }
}

/// What it tells of a pool `app`, second by second: `+` with a verdict that is on, `-` with one that is over.
fn told(decider: &mut Decider, from: u32, verdicts: &[(Verdict, u32)]) -> Vec<(u32, char, Verdict)> {
    let mut told = Vec::new();
    let mut now = from;
    for (verdict, seconds) in verdicts {
        for _ in 0..*seconds {
            now += 1;
            for change in decider.take(now.into(), &[judged("app", *verdict)]) {
                told.push(match change {
                    Change::On(alert) => (now, '+', alert.verdict),
                    Change::Over(alert, _) => (now, '-', alert.verdict),
                    Change::NotOurs(alert) => (now, '?', alert.verdict),
                });
            }
        }
    }
    told
}

use Verdict::{BackendFailing, Balanced, InsufficientEvidence, Skewed, UnevenWeights};

#[test]
fn a_finding_that_stands_is_an_alert_and_over_when_it_clears() {
    let mut decider = Decider::new(60.0);
    let story = told(&mut decider, 0, &[(Balanced, 10), (Skewed, 100), (Balanced, 10)]);
    assert_eq!(story, [(71, '+', Skewed), (113, '-', Skewed)]);
    assert_eq!(decider.firing().len(), 0);
    // Without a time that it has to stand: when it is steady.
    assert_eq!(told(&mut Decider::new(0.0), 0, &[(Skewed, 9)]), [(3, '+', Skewed)]);
}

#[test]
fn what_comes_and_goes_is_none() {
    let flaps = [(Skewed, 59), (Balanced, 1), (Skewed, 59), (Balanced, 9)];
    assert_eq!(told(&mut Decider::new(60.0), 0, &flaps), []);
}

#[test]
fn insufficient_evidence_neither_fires_nor_resolves() {
    let mut decider = Decider::new(10.0);
    let story = [(Skewed, 5), (InsufficientEvidence, 100), (Skewed, 1), (InsufficientEvidence, 500)];
    assert_eq!(told(&mut decider, 0, &story), [(106, '+', Skewed)], "it stands, but is seen again first");
    assert_eq!(decider.firing().len(), 1);
    assert_eq!(told(&mut decider, 606, &[(Balanced, 3)]), [(609, '-', Skewed)]);
}

#[test]
fn another_finding_ends_the_one_as_it_begins_the_other() {
    let mut decider = Decider::new(60.0);
    let story = told(&mut decider, 0, &[(Skewed, 100), (BackendFailing, 100), (UnevenWeights, 10)]);
    assert_eq!(
        story,
        [(61, '+', Skewed), (161, '-', Skewed), (161, '+', BackendFailing), (203, '-', BackendFailing)]
    );
}

#[test]
fn uneven_weights_and_assumed_shares_are_never_alerts() {
    let mut decider = Decider::new(0.0);
    for now in 0..100 {
        let pools = [judged("a", UnevenWeights), assumed("b", Skewed), assumed("c", BackendFailing)];
        assert_eq!(decider.take(now.into(), &pools), []);
    }
}

#[test]
fn what_is_said_of_an_alert_follows_what_is_so() {
    let mut decider = Decider::new(0.0);
    told(&mut decider, 0, &[(Skewed, 3)]);
    let mut worse = judged("app", Skewed);
    worse.assessment.as_mut().unwrap().summary = "worse".into();
    let Some(Change::On(alert)) = decider.take(4.0, &[worse.clone()]).pop() else { panic!("it is retold") };
    assert!(alert.annotations.summary.ends_with("worse"));
    assert_eq!(alert.starts_seconds, 3.0, "the same alert");
    assert_eq!(decider.take(5.0, &[worse]), [], "nothing new");
}

#[test]
fn what_a_former_agent_left_goes_on_or_is_over() {
    let mut decider = Decider::new(60.0);
    assert_eq!(decider.adopt(0.0, vec![left("app", Skewed)]), [Change::On(left("app", Skewed))]);
    let story = [(InsufficientEvidence, 200), (Skewed, 1)];
    let said = told(&mut decider, 0, &story);
    assert_eq!(said, [(201, '+', Skewed)], "retold, not begun anew");
    assert_eq!(decider.firing()[0].starts_seconds, 7.0);
    assert_eq!(told(&mut decider, 201, &[(Balanced, 5)]), [(204, '-', Skewed)], "the first that is certain");

    let mut decider = Decider::new(60.0);
    let both = vec![left("app", Skewed), left("app", BackendFailing)];
    let changes = decider.adopt(0.0, both);
    assert_eq!(changes[1], Change::Over(left("app", BackendFailing), 0.0), "a pool has one");
    // The same that this agent has told already.
    let mut decider = Decider::new(0.0);
    told(&mut decider, 0, &[(Skewed, 3)]);
    assert_eq!(decider.adopt(4.0, vec![left("app", Skewed)]), []);
}

#[test]
fn a_pool_whose_balancer_is_not_known_yet_keeps_what_was_left() {
    let mut decider = Decider::new(60.0);
    decider.adopt(0.0, vec![left("app", Skewed), left("gone", Skewed)]);
    let mut quiet = judged("app", InsufficientEvidence);
    quiet.sample.pool.balancer = None;
    let mut over = Vec::new();
    for now in 1..300 {
        over.extend(decider.take(now.into(), &[quiet.clone()]));
    }
    assert_eq!(
        over,
        [Change::NotOurs(left("gone", Skewed))],
        "it may be of another agent on a host of this name"
    );
    assert_eq!(told(&mut decider, 300, &[(Balanced, 3)]), [(303, '-', Skewed)]);
}

#[test]
fn a_pool_that_is_gone_for_long_has_no_alert() {
    let mut decider = Decider::new(0.0);
    told(&mut decider, 0, &[(Skewed, 3)]);
    assert_eq!(decider.take(3.0 + GONE_SECONDS, &[]), []);
    // Declared no longer.
    let over = decider.take(4.0 + GONE_SECONDS, &[assumed("app", Skewed)]);
    assert!(matches!(&over[..], [Change::Over(..)]), "{over:?}");
}

#[test]
fn there_are_only_so_many_and_others_follow_when_there_is_room() {
    let mut decider = Decider::new(0.0);
    let pools = |verdict| -> Vec<Judged> {
        let first = judged("0", verdict);
        let rest = (1..MOST_FIRING + 2).map(|number| judged(&number.to_string(), Skewed));
        [first].into_iter().chain(rest).collect()
    };
    (0..5).for_each(|now| drop(decider.take(now.into(), &pools(Skewed))));
    assert_eq!((decider.firing().len(), decider.left_out()), (MOST_FIRING, 2));
    (5..10).for_each(|now| drop(decider.take(now.into(), &pools(Balanced))));
    assert_eq!((decider.firing().len(), decider.left_out()), (MOST_FIRING, 1));
}

/// A step of a story: for each of three pools nothing, or a verdict and whether it is declared; and how long it lasts.
type Step = ([Option<(Verdict, bool)>; 3], u32);

fn stories() -> impl Strategy<Value = Vec<Step>> {
    let pool =
        prop::option::weighted(0.9, (prop::sample::select(Verdict::ALL.to_vec()), prop::bool::weighted(0.8)));
    prop::collection::vec(([pool.clone(), pool.clone(), pool], 1..100_u32), 1..20)
}

proptest! {
    #[test]
    fn every_alert_is_on_or_over_and_has_its_reason(story in stories(), stands in 0..90_u32) {
        let mut decider = Decider::new(stands.into());
        let mut on: BTreeMap<String, Verdict> = BTreeMap::new();
        // How long each pool has said the same, insufficient evidence aside.
        let mut standing: BTreeMap<String, (Verdict, u32)> = BTreeMap::new();
        let mut now = 0_u32;
        for (pools, seconds) in story {
            for _ in 0..seconds {
                now += 1;
                let mut present = Vec::new();
                for (name, pool) in ["a", "b", "c"].iter().zip(pools) {
                    match pool {
                        Some((verdict, true)) => {
                            present.push(judged(name, verdict));
                            if verdict != InsufficientEvidence {
                                let since = standing.entry((*name).into()).or_insert((verdict, now));
                                if since.0 != verdict {
                                    *since = (verdict, now);
                                }
                            }
                        }
                        Some((verdict, false)) => {
                            present.push(assumed(name, verdict));
                            standing.remove(*name);
                        }
                        None => { standing.remove(*name); }
                    }
                }
                for change in decider.take(now.into(), &present) {
                    match change {
                        Change::On(alert) => {
                            let name = &alert.key.pool;
                            let verdict = alert.verdict;
                            prop_assert!(verdict.is_finding() && verdict != UnevenWeights);
                            let (stood, since) = standing[name];
                            prop_assert_eq!(stood, verdict, "never on assumed shares or less than it says");
                            prop_assert!(now - since >= stands.max(STEADY_INTERVALS - 1));
                            prop_assert_eq!(on.insert(name.clone(), verdict), None, "the former one is over first");
                        }
                        Change::Over(alert, _) => {
                            let name = &alert.key.pool;
                            prop_assert_eq!(on.remove(name), Some(alert.verdict), "what was on");
                            // Another certain verdict, or the pool has been away.
                            prop_assert!(standing.get(name).is_none_or(|(verdict, _)| *verdict != alert.verdict));
                        }
                        Change::NotOurs(alert) => unreachable!("nobody left {alert:?}"),
                    }
                }
                let firing: BTreeMap<String, Verdict> =
                    decider.firing().iter().map(|alert| (alert.key.pool.clone(), alert.verdict)).collect();
                prop_assert_eq!(&firing, &on);
            }
        }
    }
}
