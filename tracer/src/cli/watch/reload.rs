//! Reading files and names again while the tick goes on: on SIGHUP everything, files that declare pools when they change,
//! host names now and then. What cannot be read leaves everything as it was.

use super::declarations::{Declarations, Unread};
use super::watched::Watched;
use super::{Arguments, CommandLine};
use crate::chronicle::{Cause, PoolsChanged};
use crate::pools::{DeclaredPool, Pools};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// How often host names are resolved again.
const NAMES_EVERY: Duration = Duration::from_secs(30);

/// How often running balancers are looked for: one that starts, or reads its configuration again.
const BALANCERS_EVERY: Duration = Duration::from_secs(10);

/// Asking a running balancer may take one part in so many of the time: with thousands of servers it is asked less often.
const ASKING_SHARE: u32 = 50;

/// `None`: there is nothing new.
type Read = Result<Option<Declarations>, Unread>;

/// What came of looking at the files: what was read and why, and what they were just before.
type Looked = Option<(Cause, Option<Watched>, Read)>;

/// What came of reading again.
#[derive(Debug, Default)]
pub(super) struct News {
    /// What the source should take.
    pub(super) take: Option<Take>,
    /// What is worth telling.
    pub(super) change: Option<PoolsChanged>,
}

/// What the source should take.
#[derive(Debug)]
pub(super) enum Take {
    /// Other declared pools.
    Declarations(Vec<DeclaredPool>),
    /// Other filters.
    Selection(Box<Pools>),
}

/// Knows what was read last, and reads it again.
pub(super) struct Reloader {
    typed: CommandLine,
    /// What was asked for at the start: some of it cannot change.
    started: Arguments,
    /// Shared with whoever reads again: with thousands of servers it is not copied in the tick.
    current: Arc<Declarations>,
    /// Looks at the files. Kept apart from the others: a resolver that does not answer keeps no drain waiting.
    files: Option<JoinHandle<Looked>>,
    others: Option<(Cause, JoinHandle<Read>)>,
    names_due: Instant,
    balancers_due: Instant,
    /// When running balancers may be asked for their present state again, and when they were last.
    ask_due: Instant,
    asked: Instant,
    /// The files when they were last tried.
    seen: Watched,
    /// What was wrong with it then. If it is the same a tick later, it is not just being written.
    suspected: Option<(Cause, Vec<String>)>,
    /// What is wrong with files at present, so that it is told once, and told when it is over.
    file_errors: Vec<String>,
    /// Times that something could not be read.
    failures: u64,
}

impl Reloader {
    pub(super) fn new(typed: CommandLine, current: Declarations) -> Self {
        Self {
            typed,
            started: current.arguments.clone(),
            files: None,
            others: None,
            names_due: Instant::now() + NAMES_EVERY,
            balancers_due: Instant::now() + BALANCERS_EVERY,
            ask_due: Instant::now(),
            asked: Instant::now(),
            seen: current.watched().clone(),
            suspected: None,
            file_errors: Vec::new(),
            failures: 0,
            current: Arc::new(current),
        }
    }

    /// Begins to read everything again, whatever is being read. Must be called within a tokio runtime.
    pub(super) fn reload(&mut self) {
        let (typed, current) = (self.typed.clone(), Arc::clone(&self.current));
        let read = move || Declarations::read(&typed, current.names().clone(), current.origins()).map(Some);
        self.files = Some(spawn_blocking(move || Some((Cause::Reload, None, read()))));
        self.others = None;
    }

    /// Begins to look whether something is to be read again, and to do so. Must be called within a tokio runtime, once in an
    /// interval.
    pub(super) fn tick(&mut self) {
        if self.files.is_none() {
            let (seen, current) = (self.seen.clone(), Arc::clone(&self.current));
            self.files = Some(spawn_blocking(move || look(&seen, &current)));
        }
        if self.others.is_some() {
            return;
        }
        let now = Instant::now();
        let current = Arc::clone(&self.current);
        if now >= self.names_due && current.has_host_names() {
            self.names_due = now + NAMES_EVERY;
            self.begin(Cause::Names, move || Ok(Some(Declarations::clone(&current).resolve_again())));
        } else if current.arguments.auto && now >= self.balancers_due {
            self.balancers_due = now + BALANCERS_EVERY;
            self.begin(Cause::Configuration, move || current.look_again());
        } else if current.can_ask() && now >= self.ask_due {
            self.asked = now;
            self.begin(Cause::RunTime, move || Ok(Declarations::clone(&current).ask_again()));
        }
    }

