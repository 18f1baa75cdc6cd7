//! Pools nobody declared: the backends of one balancer on one port.

use super::balancer::BalancerKey;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Pools remembered of balancers that are no longer in the sample.
const MAX_REMEMBERED: usize = 16_384;

/// The pools discovered so far. A backend that has been a member stays one while the tracer runs.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    members: BTreeMap<(BalancerKey, u16), BTreeSet<SocketAddr>>,
}

impl Discovered {
    /// Adds backends of a balancer.
    pub(super) fn see(&mut self, balancer: &BalancerKey, backends: impl Iterator<Item = SocketAddr>) {
        for backend in backends {
            self.members.entry((balancer.clone(), backend.port())).or_default().insert(backend);
        }
    }

    /// Drops what only balancers that `is_present` does not know have done, once there is too much of it.
    pub(super) fn limit(&mut self, is_present: impl Fn(&BalancerKey) -> bool) {
        if self.members.len() > MAX_REMEMBERED {
            self.members.retain(|(balancer, _), _| is_present(balancer));
        }
    }

    /// Every pool, those of one backend included, with its balancer, port and members, less those that `is_claimed` by a declared pool.
    pub(super) fn pools(
        &self,
        is_claimed: impl Fn(&BalancerKey, SocketAddr) -> bool,
    ) -> Vec<(BalancerKey, u16, Vec<SocketAddr>)> {
        self.members
            .iter()
            .map(|((balancer, port), members)| {
                let free = members.iter().copied().filter(|&member| !is_claimed(balancer, member)).collect();
                (balancer.clone(), *port, free)
            })
            .filter(|(_, _, members): &(_, _, Vec<SocketAddr>)| !members.is_empty())
            .collect()
    }
}
