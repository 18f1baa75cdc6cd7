//! What is said of shares: skew, absence, strays, too little traffic. No sleep, no clock: ticks.

use super::balancer::{Fate, Pool, address, member};
use super::properties::sample;
use crate::detect::{Assessment, Finding, PoolJudge, Settings, Verdict};
use crate::pools::{ExpectedSource, Method};

const SEEDS: std::ops::Range<u64> = 0..20;

fn found(assessment: &Assessment) -> Vec<(usize, Finding)> {
    let members = assessment.members.iter().enumerate();
    members.filter_map(|(index, member)| member.finding.map(|finding| (index, finding))).collect()
}

#[test]
fn a_weight_typo_is_found_in_four_or_five_seconds_from_a_fresh_start() {
    for round_robin in [true, false] {
        for seed in SEEDS {
            let mut pool = Pool::new(4, 200.0, round_robin, seed);
            pool.actual[1] = 10.0;
            let (ticks, assessment) = pool.until(Verdict::Skewed, 10).unwrap();
            assert!((4..=5).contains(&ticks), "seed {seed}: {ticks}");
            assert_eq!(found(&assessment), [(1, Finding::Over)], "seed {seed}: {assessment:?}");
            assert!(assessment.summary.starts_with("10.0.0.12:8080 gets "), "{}", assessment.summary);
            assert!(
                assessment.summary.ends_with("% of new connections, declared 25.0 %"),
                "{}",
                assessment.summary
            );
            assert_eq!(assessment.since_seconds, Some(0.0));
            assert!(assessment.evidence > 30.0 && assessment.needed.is_none());
            let [low, high] = assessment.members[1].share_interval.unwrap();
            assert!(low < 10.0 / 13.0 + 0.05 && high > 10.0 / 13.0 - 0.05, "{low} {high}");
        }
    }
}

#[test]
fn a_weight_typo_is_found_in_ten_seconds_at_twenty_a_second() {
    for round_robin in [true, false] {
        for seed in SEEDS {
            let mut pool = Pool::new(4, 20.0, round_robin, seed);
            pool.actual[2] = 10.0;
            let (ticks, assessment) = pool.until(Verdict::Skewed, 10).unwrap();
            assert!(ticks <= 10, "seed {seed}: {ticks}");
            assert_eq!(found(&assessment), [(2, Finding::Over)], "seed {seed}");
        }
    }
}

#[test]
fn a_pool_that_was_well_for_an_hour_is_flagged_in_three_to_five_ticks() {
    let mut pool = Pool::new(4, 200.0, true, 7);
    pool.run(3700);
    pool.actual[0] = 10.0;
    let (ticks, assessment) = pool.until(Verdict::Skewed, 5).unwrap();
    assert!((3..=5).contains(&ticks), "{ticks}");
    assert_eq!(found(&assessment), [(0, Finding::Over)]);
    let since = assessment.since_seconds.unwrap();
    assert!((3698.0..=3701.0).contains(&since), "{since}");
}

#[test]
fn a_pool_is_new_for_an_hour_from_its_first_traffic_on_and_until_its_dispersion_is_known() {
    let is_new = |pool: &Pool| pool.judge.connections.bank().is_learning();
    let mut busy = Pool::new(4, 0.0, false, 7);
    busy.run(7200);
    assert!(is_new(&busy), "nothing came yet");
    busy.rate = 200.0;
    busy.run(3500);
    assert!(is_new(&busy));
    busy.run(200);
    assert!(!is_new(&busy));
    let mut sparse = Pool::new(4, 1.0 / 60.0, false, 7);
    sparse.run(3700);
    assert!(is_new(&sparse), "sixty connections do not tell how they scatter");
    sparse.run(5300);
    assert!(!is_new(&sparse), "a hundred and fifty in two hours and a half do");
}

#[test]
fn a_healthy_pool_is_balanced_by_the_ninth_tick_and_never_a_finding() {
    for round_robin in [true, false] {
        for seed in SEEDS {
            let mut pool = Pool::new(4, 200.0, round_robin, seed);
            for tick in 1..=600 {
                let assessment = pool.step();
                assert!(!assessment.verdict.is_finding(), "seed {seed} tick {tick}: {}", assessment.summary);
                assert!(
                    tick < 9 || assessment.verdict == Verdict::Balanced,
                    "seed {seed} tick {tick}: {} {:?} {}",
                    assessment.summary,
                    assessment.needed,
                    assessment.evidence
                );
            }
        }
    }
}

