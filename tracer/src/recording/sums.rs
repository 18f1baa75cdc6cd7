//! Totals of a replay: what every member had in all lines so far.

use crate::collect::{Counters, Uncounted};
use crate::pools::{Exchanges, PoolIdentity, PoolSample};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

/// Name of a pool, what its balancer is called, and one of its members.
type Key = (String, Option<String>, SocketAddr);

/// Sums of the members that the last line named. Who is gone is forgotten, so that they take no more than a line.
#[derive(Default)]
pub(super) struct Sums {
    members: HashMap<Key, Sum>,
    uncounted: Option<Uncounted>,
}

struct Sum {
    counters: Counters,
    never_measured: BTreeSet<&'static str>,
    exchanges: Exchanges,
}

impl Sums {
    /// Adds what every pool did in the interval, and fills in what it did since the start.
    pub(super) fn fill(&mut self, pools: &mut [PoolSample]) {
        let mut before = std::mem::take(&mut self.members);
        for PoolSample { pool, members, .. } in pools {
            for member in members {
                let PoolIdentity { name, balancer, .. } = &pool;
                let key = (name.clone(), balancer.clone(), member.backend);
                let recorded = &mut member.recorded;
                let mut sum = before.remove(&key).unwrap_or_else(|| Sum {
                    counters: Counters::default(),
                    never_measured: recorded.unmeasured.clone(),
                    exchanges: Exchanges::default(),
                });
                sum.counters += &member.delta;
                sum.never_measured.retain(|name| recorded.unmeasured.contains(name));
                sum.exchanges.add(&member.exchanges);
                member.total = sum.counters.clone();
                recorded.never_measured = sum.never_measured.clone();
                member.total_exchanges = sum.exchanges.clone();
                self.members.insert(key, sum);
            }
        }
    }

    /// Adds what could not be counted in the interval; gives what could not be counted since the start.
    pub(super) fn uncounted(&mut self, interval: Option<Uncounted>) -> Option<Uncounted> {
        if let Some(more) = interval {
            let sum = self.uncounted.unwrap_or_default();
            self.uncounted = Some(sum.and(more));
        }
        self.uncounted
    }
}
