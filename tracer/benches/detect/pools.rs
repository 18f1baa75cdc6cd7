//! Pools that are judged: how their balancer chooses, how many members there are, how much comes.

use super::chance::Chance;
use super::streams::{Farm, Fate, Hash, Independent, KeepAlive, Order, Policy, Server, Stream, Tick, Way};
use super::subject::Subject;
use tracer::pools::Method;

/// How a pool's balancer chooses, and what its members are like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Connections to open at a time, on average.
    Random {
        connections: f64,
    },
    RoundRobin {
        workers: usize,
    },
    Farm(Servers),
    Hash {
        clients: u32,
        exponent: f64,
    },
    KeepAlive,
}

/// Members that are watched connection by connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Servers {
    pub(crate) policy: Policy,
    /// Mean lifetimes, repeated over the members, seconds.
    pub(crate) lifetimes: &'static [f64],
    /// Whether exchanges are measured.
    pub(crate) exchanges: bool,
    /// Whether who fails is left out for a while.
    pub(crate) leaves_out: bool,
    /// Part of the connections that every member refuses.
    pub(crate) refuses: f64,
}

/// One pool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Declared weights.
    pub(crate) weights: Vec<u32>,
    /// Connections a second, with keep-alive requests.
    pub(crate) rate: f64,
}

impl Pool {
    pub(crate) fn new(kind: Kind, members: usize, rate: f64) -> Self {
        let name = format!("{}, {members} members, {}", kind.name(), per(rate));
        Self { name, kind, weights: vec![1; members], rate }
    }

    /// The same with other declared weights.
    pub(crate) fn weighing(mut self, weights: &[u32]) -> Self {
        let listed: Vec<String> = weights.iter().map(ToString::to_string).collect();
        self.name = format!("{}, weights {}, {}", self.kind.name(), listed.join(":"), per(self.rate));
        self.weights = weights.to_vec();
        self
    }

    /// A balancer at work, as it is declared.
    pub(crate) fn stream(&self, mut chance: Chance) -> Stream {
        let way = match &self.kind {
            Kind::Random { connections } => {
                Way::Independent(Independent::new(Order::Random { connections: *connections }))
            }
            Kind::RoundRobin { workers } => {
                Way::Independent(Independent::new(Order::round_robin(*workers, &mut chance)))
            }
            Kind::Farm(servers) => {
                let server = |lifetime: &f64| {
                    let mut server = Server::new(*lifetime);
                    if servers.refuses > 0.0 {
                        server.fate = Fate::Refuses(servers.refuses);
                    }
                    server
                };
                let all = servers.lifetimes.iter().cycle().take(self.weights.len()).map(server).collect();
                let mut farm = Farm::new(servers.policy, all, servers.exchanges);
                farm.leaves_out = servers.leaves_out;
                Way::Farm(Box::new(farm))
            }
            Kind::Hash { clients, exponent } => Way::Hash(Hash::new(*clients, *exponent, &mut chance)),
            Kind::KeepAlive => Way::KeepAlive(KeepAlive::new()),
        };
        let bursts = self.kind == Kind::KeepAlive;
        Stream::new(self.rate, bursts, self.weights.clone(), way, chance)
    }

    /// A judge that has seen nothing yet.
    pub(crate) fn subject(&self) -> Subject {
        let exchanges = match &self.kind {
            Kind::Farm(servers) => servers.exchanges,
            kind => *kind == Kind::KeepAlive,
        };
        Subject::new(self.kind.method(), &self.weights, exchanges)
    }

    /// Whether a member holds its connections for longer than the first does.
    pub(crate) fn is_slow(&self, member: usize) -> bool {
        matches!(&self.kind, Kind::Farm(Servers { lifetimes, .. })
            if lifetimes[member % lifetimes.len()] > lifetimes[0])
    }

    /// What each member got in a tick, in the unit that its shares are meant in.
    pub(crate) fn counts<'a>(&self, tick: &'a Tick) -> impl Iterator<Item = u64> + use<'a> {
        let requests = self.kind == Kind::KeepAlive;
        tick.members.iter().map(move |member| if requests { member.exchanges } else { member.attempts })
    }
}

impl Kind {
    pub(crate) const fn random() -> Self {
        Self::Random { connections: 1.0 }
    }

    pub(crate) const fn farm(policy: Policy, lifetimes: &'static [f64]) -> Self {
        Self::Farm(Servers { policy, lifetimes, exchanges: false, leaves_out: false, refuses: 0.0 })
    }

    fn method(&self) -> Method {
        match self {
            Self::Random { .. } => Method::Random,
            Self::RoundRobin { .. } | Self::KeepAlive => Method::RoundRobin,
            Self::Hash { .. } => Method::Hash,
            Self::Farm(servers) => match servers.policy {
                Policy::RoundRobin => Method::RoundRobin,
                Policy::Random => Method::Random,
                Policy::TwoChoices | Policy::LeastConnections => Method::LeastConnections,
            },
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Random { connections } if *connections > 1.0 => format!("random, {connections} at a time"),
            Self::Random { .. } => "random".to_owned(),
            Self::RoundRobin { workers: 1 } => "round robin".to_owned(),
            Self::RoundRobin { workers } => format!("round robin, {workers} workers"),
            Self::Hash { clients, .. } => format!("client hashing, {clients} clients"),
            Self::KeepAlive => "keep-alive".to_owned(),
            Self::Farm(servers) => {
                let policy = match servers.policy {
                    Policy::RoundRobin => "round robin",
                    Policy::Random => "random",
                    Policy::TwoChoices => "two choices",
                    Policy::LeastConnections => "least connections",
                };
                let lifetimes: Vec<String> = servers.lifetimes.iter().map(ToString::to_string).collect();
                let ejection = if servers.leaves_out { " with ejection" } else { "" };
                let exchanges = if servers.exchanges { ", exchanges" } else { "" };
                format!("{policy}{ejection}, {} s{exchanges}", lifetimes.join(":"))
            }
        }
    }
}

fn per(rate: f64) -> String {
    if rate < 1.0 { format!("{:.0}/min", rate * 60.0) } else { format!("{rate:.0}/s") }
}
