//! Any text as a recording. Mostly one line is a line as it is written in which something is otherwise.
#![no_main]

#[expect(dead_code, reason = "each target uses a part of it")]
#[path = "../holds.rs"]
mod holds;
#[path = "../json.rs"]
mod json;

use ::tracer;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|input: &[u8]| holds::recording(input));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match json::changed_line(&data[..size], seed).filter(|text| text.len() <= max_size) {
        Some(text) => {
            data[..text.len()].copy_from_slice(&text);
            text.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});
