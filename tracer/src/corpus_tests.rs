//! What fuzzing found worth keeping, once more: `tests/fixtures/corpus`, a folder for each target in `tracer/fuzz`. Those of the
//! importers are read in their own room.

use crate as tracer;
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
fn requests_that_were_found_by_fuzzing_are_answered_again() {
    replay("requests", holds::requests);
}
