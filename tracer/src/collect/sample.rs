//! What happened on the host in one interval: the noun that goes from `collect` to `pools`.

use super::{Counters, Stock};
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

/// What opens connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Balancer {
    /// Command of the thread-group leader. Untrusted text: any process can choose its name.
    pub command: String,
    /// Path of its cgroup below the root of the cgroup file system, such as `/system.slice/nginx.service`; `None` when
    /// the cgroup is gone and nobody remembers its name.
    pub cgroup: Option<String>,
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Process id of its last attempt when it was first seen.
    pub first_pid: u32,
    /// Whether that process held a listening socket; `None` when it could not be looked at.
    pub listens: Option<bool>,
}

/// What could not be counted where it belongs, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Uncounted {
    /// Attempts whose backend has no counters of its own, since the table was full.
    pub backends: u64,
    /// Attempts that could not be followed, since their socket could keep no state.
    pub connections: u64,
    /// Times the kernel skipped a program because it would have interrupted itself.
    pub recursion_misses: u64,
}
