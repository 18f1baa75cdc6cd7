//! Builds the eBPF object that `kernel/` embeds, as `OUT_DIR/tracer-object`.

use std::{env, fs, path::Path};

use anyhow::{Context as _, Result, anyhow};
use aya_build::{Package, Toolchain};

/// Names the toolchain, for rustup and for us.
const TOOLCHAIN_FILE: &str = "../rust-toolchain.toml";

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={TOOLCHAIN_FILE}");

    let toolchain = toolchain()?;
    // A line per transition through aya-log, in debug builds only: in a release it would cost on every connection.
    let features: &[&str] = if env::var("PROFILE").as_deref() == Ok("debug") { &["log"] } else { &[] };
    let object = Package { name: "tracer-ebpf", root_dir: "../tracer-ebpf", features, ..Package::default() };

    // SAFETY: no other thread exists yet that could read the environment while it changes.
    unsafe {
        // `core` is compiled for the BPF target, which a stable compiler does only when told so. It reaches
        // the cargo that aya-build starts and nothing else: the rest of tracer stays on stable features.
        env::set_var("RUSTC_BOOTSTRAP", "1");
        // aya-build shows each line of that cargo as a warning; without progress only real ones are left.
        env::set_var("CARGO_TERM_QUIET", "true");
    }
    aya_build::build_ebpf([object], Toolchain::Custom(&toolchain)).context(
        "the eBPF object was not built (the warnings above say why); `cargo xtask setup` installs what it needs: \
         rust-src and bpf-linker",
    )
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
