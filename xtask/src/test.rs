//! `cargo xtask test`: everything a change has to pass, on this kernel and on the oldest that is promised.

use std::{
    env,
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::{command, machine::Machine, setup, vmtest};

/// One check: a heading, and what cargo is told.
struct Check {
    heading: &'static str,
    arguments: &'static [&'static str],
    /// Whether it compiles for the BPF target, which a stable compiler does only when told so.
    bpf: bool,
    /// What to do when it fails.
    remedy: &'static str,
}

const CLIPPY_BPF: &[&str] = &[
    "clippy",
    "--package",
    "tracer-ebpf",
    "--bin",
    "tracer-object",
    "--target",
    "bpfel-unknown-none",
    "-Zbuild-std=core",
    "--",
    "-Dwarnings",
];
const CLIPPY_BPF_LOG: &[&str] = &[
    "clippy",
    "--package",
    "tracer-ebpf",
    "--bin",
    "tracer-object",
    "--target",
    "bpfel-unknown-none",
    "-Zbuild-std=core",
    "--features=log",
    "--",
    "-Dwarnings",
];

/// Before anything is compiled.
const FORMAT: Check = Check {
    heading: "format",
    arguments: &["fmt", "--all", "--check"],
    bpf: false,
    remedy: "`cargo fmt --all` formats",
};

/// What the guest and the tests run.
const BUILD: Check = Check {
    heading: "tracer and its tests, built",
    arguments: &["test", "--workspace", "--release", "--no-run"],
    bpf: false,
    remedy: "the errors above name place and reason",
};

/// What compiles, mostly, and depends on no clock: done while the guest has a processor of its own.
const BESIDE_THE_GUEST: &[Check] = &[
    Check {
        heading: "lints",
        arguments: &["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"],
        bpf: false,
        remedy: "the lints above name place and reason",
    },
    Check {
        heading: "lints of the eBPF object",
        arguments: CLIPPY_BPF,
        bpf: true,
        remedy: "the lints above name place and reason",
    },
    Check {
        heading: "lints of the eBPF object with logging",
        arguments: CLIPPY_BPF_LOG,
        bpf: true,
        remedy: "the lints above name place and reason",
    },
    Check {
        heading: "debug build, in which the eBPF object logs",
        arguments: &["build", "--package", "tracer"],
        bpf: false,
        remedy: "the errors above name place and reason",
    },
    Check {
        heading: "the detector against made-up traffic",
        arguments: &["bench", "--package", "tracer", "--bench", "detect", "--", "--quick"],
        bpf: false,
        remedy: "what does not hold is named above; `cargo xtask bench detect --only CELL` repeats one",
    },
];

/// With the host to themselves: they wait for what happens in it.
const TESTS: Check = Check {
    heading: "tests, unit and end to end",
    arguments: &["test", "--workspace", "--release"],
    bpf: false,
    remedy: "the tests above tell what failed; the end-to-end ones need root (CAP_BPF, CAP_PERFMON, \
             CAP_NET_ADMIN, CAP_SYS_ADMIN)",
};

/// The check that is no command of cargo's.
const GUEST: &str = "tracer and its tests on the oldest kernel that is promised, in a virtual machine";

/// Sets up and runs every check; the first that fails ends it.
pub(crate) fn test(machine: &Machine) -> Result<()> {
    let start = Instant::now();
    eprintln!("== set-up");
    setup::set_up(machine, true)?;
    let mut checks = Checks { machine, begun: 0 };
    checks.run(&FORMAT)?;
    checks.run(&BUILD)?;
    let guest = Guest::start(machine)?;
    for check in BESIDE_THE_GUEST {
        checks.run(check)?;
    }
    checks.check(GUEST, || guest.finish())?;
    checks.run(&TESTS)?;
    eprintln!("\n== all {COUNT} checks passed ({:.1} s)", start.elapsed().as_secs_f64());
    Ok(())
}

const COUNT: usize = BESIDE_THE_GUEST.len() + 4;

/// Counts the checks and says how each ended.
struct Checks<'a> {
    machine: &'a Machine,
    begun: usize,
}

impl Checks<'_> {
    fn check(&mut self, heading: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
        let begin = Instant::now();
        self.begun += 1;
        eprintln!("\n== {}/{COUNT}: {heading}", self.begun);
        check().with_context(|| format!("FAILED at {}/{COUNT}, {heading}", self.begun))?;
        eprintln!("== {heading} passed ({:.1} s)", begin.elapsed().as_secs_f64());
        Ok(())
    }

    fn run(&mut self, check: &Check) -> Result<()> {
        let machine = self.machine;
        self.check(check.heading, || run(machine, check))
    }
}

/// The guest, in a process of its own, which ends with this one.
struct Guest {
    process: Child,
    /// What it says, until somebody wants to read it.
    log: PathBuf,
}

impl Guest {
    fn start(machine: &Machine) -> Result<Self> {
        let log = machine.below_target("vmtest")?.join("test.log");
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(env::current_exe().context("which program is this?")?);
        command.args(["vmtest", "--kernel", &vmtest::OLDEST.to_string()]);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let process = command::end_with_us(&mut command, Signal::SIGKILL).spawn();
        eprintln!("\nbeside what follows: {GUEST}; it says how it goes in {}", log.display());
        Ok(Self { process: process.context("cannot start the virtual machine's check")?, log })
    }

    /// Waits for it, and passes on what it said.
    fn finish(mut self) -> Result<()> {
        let status = self.process.wait()?;
        let said =
            fs::read_to_string(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        eprint!("{said}");
        ensure!(status.success(), "it failed ({status}); it says above what did");
        Ok(())
    }
}

fn run(machine: &Machine, check: &Check) -> Result<()> {
    let mut cargo = machine.command("cargo");
    cargo.args(check.arguments).stdin(Stdio::null());
    if check.bpf {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    command::run(&mut cargo, check.remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_compiles_for_bpf_may_use_unstable_features() {
        for check in BESIDE_THE_GUEST.iter().chain([&FORMAT, &BUILD, &TESTS]) {
            assert_eq!(check.bpf, check.arguments.contains(&"-Zbuild-std=core"), "{}", check.heading);
        }
    }
}