#[test]
fn unequal_weights_that_are_followed_are_balanced() {
    let mut pool = Pool::new(4, 200.0, true, 3);
    for weights in [&mut pool.actual, &mut vec![]] {
        weights.clear();
        weights.extend([8.0, 4.0, 2.0, 1.0]);
    }
    pool.declared = vec![Some(80.0), Some(40.0), Some(20.0), Some(10.0)];
    let assessment = pool.run(120);
    assert_eq!(assessment.verdict, Verdict::Balanced, "{}", assessment.summary);
}

#[test]
fn a_member_that_gets_nothing_is_missing() {
    for round_robin in [true, false] {
        for seed in SEEDS {
            let mut pool = Pool::new(4, 200.0, round_robin, seed);
            pool.run(30);
            pool.actual[3] = 0.0;
            let (ticks, assessment) = pool.until(Verdict::MemberMissing, 10).unwrap();
            assert!(ticks <= 6, "seed {seed}: {ticks}");
            assert_eq!(found(&assessment), [(3, Finding::Missing)]);
            assert_eq!(assessment.findings, [Verdict::MemberMissing]);
            assert!(assessment.since_seconds.unwrap() >= 29.0);
            assert_eq!(
                assessment.summary,
                "10.0.0.14:8080 gets no new connections, declared 25.0 %; no attempt to it failed"
            );
            for _ in 0..60 {
                let assessment = pool.step();
                assert_eq!(assessment.findings, [Verdict::MemberMissing], "{}", assessment.summary);
                assert_eq!(found(&assessment), [(3, Finding::Missing)]);
            }
        }
    }
}

#[test]
fn a_member_missing_from_the_start_is_missing_and_two_are_two() {
    let mut pool = Pool::new(5, 20.0, false, 5);
    pool.actual[0] = 0.0;
    pool.actual[1] = 0.0;
    let (ticks, assessment) = pool.until(Verdict::MemberMissing, 20).unwrap();
    assert!(ticks <= 14, "{ticks}");
    let assessment = if found(&assessment).len() == 2 { assessment } else { pool.run(3) };
    assert_eq!(found(&assessment), [(0, Finding::Missing), (1, Finding::Missing)]);
    assert!(assessment.summary.ends_with("; 1 other member too"), "{}", assessment.summary);
}

#[test]
fn repair_clears_within_forty_five_seconds_and_the_pool_is_balanced_again() {
    for (member, weight) in [(1, 10.0), (2, 0.0), (0, 2.0)] {
        for round_robin in [true, false] {
            let mut pool = Pool::new(4, 200.0, round_robin, 11);
            pool.run(60);
            pool.actual[member] = weight;
            let broken = pool.run(60);
            assert!(broken.verdict.is_finding());
            pool.actual[member] = 1.0;
            let cleared = (1..=60).find(|_| !pool.step().verdict.is_finding()).unwrap();
            assert!(cleared <= 45, "member {member} to {weight}: {cleared}");
            let after: Vec<_> = (0..60).map(|_| pool.step()).collect();
            assert!(after.iter().all(|assessment| !assessment.verdict.is_finding()));
            assert_eq!(after[59].verdict, Verdict::Balanced, "{}", after[59].summary);
        }
    }
}

#[test]
fn traffic_to_an_undeclared_or_drained_address_is_unexpected() {
    for declared in [None, Some(0.0)] {
        let mut pool = Pool::new(4, 50.0, true, 1);
        pool.declared[3] = declared;
        pool.actual[3] = 0.0;
        assert_eq!(pool.run(40).verdict, Verdict::Balanced);
        pool.extra.push((3, 2));
        assert_eq!(pool.step().verdict, Verdict::Balanced, "two may be chance");
        pool.extra.push((3, 1));
        let assessment = pool.step();
        assert_eq!(assessment.verdict, Verdict::UnexpectedBackend);
        assert_eq!(found(&assessment), [(3, Finding::Unexpected)]);
        assert!(assessment.summary.contains("(3 so far)"), "{}", assessment.summary);
        assert_eq!(assessment.members[3].expected_share, declared);
        let cleared = (1..=60).find(|_| !pool.step().verdict.is_finding()).unwrap();
        assert!(cleared <= 45, "{cleared}");
    }
}

#[test]
fn low_traffic_is_insufficient_evidence_that_says_how_much_is_needed() {
    let mut pool = Pool::new(4, 1.0, false, 2);
    let assessment = pool.run(60);
    assert_eq!(assessment.verdict, Verdict::InsufficientEvidence);
    let needed = assessment.needed.unwrap();
    assert!((600..1000).contains(&needed), "{needed}");
    assert!(
        assessment.summary.contains(&format!("about {needed} more needed, about ")),
        "{}",
        assessment.summary
    );
}

