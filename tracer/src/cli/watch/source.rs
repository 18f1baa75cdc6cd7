//! Where intervals come from.

use super::super::exit::{Failure, say};
use crate::agent::{Agent, Judged};
use crate::collect::{Sample, Ticker, Uncounted};
use crate::detect::Settings;
use crate::kernel::{self, Tracer};
use crate::pools::{DeclaredPool, Pools};
use std::time::{Duration, SystemTime};

/// An interval that has been judged: all that the rest of `watch` sees of a source.
pub(super) struct Interval {
    /// Its end, seconds since the epoch, on a clock that never goes back.
    pub(super) time_seconds: f64,
    /// Every pool, judged or not.
    pub(super) pools: Vec<Judged>,
    /// What could not be counted where it belongs, since the start.
    pub(super) uncounted: Uncounted,
}

/// This host's kernel.
pub(super) struct Live {
    ticker: Ticker,
    agent: Agent,
    started_seconds: f64,
}

impl Live {
    /// Begins counting. Must be called within a tokio runtime.
    pub(super) fn start(pools: Pools, bounds: kernel::Settings) -> Result<Self, Failure> {
        let agent = Agent::new(pools, Settings::default());
        let tracer = Tracer::start(bounds)?;
        if let Some(notice) = tracer.memory().notice() {
            say(&notice);
        }
        let started = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Ok(Self { ticker: Ticker::new(tracer, None), agent, started_seconds: started.as_secs_f64() })
    }

    /// Waits for the next interval; `None` when there is no more. Safe to drop while it waits.
    pub(super) async fn next(&mut self) -> Option<Interval> {
        let sample = self.ticker.next().await?;
        Some(self.judge(&sample))
    }

    /// The interval up to now, so that what is told at the end is true.
    pub(super) fn last(&mut self) -> Interval {
        let sample = self.ticker.read();
        self.judge(&sample)
    }

    /// Takes other declared pools from the next interval on.
    pub(super) fn declare(&mut self, declared: Vec<DeclaredPool>) {
        self.agent.declare(declared);
    }

    /// Looks at something else from the next interval on. What was known of the pools is forgotten: it was of others,
    /// or of other members. The kernel's counters go on.
    pub(super) fn select(&mut self, pools: Pools) {
        self.agent = Agent::new(pools, Settings::default());
    }

    /// Seconds since the epoch, on the clock of the intervals.
    pub(super) fn now(&self) -> f64 {
        self.started_seconds + self.elapsed().as_secs_f64()
    }

    /// Time since counting began.
    pub(super) fn elapsed(&self) -> Duration {
        self.ticker.elapsed()
    }

    fn judge(&mut self, sample: &Sample) -> Interval {
        let pools = self.agent.step(sample);
        Interval { time_seconds: sample.time_seconds, pools, uncounted: sample.uncounted }
    }
}
