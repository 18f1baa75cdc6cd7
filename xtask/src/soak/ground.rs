//! Where a soak takes place: directories and file systems of its own. They are mounted in a mount namespace that ends with
//! this process and with the agents that it starts, so that nothing of it is left on the host, pins included.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

/// Where BPF file systems are mounted; this one hides the host's own.
const BPF: &str = "/sys/fs/bpf";
/// Room for the history: for days, as long as nothing else is there.
const HISTORY: &str = "size=32m";
const STATE: &str = "size=4m";
/// The state is written within this time.
const WRITTEN: Duration = Duration::from_secs(5);

/// The files of a soak.
pub(super) struct Ground {
    pub(super) program: PathBuf,
    directory: PathBuf,
}

impl Ground {
    /// Makes it, in a mount namespace of this process's own. Before any thread is started: others keep what they have.
    pub(super) fn prepare(program: PathBuf, directory: PathBuf) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS).context("cannot mount file systems of its own; run it as root")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .context("cannot keep mounts private")?;
        let ground = Self { program, directory };
        match fs::remove_dir_all(&ground.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", ground.directory.display()));
            }
            _ => {}
        }
        for (at, kind, options) in [
            (PathBuf::from(BPF), "bpf", None),
            (ground.directory.join("history"), "tmpfs", Some(HISTORY)),
            (ground.directory.join("state"), "tmpfs", Some(STATE)),
        ] {
            fs::create_dir_all(&at).with_context(|| format!("cannot create {}", at.display()))?;
            mount(Some("tracer-soak"), &at, Some(kind), MsFlags::empty(), options)
                .with_context(|| format!("cannot mount a {kind} at {}", at.display()))?;
        }
        Ok(ground)
    }

    pub(super) fn pins(&self) -> PathBuf {
        Path::new(BPF).join("tracer-soak")
    }

    pub(super) fn pools(&self) -> PathBuf {
        self.directory.join("pools.toml")
    }

    pub(super) fn samples(&self) -> PathBuf {
        self.directory.join("samples.jsonl")
    }

    pub(super) fn history(&self) -> PathBuf {
        self.directory.join("history/history.db")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.directory.join("state/state.json")
    }

    /// What the agent of this number says: its events, and its messages.
    pub(super) fn said(&self, agent: usize) -> [PathBuf; 2] {
        ["events.jsonl", "messages.txt"].map(|name| self.directory.join(format!("agent-{agent}-{name}")))
    }

    /// Names of its files without the directory, so that what is quoted says nothing of this machine.
    pub(super) fn without_directory(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.directory.display()), "")
    }

    pub(super) fn write_pools(&self, text: &str) -> Result<()> {
        let file = self.pools();
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Takes all the room that the history's file system has.
    pub(super) fn fill_disk(&self) -> Result<()> {
        let mut filler = File::create(self.filler()).context("cannot fill the disk")?;
        loop {
            match filler.write_all(&[0; 4_096]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("cannot fill the disk"),
            }
        }
    }

    pub(super) fn empty_disk(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("cannot make room on the disk")
    }

    fn filler(&self) -> PathBuf {
        self.directory.join("history/filler")
    }

    /// Whether the state can be written from now on.
    pub(super) fn state_can_be_written(&self, can: bool) -> Result<()> {
        let at = self.directory.join("state");
        let flags = if can { MsFlags::MS_REMOUNT } else { MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY };
        let began = Instant::now();
        loop {
            match mount(None::<&str>, &at, None::<&str>, flags, Some(STATE)) {
                Ok(()) => return Ok(()),
                // It is being written.
                Err(Errno::EBUSY) if began.elapsed() < WRITTEN => thread::sleep(Duration::from_millis(5)),
                Err(error) => bail!("cannot mount {} anew: {error}", at.display()),
            }
        }
    }

    /// Has `tracer watch --unpin` take everything out of the kernel.
    pub(super) fn unpin(&self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["watch", "--unpin", "--pin-dir"]).arg(self.pins());
        let Output { status, stderr, .. } = command.output().context("cannot start tracer")?;
        let said = String::from_utf8_lossy(&stderr);
        ensure!(status.success(), "`tracer watch --unpin` failed ({status}): {}", said.trim());
        ensure!(!self.pins().exists(), "`tracer watch --unpin` left {}", self.pins().display());
        Ok(())
    }
}
