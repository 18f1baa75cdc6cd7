//! What is remembered can be written down and read again, and judging goes on bit for bit.

use super::balancer::{Fate, Pool};
use super::golden::{FOLDER, numbers, read};
use super::properties::{any_members, any_method, sample};
use crate::detect::{Assessment, PoolJudge, Settings};
use crate::pools::Method;
use proptest::prelude::*;

/// The judge after it was written down.
fn rewritten(judge: &PoolJudge) -> PoolJudge {
    let text = serde_json::to_string(judge).unwrap();
    let read: PoolJudge = serde_json::from_str(&text).unwrap();
    assert!(read.is_whole());
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    read
}

/// Bit for bit: the shortest text that gives the same number tells every number from every other.
fn text(assessment: &Assessment) -> String {
    format!("{assessment:?}")
}

#[test]
fn the_reference_streams_are_judged_as_if_nothing_had_happened() {
    let mut streams = 0;
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".json") || name == "attribution.json" {
            continue;
        }
        let stream = read(&name);
        let weights = numbers(&stream["weights"]);
        let settings = Settings {
            learning_seconds: stream["learning_seconds"].as_f64().unwrap(),
            ..Settings::default()
        };
        let mut straight = PoolJudge::new(settings.clone());
        let mut interrupted = PoolJudge::new(settings);
        let counts: Vec<Vec<u64>> = serde_json::from_value(stream["counts"].clone()).unwrap();
        for (tick, counts) in counts.iter().enumerate() {
            let member = |(index, (count, weight)): (usize, (&u64, &f64))| {
                super::balancer::member(index, Some(*weight), *count, Fate::Served)
            };
            let members = counts.iter().zip(&weights).enumerate().map(member).collect();
            let sample = sample(members, Method::RoundRobin, true);
            let (a, b) = (straight.judge(&sample, tick as f64), interrupted.judge(&sample, tick as f64));
            assert_eq!(text(&a), text(&b), "{name}, tick {tick}");
            if tick % 7 == 0 {
                interrupted = rewritten(&interrupted);
            }
        }
        streams += 1;
    }
    assert_eq!(streams, 8);
}

#[test]
fn every_kind_of_finding_goes_on() {
    let faults: [fn(&mut Pool); 5] = [
        |pool| pool.actual[1] = 10.0,
        |pool| pool.actual[1] = 0.0,
        |pool| pool.fates[1] = Fate::Refused,
        |pool| pool.fates[1] = Fate::GivenUp(1.0),
        |pool| pool.declared[1] = None,
    ];
    for fault in faults {
        let mut pool = Pool::new(4, 60.0, false, 5);
        pool.run(40);
        fault(&mut pool);
        for _ in 0..200 {
            pool.run(1);
            let mut other = rewritten(&pool.judge);
            let now = f64::from(pool.tick + 1);
            let sample =
                sample(vec![super::balancer::member(0, Some(1.0), 9, Fate::Served)], Method::Random, true);
            assert_eq!(text(&other.judge(&sample, now)), text(&pool.judge.clone().judge(&sample, now)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_is_judged_as_if_nothing_had_happened(
        ticks in prop::collection::vec((any_members(), 1_usize..8, any::<bool>()), 1..8),
        method in any_method(),
        declared in any::<bool>(),
    ) {
        let mut straight = PoolJudge::new(Settings::default());
        let mut interrupted = PoolJudge::new(Settings::default());
        let mut now = 0.0;
        for (members, repeats, interrupts) in ticks {
            for _ in 0..repeats {
                now += 1.0;
                let sample = sample(members.clone(), method, declared);
                let (a, b) = (straight.judge(&sample, now), interrupted.judge(&sample, now));
                prop_assert_eq!(text(&a), text(&b));
                if interrupts {
                    interrupted = rewritten(&interrupted);
                }
            }
        }
    }
}

#[test]
fn a_state_that_does_not_hold_together_is_known() {
    let mut pool = Pool::new(4, 60.0, false, 5);
    pool.actual[1] = 10.0;
    pool.run(60);
    assert!(pool.judge.is_whole());
    let whole = serde_json::to_value(&pool.judge).unwrap();
    for path in [
        "/roster/addresses",
        "/roster/weights",
        "/roster/places",
        "/roster/shares",
        "/members",
        "/chosen",
        "/eligible",
        "/connections/bank/members",
        "/connections/bank/counts",
        "/connections/history/now",
        "/connections/episode/base/counts",
    ] {
        let mut torn = whole.clone();
        torn.pointer_mut(path).unwrap().as_array_mut().unwrap().pop();
        let torn: PoolJudge = serde_json::from_value(torn).unwrap();
        assert!(!torn.is_whole(), "{path}");
    }
}

#[test]
fn settings_that_contradict_each_other_do_not_hold_together() {
    let whole = serde_json::to_value(PoolJudge::new(Settings::default())).unwrap();
    for (setting, value) in [("failing_floor", 2.0), ("failing_floor", -1.0), ("failing_ceiling", 1.5)] {
        let mut other = whole.clone();
        other["settings"][setting] = value.into();
        assert!(!serde_json::from_value::<PoolJudge>(other).unwrap().is_whole(), "{setting} {value}");
    }
    assert!(serde_json::from_value::<PoolJudge>(whole).unwrap().is_whole());
}
