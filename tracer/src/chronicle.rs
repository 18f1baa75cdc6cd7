//! From what is said of the pools after each interval to what is worth telling: events.
//!
//! An operator wants to know when a pool is first judged, when its verdict changes and when a finding clears; no flood at
//! the start, and no line for what is different again a moment later. So:
//!
//! - a verdict is told when it has stood for [`STEADY_INTERVALS`]: a failing member looks skewed at first;
//! - `insufficient-evidence` is told only after a finding, which has cleared then. Before a pool's first verdict, and
//!   after `balanced`, it means that little happens, and what was told last stays true;
//! - a sentence that changes while the verdict does not is no event.

use crate::agent::Judged;
use crate::collect::{Other, Uncounted};
use crate::detect::{Assessment, Verdict};
use crate::pools::{DeclaredPool, ExpectedSource, PoolSample};
use std::collections::{BTreeSet, HashMap};

/// A verdict is told when it has stood for so many intervals.
pub const STEADY_INTERVALS: u32 = 3;

/// While more and more is not counted, it is told at most this often, seconds.
pub const UNCOUNTED_EVERY_SECONDS: f64 = 60.0;

/// Something worth telling.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, seconds since the epoch.
    pub time_seconds: f64,
    /// What.
    pub what: What,
}

/// What there is to tell.
#[derive(Clone, Debug)]
pub enum What {
    /// Counting has begun.
    Tracing {
        /// Name of the host.
        host: String,
        /// Pools that are declared.
        declared_pools: usize,
    },
    /// A pool's verdict is another one.
    Verdict {
        /// The pool in the interval.
        sample: Box<PoolSample>,
        /// What is said about it.
        assessment: Box<Assessment>,
        /// The verdict that was told before; `None`: this is its first.
        previous: Option<Verdict>,
    },
    /// There are other pools than before, or should be.
    PoolsChanged(PoolsChanged),
    /// More could not be counted where it belongs.
    Uncounted {
        /// Since the start.
        total: Uncounted,
        /// The reasons for which it grew since it was told last, as they are named in JSON.
        grew: Vec<&'static str>,
    },
    /// Counting has ended.
    Stopping {
        /// Name of the signal, or `end` when there was no more to read.
        reason: &'static str,
        /// How long it counted.
        duration_seconds: f64,
        /// Every pool at the end, judged or not.
        pools: Vec<Judged>,
        /// What is nobody's; `None` in a recording.
        other: Option<Box<Other>>,
        /// What could not be counted where it belongs; `None` when the recording does not say.
        uncounted: Option<Uncounted>,
    },
}

/// How the pools changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolsChanged {
    /// What changed them, or should have.
    pub cause: Cause,
    /// Pools that there were not before.
    pub added: Vec<PoolName>,
    /// Pools that are gone.
    pub removed: Vec<PoolName>,
    /// Declared pools that are declared otherwise.
    pub changed: Vec<PoolName>,
    /// The filters are other ones, so that everything is judged anew.
    pub selection: bool,
    /// Keys of the configuration that changed and count only after a restart.
    pub needs_restart: Vec<&'static str>,
    /// Why the pools stayed as they were, a line for each problem; empty when all could be read.
    pub errors: Vec<String>,
    /// Times that something could not be read, since the start.
    pub failures: u64,
    /// What could not be found out though all was read, a line each: names that keep their last addresses, a balancer that
    /// cannot be asked.
    pub warnings: Vec<String>,
}

impl PoolsChanged {
    /// No change yet.
    #[must_use]
    pub const fn by(cause: Cause) -> Self {
        Self {
            cause,
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
            selection: false,
            needs_restart: Vec::new(),
            errors: Vec::new(),
            failures: 0,
            warnings: Vec::new(),
        }
    }

    /// From what was declared to what is. Where it is written makes no difference.
    #[must_use]
    pub fn between(cause: Cause, before: &[DeclaredPool], now: &[DeclaredPool]) -> Self {
        let by_name = |pools: &'_ [DeclaredPool]| -> HashMap<String, usize> {
            pools.iter().enumerate().map(|(index, pool)| (pool.name.clone(), index)).collect()
        };
        let (earlier, later) = (by_name(before), by_name(now));
        let mut change = Self::by(cause);
        for pool in now {
            match earlier.get(&pool.name).and_then(|&index| before.get(index)) {
                None => change.added.push(PoolName::declared(pool)),
                Some(old) if !old.says_the_same(pool) => change.changed.push(PoolName::declared(pool)),
                Some(_) => {}
            }
        }
        let gone = before.iter().filter(|pool| !later.contains_key(&pool.name));
        change.removed = gone.map(PoolName::declared).collect();
        change
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Self { failures: 0, warnings: Vec::new(), ..self.clone() } == Self::by(self.cause)
    }
}

/// What changed the pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The balancers did: a pool was seen for the first time, or is no longer followed.
    Traffic,
    /// The configuration was read again because somebody asked for it.
    Reload,
    /// The pools file is another one.
    PoolsFile,
    /// A balancer's configuration is another one.
    Configuration,
    /// A host name resolves to other addresses.
    Names,
    /// Somebody changed weights, drains or servers of a running balancer.
    RunTime,
}

/// What a pool is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct PoolName {
    /// Its name.
    pub pool: String,
    /// What its balancer is called, if that is known.
    pub balancer: Option<String>,
}

