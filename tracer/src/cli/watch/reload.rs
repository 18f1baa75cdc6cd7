//! Reading files and names again while the tick goes on: on SIGHUP everything, files that declare pools when they change,
//! host names now and then. What cannot be read leaves everything as it was.

use super::declarations::{Declarations, Unread};
use super::watched::Watched;
use super::{Arguments, CommandLine};
use crate::chronicle::{Cause, PoolsChanged};
use crate::pools::{DeclaredPool, Pools};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, spawn_blocking};

/// How often host names are resolved again.
const NAMES_EVERY: Duration = Duration::from_secs(30);

/// How often running balancers are looked for: one that starts, or reads its configuration again.
const BALANCERS_EVERY: Duration = Duration::from_secs(10);

/// Asking a running balancer may take one part in so many of the time: with thousands of servers it is asked less often.
const ASKING_SHARE: u32 = 50;

/// `None`: there is nothing new.
type Read = Result<Option<Declarations>, Unread>;

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
    job: Option<(Cause, JoinHandle<Read>)>,
    names_due: Instant,
    balancers_due: Instant,
    /// When running balancers may be asked for their present state again, and when they were last.
    ask_due: Instant,
    asked: Instant,
    /// The files when they were last tried.
    seen: Watched,
    /// What was wrong with it then. If it is the same a tick later, it is not just being written.
    suspected: Option<(Cause, Vec<String>)>,
    /// What is wrong with files at present, and what else could not be found out, so that it is told once, and told when it
    /// is over.
    file_errors: Vec<String>,
    problems: Vec<String>,
    /// Times that something could not be read.
    failures: u64,
}

impl Reloader {
    pub(super) fn new(typed: CommandLine, current: Declarations) -> Self {
        Self {
            typed,
            started: current.arguments.clone(),
            job: None,
            names_due: Instant::now() + NAMES_EVERY,
            balancers_due: Instant::now() + BALANCERS_EVERY,
            ask_due: Instant::now(),
            asked: Instant::now(),
            seen: current.watched().clone(),
            suspected: None,
            file_errors: Vec::new(),
            problems: current.problems.clone(),
            failures: 0,
            current: Arc::new(current),
        }
    }

    /// Begins to read everything again, whatever is being read. Must be called within a tokio runtime.
    pub(super) fn reload(&mut self) {
        let (typed, current) = (self.typed.clone(), Arc::clone(&self.current));
        let read = move || Declarations::read(&typed, current.names().clone(), current.origins()).map(Some);
        self.begin(Cause::Reload, read);
    }

    /// Looks whether something is to be read again. Must be called within a tokio runtime, once in an interval.
    pub(super) fn tick(&mut self) -> News {
        // A resolver that does not answer keeps no drain waiting.
        if self.job.as_ref().is_some_and(|(cause, _)| !matches!(cause, Cause::Names | Cause::RunTime)) {
            return News::default();
        }
        let watched = self.seen.now();
        let now = Instant::now();
        if !watched.is_as(&self.seen) {
            let current = Arc::clone(&self.current);
            let cause = if watched.differs_at_most_at(&self.seen, current.pools_file()) {
                Cause::PoolsFile
            } else {
                Cause::Configuration
            };
            self.seen = watched;
            self.suspected = None;
            self.begin(cause, move || current.read_files_again().map(Some));
        } else if let Some((cause, errors)) = self.suspected.take() {
            return self.failed(cause, errors);
        } else if self.job.is_none() {
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
        News::default()
    }

    /// What is being read is no longer waited for.
    fn begin(&mut self, cause: Cause, read: impl FnOnce() -> Read + Send + 'static) {
        self.job = Some((cause, spawn_blocking(read)));
    }

    /// Waits until something has been read. Safe to drop while it waits.
    pub(super) async fn done(&mut self) -> News {
        let Some((cause, job)) = &mut self.job else { return std::future::pending().await };
        let cause = *cause;
        let read = job.await.unwrap_or_else(|panic| Err(vec![format!("internal error: {panic}")].into()));
        self.job = None;
        self.conclude(cause, read)
    }

    fn conclude(&mut self, cause: Cause, read: Read) -> News {
        if cause == Cause::RunTime {
            self.ask_due = Instant::now() + ASKING_SHARE * self.asked.elapsed();
        }
        match read {
            Ok(Some(now)) => self.succeeded(cause, now),
            Ok(None) => News::default(),
            Err(Unread { errors, watched }) => {
                // A file that is included for the first time may be the one that is wrong, and put right next.
                self.seen = self.current.watched().now().and(watched);
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
        let before_problems = std::mem::replace(&mut self.problems, now.problems.clone());
        was_wrong |= self.problems != before_problems;
        if !self.problems.is_empty() && self.problems != before_problems {
            self.failures += 1;
        }
        let before = std::mem::replace(&mut self.current, Arc::new(now));
        let now = &self.current;
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
        change.errors.clone_from(&self.problems);
        change.failures = self.failures;
        News { take, change: tell.then_some(change) }
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
