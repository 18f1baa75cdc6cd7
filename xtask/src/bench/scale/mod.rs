//! `cargo xtask bench scale`: how what tracer costs grows with backends, with live connections and with processors.
//! Connections are opened and left alone, so that nothing but the number of things is in the figures.

mod calculated;
mod crowd;
mod hold;
mod point;
mod sweep;
mod table;

use std::fs;

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, unshare};
use serde::Serialize;

use crate::{command::run_aside, machine::Machine, setup};
use calculated::{Calculated, PROCESSORS};
use point::{Lengths, Measured};

pub(super) use hold::{Arguments as HoldArguments, hold};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One object, schema `tracer.bench.scale/1`, in place of Markdown
    #[arg(long)]
    json: bool,
    /// Small numbers and few looks, under a minute, to see that every part works; its figures are worth nothing
    #[arg(long)]
    quick: bool,
}

/// How many there are of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Numbers {
    backends: u32,
    connections: u32,
}

const fn numbers(backends: u32, connections: u32) -> Numbers {
    Numbers { backends, connections }
}

/// Backends with the connections of one host, then connections with the backends of one pool.
const FULL: &[Numbers] = &[
    numbers(1, 10_000),
    numbers(10, 10_000),
    numbers(100, 10_000),
    numbers(1_000, 10_000),
    numbers(10_000, 10_000),
    numbers(100, 1_000),
    numbers(100, 100_000),
];
const QUICK: &[Numbers] = &[numbers(1, 1_000), numbers(100, 1_000)];

/// What is printed.
#[derive(Serialize)]
struct Report {
    schema: &'static str,
    kernel: String,
    processors: u32,
    points: Vec<Measured>,
    /// With the defaults of `watch`, for other numbers of possible processors.
    calculated: Vec<Calculated>,
}

/// Sets up, builds, measures and prints.
pub(super) fn scale(machine: &Machine, arguments: &Arguments) -> Result<()> {
    setup::set_up_overhead(machine)?;
    run_aside(
        machine.command("cargo").args(["build", "--release", "--package", "tracer"]),
        "the errors above name place and reason",
    )?;
    let (points, lengths) = if arguments.quick { (QUICK, Lengths::QUICK) } else { (FULL, Lengths::FULL) };
    let report = measured(machine, points, &lengths)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", table::markdown(&report));
    }
    Ok(())
}

fn measured(machine: &Machine, points: &[Numbers], lengths: &Lengths) -> Result<Report> {
    own_namespace(machine)?;
    let (mut measured, mut calculated) = (Vec::new(), Vec::new());
    for &numbers in points {
        eprintln!("{} backends, {} connections", numbers.backends, numbers.connections);
        let (figures, maps) = point::measure(machine, numbers, lengths).with_context(|| {
            format!("{} backends, {} connections: not measured", numbers.backends, numbers.connections)
        })?;
        if calculated.is_empty() {
            calculated = PROCESSORS.map(|processors| Calculated::of(&maps, processors)).into();
        }
        measured.push(figures);
    }
    Ok(Report {
        schema: "tracer.bench.scale/1",
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim_end().to_owned(),
        processors: possible_processors()?,
        points: measured,
        calculated,
    })
}

/// Moves this thread, and so whatever it starts, into a network namespace of its own, which goes away with them.
fn own_namespace(machine: &Machine) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace; this needs root")?;
    let remedy = "the namespace has no loopback without";
    run_aside(machine.command("ip").args(["link", "set", "lo", "up"]), remedy)?;
    for (setting, value) in [("ipv4/ip_local_port_range", "1024 65535"), ("core/somaxconn", "65535")] {
        let path = format!("/proc/sys/net/{setting}");
        fs::write(&path, value).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(())
}

fn possible_processors() -> Result<u32> {
    let path = "/sys/devices/system/cpu/possible";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let last = text.trim().rsplit(['-', ',']).next().and_then(|last| last.parse::<u32>().ok());
    let last = last.with_context(|| format!("{path} says {text:?}"))?;
    ensure!(last < 1 << 16, "{path} says {text:?}");
    Ok(last + 1)
}
