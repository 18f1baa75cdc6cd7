//! What a pool or a member did in the last minutes.

use crate::collect::Counters;
use crate::pools::{Exchanges, MemberSample};
use std::collections::{BTreeSet, VecDeque};

/// Intervals that a sparkline goes back: five minutes of ticks.
pub(super) const REMEMBERED: usize = 300;
/// Figures are of at least so long, and of at most twice as long, once there is so much, seconds.
pub(super) const LATELY_SECONDS: f64 = 30.0;
/// A rate is the mean of so many intervals: one is too restless to read.
const SMOOTHED: usize = 5;

/// New connections, or exchanges, a second, interval by interval, the newest last; `None` where they were not measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(VecDeque<Option<f32>>);

impl Pace {
    /// Takes in one more interval of `seconds`.
    pub(super) fn take(&mut self, count: Option<u64>, seconds: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "a rate to be drawn; seven digits are enough")]
        let rate = count.filter(|_| seconds > 0.0).map(|count| (count as f64 / seconds) as f32);
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(rate);
    }

    /// Mean of the last few intervals; `None` when none of them was measured.
    pub(super) fn now(&self) -> Option<f64> {
        mean(self.0.iter().rev().take(SMOOTHED).copied())
    }

    /// The highest that is remembered.
    pub(super) fn peak(&self) -> Option<f64> {
        self.0.iter().flatten().copied().map(f64::from).reduce(f64::max)
    }

    /// All of it.
    pub(super) const fn intervals(&self) -> &VecDeque<Option<f32>> {
        &self.0
    }
}

/// Mean of what is known; `None` when nothing is.
pub(super) fn mean(rates: impl Iterator<Item = Option<f32>>) -> Option<f64> {
    let (count, sum) =
        rates.flatten().fold((0_u32, 0.0), |(count, sum), rate| (count + 1, sum + f64::from(rate)));
    (count > 0).then(|| sum / f64::from(count))
}

/// Everything that a member did lately: in the last [`LATELY_SECONDS`] to twice as long.
#[derive(Clone, Debug, Default)]
pub(super) struct Trend {
    pub(super) pace: Pace,
    pub(super) exchange_pace: Pace,
    earlier: Sums,
    current: Sums,
}

/// Sums over some intervals.
#[derive(Clone, Debug, Default)]
struct Sums {
    seconds: f64,
    decisions: u64,
    counters: Counters,
    unmeasured: BTreeSet<&'static str>,
    exchanges: Exchanges,
    requests: Option<u64>,
}

impl Sums {
    fn add(&mut self, sample: &MemberSample, seconds: f64) {
        self.seconds += seconds;
        self.decisions = self.decisions.saturating_add(sample.decisions);
        self.counters += &sample.delta;
        self.unmeasured.extend(&sample.recorded.unmeasured);
        self.exchanges.add(&sample.exchanges);
        self.requests = sum(self.requests, sample.requests);
    }
}

/// Of two figures of which each may be unknown: the sum of what is known.
pub(super) fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (known, None) | (None, known) => known,
    }
}

impl Trend {
    /// Takes in one more interval of `seconds`.
    pub(super) fn take(&mut self, sample: &MemberSample, seconds: f64) {
        self.pace.take(decisions(sample), seconds);
        self.exchange_pace.take(sample.requests, seconds);
        if self.current.seconds >= LATELY_SECONDS {
            self.earlier = std::mem::take(&mut self.current);
        }
        self.current.add(sample, seconds);
    }

    /// How long lately is, seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.earlier.seconds + self.current.seconds
    }

    /// A counter or a cause of failures, by its name; `None` where it was not measured all the while.
    pub(super) fn count(&self, name: &str, of: impl Fn(&Counters) -> u64) -> Option<u64> {
        let known = |sums: &Sums| !sums.unmeasured.contains(name);
        (known(&self.earlier) && known(&self.current))
            .then(|| of(&self.earlier.counters).saturating_add(of(&self.current.counters)))
    }

    /// New connections that the balancer chose the member for.
    pub(super) fn decisions(&self) -> Option<u64> {
        let known = self.count("attempts", |_| 0).is_some();
        known.then(|| self.earlier.decisions.saturating_add(self.current.decisions))
    }

    /// Exchanges that were no health checks; `None` when not measured.
    pub(super) fn requests(&self) -> Option<u64> {
        sum(self.earlier.requests, self.current.requests)
    }

    /// Exchanges and response times.
    pub(super) fn exchanges(&self) -> Exchanges {
        let mut both = self.earlier.exchanges.clone();
        both.add(&self.current.exchanges);
        both
    }

    /// Payload bytes to the backend and from it.
    pub(super) fn bytes(&self) -> Option<[u64; 2]> {
        let sent = self.count("sent_bytes", |counters| counters.sent_bytes)?;
        Some([sent, self.count("received_bytes", |counters| counters.received_bytes)?])
    }

    /// Failures by cause, those that were measured; `None` when none was.
    pub(super) fn failures(&self) -> Option<Vec<(&'static str, u64)>> {
        let earlier = self.earlier.counters.failed.by_cause();
        let both = earlier.into_iter().zip(self.current.counters.failed.by_cause());
        let known = both.filter_map(|((cause, earlier), (_, current))| {
            self.count(cause, |_| 0).map(|_| (cause, earlier.saturating_add(current)))
        });
        let known: Vec<_> = known.collect();
        (!known.is_empty()).then_some(known)
    }
}

/// New connections of the interval; `None` where they were not measured.
pub(super) fn decisions(sample: &MemberSample) -> Option<u64> {
    (!sample.recorded.unmeasured.contains("attempts")).then_some(sample.decisions)
}
