//! The reference's own numbers: tests/fixtures/detect/golden/README.md says how they were made.

use crate::detect::Settings;
use crate::detect::spread::{Bank, Event, attribute};
use serde_json::Value;

pub(super) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/detect/golden");

pub(super) fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap()).unwrap()
}

pub(super) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(numbers).collect()
}

#[track_caller]
fn near(name: &str, found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{name}: {found}, reference {expected}"
    );
}

fn compare(name: &str, vector: &Value) {
    let settings = Settings {
        learning_seconds: vector["learning_seconds"].as_f64().unwrap(),
        least_ticks_learning: 6.0,
        calibration_half_life_seconds: f64::INFINITY,
        ..Settings::default()
    };
    let weights = numbers(&vector["weights"]);
    let members = weights.len();
    let threshold = settings.threshold(members as f64);
    near(name, threshold, vector["threshold"].as_f64().unwrap());
    let mut bank = Bank::new(&settings);
    bank.rearrange(&vec![None; members], &vec![false; members], false);
    bank.expect(&weights, &vec![true; members], settings.margin, threshold);
    let mut events = Vec::new();
    for (tick, counts) in rows(&vector["counts"]).iter().enumerate() {
        bank.tick(counts, tick as f64, tick as f64 + 1.0, &settings);
        events.extend(bank.events().iter().map(|event| match *event {
            Event::Raised { member, alternative, run: (own, pool, ticks) } => {
                vec![tick as f64, 1.0, member as f64, alternative as f64, own, pool, ticks as f64]
            }
            Event::Cleared { member, .. } => vec![tick as f64, 2.0, member as f64, 0.0, 0.0, 0.0, 0.0],
        }));
    }
    events.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(events, rows(&vector["events"]), "{name}");
    let phi = bank.dispersion().scales();
    for (found, expected) in phi.iter().zip(numbers(&vector["phi"])) {
        near(name, *found, expected);
    }
    for (found, expected) in bank.calibration().factors().iter().zip(numbers(&vector["kappa"])) {
        near(name, *found, expected);
    }
    let fields = ["S", "R", "NX", "NN"].map(|field| rows(&vector[field]));
    for member in 0..members {
        for alternative in 0..fields[0][member].len() {
            let (height, run) = bank.test(member, alternative);
            let found = [height, run.ticks as f64, run.own, run.pool];
            for (found, field) in found.iter().zip(&fields) {
                near(name, *found, field[member][alternative]);
            }
        }
    }
}

#[test]
fn the_bank_agrees_with_the_reference() {
    let mut compared = 0;
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".json") && name != "attribution.json" {
            compare(&name, &read(&name));
            compared += 1;
        }
    }
    assert_eq!(compared, 8);
}

#[test]
fn attribution_agrees_with_the_reference() {
    let windows = read("attribution.json");
    for window in windows.as_array().unwrap() {
        let weights = numbers(&window["weights"]);
        let named = attribute(&numbers(&window["counts"]), &weights, window["phi"].as_f64().unwrap(), 1.1);
        let expected = rows(&window["named"]);
        assert_eq!(named.len(), expected.len());
        for (found, expected) in named.iter().zip(expected) {
            near("member", found.member as f64, expected[0]);
            near("ratio", found.ratio, expected[1]);
            near("low", found.interval[0], expected[2]);
            near("high", found.interval[1], expected[3]);
        }
    }
}
