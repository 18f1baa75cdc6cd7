//! `cargo xtask bench`: figures that the documentation quotes, measured again.

// The bench's own, so that both take the same; no more of tracer than this file is needed to build xtask.
#[path = "../../../tracer/benches/detect/arguments.rs"]
mod arguments;
mod overhead;
mod scale;
mod servers;
mod tick;

use anyhow::{Context as _, Result};
use clap::Subcommand;

use crate::{command, machine::Machine, setup};
use arguments::Arguments;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// The detector against made-up traffic: false verdicts, delays, verdicts, cost; prints Markdown
    Detect(Arguments),
    /// Faults and set-ups that are right, on real nginx and HAProxy; needs root, prints Markdown
    Servers(servers::Arguments),
    /// What tracer costs a busy balancer, side by side with other tools; needs root, prints Markdown
    Overhead(overhead::Arguments),
    /// How what tracer costs grows with backends, connections and processors; needs root, prints Markdown
    Scale(scale::Arguments),
    /// Opens connections and holds them: a part of `scale`
    #[command(hide = true)]
    Hold(scale::HoldArguments),
    /// What each stage of a tick takes in user space; prints Markdown
    Tick(tick::Arguments),
}

/// Sets up, builds and runs one.
pub(crate) fn bench(machine: &Machine, bench: &Bench) -> Result<()> {
    match bench {
        Bench::Detect(arguments) => detect(machine, arguments),
        Bench::Servers(arguments) => servers::servers(machine, arguments),
        Bench::Overhead(arguments) => overhead::overhead(machine, arguments),
        Bench::Scale(arguments) => scale::scale(machine, arguments),
        Bench::Hold(arguments) => scale::hold(arguments),
        Bench::Tick(arguments) => tick::tick(machine, arguments),
    }
}

fn detect(machine: &Machine, arguments: &Arguments) -> Result<()> {
    setup::set_up(machine, false)?;
    let mut cargo = machine.command("cargo");
    cargo.args(["bench", "--package", "tracer", "--bench", "detect", "--"]).args(arguments.determining());
    if let Some(jobs) = arguments.jobs {
        cargo.args(["--jobs", &jobs.to_string()]);
    }
    if let Some(out) = &arguments.out {
        // Cargo runs it in the package's directory.
        let out = std::path::absolute(out).with_context(|| format!("no path: {}", out.display()))?;
        cargo.arg("--out").arg(out);
    }
    command::run(&mut cargo, "what does not hold is named above; `--only` repeats one cell")
}
