//! What the scribe has before it: what is to be written, and the book, as long as that can be written.

use super::bins::Bins;
use super::book::{Batch, Book};
use super::limits::Limits;
use super::open::OpenError;
use super::ring::{Ring, Second};
use super::scribe::{Run, Shared};
use super::tick::{InForce, Tick, VerdictTold};
use crate::chronicle::PoolName;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Rows that wait while nothing can be written, about 500 bytes each: of 200 busy backends more than an hour.
const MOST_ROWS: usize = 100_000;
/// Of those by the second.
const MOST_SECONDS: usize = 20_000;
/// Bytes of verdicts with their evidence, and of declarations, that wait likewise.
const MOST_TEXT: usize = 16 << 20;
/// A file that could not be opened is tried again so often.
const OPEN_EVERY: Duration = Duration::from_secs(2);

type Say = Box<dyn Fn(&str) + Send>;

/// The scribe's.
pub(super) struct Desk {
    path: PathBuf,
    limits: Limits,
    run: Run,
    shared: Arc<Shared>,
    say: Say,
    /// `None`: it cannot be opened.
    book: Option<Book>,
    open_next: Instant,
    ring: Ring,
    waiting: Waiting,
    /// Verdicts and declarations that were let go of while nothing could be written.
    lost_texts: u64,
    /// What is expected of each pool that is there.
    pools: HashMap<PoolName, Arc<InForce>>,
    /// What was told last of each pool that is there.
    told: HashMap<PoolName, VerdictTold>,
    last_seconds: f64,
}

/// What is not written yet.
#[derive(Default)]
struct Waiting {
    bins: Bins,
    seconds: Vec<Second>,
    verdicts: Vec<VerdictTold>,
    in_force: Vec<(f64, PoolName, Option<Arc<InForce>>)>,
}

