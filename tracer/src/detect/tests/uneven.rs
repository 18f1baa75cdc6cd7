//! What is said of traffic that follows weights that are themselves odd, and of traffic to where a declaration says why
//! it should not go.

use super::balancer::Pool;
use crate::detect::{Assessment, Verdict};
use crate::pools::{ExpectedSource, Method, Origin};

/// 200 connections a second, spread by weights that nobody vouches for, each on a line of its own from 11 on.
fn pool(weights: &[f64]) -> Pool {
    let mut pool = Pool::new(weights.len(), 200.0, true, 5);
    pool.declared = weights.iter().copied().map(Some).collect();
    pool.actual = weights.to_vec();
    pool.origins =
        (0..weights.len()).map(|index| Origin::Written(format!("app.conf:{}", 11 + index))).collect();
    pool.identity.vouched = false;
    pool
}

/// What is said once there is enough to say it; no other finding on the way.
#[track_caller]
fn settled(pool: &mut Pool, verdict: Verdict) -> Assessment {
    pool.until(verdict, 120).unwrap_or_else(|| panic!("{:?}", pool.step())).1
}

#[test]
fn a_digit_too_many_that_is_followed_is_a_finding_with_its_line() {
    for method in [Method::RoundRobin, Method::Random, Method::Hash, Method::LeastConnections] {
        let mut pool = pool(&[5.0, 50.0, 5.0, 5.0]);
        pool.identity.method = method;
        let found = settled(&mut pool, Verdict::UnevenWeights);
        assert_eq!(
            found.summary,
            "traffic follows the declared weights, but 10.0.0.12:8080 has weight 50 where the others have 5 \
             (app.conf:12): a typing error? \"# tracer: intended\" on that line, or a pools file, vouches for it"
        );
        assert_eq!(found.findings, [Verdict::UnevenWeights]);
        assert!(found.needed.is_none() && found.members.iter().all(|member| member.finding.is_none()));
        assert_eq!((found.since_seconds, found.since_start), (Some(0.0), true), "as long as it was watched");
    }
}

#[test]
fn it_is_told_when_balanced_would_be_and_stays() {
    let (mut odd, mut meant) = (pool(&[5.0, 50.0, 5.0, 5.0]), pool(&[5.0, 50.0, 5.0, 5.0]));
    meant.identity.vouched = true;
    for _ in 0..600 {
        let (odd, meant) = (odd.step(), meant.step());
        let expected = match meant.verdict {
            Verdict::Balanced => Verdict::UnevenWeights,
            other => other,
        };
        assert_eq!((odd.verdict, odd.evidence), (expected, meant.evidence), "{}", odd.summary);
    }
    assert_eq!(meant.step().verdict, Verdict::Balanced);
}

#[test]
fn weights_that_are_vouched_for_assumed_or_even_are_balanced() {
    let mut vouched = pool(&[5.0, 50.0, 5.0, 5.0]);
    vouched.identity.vouched = true;
    settled(&mut vouched, Verdict::Balanced);
    let mut assumed = pool(&[1.0, 1.0]);
    assumed.identity.expected_source = ExpectedSource::Assumed;
    settled(&mut assumed, Verdict::Balanced);
    settled(&mut pool(&[1.0, 2.0, 2.0, 0.0]), Verdict::Balanced);
    settled(&mut pool(&[7.0]), Verdict::Balanced);
}

#[test]
fn two_members_and_several_odd_ones_are_told_apart() {
    let said = |weights: &[f64]| settled(&mut pool(weights), Verdict::UnevenWeights).summary;
    let two = said(&[0.1, 0.3]);
    assert!(two.contains("10.0.0.12:8080 has weight 0.3 where the other has 0.1 (app.conf:12): a"), "{two}");
    let several = said(&[20.0, 5.0, 5.0, 25.0, 5.0]);
    assert!(
        several.contains("10.0.0.14:8080 has weight 25 where the median of the others is 5 (app.conf:14); 1 other member too: a"),
        "{several}"
    );
    let mut unplaced = pool(&[1.0, 4.0]);
    unplaced.origins.clear();
    let unplaced = settled(&mut unplaced, Verdict::UnevenWeights).summary;
    assert!(unplaced.contains("has 1: a typing error? \"# tracer: intended\" on its line"), "{unplaced}");
}

#[test]
fn traffic_that_does_not_follow_odd_weights_is_skewed() {
    let mut pool = pool(&[5.0, 50.0, 5.0, 5.0]);
    pool.actual = vec![5.0; 4];
    let found = settled(&mut pool, Verdict::Skewed);
    assert_eq!(found.findings, [Verdict::Skewed]);
}

#[test]
fn weights_that_are_mended_are_balanced_and_typed_again_uneven() {
    let mut pool = pool(&[5.0, 50.0, 5.0, 5.0]);
    settled(&mut pool, Verdict::UnevenWeights);
    let mend = |pool: &mut Pool, weight: f64| {
        (pool.declared[1], pool.actual[1]) = (Some(weight), weight);
    };
    mend(&mut pool, 5.0);
    settled(&mut pool, Verdict::Balanced);
    let before = f64::from(pool.tick);
    mend(&mut pool, 50.0);
    let again = settled(&mut pool, Verdict::UnevenWeights);
    assert_eq!((again.since_seconds, again.since_start), (Some(before), false), "since they are so");
}

#[test]
fn traffic_to_a_drained_member_names_the_line_and_to_a_former_address_the_name() {
    let mut drained = pool(&[1.0, 1.0, 0.0]);
    drained.actual[2] = 0.1;
    let found = settled(&mut drained, Verdict::UnexpectedBackend).summary;
    assert!(found.ends_with("so far), but its weight is 0 (app.conf:13)"), "{found}");
    let mut moved = pool(&[1.0, 1.0, 1.0]);
    moved.declared[2] = None;
    moved.origins[2] = Origin::Former("app.example.com".into());
    let found = settled(&mut moved, Verdict::UnexpectedBackend).summary;
    assert!(
        found.ends_with(
            "so far), but app.example.com no longer has this address: the balancer has not resolved it again"
        ),
        "{found}"
    );
}
