//! Everything that a range of time holds: what a report is made from. Plain data; times are seconds since the epoch.
//!
//! What was not measured is `None`, and never 0.

use crate::chronicle::PoolName;
use crate::collect::{Failures, Histogram, Uncounted};
use crate::detect::Verdict;
use crate::pools::{ExpectedSource, Method};
use std::net::SocketAddr;

/// What a report is made from.
#[derive(Clone, Debug)]
pub struct Material {
    /// How the verdicts came about.
    pub made: Made,
    /// The host that was traced, as far as it is known.
    pub host: Option<String>,
    /// What was asked for.
    pub range: Range,
    /// Every run of the agent that reaches into the range, the earliest first.
    pub runs: Vec<Run>,
    /// Every change of a verdict within the range, the earliest first; and before these, of each pool, what was told before
    /// the range back to the last time that it had no finding: so it is known what stood when the range began, and since
    /// when.
    pub changes: Vec<Change>,
    /// The pools as they were declared or found, whenever that was another way, the earliest first; of each pool the last
    /// one before the range too.
    pub pools: Vec<PoolInForce>,
    /// What each member got, in the order of pools and addresses.
    pub series: Vec<Series>,
    /// When it was counted, the earliest first, apart from one another. What lies between is a gap: nothing is known of it.
    pub counted: Vec<Span>,
    /// Intervals that were counted.
    pub intervals: u64,
    /// What could not be counted where it belongs, within the range; `None` when that is not known.
    pub uncounted: Option<Uncounted>,
    /// What the reader should know of the material itself, a line each: what is lost of it.
    pub remarks: Vec<String>,
}

/// How the verdicts of a report came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// They are those that were given then, with their times.
    Then,
    /// A recording was judged again: the same code, and the same verdicts as far as it is of the same version.
    Again,
}

/// From when to when, seconds since the epoch. A moment belongs to it after `from_seconds`, and up to `to_seconds`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Its beginning.
    pub from_seconds: f64,
    /// Its end.
    pub to_seconds: f64,
}

impl Range {
    /// Whether something that happened then belongs to it.
    #[must_use]
    pub fn contains(&self, time_seconds: f64) -> bool {
        time_seconds > self.from_seconds && time_seconds <= self.to_seconds
    }

    /// Whether an interval belongs to it: one that ends in it, and one that reaches over its end from so far within that
    /// without it there would be a gap. It belongs to it whole: nobody knows when in it something happened.
    #[must_use]
    pub fn counts(&self, end_seconds: f64, length_seconds: f64) -> bool {
        let over_the_end = end_seconds > self.to_seconds
            && self.to_seconds - self.from_seconds.max(end_seconds - length_seconds) > NO_GAP_SECONDS;
        self.contains(end_seconds) || over_the_end
    }

    /// How long it is, seconds.
    #[must_use]
    pub fn length_seconds(&self) -> f64 {
        (self.to_seconds - self.from_seconds).max(0.0)
    }
}

/// Time that is no gap, seconds: ticks do not fall on whole seconds.
pub(super) const NO_GAP_SECONDS: f64 = 2.0;
/// A tick is not exact: what ends so shortly before the next begins is no gap, in parts of the interval.
const TICK_JITTER: f64 = 0.5;

/// Whether an interval of some length that begins then goes on from what ended before it, without a gap.
pub(crate) fn goes_on(end_seconds: f64, start_seconds: f64, length_seconds: f64) -> bool {
    start_seconds - end_seconds <= (length_seconds * TICK_JITTER).max(NO_GAP_SECONDS)
}

/// Some time, seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Its beginning.
    pub from_seconds: f64,
    /// Its end.
    pub to_seconds: f64,
}

/// A run of the agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// When it began to count.
    pub start_seconds: f64,
    /// When it ended; `None`: it was killed, or still runs.
    pub stop_seconds: Option<f64>,
    /// Why it ended, such as the name of a signal.
    pub reason: Option<String>,
    /// Which version it was.
    pub version: Option<String>,
}

