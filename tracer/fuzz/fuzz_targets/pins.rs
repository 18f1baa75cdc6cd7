//! Any bytes as what an agent before has left in pins: what `/proc` says of one, or words in its maps. Of words most are changed
//! as such, so that those after them stay where they are.
#![no_main]

#[expect(dead_code, reason = "each target uses a part of it")]
#[path = "../holds.rs"]
mod holds;

use ::tracer;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use tracer::kernel::left::WORD_BYTES;

fuzz_target!(|input: &[u8]| holds::pins(input));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let words = size / WORD_BYTES;
    if words == 0 || seed % 4 == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let place = |number: u32| number as usize % words * WORD_BYTES;
    let at = place(seed >> 4);
    match seed / 4 % 4 {
        0 if size + WORD_BYTES <= max_size => {
            data.copy_within(at..size, at + WORD_BYTES);
            size + WORD_BYTES
        }
        1 if words > 1 => {
            data.copy_within(at + WORD_BYTES..size, at);
            size - WORD_BYTES
        }
        2 => {
            data.copy_within(at..at + WORD_BYTES, place(seed >> 12));
            size
        }
        _ => {
            fuzzer_mutate(&mut data[at..at + WORD_BYTES], WORD_BYTES, WORD_BYTES);
            size
        }
    }
});
