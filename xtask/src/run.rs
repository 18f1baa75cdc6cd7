//! `cargo xtask run`: tracer, built in release mode.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{command::run_aside, machine::Machine, setup};

/// Sets up, builds, and becomes `tracer` with `arguments`, so that its exit code and signals are tracer's own.
/// Returns only when that fails.
pub(crate) fn run(machine: &Machine, arguments: Vec<OsString>) -> Result<()> {
    setup::set_up(machine, false)?;
    run_aside(
        machine.command("cargo").args(["build", "--release", "--package", "tracer"]),
        "the errors above name place and reason",
    )?;
    let program = machine.target.join("release/tracer");
    let error = Command::new(&program).args(or_demo(arguments)).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}

fn or_demo(arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.is_empty() { vec!["demo".into()] } else { arguments }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_arguments_it_is_the_demo() {
        assert_eq!(or_demo(Vec::new()), ["demo"]);
        assert_eq!(or_demo(vec!["check".into(), "--json".into()]), ["check", "--json"]);
    }
}
