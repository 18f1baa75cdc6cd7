//! Looking through the processes.

use super::arguments::{self, Part};
use super::established::established;
use super::kind::Kind;
use super::paths::{Built, place};
use super::process::{Look, Process, TICKS_PER_SECOND, boot, wall_clock};
use super::surroundings::{ProcessSurroundings, hold};
use super::trust::{Mistrust, mistrust};
use crate::imports::Problem;
use crate::input::Place;
use crate::kernel::unified_path;
use nix::fcntl::OFlag;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Longer than any command line that somebody wrote.
const MOST_COMMAND_LINE: u64 = 1024 * 1024;
/// Executables of balancers have up to 200 MiB, those of nginx some.
const MOST_EXECUTABLE: u64 = 32 * 1024 * 1024;
/// Workers that are started together start within this, in ticks: a second.
const TOGETHER: u64 = TICKS_PER_SECOND;

/// A running balancer.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which one.
    pub kind: Kind,
    /// Of its master; of itself when it is a single process.
    pub pid: u32,
    /// Its command, one of those known.
    pub command: String,
    /// Path of its cgroup, as [`crate::kernel::Balancer::cgroup`].
    pub cgroup: Option<String>,
    /// Inode number of its network namespace.
    pub netns: Option<u32>,
    /// Its configuration, absolute in its own root; HAProxy's may be directories.
    pub files: Vec<PathBuf>,
    /// When it started, by today's clock.
    pub started: SystemTime,
    /// When the newest of its workers started; `None`: it has none.
    pub newest_worker: Option<SystemTime>,
    /// The start of the newest worker, or its own, as the kernel counts: another number means that it was reloaded. Times
    /// of the clock differ a little from one look to the next.
    pub generation: u64,
    /// Workers that were replaced and only end what they have begun: they go by an older configuration.
    pub draining_workers: usize,
    /// It is everything in one process.
    single: bool,
    process: Arc<Process>,
    root: Arc<OwnedFd>,
    /// As `/proc` names it.
    mount_namespace: Option<PathBuf>,
    working_directory: Option<PathBuf>,
}

impl Found {
    /// Its files and its environment.
    #[must_use]
    pub fn surroundings(&self) -> ProcessSurroundings {
        let (process, root) = (Arc::clone(&self.process), Arc::clone(&self.root));
        ProcessSurroundings::new(process, root, self.working_directory.clone())
    }

