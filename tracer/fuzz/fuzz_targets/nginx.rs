//! Any text as a configuration of nginx.
#![no_main]

#[path = "../files.rs"]
mod files;

use libfuzzer_sys::fuzz_target;
use tracer::imports::{Imported, Severity, Surroundings, Unreadable, nginx};

fuzz_target!(|input: &[u8]| {
    files::hold(nginx::import(&files::main_file(), &mut files::Files::of(input)));
});
