//! `cargo xtask test`: everything a change has to pass.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::{command, machine::Machine, setup};

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
        heading: "debug build, in which the eBPF object logs",
        arguments: &["build", "--package", "tracer"],
        bpf: false,
        remedy: "the errors above name place and reason",
    },
];

/// Sets up and runs every check; the first that fails ends it.
pub(crate) fn test(machine: &Machine) -> Result<()> {
    let start = Instant::now();
    eprintln!("== set-up");
    setup::set_up(machine, true)?;
    for (number, check) in CHECKS.iter().enumerate() {
        let begin = Instant::now();
        eprintln!("\n== {}/{}: {}", number + 1, CHECKS.len(), check.heading);
        let mut cargo = machine.command("cargo");
        cargo.args(check.arguments).stdin(std::process::Stdio::null());
        if check.bpf {
            cargo.env("RUSTC_BOOTSTRAP", "1");
        }
        command::run(&mut cargo, check.remedy)
            .with_context(|| format!("FAILED at {}/{}, {}", number + 1, CHECKS.len(), check.heading))?;
        eprintln!("== {} passed ({:.1} s)", check.heading, begin.elapsed().as_secs_f64());
    }
    eprintln!("\n== all {} checks passed ({:.1} s)", CHECKS.len(), start.elapsed().as_secs_f64());
    Ok(())
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
