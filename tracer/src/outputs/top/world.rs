//! What is known now: the latest interval, and what is remembered of the ones before.

use super::trend::{Pace, Trend, decisions, sum};
use crate::agent::Judged;
use crate::chronicle::PoolName;
use crate::collect::Uncounted;
use crate::detect::{Signal, Verdict};
use crate::pools::{MemberSample, PoolSample};
use crate::recording::Interval;
use std::collections::{HashMap, VecDeque};

/// Notices that are kept; nobody scrolls through more.
const MOST_NOTICES: usize = 20;

/// Everything there is to show.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Name of the host, or of the recording; untrusted text.
    pub(super) name: String,
    /// Whether it is a recording.
    pub(super) recorded: bool,
    /// End of the latest interval, seconds since the epoch; `None` before the first.
    pub(super) time_seconds: Option<f64>,
    /// Intervals so far: what a sparkline counts its cells by.
    pub(super) ticks: usize,
    /// Length of the latest intervals, seconds, the newest last.
    pub(super) lengths: VecDeque<f64>,
    /// Every pool, the most severe first.
    pub(super) pools: Vec<Pool>,
    /// What could not be counted where it belongs; `None` when that is not known.
    pub(super) uncounted: Option<Uncounted>,
    /// What was said on the way, the newest last; untrusted text.
    pub(super) notices: VecDeque<String>,
    /// What was asked for and not seen so far, a line each.
    pub(super) unmatched: Vec<String>,
    /// Nothing more comes.
    pub(super) ended: bool,
}

/// A pool as it is now, and as it was.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) name: PoolName,
    pub(super) judged: Judged,
    /// Of new connections.
    pub(super) pace: Pace,
    exchanges: Pace,
    /// In the order of the sample's members.
    pub(super) members: Vec<Trend>,
}

impl World {
    /// Of this host, with nothing seen yet.
    #[must_use]
    pub fn of_host(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// Of the recording in this file, with nothing read yet.
    #[must_use]
    pub fn of_recording(name: String) -> Self {
        Self { name, recorded: true, ..Self::default() }
    }

    /// Takes in one more interval; `unmatched` is what was asked for and not seen so far, a line each.
    pub fn take(&mut self, interval: Interval<Judged>, unmatched: Vec<String>) {
        let seconds = interval.interval_seconds;
        self.time_seconds = Some(interval.time_seconds);
        self.ticks = self.ticks.wrapping_add(1);
        self.lengths.push_back(seconds);
        if self.lengths.len() > super::trend::REMEMBERED {
            self.lengths.pop_front();
        }
        self.uncounted = interval.uncounted;
        self.unmatched = unmatched;
        let before = std::mem::take(&mut self.pools).into_iter();
        let mut before: HashMap<PoolName, Pool> = before.map(|pool| (pool.name.clone(), pool)).collect();
        let pools = interval.pools.into_iter().map(|judged| {
            let name = PoolName::of(&judged);
            let known = before.remove(&name);
            Pool::after(known, name, judged, seconds)
        });
        self.pools = pools.collect();
        self.pools.sort_by_key(Pool::severity);
    }

    /// Something that the operator should know and that no pool says.
    pub fn notice(&mut self, line: &str) {
        if self.notices.len() == MOST_NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(line.to_owned());
    }

    /// The recording is over.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// A pool by its name.
    pub(super) fn pool(&self, name: &PoolName) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name == *name)
    }
}

impl Pool {
    fn after(known: Option<Self>, name: PoolName, judged: Judged, seconds: f64) -> Self {
        let (mut pace, mut exchanges, before) = known.map_or_else(Default::default, |pool| {
            let addresses = pool.judged.sample.members.into_iter().map(|member| member.backend);
            (pool.pace, pool.exchanges, addresses.zip(pool.members).collect::<Vec<_>>())
        });
        pace.take(total(&judged.sample, decisions), seconds);
        exchanges.take(total(&judged.sample, |member| member.requests), seconds);
        // Both are in the order of their addresses, as a rule; who is out of it begins anew.
        let mut before = before.into_iter().peekable();
        let members = judged.sample.members.iter().map(|member| {
            while before.next_if(|(backend, _)| *backend < member.backend).is_some() {}
            let known = before.next_if(|(backend, _)| *backend == member.backend);
            let mut trend = known.map_or_else(Trend::default, |(_, trend)| trend);
            trend.take(member, seconds);
            trend
        });
        let members = members.collect();
        Self { name, judged, pace, exchanges, members }
    }

    /// Whether it is judged by its exchanges, since connections are reused.
    pub(super) fn is_of_exchanges(&self) -> bool {
        self.judged.assessment.as_ref().is_some_and(|assessment| assessment.signal == Signal::Exchanges)
    }

    /// What shares are of, as it came: exchanges where the pool is judged by them, else new connections.
    pub(super) fn traffic(&self) -> &Pace {
        if self.is_of_exchanges() { &self.exchanges } else { &self.pace }
    }

    /// The same of one member, by its place.
    pub(super) fn traffic_of(&self, member: usize) -> Option<&Pace> {
        let trend = self.members.get(member)?;
        Some(if self.is_of_exchanges() { &trend.exchange_pace } else { &trend.pace })
    }

    /// What is said of it; `None` for a pool that is only listed.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.judged.assessment.as_ref().map(|assessment| assessment.verdict)
    }

    /// Whether somebody should look at it.
    pub(super) fn is_finding(&self) -> bool {
        self.verdict().is_some_and(Verdict::is_finding)
    }

    /// Whether one line is enough for it: nobody judges it, or nothing goes there.
    pub(super) fn is_aside(&self) -> bool {
        self.judged.assessment.is_none() || self.judged.sample.is_idle()
    }

    /// Most severe first, what is aside last.
    fn severity(&self) -> (bool, Option<Verdict>, PoolName) {
        (self.is_aside(), self.verdict(), self.name.clone())
    }
}

/// A count of all members in the interval; `None` when that of nobody was measured.
fn total(sample: &PoolSample, of: impl Fn(&MemberSample) -> Option<u64>) -> Option<u64> {
    sample.members.iter().map(of).fold(None, sum)
}
