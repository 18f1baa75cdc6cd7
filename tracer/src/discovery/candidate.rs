//! Processes that call themselves balancers and run an executable of that name: those that are believed, and what is
//! needed of the others.

use super::arguments::{self, Arguments, Part, Unusable};
use super::kind::Kind;
use super::paths::Built;
use super::process::{Identity, Look, Process, TICKS_PER_SECOND};
use super::surroundings::hold;
use super::trust::{Mistrust, mistrust};
use crate::imports::Problem;
use crate::input::Place;
use nix::fcntl::OFlag;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longer than any command line that somebody wrote.
const MOST_COMMAND_LINE: u64 = 1024 * 1024;
/// What a worker calls itself stands at the beginning.
const MOST_TITLE: u64 = 256;
/// Executables of balancers have up to 200 MiB, those of nginx some.
const MOST_EXECUTABLE: u64 = 32 * 1024 * 1024;
/// Workers that are started together start within this, in ticks: a second.
const TOGETHER: u64 = TICKS_PER_SECOND;

/// A process that is believed.
pub(super) struct Candidate {
    pub(super) kind: Kind,
    pub(super) command: String,
    pub(super) process: Arc<Process>,
    pub(super) look: Look,
    pub(super) arguments: Result<Arguments, Unusable>,
    pub(super) part: Part,
}

/// One that is not. Anybody can start thousands of them: nothing is held open, and nothing of its command line is kept.
struct Stranger {
    kind: Kind,
    command: String,
    pid: u32,
    look: Look,
    mistrust: Mistrust,
}

/// A worker of a process that is believed.
struct Worker {
    kind: Kind,
    master: u32,
    started: u64,
    draining: bool,
    user: u32,
}

/// The workers of one master, taken together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Workers {
    /// When the newest started, in ticks; `None`: there is none.
    pub(super) newest: Option<u64>,
    /// How many only end what they have begun.
    pub(super) draining: usize,
    /// As whom they run.
    pub(super) users: Vec<u32>,
}

/// Every process that calls itself a balancer.
#[derive(Default)]
pub(super) struct Candidates {
    pub(super) believed: Vec<Candidate>,
    strangers: Vec<Stranger>,
    workers: Vec<Worker>,
    /// Those that could not be looked at, by command: how many, and why the first.
    closed: BTreeMap<String, (usize, io::Error)>,
}

enum Seen {
    Believed(Candidate),
    Stranger(Stranger),
}

/// What people know a process by: `nginx (pid 123)`.
pub(super) fn label(command: &str, pid: u32) -> String {
    format!("{command} (pid {pid})")
}

pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// By what somebody can have a configuration read that is not found, or not believed.
pub(super) fn by_hand(kind: Kind) -> String {
    format!("name its configuration with {} FILE", kind.option())
}

impl Candidates {
    /// Looks at each process.
    pub(super) fn among(pids: &[u32]) -> Self {
        let mut all = Self::default();
        for &pid in pids {
            match look(pid) {
                Ok(Some(Seen::Believed(candidate))) => all.believed.push(candidate),
                Ok(Some(Seen::Stranger(stranger))) => all.strangers.push(stranger),
                Ok(None) => {}
                Err((command, error)) => all.closed.entry(command).or_insert((0, error)).0 += 1,
            }
        }
        all.settle();
        all
    }

    /// Tells workers from masters. HAProxy's and Envoy's processes all have the same command line: the parent is the
    /// master. Workers are seldom root's: what they say of themselves is asked only of those whose master is believed.
    fn settle(&mut self) {
        let masters: BTreeMap<u32, Kind> =
            self.believed.iter().map(|one| (one.process.pid, one.kind)).collect();
        for candidate in self.believed.iter_mut().filter(|one| one.kind != Kind::Nginx) {
            if masters.get(&candidate.look.parent) == Some(&candidate.kind) {
                candidate.part = Part::Worker { draining: false };
            }
        }
        let worker = |kind, look: &Look, part| match part {
            Part::Worker { draining } => Some(Worker {
                kind,
                master: look.parent,
                started: look.identity.started,
                draining,
                user: look.identity.effective_user(),
            }),
            _ => None,
        };
        let own = self.believed.iter().filter_map(|one| worker(one.kind, &one.look, one.part));
        self.workers.extend(own);
        let theirs = self.strangers.iter().filter(|one| masters.get(&one.look.parent) == Some(&one.kind));
        self.workers.extend(theirs.filter_map(|one| worker(one.kind, &one.look, one.part())));
    }

