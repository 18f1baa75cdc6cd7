//! What fuzzing found worth keeping, once more: `tests/fixtures/corpus`, a folder for each target in `tracer/fuzz`. Those of the
//! importers are read in their own room.

use crate as tracer;
use crate::agent::Agent;
use crate::chronicle::Chronicle;
use crate::cli::remembered_in;
use crate::collect::{Counters, Histogram};
use crate::detect::Settings;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/holds.rs"]
mod holds;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/corpus");

/// Every input that was kept for a target; panics when there is none.
fn kept(target: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(CORPUS).join(target)).unwrap();
    let inputs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(!inputs.is_empty(), "nothing was kept for {target}");
    inputs
}

fn replay(target: &str, read: impl Fn(&[u8])) {
    kept(target).iter().for_each(|input| read(&fs::read(input).unwrap()));
}

#[test]
fn pools_files_that_were_found_by_fuzzing_are_read_again() {
    replay("pools", holds::pools);
}

#[test]
fn recordings_that_were_found_by_fuzzing_are_judged_again() {
    replay("recording", holds::recording);
}

#[test]
fn histories_that_were_found_by_fuzzing_are_told_again() {
    kept("history").iter().for_each(|file| holds::history(file));
}

#[test]
fn what_was_found_in_pins_by_fuzzing_is_gone_on_from() {
    replay("pins", holds::pins);
}

#[test]
fn states_that_were_found_by_fuzzing_are_gone_on_from() {
    replay("state", holds::state);
}

/// What is otherwise of a member in an interval.
type Fault = fn(usize, &mut Counters);

/// The numbers of another detector are refused at once, and nothing is tried with them.
#[test]
fn states_of_this_detector_are_among_what_is_kept() {
    let faults: [(&str, Fault); 6] = [
        ("even", |_, _| ()),
        ("skewed", |member, delta| {
            let times = if member == 0 { 10 } else { 1 };
            (delta.attempts, delta.established) = (times * delta.attempts, times * delta.established);
        }),
        ("missing", |member, delta| {
            if member == 1 {
                *delta = Counters::default();
            }
        }),
        ("failing", |member, delta| {
            if member == 2 {
                delta.failed.refused = delta.attempts;
                (delta.established, delta.closed) = (0, 0);
            }
        }),
        ("slow", |member, delta| {
            if member == 0 {
                let count = delta.exchanges;
                delta.response_time = Histogram::default();
                delta.response_time.counts_mut()[50] = count;
            }
        }),
        ("reused", |_, delta| delta.exchanges *= 50),
    ];
    for (name, but) in faults {
        let file = Path::new(CORPUS).join("state").join(name);
        if std::env::var_os("TRACER_UPDATE_FIXTURES").is_some() {
            fs::write(&file, state_after(but)).unwrap();
        }
        let kept = fs::read(&file).is_ok_and(|state| remembered_in(&state).is_some());
        assert!(kept, "{name} is of another detector: run once with TRACER_UPDATE_FIXTURES=1");
    }
}

/// As an agent writes it that saw this.
fn state_after(but: Fault) -> String {
    let (mut agent, mut chronicle) =
        (Agent::new(holds::declared(), Settings::default()), Chronicle::default());
    for tick in 0..holds::INTERVALS_BEFORE {
        let sample = holds::interval(tick, but);
        let judged = agent.step(&sample);
        chronicle.take(sample.time_seconds, &judged, Some(&sample.uncounted));
    }
    let state = serde_json::json!({
        "of": { "schema": "tracer.state/1", "boot": "", "began_ns": 0 },
        "agent": agent.state(),
        "remembered": agent.remembered(),
        "chronicle": chronicle.state(),
    });
    state.to_string()
}

#[test]
fn requests_that_were_found_by_fuzzing_are_answered_again() {
    replay("requests", holds::requests);
}
