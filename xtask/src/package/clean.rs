//! A Debian that has nothing on it yet, and systemd as its first process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    command::{capture, end_with_us, run_aside},
    machine::Machine,
};

/// A machine that is stopped.
pub(super) struct Clean<'a> {
    machine: &'a Machine,
    root: PathBuf,
}

/// The same while it runs; it is gone when dropped.
pub(super) struct Running<'a> {
    clean: &'a Clean<'a>,
    container: Child,
    /// Known once it runs.
    first: Option<Pid>,
}

const BOOTS_WITHIN: Duration = Duration::from_secs(60);

impl<'a> Clean<'a> {
    /// Of this machine's release, since what is packaged is linked against its libraries.
    pub(super) fn make(machine: &'a Machine) -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
        let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let suite = suite.context("/etc/os-release names no release of Debian (VERSION_CODENAME)")?;
        let root = machine.scratch("package")?.join("debian");
        remove(&root)?;
        let mut make = machine.command("mmdebstrap");
        make.args(["--quiet", "--variant=minbase", "--include=systemd,systemd-sysv", suite]).arg(&root);
        run_aside(&mut make, "this needs a network that reaches deb.debian.org")?;
        Ok(Self { machine, root })
    }

    /// Where one of its files lies here.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.root.join(file.trim_start_matches('/'))
    }

    /// Every file and directory, but for what notes what was done.
    pub(super) fn files(&self) -> Result<Vec<String>> {
        const NOTES: [&str; 6] = ["/var/log", "/var/lib/dpkg", "/var/cache", "/var/lib/apt", "/run", "/tmp"];
        let listed =
            capture(self.machine.command("find").arg(&self.root).args(["-xdev", "-printf", "/%P\\n"]))?;
        let mut files: Vec<String> = listed
            .lines()
            .filter(|file| !NOTES.iter().any(|notes| Path::new(file).starts_with(notes)))
            .map(str::to_owned)
            .collect();
        files.sort();
        Ok(files)
    }

    /// Starts it, with the host's network and what it takes to trace.
    pub(super) fn boot(&'a self) -> Result<Running<'a>> {
        let mut nspawn = self.machine.command("systemd-nspawn");
        nspawn.args(["--quiet", "--boot", "--console=passive", "--capability=CAP_BPF,CAP_PERFMON"]);
        // By itself it lets no container have them.
        nspawn
            .arg("--system-call-filter=bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self");
        if !Path::new("/run/systemd/system").exists() {
            nspawn.args(["--register=no", "--keep-unit"]);
        }
        nspawn.arg("--directory").arg(&self.root);
        nspawn.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let container =
            end_with_us(&mut nspawn, Signal::SIGTERM).spawn().context("cannot start systemd-nspawn")?;
        let mut running = Running { clean: self, container, first: None };
        let begun = Instant::now();
        loop {
            if let Some(status) = running.container.try_wait()? {
                bail!("the clean Debian did not start ({status}); what systemd-nspawn says is above");
            }
            if let Some(first) = child_of(running.container.id()) {
                running.first = Some(first);
                let mut state = running.command("systemctl");
                let said = state.arg("is-system-running").stderr(Stdio::null()).output()?.stdout;
                if said == b"running\n" {
                    return Ok(running);
                }
            }
            ensure!(begun.elapsed() < BOOTS_WITHIN, "systemd did not come up within {BOOTS_WITHIN:?}");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Running<'_> {
    /// A command in it.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = self.clean.machine.command("nsenter");
        let first = self.first.map_or_else(String::new, |first| first.to_string());
        command.args(["--all", "--target", &first, "--", program]);
        command.stdin(Stdio::null());
        command
    }

    /// What a command in it prints.
    pub(super) fn capture(&self, program: &str, arguments: &[&str]) -> Result<String> {
        capture(self.command(program).args(arguments))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // With its first process everything in it ends; systemd-nspawn that is killed leaves it running.
        if let Some(first) = self.first {
            let _ = kill(first, Signal::SIGKILL);
        }
        let _ = self.container.kill();
        let _ = self.container.wait();
    }
}

impl Drop for Clean<'_> {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.root) {
            eprintln!("xtask: {error:#}");
        }
    }
}

fn child_of(process: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}

fn remove(root: &Path) -> Result<()> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", root.display()))
        }
        _ => Ok(()),
    }
}