    /// The workers of a master.
    pub(super) fn workers_of(&self, master: &Candidate) -> Workers {
        let mine = self
            .workers
            .iter()
            .filter(|one| one.master == master.process.pid && one.kind == master.kind)
            .collect::<Vec<_>>();
        let starts: Vec<_> = mine.iter().map(|one| (one.started, one.draining)).collect();
        let (newest, draining) = generations(&starts);
        let mut users: Vec<u32> = mine.iter().map(|one| one.user).collect();
        users.sort_unstable();
        users.dedup();
        let draining = match master.kind {
            // One that crashed is started again on its own: only what it says of itself counts.
            Kind::Nginx => starts.iter().filter(|(_, draining)| *draining).count(),
            Kind::Haproxy | Kind::Envoy => draining,
        };
        Workers { newest, draining, users }
    }

    /// Who is not believed and why, and what could not be looked at.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let closed = self.closed.iter().map(|(command, (count, error))| {
            let processes = if *count == 1 { "a process cannot" } else { "processes cannot" };
            let message = format!("{processes} be looked at ({error}): its configuration is not read");
            let problem = Problem::warning("process-unreadable", Place::of_file(command), message);
            problem.hint("run as root, with CAP_SYS_PTRACE")
        });
        let known = self.believed.iter().map(|one| (one.process.pid, one.kind));
        let known: BTreeMap<u32, Kind> =
            known.chain(self.strangers.iter().map(|one| (one.pid, one.kind))).collect();
        // The child of one is its worker: nobody misses its configuration.
        let mut strangers = BTreeMap::<_, Vec<&Stranger>>::new();
        for one in self.strangers.iter().filter(|one| known.get(&one.look.parent) != Some(&one.kind)) {
            strangers.entry((one.command.as_str(), one.mistrust.what())).or_default().push(one);
        }
        closed.chain(strangers.values().filter_map(|alike| not_believed(alike))).collect()
    }
}

/// One sentence for all processes of one command that are not believed for the same reason.
fn not_believed(alike: &[&Stranger]) -> Option<Problem> {
    let first = alike.first()?;
    let by_hand = by_hand(first.kind);
    let more = match alike.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more like it)"),
    };
    let place = Place::of_file(&label(&first.command, first.pid));
    Some(match first.mistrust {
        Mistrust::User(user) => {
            let message =
                format!("runs as user {user}: only root's balancers are believed, so it is skipped{more}");
            Problem::note("balancer-not-root", place, message).hint(by_hand)
        }
        Mistrust::Executable(what, remedy) => {
            let message = format!("its executable {what}: its configuration is not read{more}");
            Problem::warning("executable-not-trusted", place, message).hint(format!("{remedy}, or {by_hand}"))
        }
    })
}

/// The process if it calls itself a balancer, `None` when it does not or has ended; the error with its command when it is
/// closed to us.
fn look(pid: u32) -> Result<Option<Seen>, (String, io::Error)> {
    // Cheaper than all else, and rules out nearly every process.
    let command = match std::fs::read(format!("/proc/{pid}/comm")) {
        Ok(command) => command,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(("/proc".into(), error)),
    };
    let command = command.strip_suffix(b"\n").unwrap_or(&command);
    let Some(kind) = Kind::of(command) else { return Ok(None) };
    let command = String::from_utf8_lossy(command).into_owned();
    match seen(pid, kind, &command) {
        Ok(seen) => Ok(seen),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err((command, error)),
    }
}