/// A verdict that was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// When it was told.
    pub time_seconds: f64,
    /// Of which pool.
    pub pool: PoolName,
    /// What it is.
    pub verdict: Verdict,
    /// What was told before it; `None`: it was the pool's first.
    pub previous: Option<Verdict>,
    /// Every verdict that was supported, the most severe first.
    pub findings: Vec<Verdict>,
    /// The sentence.
    pub summary: String,
    /// The onset: since when it was so. `None` without a finding.
    pub since_seconds: Option<f64>,
    /// Whether it was so from the first traffic seen, so that it may have begun long before.
    pub since_start: bool,
    /// The pool as in `tracer.check/1`, with all of its evidence.
    pub check: serde_json::Value,
}

/// A pool, and what was expected of it from some time on.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolInForce {
    /// From when on.
    pub time_seconds: f64,
    /// Which pool.
    pub pool: PoolName,
    /// `file:line` of its declaration, or `discovered`.
    pub source: String,
    /// Where the expected shares come from.
    pub expected_source: ExpectedSource,
    /// How the balancer chooses.
    pub method: Method,
    /// In the order of their addresses.
    pub members: Vec<MemberInForce>,
}

/// A member, and what it should get.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberInForce {
    /// Where it is.
    pub backend: SocketAddr,
    /// Its weight, relative to the others; 0 for drained and backup; `None`: not declared.
    pub weight: Option<f64>,
    /// `file:line` at which the weight is written, where that is known.
    pub at: Option<String>,
}

/// What one member got.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The pool.
    pub pool: PoolName,
    /// The member.
    pub backend: SocketAddr,
    /// The earliest first.
    pub points: Vec<Point>,
}

/// What one member got in some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When that ended.
    pub end_seconds: f64,
    /// How long it was, seconds.
    pub length_seconds: f64,
    /// What was counted in it.
    pub counts: Counts,
    /// Present connections: the mean over the time.
    pub live: Option<f64>,
    /// The share that it should get, 0 to 1.
    pub expected_share: Option<f64>,
    /// Response times of the exchanges.
    pub response: Option<Histogram>,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// What was counted of a member in some time.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $field: Option<u64>,)*
            /// Attempts that failed, by cause; a cause that was not measured is 0 when another was.
            pub failed: Option<Failures>,
        }

        impl Counts {
            /// Adds what was measured.
            pub fn add(&mut self, more: &Self) {
                $(self.$field = sum(self.$field, more.$field);)*
                if let Some(failed) = &more.failed {
                    *self.failed.get_or_insert_default() += failed;
                }
            }
        }
    };
}

counts! {
    /// Sockets that entered SYN_SENT.
    attempts,
    /// Of these, without health checks: what shares of new connections are computed on.
    decisions,
    /// Attempts that were established.
    established,
    /// Established and adopted connections that ended.
    closed,
    /// Closed by an RST from the backend.
    resets,
    /// Closed by an RST from the backend before it had sent a byte.
    resets_without_data,
    /// Closed without payload either way.
    probes,
    /// Payload bytes to the backend.
    sent_bytes,
    /// Payload bytes from the backend.
    received_bytes,
    /// Segments sent again.
    retransmits,
    /// Requests with their responses.
    exchanges,
    /// Of these, without health checks: what shares of exchanges are computed on.
    requests,
}

/// Of what was measured.
fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    }
}

impl Point {
    /// Takes in a later one, so that it is of both times.
    pub fn add(&mut self, later: &Self) {
        self.live = mean(self.live, self.length_seconds, later.live, later.length_seconds);
        self.end_seconds = later.end_seconds;
        self.length_seconds += later.length_seconds;
        self.counts.add(&later.counts);
        self.expected_share = later.expected_share;
        if let Some(times) = &later.response {
            *self.response.get_or_insert_default() += times;
        }
    }

    /// When it began, seconds since the epoch.
    #[must_use]
    pub fn start_seconds(&self) -> f64 {
        self.end_seconds - self.length_seconds
    }
}

/// Of two figures, each for as long as it stood.
fn mean(one: Option<f64>, one_seconds: f64, other: Option<f64>, other_seconds: f64) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) if one_seconds + other_seconds > 0.0 => {
            Some((one * one_seconds + other * other_seconds) / (one_seconds + other_seconds))
        }
        (one, other) => other.or(one),
    }
}