    fn begin(&mut self, cause: Cause, read: impl FnOnce() -> Read + Send + 'static) {
        self.others = Some((cause, spawn_blocking(read)));
    }

    /// Waits until something has been read. Safe to drop while it waits.
    pub(super) async fn done(&mut self) -> News {
        tokio::select! {
            looked = finished(self.files.as_mut()) => {
                self.files = None;
                match looked {
                    Ok(Some((cause, seen, read))) => {
                        self.seen = seen.unwrap_or_else(|| self.seen.clone());
                        self.conclude(cause, read)
                    }
                    Ok(None) => self.undisturbed(),
                    Err(panic) => self.conclude(Cause::Reload, Err(broken(&panic))),
                }
            }
            read = finished(self.others.as_mut().map(|(_, job)| job)) => {
                let cause = self.others.take().map_or(Cause::Reload, |(cause, _)| cause);
                self.conclude(cause, read.unwrap_or_else(|panic| Err(broken(&panic))))
            }
        }
    }

    /// The files are as they were a tick ago: what was wrong with them then is not just being written.
    fn undisturbed(&mut self) -> News {
        match self.suspected.take() {
            Some((cause, errors)) => self.failed(cause, errors),
            None => News::default(),
        }
    }

    fn conclude(&mut self, cause: Cause, read: Read) -> News {
        if cause == Cause::RunTime {
            self.ask_due = Instant::now() + ASKING_SHARE * self.asked.elapsed();
        }
        match read {
            Ok(Some(now)) => {
                // What is being found out meanwhile is of what was read before.
                self.others = None;
                self.succeeded(cause, now)
            }
            Ok(None) => News::default(),
            Err(Unread { errors, watched }) => {
                // A file that is included for the first time may be the one that is wrong, and put right next.
                if let Some(watched) = watched {
                    self.seen = self.seen.clone().and(watched);
                }
                if matches!(cause, Cause::PoolsFile | Cause::Configuration) {
                    self.suspected = Some((cause, errors));
                    return News::default();
                }
                self.failed(cause, errors)
            }
        }
    }

    fn failed(&mut self, cause: Cause, errors: Vec<String>) -> News {
        self.failures += 1;
        // Whoever asked gets an answer, even if it is the same as before.
        let tell = cause == Cause::Reload || self.file_errors != errors;
        self.file_errors.clone_from(&errors);
        let change = PoolsChanged { errors, failures: self.failures, ..PoolsChanged::by(cause) };
        News { take: None, change: tell.then_some(change) }
    }

    fn succeeded(&mut self, cause: Cause, now: Declarations) -> News {
        let mut was_wrong = false;
        if !matches!(cause, Cause::Names | Cause::RunTime) {
            was_wrong |= !std::mem::take(&mut self.file_errors).is_empty();
            self.suspected = None;
            self.seen = now.watched().clone();
        }
        // What stands is not told again and again.
        let others = self.current.problems != now.problems;
        was_wrong |= others;
        let before = std::mem::replace(&mut self.current, Arc::new(now));
        let now = &self.current;
        if now.may_be_older() {
            self.balancers_due = Instant::now();
        }
        let mut change = PoolsChanged::between(cause, &before.pools, &now.pools);
        change.selection = !before.arguments.pools.selects_the_same(&now.arguments.pools);
        if cause == Cause::Reload {
            change.needs_restart = now.arguments.needing_restart(&self.started);
        }
        let take = if change.selection {
            Some(Take::Selection(Box::new(now.sorted())))
        } else {
            (before.pools != now.pools).then(|| Take::Declarations(now.pools.clone()))
        };
        let tell = cause == Cause::Reload || was_wrong || !change.is_empty();
        if others || cause == Cause::Reload {
            change.warnings.clone_from(&now.problems);
        }
        change.failures = self.failures;
        News { take, change: tell.then_some(change) }
    }
}

/// Looks whether files have changed since they were `seen`, and reads them if so; with what they are now. `None`: they have
/// not.
fn look(seen: &Watched, current: &Declarations) -> Looked {
    let now = seen.now();
    if now.is_as(seen) {
        return None;
    }
    let cause = if now.differs_at_most_at(seen, current.pools_file()) {
        Cause::PoolsFile
    } else {
        Cause::Configuration
    };
    Some((cause, Some(now), current.read_files_again().map(Some)))
}

/// What a job gives; never, without one.
async fn finished<T>(job: Option<&mut JoinHandle<T>>) -> Result<T, JoinError> {
    match job {
        Some(job) => job.await,
        None => std::future::pending().await,
    }
}

fn broken(panic: &JoinError) -> Unread {
    vec![format!("internal error: {panic}")].into()
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
