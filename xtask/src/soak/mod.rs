//! `cargo xtask soak`: `tracer watch` under changing load, with faults made one after the other, for as long as one likes, and
//! whether it stays as it was. Memory, descriptors, the lag of its tick and what it cannot count have to be flat, and every
//! connection counted once in the end, over all restarts.

mod agent;
mod faults;
mod ground;
mod load;
#[cfg(test)]
mod made;
pub(crate) mod process;
mod recording;
mod report;
mod schedule;
mod verdict;
mod watching;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{command::run_aside, machine::Machine, setup};
use ground::Ground;
use load::Load;
use schedule::Schedule;
use watching::Watching;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many minutes; in five there is time for every fault once
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_080))]
    minutes: u32,
    /// Only the load
    #[arg(long)]
    no_faults: bool,
}

/// Sets up, builds, runs tracer under load, and judges it; the report goes to standard output, as Markdown.
pub(crate) fn soak(machine: &Machine, arguments: &Arguments) -> Result<()> {
    setup::set_up(machine, false)?;
    run_aside(
        machine.command("cargo").args(["build", "--release", "--package", "tracer"]),
        "the errors above name place and reason",
    )?;
    let length = Duration::from_secs(60 * u64::from(arguments.minutes));
    let schedule = Schedule::of(length);
    let faults = if arguments.no_faults { Vec::new() } else { schedule.faults(length) };
    let ground = Ground::prepare(machine.target.join("release/tracer"), machine.target.join("soak"))?;
    let mut load = Load::prepare(schedule.phase)?;
    ground.write_pools(&load.pools_file())?;
    let mut watching = Watching::start(&ground, &mut load, schedule)?;
    for (due, fault) in faults {
        watching.stay_until(due)?;
        watching.inject(fault).with_context(|| format!("while it was tried: {}", fault.name()))?;
    }
    watching.stay_until(length)?;
    let evidence = watching.finish()?;
    ground.unpin()?;

    let problems = verdict::problems(&evidence);
    print!("{}", report::report(&evidence, !arguments.no_faults));
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    println!("\nFlat, and every connection counted once.");
    Ok(())
}
