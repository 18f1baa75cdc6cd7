//! A case that is running, from its start to what it has counted.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    cases::{Case, Program, Runs, Tool},
    counted::Told,
    empty::{Empty, Types},
    lab::Connections,
    programs,
};
use crate::{command::end_with_us, machine::Machine, soak::process::Figures};

/// A tool that has loaded no more programs for so long has begun.
const SETTLED: Duration = Duration::from_millis(400);
/// One that has not begun or ended after so long does not.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// What runs now; ended when dropped.
pub(super) enum Running {
    Nothing,
    Empty { _attached: Empty },
    Tool(Process),
}

/// Whether it does.
pub(super) enum Start {
    Runs(Running),
    /// This is what it, or the kernel, said.
    Refused(String),
}

impl Running {
    pub(super) fn start(machine: &Machine, types: &Types, directory: &Path, case: &Case) -> Result<Start> {
        Ok(match &case.runs {
            Runs::Nothing => Start::Runs(Self::Nothing),
            // Before Linux 6.3 there is no sock_send_length.
            Runs::Empty(hooks) => match Empty::attach(types, hooks.iter().copied().flatten()) {
                Ok(attached) => Start::Runs(Self::Empty { _attached: attached }),
                Err(error) => Start::Refused(format!("{error:#}")),
            },
            Runs::Tool(tool) => {
                let mut process = Process::start(machine, directory, case.name, tool)?;
                match process.begins()? {
                    None => Start::Runs(Self::Tool(process)),
                    Some(refusal) => Start::Refused(refusal),
                }
            }
        })
    }

    /// Its programs in the kernel.
    pub(super) fn programs(&self) -> BTreeSet<u32> {
        match self {
            Self::Nothing => BTreeSet::new(),
            // This process holds them, and no others.
            Self::Empty { .. } => programs::held_by(std::process::id()),
            Self::Tool(process) => programs::held_by(process.child.id()),
        }
    }

    /// What its process takes; `None` where there is none.
    pub(super) fn figures(&self) -> Result<Option<Figures>> {
        match self {
            Self::Tool(process) => Figures::of(process.child.id()).map(Some),
            Self::Nothing | Self::Empty { .. } => Ok(None),
        }
    }

    /// Ends it. For each kind of connections how many it has counted; `None` where it does not count.
    pub(super) fn end(self) -> Result<Option<[u64; 2]>> {
        match self {
            Self::Tool(process) => process.end(),
            Self::Nothing | Self::Empty { .. } => Ok(None),
        }
    }
}

/// A tool, and where it writes.
pub(super) struct Process {
    child: Child,
    output: PathBuf,
    errors: PathBuf,
    signal: Signal,
    counts: Option<fn(&str) -> Told>,
}

impl Process {
    fn start(machine: &Machine, directory: &Path, name: &str, tool: &Tool) -> Result<Self> {
        let file = |kind: &str| directory.join(format!("{}.{kind}", name.replace(' ', "_")));
        let (output, errors) = (file("out"), file("err"));
        let create =
            |path: &Path| File::create(path).with_context(|| format!("cannot create {}", path.display()));
        let mut command = match tool.program {
            Program::Tracer => machine.command(&machine.target.join("release/tracer").to_string_lossy()),
            Program::Installed(program) => machine.command(program),
        };
        command.args(tool.arguments).stdin(Stdio::null()).stdout(create(&output)?).stderr(create(&errors)?);
        let child = end_with_us(&mut command, Signal::SIGKILL)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, output, errors, signal: tool.signal, counts: tool.counts })
    }

    /// Waits until its programs are there. `Some`: what it said when it ended instead.
    fn begins(&mut self) -> Result<Option<String>> {
        let started = Instant::now();
        let (mut held, mut since) = (BTreeSet::new(), started);
        while held.is_empty() || since.elapsed() < SETTLED {
            if let Some(status) = self.child.try_wait()? {
                let said = fs::read_to_string(&self.errors).unwrap_or_default();
                return Ok(Some(refusal(&said).map_or_else(|| status.to_string(), str::to_owned)));
            }
            ensure!(started.elapsed() < PATIENCE, "{} loads no program", self.errors.display());
            thread::sleep(LOOK);
            let now = programs::held_by(self.child.id());
            if now != held {
                (held, since) = (now, Instant::now());
            }
        }
        Ok(None)
    }

    fn end(mut self) -> Result<Option<[u64; 2]>> {
        let _ended_already = kill(Pid::from_raw(self.child.id().cast_signed()), self.signal);
        let told = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(
                told.elapsed() < PATIENCE,
                "a tool does not end; what it says is in {}",
                self.errors.display()
            );
            thread::sleep(LOOK);
        }
        let counts = self.counts.map(|counts| read(&self.output, counts)).transpose()?;
        // What writes a line for each event writes hundreds of megabytes.
        fs::remove_file(&self.output).with_context(|| format!("cannot remove {}", self.output.display()))?;
        Ok(counts)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _no_zombie = self.child.wait();
    }
}

fn read(output: &Path, counts: fn(&str) -> Told) -> Result<[u64; 2]> {
    let file = File::open(output).with_context(|| format!("cannot read {}", output.display()))?;
    let mut sums = [0; 2];
    for line in BufReader::new(file).lines() {
        let line = match line {
            // The end of a line that was being written.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => continue,
            line => line.with_context(|| format!("cannot read {}", output.display()))?,
        };
        for (backend, count) in counts(&line) {
            for (sum, connections) in sums.iter_mut().zip(Connections::ALL) {
                *sum += if connections.has_backend(backend) { count } else { 0 };
            }
        }
    }
    Ok(sums)
}

/// The first thing that a tool said, which is what stopped it; the rest follows from it.
fn refusal(said: &str) -> Option<&str> {
    said.lines().map(str::trim).find(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_what_the_tool_said_first() {
        // As tcptop 0.26 of Debian 12 says it on a kernel without kprobes.
        let said = "libbpf: failed to add legacy kprobe event for 'tcp_sendmsg+0x0': No such file or directory\n\
                    libbpf: prog 'tcp_sendmsg': failed to create kprobe 'tcp_sendmsg+0x0' perf event: No such file or directory\n\
                    libbpf: prog 'tcp_sendmsg': failed to auto-attach: -2\nfailed to attach BPF programs: -2\n";
        let first =
            "libbpf: failed to add legacy kprobe event for 'tcp_sendmsg+0x0': No such file or directory";
        assert_eq!(refusal(said), Some(first));
        assert_eq!(refusal("\n"), None);
    }

    #[test]
    fn counts_are_told_apart_by_the_backends() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("out");
        let line = |port: u16| format!("7 nginx 127.0.0.1 4034 127.0.91.12 {port} 0.05 0.14 0.24\n");
        fs::write(&output, [line(18_490), line(18_590), line(18_590), line(9_000)].concat()).unwrap();
        assert_eq!(read(&output, crate::bench::overhead::counted::by_tcplife).unwrap(), [1, 2]);
    }
}