fn seen(pid: u32, kind: Kind, command: &str) -> io::Result<Option<Seen>> {
    let process = Process::open(pid)?;
    let look = process.look()?;
    let identity = &look.identity;
    if identity.command != command.as_bytes() || Kind::of(&identity.executable.name) != Some(kind) {
        return Ok(None);
    }
    let command = command.to_owned();
    if let Some(mistrust) = mistrust(identity) {
        return Ok(Some(Seen::Stranger(Stranger { kind, command, pid, look, mistrust })));
    }
    let cmdline = process.read("cmdline", MOST_COMMAND_LINE)?;
    // One in the middle of exec has none yet.
    if cmdline.is_empty() {
        return Ok(None);
    }
    let endless = cmdline.len() as u64 >= MOST_COMMAND_LINE;
    let arguments = if endless { Err(Unusable::Endless) } else { arguments::read(kind, &cmdline) };
    if arguments.as_ref().is_ok_and(|arguments| arguments.brief) {
        return Ok(None);
    }
    let part = if kind == Kind::Nginx { arguments::nginx_part(&cmdline) } else { Part::Single };
    let process = Arc::new(process);
    Ok(Some(Seen::Believed(Candidate { kind, command, process, look, arguments, part })))
}

/// When the newest of the workers started, and how many are older generations. `starts`: in ticks, and whether the worker
/// says of itself that it drains.
fn generations(starts: &[(u64, bool)]) -> (Option<u64>, usize) {
    let serving = starts.iter().filter(|(_, draining)| !draining).map(|(start, _)| *start);
    let newest = serving.max();
    let older = |start: u64| newest.is_some_and(|newest| newest.saturating_sub(start) > TOGETHER);
    (newest, starts.iter().filter(|(start, draining)| *draining || older(*start)).count())
}

impl Stranger {
    /// What the child of a master is to it.
    fn part(&self) -> Part {
        if self.kind != Kind::Nginx {
            return Part::Worker { draining: false };
        }
        let title = Process::open(self.pid).and_then(|process| {
            let same = process.look()?.identity == self.look.identity;
            if same { process.read("cmdline", MOST_TITLE) } else { Ok(Vec::new()) }
        });
        title.map_or(Part::Helper, |title| arguments::nginx_part(&title))
    }
}

impl Identity {
    fn effective_user(&self) -> u32 {
        self.uids[1]
    }
}

impl Candidate {
    pub(super) fn problem(&self, code: &'static str, message: impl Into<String>) -> Problem {
        Problem::warning(code, Place::of_file(&label(&self.command, self.process.pid)), message)
    }

    /// The working directory as a path in the process's own root.
    pub(super) fn working_directory(&self, root: &OwnedFd) -> Option<PathBuf> {
        let directory = self.process.link("cwd").ok()?;
        let below = self.process.link("root").ok()?;
        let path = Path::new("/").join(directory.strip_prefix(below).ok()?);
        // What the links say is only a text: it has to be the same directory.
        let real = self.process.file("cwd", OFlag::O_PATH).ok()?.metadata().ok()?;
        let named = hold(root, &path).ok()?.metadata().ok()?;
        ((real.dev(), real.ino()) == (named.dev(), named.ino())).then_some(path)
    }

    pub(super) fn built(&self) -> Built {
        let bytes = self.process.read("exe", MOST_EXECUTABLE).unwrap_or_default();
        Built::of_executable(&bytes).unwrap_or_else(|| Built::usual(&self.command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_told_apart_by_what_they_say_and_by_their_age() {
        assert_eq!(generations(&[]), (None, 0));
        assert_eq!(generations(&[(0, true)]), (None, 1));
        assert_eq!(generations(&[(0, false), (90, false)]), (Some(90), 0));
        assert_eq!(generations(&[(0, false), (900, false), (1_000, true)]), (Some(900), 2));
    }

    #[test]
    fn a_process_that_is_no_longer_there_is_none_and_others_say_why() {
        assert!(matches!(look(u32::MAX), Ok(None)));
        let mut all = Candidates::default();
        all.closed.insert("/proc".into(), (2, io::Error::from_raw_os_error(libc::EMFILE)));
        let problems = all.problems();
        assert_eq!((problems.len(), problems[0].code), (1, "process-unreadable"));
    }
}
