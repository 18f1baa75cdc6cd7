//! Any text as a state file. Most of what is made up is a file as it is written in which something is otherwise, since next to
//! no other text is one.
#![no_main]

#[expect(dead_code, reason = "each target uses a part of it")]
#[path = "../holds.rs"]
mod holds;
#[expect(dead_code, reason = "a state is one line")]
#[path = "../json.rs"]
mod json;

use ::tracer;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|input: &[u8]| holds::state(input));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = json::changed(&data[..size], seed).filter(|text| text.len() <= max_size);
    match changed {
        Some(text) => {
            data[..text.len()].copy_from_slice(&text);
            text.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});