impl Desk {
    /// Opens the book. What is waited for is said, and tried again later.
    ///
    /// # Errors
    /// What is not waited for.
    pub(super) fn open(
        path: &Path,
        limits: Limits,
        run: Run,
        shared: Arc<Shared>,
        say: Say,
    ) -> Result<Self, OpenError> {
        let opened = Book::open(path, &run);
        let mut desk = Self {
            path: path.to_owned(),
            limits,
            last_seconds: run.started_seconds,
            run,
            shared,
            say,
            book: None,
            open_next: Instant::now(),
            ring: Ring::default(),
            waiting: Waiting::default(),
            lost_texts: 0,
            pools: HashMap::new(),
            told: HashMap::new(),
        };
        match opened {
            Ok(book) => desk.book = Some(book),
            Err(error) if error.is_waited_for() => desk.failed(&error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(desk)
    }

    /// Takes an interval.
    pub(super) fn take(&mut self, mut tick: Tick) {
        self.last_seconds = tick.time_seconds;
        let waiting = &mut self.waiting;
        for pool in &mut tick.pools {
            if let Some(in_force) = pool.in_force.take() {
                waiting.in_force.push((
                    in_force.time_seconds,
                    pool.name.clone(),
                    Some(Arc::clone(&in_force)),
                ));
                self.pools.insert(pool.name.clone(), in_force);
            }
        }
        if self.pools.len() > tick.pools.len() {
            let there: HashSet<&PoolName> = tick.pools.iter().map(|pool| &pool.name).collect();
            self.pools.retain(|name, _| {
                let stays = there.contains(name);
                if !stays {
                    self.told.remove(name);
                    waiting.in_force.push((tick.time_seconds, name.clone(), None));
                }
                stays
            });
        }
        waiting.bins.add(&tick);
        waiting.seconds.extend(self.ring.take(&mut tick));
        for told in &tick.verdicts {
            self.told.insert(told.pool.clone(), told.clone());
        }
        waiting.verdicts.append(&mut tick.verdicts);
        let lost = waiting.bins.shorten(MOST_ROWS);
        self.lost_texts += waiting.shorten();
        self.shared.lost.fetch_add(lost, Relaxed);
        self.shared.kept.store(self.waiting.bins.intervals(), Relaxed);
    }

    /// Writes all that waits, if that is possible now.
    pub(super) fn write(&mut self) {
        if let Some(book) = &self.book
            && !book.is_at(&self.path)
        {
            (self.say)(&format!("warning: history {}: the file is gone; a new one is begun", self.name()));
            self.book = None;
            self.open_next = Instant::now();
        }
        if self.book.is_none() && !self.open_again() {
            return;
        }
        let (limits, now) = (self.limits, self.last_seconds);
        let Some(book) = &mut self.book else { return };
        let batch = Batch {
            bins: &self.waiting.bins,
            seconds: &self.waiting.seconds,
            verdicts: &self.waiting.verdicts,
            in_force: &self.waiting.in_force,
            last_seconds: now,
            lost: self.shared.lost.load(Relaxed),
        };
        if let Err(error) = book.write(&batch) {
            // What is beyond limits that were lowered makes room.
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
                book.make_room(limits, now);
            }
            self.stopped(&error);
            return;
        }
        let written = self.waiting.bins.intervals();
        self.waiting.written();
        self.shared.kept.store(0, Relaxed);
        let kept = book.sync().and_then(|()| book.prune(limits, now)).and_then(|()| book.bytes());
        match kept {
            Ok(bytes) => {
                self.shared.bytes.store(bytes, Relaxed);
                self.recovered(written);
            }
            Err(error) => self.stopped(&error),
        }
    }

    /// Writes the rest, and how the run ended; `None`: nobody said how.
    pub(super) fn end(mut self, end: Option<(f64, String)>) {
        self.open_next = Instant::now();
        self.write();
        let waiting = self.waiting.bins.intervals();
        if waiting > 0 {
            self.shared.lost.fetch_add(waiting, Relaxed);
            (self.say)(&format!("error: history {}: {} are not in it", self.name(), intervals(waiting)));
            return;
        }
        let (Some(book), Some((time_seconds, reason))) = (self.book.take(), end) else { return };
        if let Err(error) = book.close(time_seconds, &reason) {
            (self.say)(&format!("error: history {}: how it ended is not in it: {error}", self.name()));
        }
    }

    /// Whether it could be opened.
    fn open_again(&mut self) -> bool {
        if Instant::now() < self.open_next {
            return false;
        }
        self.open_next = Instant::now() + OPEN_EVERY;
        match Book::open(&self.path, &self.run) {
            Ok(book) => {
                if book.is_new() {
                    self.waiting.begin_anew(&self.pools, &self.told, self.last_seconds);
                }
                self.book = Some(book);
                true
            }
            Err(error) => {
                self.failed(&error.to_string());
                false
            }
        }
    }

    /// The book could not be written. A disk that is full, or somebody else who writes, is no reason to close it.
    fn stopped(&mut self, error: &rusqlite::Error) {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        let stays = matches!(error.sqlite_error_code(), Some(DiskFull | DatabaseBusy | DatabaseLocked));
        if !stays {
            self.book = None;
            self.open_next = Instant::now() + OPEN_EVERY;
        }
        self.failed(&OpenError::of_writing(error));
    }

    /// It is counted each time and said once.
    fn failed(&self, what: &str) {
        self.shared.failures.fetch_add(1, Relaxed);
        if !self.shared.failing.swap(true, Relaxed) {
            (self.say)(&format!(
                "error: history {}: {what}; everything else goes on, and what is counted is kept in memory for now",
                self.name()
            ));
        }
    }

    fn recovered(&mut self, written: u64) {
        if !self.shared.failing.swap(false, Relaxed) {
            return;
        }
        let lost = self.shared.lost.load(Relaxed);
        let mut line =
            format!("history {}: written again, with {} that waited", self.name(), intervals(written));
        if lost > 0 {
            line += &format!("; {} since the start are lost", intervals(lost));
        }
        if self.lost_texts > 0 {
            line += &format!("; so are {} verdicts and declarations", self.lost_texts);
        }
        (self.say)(&line);
    }

    fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

fn intervals(count: u64) -> String {
    if count == 1 { "1 interval".into() } else { format!("{count} intervals") }
}

impl Waiting {
    /// Everything is written.
    fn written(&mut self) {
        self.bins.written();
        self.seconds.clear();
        self.verdicts.clear();
        self.in_force.clear();
    }

    /// The file is a new one: it has to be told what is known from before.
    fn begin_anew(
        &mut self,
        pools: &HashMap<PoolName, Arc<InForce>>,
        told: &HashMap<PoolName, VerdictTold>,
        now_seconds: f64,
    ) {
        let waiting: HashSet<&PoolName> = self.verdicts.iter().map(|told| &told.pool).collect();
        let stands = told.values().filter(|told| !waiting.contains(&told.pool));
        let stands: Vec<VerdictTold> = stands.cloned().collect();
        self.verdicts.extend(stands);
        self.bins.forget_written();
        let told: HashSet<&PoolName> = self.in_force.iter().map(|(_, name, _)| name).collect();
        let others = pools.iter().filter(|(name, _)| !told.contains(name));
        let others: Vec<_> =
            others.map(|(name, now)| (now_seconds, name.clone(), Some(Arc::clone(now)))).collect();
        self.in_force.extend(others);
    }

    /// Lets go of the earliest of what is too much. Gives how many verdicts and declarations went.
    fn shorten(&mut self) -> u64 {
        drop_first(&mut self.seconds, MOST_SECONDS, Second::rows);
        let verdicts = drop_first(&mut self.verdicts, MOST_TEXT, |told| told.check_json.len());
        let in_force = drop_first(&mut self.in_force, MOST_TEXT, |(_, _, now)| {
            now.as_ref().map_or(1, |now| now.members.len())
        });
        verdicts + in_force
    }
}

/// Lets go of the first until the rest is of at most so much. Gives how many went.
fn drop_first<T>(list: &mut Vec<T>, most: usize, size: impl Fn(&T) -> usize) -> u64 {
    let mut left: usize = list.iter().map(&size).sum();
    let mut first = 0;
    while left > most && first < list.len() {
        left -= size(&list[first]);
        first += 1;
    }
    list.drain(..first);
    first as u64
}

#[cfg(test)]
mod tests {
    use super::super::tests::made::{Alone, LIMITS, START, app, interval, is_whole, query};
    use super::*;

    #[test]
    fn on_a_full_disk_a_lower_limit_makes_room() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.db");
        let members: Vec<_> = (1..=100).map(|number| (number, 10)).collect();
        let mut alone = Alone::new(&path);
        for second in (10..=5_000).step_by(10) {
            alone.take(&interval(second, app(&members)), &[]);
        }
        alone.end(5_000);
        let limits = Limits { bytes: 1 << 20, ..LIMITS };
        let mut alone = Alone::at(&path, limits, START + 5_000.0);
        alone.desk.book.as_ref().unwrap().grow_no_more();
        let all: Vec<_> = (0..=255).map(|number| (number, 1)).collect();
        let mut second = 5_001;
        alone.take(&interval(second, app(&all)), &[]);
        assert!(alone.health().failing && alone.said()[0].contains("the disk is full"), "{:?}", alone.said());
        while alone.health().failing && second < 5_030 {
            second += 1;
            alone.take(&interval(second, app(&all)), &[]);
        }
        assert!(!alone.health().failing, "{:?}", alone.said());
        alone.end(second);
        is_whole(&path);
        assert!(
            query(&path, "SELECT sum(attempts) FROM points WHERE run = 2") >= 256 * i64::from(second - 5_000)
        );
    }
}
