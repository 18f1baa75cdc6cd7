//! The sources of `core`, which is compiled for the BPF target with the eBPF crate.

use std::{fs, os::unix::fs::symlink};

use anyhow::{Context as _, Result, anyhow};

use crate::{apt, command::run_aside, machine::Machine};

/// Whether the compiler in use has its sources.
pub(crate) fn present(machine: &Machine) -> bool {
    // `-Z build-std` reads the lock file; a removed component can leave folders behind.
    let library = library(machine);
    library.join("Cargo.lock").is_file() && library.join("core/Cargo.toml").is_file()
}

/// Adds the sources: from rustup, or from Debian where rustup does not have them.
pub(crate) fn install(machine: &Machine) -> Result<()> {
    let rustup = run_aside(
        machine.command("rustup").args(["component", "add", "rust-src"]),
        "trying Debian's package of the same version",
    );
    let Err(rustup) = rustup else { return Ok(()) };
    eprintln!("xtask: {rustup:#}");
    from_debian(machine).with_context(|| {
        format!(
            "neither rustup nor Debian gave the sources of Rust {}; by hand: rustup component add rust-src",
            machine.rustc.release
        )
    })
}

/// Links Debian's sources of the same minor version into the compiler's own folder.
fn from_debian(machine: &Machine) -> Result<()> {
    let minor = machine.rustc.minor();
    let unpacked = apt::unpack_from_backports(machine, "rust-src", &format!("{minor}.*"))?;
    let sources = fs::read_dir(unpacked.join("usr/src"))
        .context("Debian's rust-src does not have the folder usr/src")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|folder| folder.to_string_lossy().contains(&format!("rustc-{minor}.")))
        .ok_or_else(|| anyhow!("Debian's rust-src does not have the sources of {minor}"))?
        .join("library");
    let library = library(machine);
    let parent = library.parent().context("the sources have no folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    if library.is_symlink() {
        fs::remove_file(&library).with_context(|| format!("cannot replace {}", library.display()))?;
    }
    symlink(&sources, &library).with_context(|| format!("cannot create {}", library.display()))
}

fn library(machine: &Machine) -> std::path::PathBuf {
    machine.sysroot.join("lib/rustlib/src/rust/library")
}
