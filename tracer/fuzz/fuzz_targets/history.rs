//! Any bytes as the file of a history.
#![no_main]

#[expect(dead_code, reason = "each target uses a part of it")]
#[path = "../holds.rs"]
mod holds;

use ::tracer;
use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::sync::LazyLock;

/// In memory: a disk would be most of the time.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| PathBuf::from(format!("/dev/shm/tracer-fuzz-{}.db", std::process::id())));

fuzz_target!(|input: &[u8]| {
    std::fs::write(&*FILE, input).expect("a file in /dev/shm");
    holds::history(&FILE);
    std::fs::remove_file(&*FILE).expect("a file in /dev/shm");
});
