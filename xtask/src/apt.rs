//! Debian packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

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

/// Debian's archive, by an apt with a configuration of its own below the target folder: the machine's sources and state
/// are not touched.
pub(crate) struct Archive<'a> {
    machine: &'a Machine,
    home: PathBuf,
}

impl<'a> Archive<'a> {
    const REMEDY: &'static str = "this needs Debian's apt and a network that reaches deb.debian.org";
    const KEYRING: &'static str = "/usr/share/keyrings/debian-archive-keyring.gpg";

    /// The packages of these suites, as they are now.
    pub(crate) fn open(machine: &'a Machine, suites: &[&str]) -> Result<Self> {
        let name = format!("apt/{}", suites.join("+"));
        let home = machine.scratch(&name)?;
        for folder in ["state/lists/partial", "cache/archives/partial", "download", "empty"] {
            machine.scratch(&format!("{name}/{folder}"))?;
        }
        let archive = Self { machine, home };
        let sources = archive.sources();
        let line = |suite: &&str| {
            format!("deb [signed-by={}] http://deb.debian.org/debian {suite} main\n", Self::KEYRING)
        };
        fs::write(&sources, suites.iter().map(line).collect::<String>())
            .with_context(|| format!("cannot write {}", sources.display()))?;
        // Without a network it would otherwise only warn, and then know of no packages.
        let strictly = ["-o", "APT::Update::Error-Mode=any"];
        run_aside(archive.apt("apt-get").args(strictly).args(["--quiet=2", "update"]), Self::REMEDY)?;
        Ok(archive)
    }

    /// The names of all packages that begin with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let text = capture(self.apt("apt-cache").args(["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Downloads these packages (`name` or `name=version`) and unpacks them below a folder. Gives the names of the
    /// files that the archive has them in: `name_version_architecture.deb`.
    pub(crate) fn unpack(&self, packages: &[String], to: &Path) -> Result<Vec<String>> {
        let download = self.home.join("download");
        // What an earlier run left when it was stopped.
        fs::remove_dir_all(&download).with_context(|| format!("cannot remove {}", download.display()))?;
        fs::create_dir(&download).with_context(|| format!("cannot create {}", download.display()))?;
        let mut command = self.apt("apt-get");
        command.args(["--quiet=2", "download"]).args(packages).current_dir(&download);
        run_aside(&mut command, Self::REMEDY)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&download).with_context(|| format!("cannot read {}", download.display()))? {
            let package = entry?.path();
            run_aside(self.machine.command("dpkg-deb").arg("--extract").args([&package, to]), Self::REMEDY)?;
            fs::remove_file(&package).with_context(|| format!("cannot remove {}", package.display()))?;
            names.extend(package.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
        names.sort();
        Ok(names)
    }

    fn sources(&self) -> PathBuf {
        self.home.join("sources.list")
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = self.machine.command(program);
        let mut option = |name: &str, value: &Path| {
            command.args(["-o", &format!("{name}={}", value.display())]);
        };
        option("Dir::Etc::sourcelist", &self.sources());
        option("Dir::Etc::sourceparts", &self.home.join("empty"));
        option("Dir::State", &self.home.join("state"));
        option("Dir::Cache", &self.home.join("cache"));
        // The user _apt, which apt downloads as, may not write below the target folder.
        command.args(["-o", "APT::Sandbox::User=root"]);
        // Descriptions of applications, as long as the lists of packages.
        command.args(["-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"]);
        command
    }
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