#[test]
fn nothing_at_all_is_insufficient_evidence() {
    let mut pool = Pool::new(4, 0.0, false, 2);
    let assessment = pool.run(100);
    assert_eq!(assessment.verdict, Verdict::InsufficientEvidence);
    assert_eq!(assessment.summary, "no new connections yet");
    assert!(assessment.needed.unwrap() > 800);
    assert_eq!(assessment.members[0].observed_share, None);
}

#[test]
fn an_idle_pool_is_balanced_for_some_hours_and_not_for_days() {
    let mut pool = Pool::new(4, 200.0, true, 2);
    pool.run(60);
    pool.rate = 0.0;
    let assessment = pool.run(600);
    assert_eq!(assessment.verdict, Verdict::Balanced);
    assert!(assessment.summary.ends_with("none came for 10 min"), "{}", assessment.summary);
    assert_eq!(pool.run(86_400).verdict, Verdict::InsufficientEvidence);
}

#[test]
fn one_declared_member_is_balanced_and_one_seen_is_not() {
    let mut pool = Pool::new(1, 20.0, true, 2);
    assert_eq!(pool.run(10).verdict, Verdict::Balanced);
    pool.identity.expected_source = ExpectedSource::Assumed;
    let assessment = pool.run(10);
    assert_eq!(assessment.verdict, Verdict::InsufficientEvidence);
    assert_eq!((assessment.needed, assessment.summary.starts_with("one member seen")), (None, true));
}

#[test]
fn no_members_and_no_weights_are_insufficient_evidence() {
    assert_eq!(Pool::new(0, 0.0, false, 2).run(10).verdict, Verdict::InsufficientEvidence);
    let mut pool = Pool::new(3, 20.0, false, 2);
    pool.declared = vec![Some(0.0); 3];
    pool.actual = vec![0.0; 3];
    assert_eq!(pool.run(10).verdict, Verdict::InsufficientEvidence);
}

#[test]
fn a_drain_that_is_told_is_no_finding() {
    for round_robin in [true, false] {
        let mut pool = Pool::new(4, 200.0, round_robin, 9);
        pool.run(100);
        pool.actual[2] = 0.0;
        pool.declared[2] = Some(0.0);
        pool.extra.push((2, 20));
        for _ in 0..300 {
            let assessment = pool.step();
            assert!(!assessment.verdict.is_finding(), "{}", assessment.summary);
        }
        pool.actual[2] = 1.0;
        pool.declared[2] = Some(1.0);
        for _ in 0..300 {
            let assessment = pool.step();
            assert!(!assessment.verdict.is_finding(), "{}", assessment.summary);
        }
    }
}

#[test]
fn a_weight_change_that_is_told_is_no_finding_and_one_that_is_not_is() {
    let mut pool = Pool::new(4, 200.0, false, 9);
    pool.run(100);
    pool.actual[2] = 3.0;
    pool.declared[2] = Some(3.0);
    for _ in 0..200 {
        let assessment = pool.step();
        assert!(!assessment.verdict.is_finding(), "{}", assessment.summary);
    }
    pool.actual[2] = 1.0;
    let (_, assessment) = pool.until(Verdict::Skewed, 20).unwrap();
    assert_eq!(found(&assessment), [(2, Finding::Under)]);
}

#[test]
fn members_may_join_and_leave() {
    let mut pool = Pool::new(4, 200.0, true, 9);
    pool.run(50);
    for list in [5, 6, 3, 8] {
        pool.actual.resize(list, 1.0);
        pool.declared.resize(list, Some(1.0));
        pool.fates.resize(list, Fate::Served);
        for _ in 0..40 {
            let assessment = pool.step();
            assert!(!assessment.verdict.is_finding(), "{}", assessment.summary);
        }
    }
    assert_eq!(pool.step().verdict, Verdict::Balanced);
}

#[test]
fn an_undeclared_address_that_appears_does_not_end_a_standing_skew() {
    let mut pool = Pool::new(4, 200.0, true, 9);
    pool.actual[1] = 5.0;
    let before = pool.run(20);
    assert_eq!(found(&before), [(1, Finding::Over)]);
    pool.actual.insert(0, 0.0);
    pool.declared.insert(0, None);
    pool.fates.push(Fate::Served);
    // The addresses are those of the places: the new one is the last, and what was first is now last but one.
    pool.actual.rotate_left(1);
    pool.declared.rotate_left(1);
    let after = pool.step();
    assert_eq!(found(&after), [(1, Finding::Over)], "{after:?}");
    assert_eq!(after.since_seconds, before.since_seconds);
    assert_eq!(after.members[4].backend, address(4));
}

