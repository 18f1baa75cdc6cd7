//! Sums over all pools.

use crate::agent::Judged;
use crate::collect::{Counters, Other};

/// What was counted in all pools, judged or not, and of nobody, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Totals {
    pub(super) attempts: u64,
    pub(super) established: u64,
    pub(super) failed: u64,
    pub(super) closed: u64,
}

pub(super) fn totals(pools: &[Judged], other: Option<&Other>) -> Totals {
    let members = pools.iter().flat_map(|pool| &pool.sample.members).map(|member| &member.total);
    members.chain(other.map(|other| &other.total)).fold(Totals::default(), Totals::and)
}

impl Totals {
    /// A recording can hold any number: sums stop at the largest.
    fn and(self, counters: &Counters) -> Self {
        Self {
            attempts: self.attempts.saturating_add(counters.attempts),
            established: self.established.saturating_add(counters.established),
            failed: self.failed.saturating_add(counters.failed.total()),
            closed: self.closed.saturating_add(counters.closed),
        }
    }
}
