//! `cargo xtask`: set-up, run and tests of the project. `cargo xtask --help` lists the commands.
//!
//! Everything said goes to stderr, so that the output of what is run stays clean.

mod apt;
mod bench;
mod bpf_linker;
mod command;
mod fuzz;
mod machine;
mod package;
mod pictures;
mod run;
mod rust_src;
mod setup;
mod soak;
mod test;
mod vmtest;

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::machine::Machine;

/// Set-up, run and tests of tracer.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing to build tracer, and nothing else
    Setup {
        /// Also what the tests need
        #[arg(long)]
        tests: bool,
    },
    /// Set up, build in release mode and run `tracer ARGS`, or `tracer demo` without ARGS
    Run {
        /// Arguments of tracer, after `--`
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Set up and run every check: format, lints, unit tests, end-to-end tests (these need root), one other kernel
    Test,
    /// Measure again what the documentation quotes
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Make the pictures of the README, of `tracer top` and of the page, from real runs
    Pictures(pictures::Arguments),
    /// Run `tracer watch` under changing load, and see that memory, descriptors and tick stay flat and nothing is missed
    Soak(soak::Arguments),
    /// Make up input for everything that reads some, with libFuzzer, and see that nothing panics
    Fuzz(fuzz::Arguments),
    /// Make the Debian package, in target/debian
    Package(package::Arguments),
    /// Boot Debian's kernels in qemu and run tracer and its tests in them; prints what works, as Markdown
    Vmtest(vmtest::Arguments),
    /// The first process of such a machine
    #[command(hide = true)]
    Guest,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match perform(arguments.task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<()> {
    match task {
        Task::Setup { tests } => setup::set_up(&Machine::here()?, tests),
        Task::Run { arguments } => run::run(&Machine::here()?, arguments),
        Task::Test => test::test(&Machine::here()?),
        Task::Bench(what) => bench::bench(&Machine::here()?, &what),
        Task::Fuzz(arguments) => fuzz::fuzz(&Machine::here()?, &arguments),
        Task::Pictures(arguments) => pictures::pictures(&Machine::here()?, &arguments),
        Task::Soak(arguments) => soak::soak(&Machine::here()?, &arguments),
        Task::Package(arguments) => package::package(&Machine::here()?, &arguments),
        Task::Vmtest(arguments) => vmtest::vmtest(&Machine::here()?, &arguments),
        // Where there is no compiler and no workspace.
        Task::Guest => vmtest::guest::run(),
    }
}
