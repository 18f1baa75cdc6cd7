//! What a pool did in one interval: the noun that goes from `pools` to `detect`.

use crate::collect::{Counters, Histogram, Stock};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// One interval of one pool.
#[derive(Clone, Debug, PartialEq)]
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

impl PoolSample {
    /// Whether nobody waits for it: its declaration was found, nobody named the file, and nothing was ever sent to it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let declared = self.pool.expected_source == ExpectedSource::Declared;
        declared && !self.pool.asked && self.attempts() == Some(0)
    }

    /// Attempts of all members since the start, as far as they were measured; `None` when those of nobody were.
    #[must_use]
    pub fn attempts(&self) -> Option<u64> {
        let known =
            self.members.iter().map(|member| member.recorded.known("attempts", member.total.attempts));
        let sum = |sum: Option<u64>, count: u64| Some(sum.unwrap_or(0).saturating_add(count));
        if self.members.is_empty() { Some(0) } else { known.flatten().fold(None, sum) }
    }
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
    /// Its weights are meant, however uneven they are: somebody vouches for them, nobody declared any, or
    /// nothing that is written looks like a typing error.
    pub vouched: bool,
    /// False where its declaration was found and nobody named the file: that it is idle is nothing to tell.
    pub asked: bool,
}

/// Where expected shares come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedSource {
    /// Somebody wrote them down.
    Declared,
    /// Nobody did: equal shares.
    Assumed,
}

impl ExpectedSource {
    /// The name in JSON and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Assumed => "assumed",
        }
    }
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

impl Method {
    /// The name in JSON and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::LeastConnections => "least-connections",
            Self::Hash => "hash",
            Self::Random => "random",
        }
    }
}

/// One member in one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberSample {
    /// The backend.
    pub backend: SocketAddr,
    /// Declared or assumed weight; 0 for drained and backup members; `None` when the pool is declared and this backend
    /// is not in it.
    pub weight: Option<f64>,
    /// New connections of the interval that the balancer chose this member for: attempts, less health checks. This is
    /// what shares are computed on.
    pub decisions: u64,
    /// Exchanges of the interval, less those of health checks; `None` when not measured. This is what shares of exchanges
    /// are computed on.
    pub requests: Option<u64>,
    /// Everything counted in the interval.
    pub delta: Counters,
    /// Everything counted since the start.
    pub total: Counters,
    /// Present sockets; `None` when the sweep did not finish.
    pub stock: Option<Stock>,
    /// Requests and responses of the interval.
    pub exchanges: Exchanges,
    /// All that were measured so far.
    pub total_exchanges: Exchanges,
    /// What is known otherwise because it comes from a recording.
    pub recorded: Recorded,
    /// What its pool's declaration says of it, for sentences.
    pub origin: Origin,
}

/// How a backend came to a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nothing is known of that, or it was merely seen.
    #[default]
    Unknown,
    /// Its weight is written there: `file:line`. Untrusted text.
    Written(String),
    /// It is no member: an address that this host name of a member once had and no longer has. Untrusted text.
    Former(String),
}

impl Origin {
    /// ` (file:line)`, to stand behind a weight; empty where it is not known.
    #[must_use]
    pub fn in_brackets(&self) -> String {
        match self {
            Self::Written(at) => format!(" ({at})"),
            Self::Unknown | Self::Former(_) => String::new(),
        }
    }
}

/// What a recording can leave open. Empty where the kernel was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Counters (failures by their cause) that were not measured in the interval: their value in `delta` means nothing.
    pub unmeasured: BTreeSet<&'static str>,
    /// Counters that have never been measured: their value in `total` means nothing.
    pub never_measured: BTreeSet<&'static str>,
}

impl Recorded {
    /// Everything but one counter.
    #[must_use]
    pub fn without(counter: &'static str) -> Self {
        let one = BTreeSet::from([counter]);
        Self { unmeasured: one.clone(), never_measured: one }
    }

    /// A counter's total, by the counter's name; `None` when it has never been measured.
    #[must_use]
    pub fn known(&self, counter: &str, total: u64) -> Option<u64> {
        (!self.never_measured.contains(counter)).then_some(total)
    }
}

/// Requests and their responses: the balancer sends on a connection, after it has received or first, and then reads. Several at
/// once on a connection (HTTP/2, pipelining) count as fewer, in the extreme as one; a TLS handshake, `100 Continue` and other
/// turns of a protocol count as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchanges {
    /// How many; `None` when not measured.
    pub count: Option<u64>,
    /// Response times; `None` when not measured.
    pub response_time: Option<Histogram>,
}

impl Exchanges {
    /// Those among the counters, if they were `measured`.
    pub(crate) fn of(counters: &Counters, measured: bool) -> Self {
        Self {
            count: measured.then_some(counters.exchanges),
            response_time: measured.then(|| counters.response_time.clone()),
        }
    }

    /// Adds what was measured.
    pub(crate) fn add(&mut self, more: &Self) {
        if let Some(count) = more.count {
            self.count = Some(self.count.unwrap_or(0).saturating_add(count));
        }
        if let Some(times) = &more.response_time {
            *self.response_time.get_or_insert_default() += times;
        }
    }
}
