//! Intervals that are made up, and who writes them.

use crate::agent::Judged;
use crate::chronicle::{Event, What};
use crate::detect::Verdict;
use crate::history::desk::Desk;
use crate::history::scribe::Shared;
use crate::history::{Describer, Health, History, Limits, Run, Scribe};
use crate::outputs::metrics::tests::pool;
use crate::recording::Interval;
use crate::report::{Material, Range};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A beginning of ten seconds.
pub(in crate::history) const START: f64 = 1_767_225_600.0;
pub(in crate::history) const LIMITS: Limits =
    Limits { bytes: 512 << 20, age: Duration::from_secs(30 * 86_400) };

pub(in crate::history) fn run(started_seconds: f64) -> Run {
    Run { started_seconds, host: "lb1".into(), version: "0.1.0", detector: 5 }
}

/// A second that ends at `START` and so many more.
pub(in crate::history) fn interval(second: u32, pools: Vec<Judged>) -> Interval<Judged> {
    Interval {
        time_seconds: START + f64::from(second),
        interval_seconds: 1.0,
        pools,
        other: None,
        uncounted: None,
    }
}

/// One pool `app` by nginx; each member's number and attempts.
pub(in crate::history) fn app(members: &[(u8, u64)]) -> Vec<Judged> {
    vec![pool("app", "nginx", members)]
}

/// That this was told of the interval's first pool.
pub(in crate::history) fn told(interval: &Interval<Judged>, previous: Option<Verdict>) -> Vec<Event> {
    let Judged { sample, assessment } = interval.pools[0].clone();
    let what = What::Verdict { sample: sample.into(), assessment: assessment.unwrap().into(), previous };
    vec![Event { time_seconds: interval.time_seconds, what }]
}

/// A desk without its thread, and what it said.
pub(in crate::history) struct Alone {
    pub(in crate::history) desk: Desk,
    describer: Describer,
    shared: Arc<Shared>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Alone {
    pub(in crate::history) fn at(path: &Path, limits: Limits, started_seconds: f64) -> Self {
        let (shared, said) = (Arc::new(Shared::default()), Arc::new(Mutex::new(Vec::new())));
        let into = Arc::clone(&said);
        let say = Box::new(move |line: &str| into.lock().unwrap().push(line.to_owned()));
        let desk = Desk::open(path, limits, run(started_seconds), Arc::clone(&shared), say).unwrap();
        Self { desk, describer: Describer::default(), shared, said }
    }

    pub(in crate::history) fn new(path: &Path) -> Self {
        Self::at(path, LIMITS, START)
    }

    /// Takes an interval and writes.
    pub(in crate::history) fn take(&mut self, interval: &Interval<Judged>, events: &[Event]) {
        self.desk.take(self.describer.tick(interval, events).unwrap());
        self.desk.write();
    }

    pub(in crate::history) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    pub(in crate::history) fn health(&self) -> Health {
        Health {
            failing: self.shared.failing.load(Relaxed),
            failures: self.shared.failures.load(Relaxed),
            waiting: self.shared.kept.load(Relaxed),
            lost: self.shared.lost.load(Relaxed),
            bytes: Some(self.shared.bytes.load(Relaxed)),
        }
    }

    pub(in crate::history) fn end(self, second: u32) {
        self.desk.end(Some((START + f64::from(second), "SIGTERM".into())));
    }
}

/// A scribe that says nothing that is listened to.
pub(in crate::history) fn scribe(path: &Path) -> Scribe {
    Scribe::start(path, LIMITS, run(START), |_| {}).unwrap()
}

/// From `START` for so many seconds.
pub(in crate::history) fn material(path: &Path, seconds: u32) -> Material {
    let range = Range { from_seconds: START, to_seconds: START + f64::from(seconds) };
    History::open(path).unwrap().material(range).unwrap()
}

/// Attempts of a member in all.
pub(in crate::history) fn attempts(material: &Material, number: u8) -> u64 {
    let backend = crate::outputs::metrics::tests::backend(number);
    let of_it = material.series.iter().filter(|series| series.backend == backend);
    of_it.flat_map(|series| &series.points).map(|point| point.counts.attempts.unwrap()).sum()
}

/// One number that a query gives.
pub(in crate::history) fn query(path: &Path, sql: &str) -> i64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// That SQLite finds nothing wrong with it.
pub(in crate::history) fn is_whole(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
}
