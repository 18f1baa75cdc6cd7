//! A sample sorted by balancer, each balancer's backends by address: nothing after this depends on the order in which
//! the kernel's tables were read.

use super::balancer::{BalancerKey, is_known_proxy};
use super::filter::Filter;
use crate::collect::{BackendSample, Balancer, Counters, Sample, Stock};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What one balancer did in one interval.
#[derive(Debug)]
pub(super) struct Traffic {
    /// One of the processes it was seen as.
    pub(super) balancer: Arc<Balancer>,
    /// Whether its command is a known proxy's, or it listens: it passes on what it gets.
    pub(super) is_proxy: bool,
    pub(super) backends: BTreeMap<SocketAddr, Counted>,
}

/// Members from which on whoever listens is taken to spread what it gets: most services call two replicas of something.
const MIN_MEMBERS_OF_UNKNOWN: usize = 3;

impl Traffic {
    /// Whether to expect of the balancer, of which nothing is declared, that it spreads over so many members.
    pub(super) fn spreads(&self, members: usize) -> bool {
        is_known_proxy(&self.balancer.command) || self.is_proxy && members >= MIN_MEMBERS_OF_UNKNOWN
    }

    /// Whether it has opened a connection.
    pub(super) fn connects(&self) -> bool {
        self.backends.values().any(|counted| counted.total.attempts > 0)
    }
}

/// What was counted of one backend.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) delta: Counters,
    pub(super) total: Counters,
    pub(super) stock: Option<Stock>,
}

/// The part of the sample that the filter lets through.
pub(super) fn sort(sample: &Sample, filter: &Filter) -> BTreeMap<BalancerKey, Traffic> {
    let mut sorted: BTreeMap<BalancerKey, Traffic> = BTreeMap::new();
    let same = |a: &BackendSample, b: &BackendSample| Arc::ptr_eq(&a.balancer, &b.balancer);
    for backends in sample.backends.chunk_by(same) {
        let mut backends = backends.iter().filter(|backend| filter.matches(backend)).peekable();
        let Some(balancer) = backends.peek().map(|first| &first.balancer) else { continue };
        let traffic = sorted.entry(BalancerKey::from(&**balancer)).or_insert_with(|| Traffic {
            balancer: Arc::clone(balancer),
            is_proxy: is_known_proxy(&balancer.command),
            backends: BTreeMap::new(),
        });
        traffic.is_proxy |= balancer.listens == Some(true);
        for backend in backends {
            let address = super::address::canonical(backend.backend);
            match traffic.backends.get_mut(&address) {
                Some(counted) => counted.add(backend),
                None => {
                    traffic.backends.insert(address, Counted::from(backend));
                }
            }
        }
    }
    sorted
}

impl Counted {
    /// Whether it had a connection in the interval.
    pub(super) fn is_active(&self) -> bool {
        self.delta.attempts + self.delta.adopted > 0
            || self.stock.is_some_and(|stock| stock.live + stock.pending > 0)
    }
}

impl From<&BackendSample> for Counted {
    fn from(backend: &BackendSample) -> Self {
        Self { delta: backend.delta.clone(), total: backend.total.clone(), stock: backend.stock }
    }
}

impl Counted {
    /// Adds a second entry of the same balancer and backend (a process that began to listen is told apart upstream).
    fn add(&mut self, backend: &BackendSample) {
        self.delta += &backend.delta;
        self.total += &backend.total;
        // Unknown and something is unknown.
        self.stock = self.stock.zip(backend.stock).map(|(mut sum, more)| {
            sum += more;
            sum
        });
    }

    /// Of a member without any traffic yet. With a finished sweep nothing is present, and that is known.
    pub(super) fn nothing(sweep_finished: bool) -> Self {
        Self { stock: sweep_finished.then(Stock::default), ..Self::default() }
    }
}
