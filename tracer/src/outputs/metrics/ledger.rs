//! What was counted so far, a row for each backend of a pool.
//!
//! Rows are sums of what each interval brought. The kernel's own totals would not do: a backend that makes room in its
//! table is counted from zero when it comes again, and its past is in another sum; a pool that is declared otherwise
//! takes over the totals of others. A row only grows, as long as it is there, and all rows together with
//! [`Ledger::other`] are always what happened.

use super::durations::Durations;
use crate::agent::Judged;
use crate::collect::{Counters, Failures, Other};
use crate::outputs::escape::for_terminal;
use crate::pools::{Exchanges, MemberSample, PoolSample};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What was counted so far, for at most so many backends of pools by themselves; of the rest together.
#[derive(Clone, Debug)]
pub struct Ledger {
    most: usize,
    rows: BTreeMap<Key, Row>,
    other: Row,
    /// Counts intervals.
    now: u64,
}

/// Which row: pool, balancer, backend. Names in it are as they are shown, so that two that are shown alike are one series.
type Key = (Arc<str>, Arc<str>, SocketAddr);

/// One backend of a pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) counted: Counted,
    /// Now live; `None` where that is not known, or the backend is gone.
    pub(super) live: Option<u64>,
    pub(super) expected_share: Option<f64>,
    pub(super) observed_share: Option<f64>,
    /// The interval in which it was there last.
    seen: u64,
}

/// Sums that only grow.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counted {
    pub(super) attempts: u64,
    pub(super) established: u64,
    pub(super) failed: Failures,
    pub(super) closed: u64,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    pub(super) retransmits: u64,
    pub(super) connect: Durations,
    /// `None` as long as nothing was measured.
    pub(super) exchanges: Option<u64>,
    pub(super) response: Option<Durations>,
}

/// A row with its labels.
pub(super) struct Labelled<'a> {
    pub(super) pool: &'a str,
    pub(super) balancer: &'a str,
    /// `None`: the rest.
    pub(super) backend: Option<SocketAddr>,
    pub(super) row: &'a Row,
}

impl Ledger {
    /// An empty one with room for so many rows.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, rows: BTreeMap::new(), other: Row::default(), now: 0 }
    }

    /// Adds an interval. What is not in `pools` any more keeps what was counted; nothing is said of its present.
    pub fn take(&mut self, pools: &[Judged], other: Option<&Other>) {
        self.now += 1;
        for row in self.rows.values_mut().chain([&mut self.other]) {
            (row.live, row.expected_share, row.observed_share) = (None, None, None);
        }
        for pool in pools {
            self.take_pool(pool);
        }
        if let Some(other) = other {
            self.other.counted.add(&other.delta, &Exchanges::of(&other.delta, other.exchanges));
            self.other.live = sum(self.other.live, other.stock.map(|stock| stock.live));
        }
    }

    fn take_pool(&mut self, pool: &Judged) {
        let PoolSample { pool: identity, members, .. } = &pool.sample;
        let name: Arc<str> = for_terminal(&identity.name).into();
        let balancer: Arc<str> = for_terminal(identity.balancer.as_deref().unwrap_or_default()).into();
        for (at, member) in members.iter().enumerate() {
            let (row, has_own) = self.row((Arc::clone(&name), Arc::clone(&balancer), member.backend));
            row.take(member);
            let found = pool.assessment.as_ref().and_then(|assessment| assessment.members.get(at));
            // Shares are of one member: the rest together has none.
            if let Some(found) = found.filter(|_| has_own) {
                row.expected_share = found.expected_share;
                row.observed_share = found.observed_share;
            }
        }
    }

    /// The row of a key; where there is no room that of the rest, and then false.
    fn row(&mut self, key: Key) -> (&mut Row, bool) {
        if !self.rows.contains_key(&key) && self.rows.len() >= self.most && !self.make_room() {
            return (&mut self.other, false);
        }
        let row = self.rows.entry(key).or_default();
        row.seen = self.now;
        (row, true)
    }

    /// Has the backend that is gone for longest go to the rest. Whether there was one.
    fn make_room(&mut self) -> bool {
        // One that was there in the interval before may only come later in this one.
        let gone = self.rows.iter().filter(|(_, row)| row.seen + 1 < self.now);
        let Some(key) = gone.min_by_key(|(_, row)| row.seen).map(|(key, _)| key.clone()) else {
            return false;
        };
        if let Some(row) = self.rows.remove(&key) {
            self.other.counted.merge(&row.counted);
        }
        true
    }

    /// Every row, that of the rest last.
    pub(super) fn rows(&self) -> impl Iterator<Item = Labelled<'_>> {
        let rows = self.rows.iter().map(|((pool, balancer, backend), row)| Labelled {
            pool,
            balancer,
            backend: Some(*backend),
            row,
        });
        rows.chain([Labelled { pool: "", balancer: "", backend: None, row: &self.other }])
    }
}

impl Row {
    fn take(&mut self, member: &MemberSample) {
        self.counted.add(&member.delta, &member.exchanges);
        self.live = sum(self.live, member.stock.map(|stock| stock.live));
    }
}

/// Together; what nothing is known of adds nothing.
fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

impl Counted {
    fn add(&mut self, delta: &Counters, exchanges: &Exchanges) {
        let more = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        more(&mut self.attempts, delta.attempts);
        more(&mut self.established, delta.established);
        self.failed += &delta.failed;
        more(&mut self.closed, delta.closed);
        more(&mut self.sent_bytes, delta.sent_bytes);
        more(&mut self.received_bytes, delta.received_bytes);
        more(&mut self.retransmits, delta.retransmits);
        self.connect.add(&delta.connect_time);
        self.exchanges = sum(self.exchanges, exchanges.count);
        if let Some(times) = &exchanges.response_time {
            self.response.get_or_insert_default().add(times);
        }
    }

    fn merge(&mut self, other: &Self) {
        let more = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        more(&mut self.attempts, other.attempts);
        more(&mut self.established, other.established);
        self.failed += &other.failed;
        more(&mut self.closed, other.closed);
        more(&mut self.sent_bytes, other.sent_bytes);
        more(&mut self.received_bytes, other.received_bytes);
        more(&mut self.retransmits, other.retransmits);
        self.connect.merge(&other.connect);
        self.exchanges = sum(self.exchanges, other.exchanges);
        if let Some(times) = &other.response {
            self.response.get_or_insert_default().merge(times);
        }
    }
}
