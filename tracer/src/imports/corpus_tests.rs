//! What fuzzing found worth keeping, once more: `tests/fixtures/corpus`, a folder for each target in `tracer/fuzz`.

#[path = "../../fuzz/files.rs"]
mod files;

use super::{Imported, Severity, Surroundings, Unreadable, envoy, haproxy, nginx};
use files::{Files, hold, main_file};
use std::fs;
use std::path::Path;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/corpus");

/// Gives every input that was kept for a target to `import`; panics when there is none.
fn replay(target: &str, import: impl Fn(&mut Files) -> Result<Imported, Unreadable>) {
    let entries = fs::read_dir(Path::new(CORPUS).join(target)).unwrap();
    let inputs = entries.map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let count = inputs.map(|input| hold(import(&mut Files::of(&input)))).count();
    assert!(count > 0, "nothing was kept for {target}");
}

#[test]
fn what_was_found_by_fuzzing_is_read_again() {
    replay("nginx", |files| nginx::import(&main_file(), files));
    replay("haproxy", |files| haproxy::import(&[main_file()], files));
    replay("envoy", |files| envoy::import(&main_file(), files));
}
