//! Any bytes as what an agent before has left in pins.
#![no_main]

#[expect(dead_code, reason = "each target uses a part of it")]
#[path = "../holds.rs"]
mod holds;

use ::tracer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| holds::pins(input));
