//! `cargo xtask package`: the Debian package, and with `--check` what happens to a clean Debian that it is installed on,
//! upgraded and removed from.

mod check;
mod clean;
mod contents;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    command::{capture, run, run_aside},
    machine::Machine,
    setup,
};

/// The version of cargo-deb that is installed; another one that is there is taken.
const CARGO_DEB: &str = "3.8.0";

/// What is asked for.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Then install it on a clean Debian, run its service under systemd, upgrade and remove it, and say what was seen (needs
    /// root and the network)
    #[arg(long)]
    check: bool,
}

/// Makes the package, and with `--check` tries it out.
pub(crate) fn package(machine: &Machine, arguments: &Arguments) -> Result<()> {
    if arguments.check {
        ensure!(machine.root, "only root can make a clean Debian to install on: run it as root");
        setup::set_up_package(machine)?;
    } else {
        setup::set_up(machine, false)?;
    }
    cargo_deb(machine)?;
    run_aside(
        machine.command("cargo").args(["build", "--release", "--package", "tracer"]),
        "the errors above name place and reason",
    )?;
    let version = version(machine)?;
    // As the next release would be. First: cargo-deb empties its own folder of other versions, whatever it makes.
    let upgrade = format!("{version}+next");
    let next = arguments.check.then(|| build(machine, &upgrade, "xtask/package/next")).transpose()?;
    let package = build(machine, &version, "debian")?;
    if let Some(next) = next {
        check::check(machine, &package, &next)?;
    }
    println!("{}", package.display());
    Ok(())
}

/// One package of this version, in a folder below the target folder: everything but the version is the same.
fn build(machine: &Machine, version: &str, folder: &str) -> Result<PathBuf> {
    contents::make(machine, version)?;
    let folder = machine.below_target(folder)?;
    let file = folder.join(format!("tracer_{version}_{}.deb", architecture(machine)?));
    let mut cargo = machine.command("cargo");
    cargo.args([
        "deb",
        "--package",
        "tracer",
        "--no-build",
        "--locked",
        "--deb-version",
        version,
        "--output",
    ]);
    run(cargo.arg(&file).stdout(std::io::stderr()), "cargo-deb names above what it misses")?;
    ensure!(file.is_file(), "cargo-deb made no {}", file.display());
    Ok(file)
}

/// Installs cargo-deb where it is missing.
fn cargo_deb(machine: &Machine) -> Result<()> {
    if machine.find("cargo-deb").is_some() {
        return Ok(());
    }
    run_aside(
        machine.command("cargo").args([
            "install",
            "cargo-deb",
            "--version",
            CARGO_DEB,
            "--locked",
            "--quiet",
        ]),
        "cargo-deb is built from crates.io",
    )
}

/// What the program says of itself: that is what is packaged.
fn version(machine: &Machine) -> Result<String> {
    let said = capture(machine.command(&program(machine)).arg("--version"))?;
    let version = said.trim().strip_prefix("tracer ").map(str::to_owned);
    version.with_context(|| format!("`tracer --version` says {said:?}, which names no version"))
}

fn architecture(machine: &Machine) -> Result<String> {
    let said = capture(machine.command("dpkg").arg("--print-architecture"));
    match said {
        Ok(said) => Ok(said.trim().to_owned()),
        Err(error) => bail!("a Debian package takes Debian's dpkg: {error:#}"),
    }
}

fn program(machine: &Machine) -> String {
    machine.target.join("release/tracer").display().to_string()
}

/// A file, written; the error names it.
fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
