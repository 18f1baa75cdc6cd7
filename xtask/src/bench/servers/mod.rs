//! `cargo xtask bench servers`: faults and set-ups that are right, on real servers, many times over. The end-to-end tests do it;
//! each run of them leaves a line that begins with `measured: `.

mod table;

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};

use crate::{machine::Machine, setup};
use table::{Measured, measured, table};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Times that each fault is tried
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// Minutes that each set-up that is right is watched
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1440))]
    minutes: u16,
}

/// What the names of the tests of a kind contain, one or the other.
type Kind = [&'static str];

const FAULTS: &Kind = &["scenarios::faults::", "the_demo_finds"];
const QUIET: &Kind = &["scenarios::quiet::"];

/// Tests at once: 600 connections a second in all is what two processors do, and verdicts have to come in time on a
/// host that has other work as well.
const AT_ONCE: &str = "3";

/// Sets up, builds, runs, and prints the tables; fails when something was not as it should be.
pub(super) fn servers(machine: &Machine, arguments: &Arguments) -> Result<()> {
    setup::set_up(machine, true)?;
    let faults = run(machine, FAULTS, ("TRACER_RUNS", arguments.runs))?;
    let quiet = run(machine, QUIET, ("TRACER_QUIET_MINUTES", arguments.minutes))?;
    let all: Vec<Measured> = faults.measured.into_iter().chain(quiet.measured).collect();
    print!("{}", table(&all));
    ensure!(faults.passed && quiet.passed, "not everything was as it should be: the tests above tell what");
    Ok(())
}

/// What came of the tests of a kind.
struct Outcome {
    measured: Vec<Measured>,
    passed: bool,
}

fn run(machine: &Machine, kind: &Kind, (variable, value): (&str, u16)) -> Result<Outcome> {
    let mut cargo = machine.command("cargo");
    cargo.args(["test", "--release", "--package", "tracer", "--test", "end_to_end", "--"]);
    cargo.args(kind).args(["--nocapture", "--test-threads", AT_ONCE]);
    cargo.env(variable, value.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
    eprintln!("$ {variable}={value} cargo test … {}", kind.join(" "));
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let mut found = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.context("cannot read what the tests print")?;
            eprintln!("{line}");
            found.extend(measured(&line)?);
        }
    }
    let passed = child.wait().context("cannot wait for cargo")?.success();
    ensure!(!found.is_empty(), "nothing was measured: what cargo and the tests say is above");
    Ok(Outcome { measured: found, passed })
}
