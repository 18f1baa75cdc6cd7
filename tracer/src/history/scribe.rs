//! The thread that writes, and the queue to it.

use super::desk::Desk;
use super::limits::Limits;
use super::open::OpenError;
use super::tick::Tick;
use crate::privilege::Keep;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Intervals that wait for the scribe at most: a disk that keeps it for so many seconds is no longer waited for.
const MOST_TICKS: usize = 600;
/// And so many rows of them, some hundred bytes each.
const MOST_ROWS: usize = 100_000;
/// What could not be written is tried again so often, also when no more comes.
const AGAIN: Duration = Duration::from_secs(1);

/// A run of the agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// When it began to count, seconds since the epoch. The same run has the same whenever it opens its history again.
    pub started_seconds: f64,
    /// Where.
    pub host: String,
    /// Which version of tracer it is.
    pub version: &'static str,
    /// And of the judgement.
    pub detector: u32,
}

/// How a history is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// It cannot be written at present.
    pub failing: bool,
    /// Times that it could not be written.
    pub failures: u64,
    /// Intervals that are not written yet.
    pub waiting: u64,
    /// Intervals that never will be.
    pub lost: u64,
    /// Bytes of the file; `None`: not known.
    pub bytes: Option<u64>,
}

/// What the scribe and others know of each other.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) failing: AtomicBool,
    pub(super) failures: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// Intervals that it has and that are not written.
    pub(super) kept: AtomicU64,
    /// Intervals and rows in the queue.
    queued: AtomicU64,
    queued_rows: AtomicUsize,
    /// When and why it is to end.
    end: Mutex<Option<(f64, String)>>,
}

/// Writes a history, on a thread of its own.
#[derive(Debug)]
pub struct Scribe {
    queue: SyncSender<Tick>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    /// Closed when it has ended.
    ended: Receiver<()>,
}

impl Scribe {
    /// Opens a history, or makes it, and begins to write. What is waited for (a full disk, a damaged file) is told to `say`,
    /// and tried again.
    ///
    /// # Errors
    /// When the file is not what it should be.
    pub fn start(
        path: &Path,
        limits: Limits,
        run: Run,
        say: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::default());
        let desk = Desk::open(path, limits, run, Arc::clone(&shared), Box::new(say))?;
        let (queue, ticks) = sync_channel(MOST_TICKS);
        let (ending, ended) = channel();
        let with_scribe = Arc::clone(&shared);
        let keep = Keep::of_history(path);
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || {
            keep.hold();
            write_all(desk, &ticks, &with_scribe);
            drop(ending);
        })?;
        Ok(Self { queue, shared, thread, ended })
    }

    /// Hands over an interval. Never waits: false when it could not be taken and is lost.
    #[must_use]
    pub fn take(&self, tick: Tick) -> bool {
        let rows = tick.rows();
        let waiting = self.shared.queued_rows.load(Relaxed);
        if waiting > 0 && waiting + rows > MOST_ROWS {
            self.shared.lost.fetch_add(1, Relaxed);
            return false;
        }
        self.shared.queued_rows.fetch_add(rows, Relaxed);
        self.shared.queued.fetch_add(1, Relaxed);
        let Err(error) = self.queue.try_send(tick) else { return true };
        self.shared.queued_rows.fetch_sub(rows, Relaxed);
        self.shared.queued.fetch_sub(1, Relaxed);
        self.shared.lost.fetch_add(1, Relaxed);
        if let TrySendError::Disconnected(_) = error {
            self.shared.failing.store(true, Relaxed);
        }
        false
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        let shared = &self.shared;
        let bytes = shared.bytes.load(Relaxed);
        Health {
            failing: shared.failing.load(Relaxed),
            failures: shared.failures.load(Relaxed),
            waiting: shared.queued.load(Relaxed) + shared.kept.load(Relaxed),
            lost: shared.lost.load(Relaxed),
            bytes: (bytes > 0).then_some(bytes),
        }
    }

    /// Has everything written and the file closed. Waits for that, but not for longer than `patience`: false when it is
    /// not done then.
    #[must_use]
    pub fn finish(self, time_seconds: f64, reason: &str, patience: Duration) -> bool {
        let end = Some((time_seconds, reason.to_owned()));
        *self.shared.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
        drop(self.queue);
        match self.ended.recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => false,
            // It says itself what it could not write.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => self.thread.join().is_ok(),
        }
    }
}

fn write_all(mut desk: Desk, ticks: &Receiver<Tick>, shared: &Shared) {
    let take = |desk: &mut Desk, tick: Tick| {
        shared.queued_rows.fetch_sub(tick.rows(), Relaxed);
        desk.take(tick);
        shared.queued.fetch_sub(1, Relaxed);
    };
    loop {
        match ticks.recv_timeout(AGAIN) {
            Ok(tick) => take(&mut desk, tick),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        while let Ok(tick) = ticks.try_recv() {
            take(&mut desk, tick);
        }
        desk.write();
    }
    let end = shared.end.lock().unwrap_or_else(PoisonError::into_inner).take();
    desk.end(end);
}