#[test]
fn assumed_shares_are_said_to_be_assumed() {
    let mut pool = Pool::new(4, 200.0, true, 9);
    pool.identity.expected_source = ExpectedSource::Assumed;
    let assessment = pool.run(20);
    assert!(assessment.summary.contains("evenly (assumed equal shares)"), "{}", assessment.summary);
    pool.actual[1] = 10.0;
    let (_, assessment) = pool.until(Verdict::Skewed, 20).unwrap();
    assert!(
        assessment.summary.ends_with("of new connections, expected 25.0 % (assumed equal shares)"),
        "{}",
        assessment.summary
    );
}

#[test]
fn one_client_behind_a_hash_is_skew_that_depends_on_clients() {
    let mut pool = Pool::new(4, 50.0, false, 9);
    pool.identity.method = Method::Hash;
    pool.actual = vec![0.0, 0.0, 1.0, 0.0];
    let (_, assessment) = pool.until(Verdict::Skewed, 20).unwrap();
    assert_eq!(assessment.members[2].finding, Some(Finding::Over));
    assert!(assessment.summary.ends_with("shares depend on the clients"), "{}", assessment.summary);
}

#[test]
fn a_diffuse_skew_of_a_large_pool_is_found_and_said_as_such() {
    let mut pool = Pool::new(40, 400.0, false, 9);
    pool.judge = PoolJudge::new(Settings { learning_seconds: 0.0, ..Settings::default() });
    for (index, weight) in pool.actual.iter_mut().enumerate() {
        *weight = if index % 2 == 0 { 1.3 } else { 0.7 };
    }
    let (ticks, assessment) = pool.until(Verdict::Skewed, 120).unwrap();
    assert!(ticks <= 60, "{ticks}");
    let assessment = if assessment.summary.contains("whole pool") { assessment } else { pool.run(60) };
    assert!(assessment.summary.contains("over the whole pool"), "{}", assessment.summary);
}

#[test]
fn a_large_healthy_pool_is_no_finding() {
    for seed in 0..3 {
        let mut pool = Pool::new(200, 400.0, false, seed);
        for _ in 0..600 {
            let assessment = pool.step();
            assert!(!assessment.verdict.is_finding(), "{}", assessment.summary);
        }
    }
}

#[test]
fn a_neighbour_that_takes_a_failing_members_clients_is_a_consequence() {
    let mut pool = Pool::new(4, 200.0, false, 9);
    pool.identity.method = Method::Hash;
    pool.run(60);
    pool.fates[1] = Fate::Refused;
    pool.actual = vec![1.0, 0.05, 1.95, 1.0];
    pool.until(Verdict::BackendFailing, 10).unwrap();
    for _ in 0..100 {
        assert_eq!(pool.step().findings, [Verdict::BackendFailing]);
    }
}

#[test]
fn two_faults_are_both_listed_and_the_worse_one_is_told() {
    let mut pool = Pool::new(6, 200.0, true, 9);
    pool.run(60);
    pool.actual[0] = 0.0;
    pool.actual[5] = 4.0;
    let assessment = pool.run(40);
    assert_eq!(assessment.findings, [Verdict::MemberMissing, Verdict::Skewed], "{}", assessment.summary);
    assert_eq!(found(&assessment), [(0, Finding::Missing), (5, Finding::Over)]);
}

#[test]
fn intervals_hold_the_true_share_about_as_often_as_they_say() {
    let mut held = 0;
    for seed in 0..200 {
        let assessment = Pool::new(4, 50.0, false, seed).run(60);
        let [low, high] = assessment.members[0].share_interval.unwrap();
        held += u32::from((low..=high).contains(&0.25));
    }
    assert!((182..=200).contains(&held), "{held} of 200");
}

/// Workers that are reloaded all begin their turns again with the first member.
#[test]
fn six_in_a_row_after_hours_of_perfect_turns_are_no_skew() {
    let mut judge = PoolJudge::new(Settings::default());
    for tick in 0..10_800_u32 {
        let turn = if (10_000..10_006).contains(&tick) { 0 } else { tick as usize % 4 };
        let members = (0..4).map(|index| member(index, Some(1.0), u64::from(index == turn), Fate::Served));
        let assessment =
            judge.judge(&sample(members.collect(), Method::RoundRobin, true), f64::from(tick) + 1.0);
        assert!(!assessment.verdict.is_finding(), "second {tick}: {}", assessment.summary);
    }
}
