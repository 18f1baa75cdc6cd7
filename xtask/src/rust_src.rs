//! The sources of `core`, which is compiled for the BPF target with the eBPF crate.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{apt::Archive, command::run_aside, machine::Machine};

/// Whether the compiler in use has its sources.
pub(crate) fn present(machine: &Machine) -> bool {
    // `-Z build-std` reads the lock file; a removed component can leave folders behind.
    let library = library(machine);
    library.join("Cargo.lock").is_file() && library.join("core/Cargo.toml").is_file()
}

/// Adds the sources: from rustup, or from Debian where rustup does not have them.
pub(crate) fn install(machine: &Machine) -> Result<()> {
    let rustup = from_rustup(machine);
    let Err(rustup) = rustup else { return Ok(()) };
    eprintln!("xtask: {rustup:#}");
    from_debian(machine).with_context(|| {
        format!(
            "neither rustup nor Debian gave the sources of Rust {}; by hand: rustup component add rust-src",
            machine.rustc.release
        )
    })
}

fn from_rustup(machine: &Machine) -> Result<()> {
    const REMEDY: &str = "trying Debian's package of the same version";
    run_aside(machine.command("rustup").args(["component", "add", "rust-src"]), REMEDY)?;
    if !present(machine) {
        // rustup goes by its list of what it installed, not by the files.
        bail!("rustup takes rust-src for installed, but its files are not there; {REMEDY}");
    }
    Ok(())
}

/// Copies Debian's sources of the same minor version into the compiler's own folder.
fn from_debian(machine: &Machine) -> Result<()> {
    const REMEDY: &str = "the compiler's own folder has to be writable";
    let minor = machine.rustc.minor();
    let unpacked = machine.scratch("rust-src")?;
    Archive::open(machine, &["trixie-backports"])?.unpack(&[format!("rust-src={minor}.*")], &unpacked)?;
    let sources = fs::read_dir(unpacked.join("usr/src"))
        .context("Debian's rust-src does not have the folder usr/src")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|folder| folder.to_string_lossy().contains(&format!("rustc-{minor}.")))
        .ok_or_else(|| anyhow!("Debian's rust-src does not have the sources of {minor}"))?
        .join("library");
    let library = library(machine);
    let parent = library.parent().context("the sources have no folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    // Copied, so that `cargo clean` does not take them away, and renamed last, so that they are there whole or not.
    let partial = parent.join("library.partial");
    run_aside(machine.command("rm").arg("-rf").args([&partial, &library]), REMEDY)?;
    run_aside(machine.command("cp").arg("-a").args([&sources, &partial]), REMEDY)?;
    fs::rename(&partial, &library).with_context(|| format!("cannot create {}", library.display()))?;
    fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove {}", unpacked.display()))
}

fn library(machine: &Machine) -> PathBuf {
    machine.sysroot.join("lib/rustlib/src/rust/library")
}