    /// What people know it by: `nginx (pid 123)`.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.command, self.pid)
    }

    /// How many connections are established now to each remote address, in its network namespace, whoever holds them.
    ///
    /// # Errors
    /// When the process is gone, or its list cannot be read.
    pub fn established(&self) -> io::Result<BTreeMap<SocketAddr, u64>> {
        established(&self.process)
    }

    /// When it read its configuration, at the latest; `None`: its age does not tell.
    #[must_use]
    pub fn read_at(&self) -> Option<SystemTime> {
        match self.kind {
            Kind::Nginx if self.single => None,
            _ => Some(self.newest_worker.unwrap_or(self.started)),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Balancers that are believed, by kind and process number.
    pub found: Vec<Found>,
    /// Those that are not, and whatever else could not be found out; places are processes.
    pub problems: Vec<Problem>,
}

/// A process that calls itself a balancer and runs an executable of that name.
struct Candidate {
    kind: Kind,
    command: String,
    process: Arc<Process>,
    look: Look,
    cmdline: Vec<u8>,
    part: Part,
}

/// Looks for balancers among the running processes.
#[must_use]
pub fn discover() -> Discovery {
    let mut discovery = Discovery::default();
    let boot = match boot() {
        Ok(boot) => boot,
        Err(error) => return discovery.fails(&format!("the system's start cannot be read: {error}")),
    };
    let pids = match pids() {
        Ok(pids) => pids,
        Err(error) => return discovery.fails(&format!("processes cannot be listed: {error}")),
    };
    let mut candidates = Vec::new();
    let mut closed: BTreeMap<String, (usize, io::Error)> = BTreeMap::new();
    for pid in pids {
        match candidate(pid) {
            Ok(found) => candidates.extend(found),
            Err((command, error)) => closed.entry(command).or_insert((0, error)).0 += 1,
        }
    }
    for (command, (count, error)) in closed {
        let processes = if count == 1 { "a process cannot" } else { "processes cannot" };
        let message = format!("{processes} be looked at ({error}): its configuration is not read");
        let problem = Problem::warning("process-unreadable", Place::of_file(&command), message);
        discovery.problems.push(problem.hint("run as root, with CAP_SYS_PTRACE"));
    }
    settle_parts(&mut candidates);
    for candidate in &candidates {
        if matches!(candidate.part, Part::Master | Part::Single) {
            discovery.inspect(candidate, &candidates, boot);
        }
    }
    discovery.merge();
    discovery
}

fn pids() -> io::Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc")?;
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

/// The process as a candidate, `None` when it is none or has ended; the error with its command when it is closed to us.
fn candidate(pid: u32) -> Result<Option<Candidate>, (String, io::Error)> {
    // Cheaper than all else, and rules out nearly every process.
    let command = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let command = command.strip_suffix(b"\n").unwrap_or(&command);
    let Some(kind) = Kind::of(command) else { return Ok(None) };
    let command = String::from_utf8_lossy(command).into_owned();
    let looked = Process::open(pid).and_then(|process| {
        let look = process.look()?;
        let cmdline = process.read("cmdline", MOST_COMMAND_LINE)?;
        Ok((process, look, cmdline))
    });
    let (process, look, cmdline) = match looked {
        Ok(looked) => looked,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err((command, error)),
    };
    // One in the middle of exec has none yet.
    if cmdline.is_empty() {
        return Ok(None);
    }
    let identity = &look.identity;
    if identity.command != command.as_bytes() || Kind::of(&identity.executable.name) != Some(kind) {
        return Ok(None);
    }
    let part = if kind == Kind::Nginx { arguments::nginx_part(&cmdline) } else { Part::Single };
    Ok(Some(Candidate { kind, command, process: Arc::new(process), look, cmdline, part }))
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// HAProxy's and Envoy's processes all have the same command line: the parent is the master.
fn settle_parts(candidates: &mut [Candidate]) {
    let known: BTreeMap<u32, Kind> = candidates.iter().map(|one| (one.process.pid, one.kind)).collect();
    for candidate in candidates.iter_mut().filter(|one| one.kind != Kind::Nginx) {
        if known.get(&candidate.look.parent) == Some(&candidate.kind) {
            candidate.part = Part::Worker { draining: false };
        }
    }
}

/// When the newest of the workers started, and how many are older generations. `starts`: in ticks, and whether the worker
/// says of itself that it drains.
fn generations(starts: &[(u64, bool)]) -> (Option<u64>, usize) {
    let serving = starts.iter().filter(|(_, draining)| !draining).map(|(start, _)| *start);
    let newest = serving.max();
    let older = |start: u64| newest.is_some_and(|newest| newest.saturating_sub(start) > TOGETHER);
    (newest, starts.iter().filter(|(start, draining)| *draining || older(*start)).count())
}

fn label(command: &str, pid: u32) -> String {
    format!("{command} (pid {pid})")
}

impl Candidate {
    fn problem(&self, code: &'static str, message: impl Into<String>) -> Problem {
        Problem::warning(code, Place::of_file(&label(&self.command, self.process.pid)), message)
    }

    fn workers(&self, all: &[Self]) -> (Option<u64>, usize) {
        let mine = all.iter().filter(|one| one.look.parent == self.process.pid && one.kind == self.kind);
        let starts: Vec<_> = mine
            .filter_map(|one| match one.part {
                Part::Worker { draining } => Some((one.look.identity.started, draining)),
                _ => None,
            })
            .collect();
        match self.kind {
            // One that crashed is started again on its own: only what it says of itself counts.
            Kind::Nginx => (generations(&starts).0, starts.iter().filter(|(_, draining)| *draining).count()),
            Kind::Haproxy | Kind::Envoy => generations(&starts),
        }
    }

    /// The working directory as a path in the process's own root.
    fn working_directory(&self, root: &OwnedFd) -> Option<PathBuf> {
        let directory = self.process.link("cwd").ok()?;
        let below = self.process.link("root").ok()?;
        let path = Path::new("/").join(directory.strip_prefix(below).ok()?);
        // What the links say is only a text: it has to be the same directory.
        let real = self.process.file("cwd", OFlag::O_PATH).ok()?.metadata().ok()?;
        let named = hold(root, &path).ok()?.metadata().ok()?;
        ((real.dev(), real.ino()) == (named.dev(), named.ino())).then_some(path)
    }

    fn built(&self) -> Built {
        let bytes = self.process.read("exe", MOST_EXECUTABLE).unwrap_or_default();
        Built::of_executable(&bytes).unwrap_or_else(|| Built::usual(&self.command))
    }
}

impl Discovery {
    fn fails(mut self, message: &str) -> Self {
        let problem = Problem::warning("process-unreadable", Place::of_file("/proc"), message);
        self.problems.push(problem.hint("mount /proc, and run as root"));
        self
    }

    fn inspect(&mut self, candidate: &Candidate, all: &[Candidate], boot: SystemTime) {
        let option = candidate.kind.option();
        let by_hand = format!("name its configuration with {option} FILE");
        match mistrust(&candidate.look.identity) {
            None => {}
            Some(Mistrust::User(user)) => {
                let message =
                    format!("runs as user {user}: only root's balancers are believed, so it is skipped");
                let mut problem = candidate.problem("balancer-not-root", message);
                problem.severity = crate::imports::Severity::Note;
                self.problems.push(problem.hint(by_hand));
                return;
            }
            Some(Mistrust::Executable(what, remedy)) => {
                let message = format!("its executable {what}: its configuration is not read");
                let problem = candidate.problem("executable-not-trusted", message);
                self.problems.push(problem.hint(format!("{remedy}, or {by_hand}")));
                return;
            }
        }
        if candidate.cmdline.len() as u64 >= MOST_COMMAND_LINE {
            let problem = candidate.problem("configuration-unknown", "has a command line without end");
            self.problems.push(problem.hint(by_hand));
            return;
        }
        let Ok(arguments) = arguments::read(candidate.kind, &candidate.cmdline) else {
            let message = "names its configuration in a way that can be read as two different files";
            self.problems.push(candidate.problem("configuration-unknown", message).hint(by_hand));
            return;
        };
        if arguments.inline {
            let message = "has part of its configuration on its command line, which is not read";
            self.problems.push(candidate.problem("inline-configuration", message).hint("move it to a file"));
        }
        let root = match candidate.process.file("root", OFlag::O_PATH | OFlag::O_DIRECTORY) {
            Ok(root) => Arc::new(OwnedFd::from(root)),
            Err(error) if is_gone(&error) => return,
            Err(error) => {
                let message = format!("its root cannot be opened: {error}");
                let problem = candidate.problem("process-unreadable", message);
                self.problems.push(problem.hint("run as root, with CAP_SYS_PTRACE"));
                return;
            }
        };
        let working_directory = candidate.working_directory(&root);
        let is_said = arguments.files.first().is_some_and(|file| file.is_absolute());
        let built = (candidate.kind == Kind::Nginx && !is_said).then(|| candidate.built());
        let placed = place(candidate.kind, &arguments, built.as_ref(), working_directory.as_deref());
        let files = match placed {
            Ok(files) => files,
            Err(what) => {
                self.problems.push(candidate.problem("configuration-unknown", what).hint(by_hand));
                return;
            }
        };
        let (cgroup, netns) = (cgroup(&candidate.process), netns(&candidate.process));
        let mount_namespace = candidate.process.link("ns/mnt").ok();
        // Nothing of what was read counts unless it was the same process all along, and root's.
        match candidate.process.look() {
            Ok(again) if again.identity == candidate.look.identity => {}
            Err(error) if is_gone(&error) => return,
            _ => {
                let problem = candidate.problem("process-unreadable", "changed while it was looked at");
                self.problems.push(problem.hint("try again"));
                return;
            }
        }
        let started = candidate.look.identity.started;
        let (newest_worker, draining_workers) = candidate.workers(all);
        self.found.push(Found {
            kind: candidate.kind,
            pid: candidate.process.pid,
            command: candidate.command.clone(),
            cgroup,
            netns,
            files,
            started: wall_clock(started, boot),
            newest_worker: newest_worker.map(|start| wall_clock(start, boot)),
            generation: newest_worker.unwrap_or(started),
            draining_workers,
            single: candidate.part == Part::Single,
            process: Arc::clone(&candidate.process),
            root,
            mount_namespace,
            working_directory,
        });
    }

    /// Two masters of the same files are one balancer whose executable or process is being replaced: the newer counts,
    /// and the other one drains.
    fn merge(&mut self) {
        let mut kept: Vec<Found> = Vec::new();
        // A worker just started looks like its master for a moment, and has no workers.
        self.found.sort_by_key(|one| std::cmp::Reverse((one.newest_worker.is_some(), one.generation)));
        for one in self.found.drain(..) {
            match kept.iter_mut().find(|other| other.is_same_as(&one)) {
                Some(newer) => newer.draining_workers += one.draining_workers + one.serving(),
                None => kept.push(one),
            }
        }
        kept.sort_by_key(|one| (one.kind, one.pid));
        self.found = kept;
    }
}

impl Found {
    fn is_same_as(&self, other: &Self) -> bool {
        let names = |one: &Self| (one.kind, one.command.clone(), one.cgroup.clone(), one.netns);
        // The same path is another file in another container.
        names(self) == names(other)
            && self.files == other.files
            && self.mount_namespace == other.mount_namespace
            && same_root(&self.root, &other.root)
    }

    /// Whether it serves at all.
    fn serving(&self) -> usize {
        usize::from(self.newest_worker.is_some() || (self.single && self.kind != Kind::Nginx))
    }
}

fn same_root(one: &OwnedFd, other: &OwnedFd) -> bool {
    let identity = |root: &OwnedFd| nix::sys::stat::fstat(root).map(|found| (found.st_dev, found.st_ino));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

fn cgroup(process: &Process) -> Option<String> {
    let text = process.read("cgroup", MOST_COMMAND_LINE).ok()?;
    unified_path(&String::from_utf8_lossy(&text)).map(ToOwned::to_owned)
}

/// `net:[4026531840]`
fn netns(process: &Process) -> Option<u32> {
    let link = process.link("ns/net").ok()?;
    link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
#[path = "finding_tests.rs"]
mod tests;
