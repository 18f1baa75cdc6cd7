//! Debian packages.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{capture, run_aside},
    machine::Machine,
};

/// Runs its arguments while no service may start: nginx and haproxy would otherwise take port 80 on installation.
///
/// Debian asks `/usr/sbin/policy-rc.d` whether a package may start its service; 101 forbids it. There is no other
/// switch that both init systems obey. The file lives as long as this shell, whichever way the set-up ends; one that
/// somebody else put there is left alone and decides; one that a `kill -9` left is known by its mark and taken over.
const WITHOUT_SERVICES: &str = r#"
policy=/usr/sbin/policy-rc.d
mark='# while tracer (cargo xtask) installs packages; can be removed'
if [ ! -e "$policy" ] || grep -qxF "$mark" "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy" && chmod 755 "$policy" || exit
fi
"$@"
"#;

/// Installs `packages`, of which none starts a service now.
pub(crate) fn install(machine: &Machine, packages: &[String]) -> Result<()> {
    let mut updated = false;
    if !unknown(machine, packages).is_empty() {
        update(machine);
        updated = true;
    }
    let unknown = unknown(machine, packages);
    if !unknown.is_empty() {
        bail!("{}", no_such_package(&unknown));
    }
    let remedy = format!("install by hand: apt-get install {}", packages.join(" "));
    let install = || run_aside(&mut installation(machine, packages), &remedy);
    match install() {
        // The lists may name versions that the archive has replaced since.
        Err(_) if !updated => {
            update(machine);
            install()
        }
        result => result,
    }
}

fn installation(machine: &Machine, packages: &[String]) -> Command {
    let mut command = machine.command("sh");
    command
        .args(["-c", WITHOUT_SERVICES, "without-services", "apt-get", "install", "--yes"])
        // Wait for an unattended upgrade to let go of the lock.
        .args(["--no-install-recommends", "--quiet=2", "-o", "DPkg::Lock::Timeout=300"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// A source that cannot be read is no reason to stop: what matters is whether the packages are known afterwards.
fn update(machine: &Machine) {
    if let Err(error) =
        run_aside(machine.command("apt-get").args(["update", "--quiet=2"]), "going on without")
    {
        eprintln!("xtask: {error:#}");
    }
}

fn unknown(machine: &Machine, packages: &[String]) -> Vec<String> {
    let known = |package: &String| {
        let mut command = machine.command("apt-cache");
        // Fails, or prints nothing, for a package without a version to install.
        capture(command.args(["show", "--no-all-versions", package])).is_ok_and(|text| !text.is_empty())
    };
    packages.iter().filter(|package| !known(package)).cloned().collect()
}

fn no_such_package(packages: &[String]) -> String {
    format!(
        "this system's package sources have no {}. For LLVM: Debian 12 has llvm-22 in bookworm-security, newer \
         suites have it too; a system without it needs a bpf-linker built elsewhere, put on PATH",
        packages.join(", ")
    )
}

/// Downloads `package` in a version that matches `version` from trixie-backports and unpacks it; returns the folder.
///
/// apt is given a configuration of its own below the target folder: the machine's sources and state are not touched.
pub(crate) fn unpack_from_backports(machine: &Machine, package: &str, version: &str) -> Result<PathBuf> {
    const REMEDY: &str = "this needs Debian's apt and a network";
    const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let home = machine.scratch("apt")?;
    for folder in ["state/lists/partial", "cache/archives/partial", "download", "empty"] {
        machine.scratch(&format!("apt/{folder}"))?;
    }
    let sources = home.join("sources.list");
    fs::write(
        &sources,
        format!("deb [signed-by={KEYRING}] http://deb.debian.org/debian trixie-backports main\n"),
    )
    .with_context(|| format!("cannot write {}", sources.display()))?;

    let apt = |arguments: &[&str]| {
        let mut command = machine.command("apt-get");
        command.args(["--quiet=2", "-o", &format!("Dir::Etc::sourcelist={}", sources.display())]);
        command.args(["-o", &format!("Dir::Etc::sourceparts={}", home.join("empty").display())]);
        command.args(["-o", &format!("Dir::State={}", home.join("state").display())]);
        command.args(["-o", &format!("Dir::Cache={}", home.join("cache").display())]);
        // The user _apt, which apt downloads as, may not write below the target folder.
        command.args(["-o", "APT::Sandbox::User=root"]).args(arguments);
        command
    };
    run_aside(&mut apt(&["update"]), REMEDY)?;
    let download = home.join("download");
    run_aside(apt(&["download", &format!("{package}={version}")]).current_dir(&download), REMEDY)?;

    let unpacked = machine.scratch(package)?;
    for entry in fs::read_dir(&download).with_context(|| format!("cannot read {}", download.display()))? {
        let archive = entry?.path();
        run_aside(machine.command("dpkg-deb").arg("--extract").arg(&archive).arg(&unpacked), REMEDY)?;
        fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_package_is_named() {
        let message = no_such_package(&["llvm-99-dev".to_owned()]);
        assert!(message.starts_with("this system's package sources have no llvm-99-dev."), "{message}");
    }
}
