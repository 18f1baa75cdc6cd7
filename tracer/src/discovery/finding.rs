//! Looking through the processes.

use super::arguments::Part;
use super::candidate::{Candidate, Candidates, Workers, by_hand, is_gone, label};
use super::established::established;
use super::kind::Kind;
use super::paths::place;
use super::process::{Process, boot, wall_clock};
use super::surroundings::ProcessSurroundings;
use crate::imports::{Problem, Problems};
use crate::input::Place;
use crate::kernel::unified_path;
use nix::fcntl::OFlag;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// A process is in one cgroup of each hierarchy.
const MOST_CGROUPS: u64 = 64 * 1024;

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
    /// As whom its workers run.
    worker_users: Vec<u32>,
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

    /// Whether what a user listens on can be its socket: it is root's, or its workers'.
    #[must_use]
    pub fn can_listen_as(&self, user: u32) -> bool {
        user == 0 || self.worker_users.contains(&user)
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
    let candidates = Candidates::among(&pids);
    discovery.problems = candidates.problems();
    for candidate in &candidates.believed {
        if matches!(candidate.part, Part::Master | Part::Single) {
            discovery.inspect(candidate, candidates.workers_of(candidate), boot);
        }
    }
    discovery.merge();
    discovery.problems = discovery.problems.into_iter().collect::<Problems>().finish();
    discovery
}

fn pids() -> io::Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc")?;
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

impl Discovery {
    fn fails(mut self, message: &str) -> Self {
        let problem = Problem::warning("process-unreadable", Place::of_file("/proc"), message);
        self.problems.push(problem.hint("mount /proc, and run as root"));
        self
    }

    fn inspect(&mut self, candidate: &Candidate, workers: Workers, boot: SystemTime) {
        let by_hand = by_hand(candidate.kind);
        let arguments = match &candidate.arguments {
            Ok(arguments) => arguments,
            Err(unusable) => {
                let problem = candidate.problem("configuration-unknown", unusable.to_string());
                self.problems.push(problem.hint(by_hand));
                return;
            }
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
        let placed = place(candidate.kind, arguments, built.as_ref(), working_directory.as_deref());
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
        let newest_worker = workers.newest;
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
            draining_workers: workers.draining,
            worker_users: workers.users,
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
    let text = process.read("cgroup", MOST_CGROUPS).ok()?;
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
