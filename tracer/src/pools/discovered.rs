//! Pools nobody declared: the backends of one balancer on one port.

use super::balancer::BalancerKey;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A backend that has had nothing of its balancer for so long is no member any more: it was taken out, or given another
/// address. Until then it is one that gets nothing.
const GONE_AFTER_SECONDS: f64 = 600.0;

/// When something was so last, seconds since the epoch.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
struct Last {
    /// It had a connection, or was seen first.
    active: f64,
    /// It was in the sample.
    present: f64,
}

/// The pools discovered so far: as many members as have counters of their own, and those of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    members: BTreeMap<(BalancerKey, u16), BTreeMap<SocketAddr, Last>>,
    now: f64,
}

/// What is known of pools that nobody declared, to be written down for an agent that goes on from here.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub struct Remembered(Vec<(BalancerKey, SocketAddr, Last)>);

impl Discovered {
    /// Everybody, for [`recall`](Self::recall).
    pub(super) fn remembered(&self) -> Remembered {
        let members = self.members.iter().flat_map(|((balancer, _), members)| {
            members.iter().map(|(&backend, &last)| (balancer.clone(), backend, last))
        });
        Remembered(members.collect())
    }

    /// Goes on from there: who has long had nothing is no member because it is seen for the first time here.
    pub(super) fn recall(&mut self, remembered: Remembered) {
        for (balancer, backend, last) in remembered.0 {
            self.members.entry((balancer, backend.port())).or_default().insert(backend, last);
            self.now = self.now.max(last.present);
        }
    }

    /// An interval is over. Forgets who was not in the one before and has long been gone, and pools without a member.
    pub(super) fn advance(&mut self, time_seconds: f64) {
        let before = self.now;
        self.now = time_seconds;
        self.members.retain(|_, members| {
            members.retain(|_, last| last.present >= before || is_member(last, time_seconds));
            !members.is_empty()
        });
    }

    /// Takes in a backend of a balancer in this interval. `is_active`: it had a connection.
    pub(super) fn see(&mut self, balancer: &BalancerKey, backend: SocketAddr, is_active: bool) {
        let first = Last { active: self.now, present: self.now };
        let members = self.members.entry((balancer.clone(), backend.port())).or_default();
        let last = members.entry(backend).or_insert(first);
        last.present = self.now;
        if is_active {
            last.active = self.now;
        }
    }

    /// Every pool, those of one backend included, with its balancer, port and members, less those that `is_claimed` by a
    /// declared pool.
    pub(super) fn pools(
        &self,
        is_claimed: impl Fn(&BalancerKey, SocketAddr) -> bool,
    ) -> Vec<(BalancerKey, u16, Vec<SocketAddr>)> {
        self.members
            .iter()
            .map(|((balancer, port), members)| {
                let here =
                    members.iter().filter(|(_, last)| is_member(last, self.now)).map(|(&member, _)| member);
                (balancer.clone(), *port, here.filter(|&member| !is_claimed(balancer, member)).collect())
            })
            .filter(|(_, _, members): &(_, _, Vec<SocketAddr>)| !members.is_empty())
            .collect()
    }
}

fn is_member(last: &Last, now: f64) -> bool {
    now - last.active < GONE_AFTER_SECONDS
}
