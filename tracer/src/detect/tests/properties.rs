//! What holds for every input.

use super::balancer::{Fate, address, member, sane};
use crate::detect::spread::Bank;
use crate::detect::{Assessment, PoolJudge, Settings};
use crate::pools::{ExpectedSource, MemberSample, Method, PoolIdentity, PoolSample};
use proptest::prelude::*;

pub(super) fn sample(members: Vec<MemberSample>, method: Method, declared: bool) -> PoolSample {
    PoolSample {
        pool: PoolIdentity {
            name: "app".to_owned(),
            balancer: None,
            source: "discovered".to_owned(),
            expected_source: if declared { ExpectedSource::Declared } else { ExpectedSource::Assumed },
            method,
            vouched: true,
            asked: true,
        },
        interval_seconds: 1.0,
        members,
        judged: true,
        note: None,
    }
}

fn any_weight() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        5 => (0_u32..20).prop_map(|weight| Some(f64::from(weight))),
        1 => Just(None),
        1 => any::<f64>().prop_map(Some),
    ]
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0_u64..200, 1 => Just(0), 1 => any::<u64>()]
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        5 => Just(Fate::Served),
        1 => Just(Fate::Refused),
        1 => Just(Fate::NoLocalPort),
        1 => (0.0_f64..80.0).prop_map(Fate::GivenUp),
    ]
}

pub(super) fn any_members() -> impl Strategy<Value = Vec<MemberSample>> {
    prop::collection::btree_map(0_usize..12, (any_weight(), any_count(), any_fate()), 0..8).prop_map(
        |members| {
            members
                .into_iter()
                .map(|(index, (weight, count, fate))| member(index, weight, count, fate))
                .collect()
        },
    )
}

pub(super) fn any_method() -> impl Strategy<Value = Method> {
    prop_oneof![
        Just(Method::RoundRobin),
        Just(Method::LeastConnections),
        Just(Method::Hash),
        Just(Method::Random)
    ]
}

/// A pool whose members stay, in order of address, with counts for many ticks.
fn steady() -> impl Strategy<Value = (Vec<u32>, Vec<Vec<u64>>)> {
    (2_usize..7).prop_flat_map(|members| {
        let counts = prop::collection::vec(prop::collection::vec(0_u64..80, members), 1..60);
        (prop::collection::vec(1_u32..9, members), counts)
    })
}

fn judged(weights: &[f64], ticks: &[Vec<u64>], order: &[usize]) -> Vec<Assessment> {
    let mut judge = PoolJudge::new(Settings::default());
    let all = ticks.iter().enumerate().map(|(tick, counts)| {
        let members = order
            .iter()
            .map(|&index| member(index, Some(weights[index]), counts[index], Fate::Served))
            .collect();
        judge.judge(&sample(members, Method::RoundRobin, true), tick as f64)
    });
    all.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_input_is_judged_sanely(
        ticks in prop::collection::vec((any_members(), 1_usize..12), 1..8),
        method in any_method(),
        declared in any::<bool>(),
        vouched in any::<bool>(),
        interval in any::<f64>(),
        times in prop::collection::vec(any::<f64>(), 4),
    ) {
        let mut judge = PoolJudge::new(Settings::default());
        let mut now = 0.0;
        for (members, repeats) in ticks {
            for repeat in 0..repeats {
                now += 1.0;
                let mut sample = sample(members.clone(), method, declared);
                sample.interval_seconds = interval;
                sample.pool.vouched = vouched;
                let wild = times.get(repeat).copied().filter(|_| !declared);
                sane(&judge.judge(&sample, wild.unwrap_or(now)));
            }
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter((weights, ticks) in steady(), seed in any::<u64>()) {
        let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
        let straight: Vec<usize> = (0..weights.len()).collect();
        let mut other = straight.clone();
        other.rotate_left(usize::try_from(seed % 7).unwrap() % weights.len());
        other.swap(0, weights.len() - 1);
        for (mut a, mut b) in judged(&weights, &ticks, &straight).into_iter().zip(judged(&weights, &ticks, &other)) {
            a.members.sort_by_key(|member| member.backend);
            b.members.sort_by_key(|member| member.backend);
            prop_assert_eq!(a, b);
        }
    }

    #[test]
    fn the_scale_of_weights_does_not_matter((weights, ticks) in steady(), scale in 0.001_f64..1000.0) {
        let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
        let scaled: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
        let order: Vec<usize> = (0..weights.len()).collect();
        for (a, b) in judged(&weights, &ticks, &order).iter().zip(judged(&scaled, &ticks, &order)) {
            prop_assert_eq!(a.verdict, b.verdict);
            prop_assert!((a.evidence - b.evidence).abs() <= 1e-6 * a.evidence.max(1.0));
        }
    }

    #[test]
    fn weights_in_another_unit_are_no_change((weights, ticks) in steady(), scale in 0.001_f64..1000.0) {
        let mut plain = PoolJudge::new(Settings::default());
        let mut changing = PoolJudge::new(Settings::default());
        for (tick, counts) in ticks.iter().enumerate() {
            let build = |factor: f64| {
                let each = counts.iter().enumerate();
                let weight = |index: usize| Some(f64::from(weights[index]) * factor);
                let members = each.map(|(index, &count)| member(index, weight(index), count, Fate::Served));
                sample(members.collect(), Method::Random, true)
            };
            let a = plain.judge(&build(1.0), tick as f64);
            let b = changing.judge(&build(if tick % 2 == 0 { 1.0 } else { scale }), tick as f64);
            prop_assert_eq!(a.members.len(), b.members.len());
            for (a, b) in a.members.iter().zip(&b.members) {
                prop_assert_eq!(a.observed_share, b.observed_share);
            }
            prop_assert!((a.since_seconds.is_some()) == (b.since_seconds.is_some()) || ticks.len() > 4);
        }
    }

    #[test]
    fn tests_stay_between_zero_and_three_thresholds((weights, ticks) in steady()) {
        let settings = Settings { learning_seconds: 20.0, ..Settings::default() };
        let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
        let members = weights.len();
        let mut bank = Bank::new(&settings);
        bank.rearrange(&vec![None; members], &vec![false; members], false);
        let threshold = settings.threshold(members as f64);
        bank.expect(&weights, &vec![true; members], settings.margin, threshold);
        for (tick, counts) in ticks.iter().enumerate() {
            let counts: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
            // A tick bounds heights by the calibration it began with; what it learns counts from the next one on.
            let factors = bank.calibration().factors();
            bank.tick(&counts, tick as f64, tick as f64 + 1.0, &settings);
            let moved = counts.iter().sum::<f64>() > 0.0;
            for index in 0..members * 8 {
                let (height, run) = bank.test(index / 8, index % 8);
                let highest = 3.0 * threshold * bank.dispersion().over(run.ticks) * factors[index % 8];
                prop_assert!(height >= 0.0 && height.is_finite());
                prop_assert!(!moved || height <= highest * (1.0 + 1e-9), "{height} over {highest}");
                prop_assert!(run.own <= run.pool);
            }
            prop_assert!(bank.strongest().nats <= 3.0 * threshold + 1e-9);
        }
    }
}

#[test]
fn addresses_of_the_generator_are_in_order() {
    assert!((0..1000).map(address).collect::<Vec<_>>().is_sorted());
}
