//! `cargo xtask bench overhead`: what tracer costs, side by side with nothing, with programs that do nothing, and with the
//! tools that Debian has for the same. nginx in front of nginx backends, as many requests as are answered. Every round
//! runs every case, in an order of its own, so that a machine that is busy for a while decides nothing.

pub(super) mod bpf;
mod cases;
mod counted;
mod empty;
mod lab;
mod load;
mod measure;
pub(super) mod programs;
pub(super) mod statistics;
mod summary;
mod table;
mod tool;

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::{command::run_aside, machine::Machine, setup};
use cases::{CASES, Case, Refused};
use empty::Types;
use lab::Lab;
use measure::{Lengths, Run};
use summary::{Summary, gaps, summaries};
use tool::{Running, Start};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One object, schema `tracer.bench.overhead/1`, in place of Markdown
    #[arg(long)]
    json: bool,
    /// Rounds; each takes some four minutes
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// One short round, under a minute, to see that every part works; its figures are worth nothing
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
}

const FULL: Lengths = Lengths {
    warm_up: Some(Duration::from_secs(5)),
    undisturbed: Duration::from_secs(5),
    counted: Duration::from_secs(2),
};
const QUICK: Lengths =
    Lengths { warm_up: None, undisturbed: Duration::from_secs(1), counted: Duration::from_secs(1) };

/// The orders of the cases are made up by chance, the same every time.
const SEED: u64 = 6;

/// What is printed.
#[derive(Serialize)]
struct Report {
    schema: &'static str,
    kernel: String,
    processors: usize,
    rounds: u16,
    /// Programs that somebody else had loaded when it began: those on the same hooks slow everything down.
    other_programs: usize,
    cases: Vec<Summary>,
    refused: Vec<Refused>,
}

/// Sets up, builds, measures and prints; fails when something that runs here was not measured.
pub(super) fn overhead(machine: &Machine, arguments: &Arguments) -> Result<()> {
    setup::set_up_overhead(machine)?;
    run_aside(
        machine.command("cargo").args(["build", "--release", "--package", "tracer"]),
        "the errors above name place and reason",
    )?;
    let (lengths, rounds) = if arguments.quick { (QUICK, 1) } else { (FULL, arguments.rounds) };
    let report = measured(machine, &lengths, rounds)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", table::markdown(&report));
    }
    let gaps = gaps(&report.cases, &report.refused);
    ensure!(gaps.is_empty(), "not everything was measured: {}", gaps.join("; "));
    Ok(())
}

fn measured(machine: &Machine, lengths: &Lengths, rounds: u16) -> Result<Report> {
    let directory = machine.scratch("overhead")?;
    let types = Types::of_this_kernel(machine)?;
    let other_programs = programs::count(machine)?;
    if other_programs > 0 {
        eprintln!(
            "note: {other_programs} other BPF programs are in the kernel; those on the same hooks slow it down"
        );
    }
    let lab = Lab::start(machine, &directory)?;
    let mut chance = fastrand::Rng::with_seed(SEED);
    let (mut runs, mut refused): (Vec<Run>, Vec<Refused>) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let mut order: Vec<&Case> = CASES.iter().collect();
        chance.shuffle(&mut order);
        for case in order {
            if refused.iter().any(|refused| refused.case == case.name) {
                continue;
            }
            eprintln!("round {round} of {rounds}: {}", case.name);
            let started = Running::start(machine, &types, &directory, case)
                .with_context(|| format!("{} does not start", case.name))?;
            match started {
                Start::Refused(reason) => refused.push(Refused { case: case.name, reason }),
                Start::Runs(running) => runs.push(
                    measure::run(machine, &lab, lengths, round, case, running)
                        .with_context(|| format!("{} was not measured", case.name))?,
                ),
            }
        }
    }
    Ok(Report {
        schema: "tracer.bench.overhead/1",
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim_end().to_owned(),
        processors: thread::available_parallelism()?.get(),
        rounds,
        other_programs,
        cases: summaries(&runs),
        refused,
    })
}