impl PoolName {
    fn declared(pool: &DeclaredPool) -> Self {
        Self { pool: pool.name.clone(), balancer: pool.balancer.clone() }
    }

    pub(crate) fn of(judged: &Judged) -> Self {
        let identity = &judged.sample.pool;
        Self { pool: identity.name.clone(), balancer: identity.balancer.clone() }
    }
}

/// Remembers what was told.
#[derive(Debug, Default)]
pub struct Chronicle {
    /// Every pool that has been judged and is still there.
    pools: HashMap<PoolName, Told>,
    uncounted: Uncounted,
    uncounted_seconds: Option<f64>,
}

/// What was told, to be written down for an agent that goes on from here: it does not tell it again.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub struct ChronicleState {
    pools: Vec<(PoolName, Told)>,
    uncounted: Uncounted,
    uncounted_seconds: Option<f64>,
}

impl From<ChronicleState> for Chronicle {
    fn from(state: ChronicleState) -> Self {
        Self {
            pools: state.pools.into_iter().collect(),
            uncounted: state.uncounted,
            uncounted_seconds: state.uncounted_seconds,
        }
    }
}

/// What was told of a pool, and what may be next.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Told {
    /// Nobody declared it.
    discovered: bool,
    verdict: Option<Verdict>,
    /// The verdict of the last interval, and for how many intervals it has stood.
    latest: (Verdict, u32),
}

impl Told {
    fn new(judged: &Judged, verdict: Verdict) -> Self {
        let discovered = judged.sample.pool.expected_source == ExpectedSource::Assumed;
        Self { discovered, verdict: None, latest: (verdict, 0) }
    }

    /// Takes the verdict of one more interval. When it is worth telling: what was told before.
    fn take(&mut self, verdict: Verdict) -> Option<Option<Verdict>> {
        let stood = if verdict == self.latest.0 { self.latest.1.saturating_add(1) } else { 1 };
        self.latest = (verdict, stood);
        let says_something =
            verdict != Verdict::InsufficientEvidence || self.verdict.is_some_and(Verdict::is_finding);
        let is_news = stood >= STEADY_INTERVALS && self.verdict != Some(verdict) && says_something;
        is_news.then(|| self.verdict.replace(verdict))
    }
}

impl Chronicle {
    /// What was told so far.
    #[must_use]
    pub fn state(&self) -> ChronicleState {
        let mut pools: Vec<_> = self.pools.iter().map(|(name, told)| (name.clone(), told.clone())).collect();
        pools.sort_by(|a, b| a.0.cmp(&b.0));
        ChronicleState { pools, uncounted: self.uncounted, uncounted_seconds: self.uncounted_seconds }
    }

    /// Everything is judged anew from the next interval on: what was told of verdicts says nothing of the next ones.
    pub fn begin_again(&mut self) {
        for told in self.pools.values_mut() {
            told.verdict = None;
            told.latest.1 = 0;
        }
    }

    /// Takes one more interval; what is worth telling of it. `time_seconds` is its end, since the epoch.
    pub fn take(&mut self, time_seconds: f64, pools: &[Judged], uncounted: Option<&Uncounted>) -> Vec<Event> {
        let mut events: Vec<What> = Vec::new();
        let there: BTreeSet<PoolName> = pools.iter().map(PoolName::of).collect();
        let mut change = PoolsChanged::by(Cause::Traffic);
        // What was declared and no longer is was told when it was read.
        self.pools.retain(|name, told| {
            let stays = there.contains(name);
            if !stays && told.discovered {
                change.removed.push(name.clone());
            }
            stays
        });
        change.removed.sort_unstable();
        let mut verdicts = Vec::new();
        for judged in pools {
            let Some(assessment) = &judged.assessment else { continue };
            let name = PoolName::of(judged);
            let told = self.pools.entry(name.clone()).or_insert_with(|| {
                let told = Told::new(judged, assessment.verdict);
                if told.discovered {
                    change.added.push(name);
                }
                told
            });
            if let Some(previous) = told.take(assessment.verdict) {
                let (sample, assessment) = (judged.sample.clone(), assessment.clone());
                let (sample, assessment) = (Box::new(sample), Box::new(assessment));
                verdicts.push(What::Verdict { sample, assessment, previous });
            }
        }
        if !change.is_empty() {
            events.push(What::PoolsChanged(change));
        }
        events.extend(verdicts);
        events.extend(uncounted.and_then(|total| self.uncounted(time_seconds, total)));
        events.into_iter().map(|what| Event { time_seconds, what }).collect()
    }

    fn uncounted(&mut self, time_seconds: f64, total: &Uncounted) -> Option<What> {
        let grown = total.since(self.uncounted).by_name().filter(|(_, more)| *more > 0);
        let grew: Vec<&'static str> = grown.map(|(name, _)| name).collect();
        let soon = self.uncounted_seconds.is_some_and(|last| time_seconds - last < UNCOUNTED_EVERY_SECONDS);
        if grew.is_empty() || soon {
            return None;
        }
        self.uncounted = *total;
        self.uncounted_seconds = Some(time_seconds);
        Some(What::Uncounted { total: *total, grew })
    }
}

#[cfg(test)]
#[path = "chronicle_tests.rs"]
mod tests;
