//! Sums over all pools.

use crate::agent::Judged;

/// What was counted in all pools, judged or not, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Totals {
    pub(super) attempts: u64,
    pub(super) established: u64,
    pub(super) failed: u64,
    pub(super) closed: u64,
}

pub(super) fn totals(pools: &[Judged]) -> Totals {
    let members = pools.iter().flat_map(|pool| &pool.sample.members);
    members.fold(Totals::default(), |mut sum, member| {
        sum.attempts += member.total.attempts;
        sum.established += member.total.established;
        sum.failed += member.total.failed.total();
        sum.closed += member.total.closed;
        sum
    })
}
