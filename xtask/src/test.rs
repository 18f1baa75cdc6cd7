//! `cargo xtask test`: everything a change has to pass, the last of it on the oldest kernel that is promised.

use std::time::Instant;

use anyhow::{Context as _, Result};

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

const CHECKS: &[Check] = &[
    Check {
        heading: "format",
        arguments: &["fmt", "--all", "--check"],
        bpf: false,
        remedy: "`cargo fmt --all` formats",
    },
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
        heading: "tests, unit and end to end",
        arguments: &["test", "--workspace", "--release"],
        bpf: false,
        remedy: "the tests above tell what failed; the end-to-end ones need root (CAP_BPF, CAP_PERFMON, \
                 CAP_NET_ADMIN, CAP_SYS_ADMIN)",
    },
    Check {
        heading: "the detector against made-up traffic",
        arguments: &["bench", "--package", "tracer", "--bench", "detect", "--", "--quick"],
        bpf: false,
        remedy: "what does not hold is named above; `cargo xtask bench detect --only CELL` repeats one",
    },
    Check {
        heading: "debug build, in which the eBPF object logs",
        arguments: &["build", "--package", "tracer"],
        bpf: false,
        remedy: "the errors above name place and reason",
    },
];

/// The last check, which is no command of cargo's.
const GUEST: &str = "tracer and its tests on the oldest kernel that is promised, in a virtual machine";

/// Sets up and runs every check; the first that fails ends it.
pub(crate) fn test(machine: &Machine) -> Result<()> {
    let start = Instant::now();
    eprintln!("== set-up");
    setup::set_up(machine, true)?;
    let count = CHECKS.len() + 1;
    let checked = |number: usize, heading: &str, check: &dyn Fn() -> Result<()>| -> Result<()> {
        let begin = Instant::now();
        eprintln!("\n== {number}/{count}: {heading}");
        check().with_context(|| format!("FAILED at {number}/{count}, {heading}"))?;
        eprintln!("== {heading} passed ({:.1} s)", begin.elapsed().as_secs_f64());
        Ok(())
    };
    for (number, check) in CHECKS.iter().enumerate() {
        checked(number + 1, check.heading, &|| run(machine, check))?;
    }
    checked(count, GUEST, &|| vmtest::vmtest(machine, &vmtest::Arguments::oldest()))?;
    eprintln!("\n== all {count} checks passed ({:.1} s)", start.elapsed().as_secs_f64());
    Ok(())
}

fn run(machine: &Machine, check: &Check) -> Result<()> {
    let mut cargo = machine.command("cargo");
    cargo.args(check.arguments).stdin(std::process::Stdio::null());
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
        for check in CHECKS {
            assert_eq!(check.bpf, check.arguments.contains(&"-Zbuild-std=core"), "{}", check.heading);
        }
    }
}
