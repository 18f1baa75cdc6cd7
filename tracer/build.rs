//! Builds the eBPF object that `kernel/` embeds, as `OUT_DIR/tracer-object`.

use std::{env, fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, anyhow};
use aya_build::{Package, Toolchain};

/// Names the toolchain, for rustup and for us.
const TOOLCHAIN_FILE: &str = "../rust-toolchain.toml";

/// Reaches the cargo that aya-build starts, and nothing else: the rest of tracer stays on stable features.
const OBJECT_ENVIRONMENT: &[(&str, &str)] = &[
    // `core` is compiled for the BPF target, which a stable compiler does only when told so.
    ("RUSTC_BOOTSTRAP", "1"),
    // v3 has 32-bit registers and jumps; in every kernel since 5.1. By the profile, because aya-build sets RUSTFLAGS
    // itself, and because rustc gives bpf-linker one `--cpu`, which takes no second one from a link argument.
    ("CARGO_UNSTABLE_PROFILE_RUSTFLAGS", "true"),
    ("CARGO_PROFILE_RELEASE_RUSTFLAGS", "-Ctarget-cpu=v3"),
    // Build scripts run here, where there is no such processor.
    ("CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_RUSTFLAGS", ""),
    // What is compiled incrementally comes in several parts, which the kernel's verifier then finds incomplete.
    ("CARGO_INCREMENTAL", "0"),
    // aya-build shows each line of that cargo as a warning; without its progress only real ones are left.
    ("CARGO_TERM_QUIET", "true"),
];

/// Comes last, where it is read; the compiler's own words stand above, as warnings.
const REMEDY: &str =
    "the eBPF object was not built; if rust-src or bpf-linker is missing: run `cargo xtask setup`";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}\n{REMEDY}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={TOOLCHAIN_FILE}");

    let toolchain = toolchain()?;
    // A line per transition through aya-log, in debug builds only: in a release it would cost on every connection.
    let features: &[&str] = if env::var("PROFILE").as_deref() == Ok("debug") { &["log"] } else { &[] };
    let object = Package { name: "tracer-ebpf", root_dir: "../tracer-ebpf", features, ..Package::default() };

    for (name, value) in OBJECT_ENVIRONMENT {
        // SAFETY: no other thread exists yet that could read the environment while it changes.
        unsafe { env::set_var(name, value) }
    }
    aya_build::build_ebpf([object], Toolchain::Custom(&toolchain))
}

/// The toolchain that builds tracer itself: what rustup runs us with, else what [`TOOLCHAIN_FILE`] asks for.
fn toolchain() -> Result<String> {
    println!("cargo:rerun-if-env-changed=RUSTUP_TOOLCHAIN");
    if let Ok(active) = env::var("RUSTUP_TOOLCHAIN") {
        return Ok(active);
    }
    let file = Path::new(TOOLCHAIN_FILE);
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix("channel")?.trim_start().strip_prefix('='))
        .map(|value| value.trim().trim_matches('"').to_owned())
        .ok_or_else(|| anyhow!("{} has no line `channel = \"…\"`", file.display()))
}
