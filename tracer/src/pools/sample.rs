//! What a pool did in one interval: the noun that goes from `pools` to `detect`.

use crate::collect::{Counters, Stock};
use std::net::SocketAddr;

/// One interval of one pool.
#[derive(Clone, Debug)]
pub struct PoolSample {
    /// Who this pool is, and the same pool's in every sample.
    pub pool: PoolIdentity,
    /// Length of the interval, seconds.
    pub interval_seconds: f64,
    /// Every declared member, and every backend seen, in the order of their addresses. A member may join or leave from
    /// one sample to the next.
    pub members: Vec<MemberSample>,
    /// Whether a verdict is asked for; a pool that is only listed has none.
    pub judged: bool,
    /// What the reader should know about the members, such as why the pool is not judged. Member addresses and pool
    /// names in it are untrusted text.
    pub note: Option<String>,
}

/// What names a pool and how it is meant to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolIdentity {
    /// Declared name; for a discovered pool `balancer:port`.
    pub name: String,
    /// What the balancer is called: its command, with its unit or container where two have the same command. `None`:
    /// not seen yet, and not declared.
    pub balancer: Option<String>,
    /// `file:line` of the declaration, or `discovered`.
    pub source: String,
    /// Where the expected shares come from.
    pub expected_source: ExpectedSource,
    /// How the balancer chooses.
    pub method: Method,
}

/// Where expected shares come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedSource {
    /// Somebody wrote them down.
    Declared,
    /// Nobody did: equal shares.
    Assumed,
}

/// How a balancer chooses a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest connections.
    LeastConnections,
    /// By client or key.
    Hash,
    /// At random, by weight.
    Random,
}

/// One member in one interval.
#[derive(Clone, Debug)]
pub struct MemberSample {
    /// The backend.
    pub backend: SocketAddr,
    /// Declared or assumed weight; 0 for drained and backup members; `None` when the pool is declared and this backend
    /// is not in it.
    pub weight: Option<f64>,
    /// New connections of the interval that the balancer chose this member for: attempts, less health checks. This is
    /// what shares are computed on.
    pub decisions: u64,
    /// Everything counted in the interval.
    pub delta: Counters,
    /// Everything counted since the start.
    pub total: Counters,
    /// Present sockets; `None` when the sweep did not finish.
    pub stock: Option<Stock>,
}
