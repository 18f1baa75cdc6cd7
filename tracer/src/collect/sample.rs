//! What happened on the host in one interval: the noun that goes from `collect` to `pools`.

use super::{Counters, Stock};
use crate::kernel::Balancer;
use std::net::SocketAddr;
use std::sync::Arc;

/// One interval of everything that was traced.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// End of the interval: seconds since the epoch, on a clock that never goes back.
    pub time_seconds: f64,
    /// Length of the interval, seconds.
    pub interval_seconds: f64,
    /// Every balancer and backend seen since the start, each pair once.
    pub backends: Vec<BackendSample>,
    /// What could not be counted where it belongs.
    pub uncounted: Uncounted,
}

/// One balancer's connections to one backend in one interval.
#[derive(Clone, Debug)]
pub struct BackendSample {
    /// What opened the connections.
    pub balancer: Arc<Balancer>,
    /// Where to.
    pub backend: SocketAddr,
    /// Counted in the interval.
    pub delta: Counters,
    /// Counted since the start.
    pub total: Counters,
    /// Present sockets; `None` when the sweep did not finish.
    pub stock: Option<Stock>,
}

/// What could not be counted where it belongs, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Uncounted {
    /// Attempts whose backend has no counters of its own, since the table was full.
    pub backends: u64,
    /// Attempts that could not be followed, since their socket could keep no state.
    pub connections: u64,
    /// Events for which the kernel skipped both programs, as far as a later event or a sweep found them out and made up
    /// for them.
    pub recursion_misses: u64,
}
