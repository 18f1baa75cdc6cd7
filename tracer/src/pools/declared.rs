//! Pools that somebody wrote down, with their members' expected weights.

use super::Method;
use super::address::canonical;
use crate::input::Place;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::time::Duration;

/// A declared pool, its host names resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredPool {
    /// Its name, unlike that of every other pool.
    pub name: String,
    /// Command, unit, container or cgroup path of its balancer; `None`: whatever talks to its members.
    pub balancer: Option<String>,
    /// How the balancer chooses.
    pub method: Method,
    /// `file:line` of the declaration.
    pub source: String,
    /// Each address once, in order.
    pub members: Vec<DeclaredMember>,
    /// The balancer sends an HTTP health check to each member at this interval.
    pub health_check_interval: Option<Duration>,
    /// Its weights are meant, however uneven they are: somebody vouches for each that is out of line, or none is as written.
    pub vouched: bool,
    /// Why the shares of its members are not known, to complete "not judged: …".
    pub doubt: Option<String>,
    /// What else the reader should know of the declaration, such as that it may not be what runs.
    pub remark: Option<String>,
    /// Somebody asked about it, by naming the file that declares it; otherwise it was found, and that nothing can be
    /// said of it is no failure.
    pub asked: bool,
    /// Addresses that host names of its members once had and no longer have.
    pub former: Vec<Former>,
}

/// A member of a declared pool.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredMember {
    /// Where it is.
    pub backend: SocketAddr,
    /// What it should get, relative to the others: 0 when drained or a backup.
    pub weight: f64,
    /// Where its weight is written; `None`: nowhere.
    pub at: Option<Place>,
    /// Most connections that the balancer keeps to it at once; `None`: no limit.
    pub max_connections: Option<u64>,
}

/// An address that a member's host name once had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// The address.
    pub backend: SocketAddr,
    /// The name.
    pub name: String,
}

impl DeclaredMember {
    /// One of which no more is known.
    #[must_use]
    pub fn new(backend: SocketAddr, weight: f64) -> Self {
        Self { backend, weight, at: None, max_connections: None }
    }
}

impl DeclaredPool {
    /// One without members that whoever built it vouches for.
    #[must_use]
    pub fn named(name: &str, method: Method) -> Self {
        Self {
            name: name.to_owned(),
            balancer: None,
            method,
            source: "built in".into(),
            members: Vec::new(),
            health_check_interval: None,
            vouched: true,
            doubt: None,
            remark: None,
            asked: true,
            former: Vec::new(),
        }
    }

    /// Whether it declares the same, wherever it is written.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let placeless = |pool: &Self| {
            let mut pool = Self { source: String::new(), ..pool.clone() };
            pool.members.iter_mut().for_each(|member| member.at = None);
            pool
        };
        placeless(self) == placeless(other)
    }

    /// The share of new connections each member should get, in the order of the members; all 0 when no member has a
    /// weight.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        let sum: f64 = self.members.iter().map(|member| member.weight).sum();
        self.members.iter().map(|member| if sum > 0.0 { member.weight / sum } else { 0.0 }).collect()
    }

    /// The same pool with each address once, in order, weights of the same address added.
    #[must_use]
    pub(super) fn normalised(mut self) -> Self {
        let mut members: BTreeMap<SocketAddr, DeclaredMember> = BTreeMap::new();
        for member in self.members.drain(..) {
            let backend = canonical(member.backend);
            match members.entry(backend) {
                Entry::Vacant(place) => {
                    place.insert(DeclaredMember { backend, ..member });
                }
                Entry::Occupied(mut same) => {
                    let same = same.get_mut();
                    same.weight += member.weight;
                    same.max_connections =
                        same.max_connections.zip(member.max_connections).map(|(a, b)| a + b);
                }
            }
        }
        self.members = members.into_values().collect();
        self
    }
}
