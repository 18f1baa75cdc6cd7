//! Pools that somebody wrote down, with their members' expected weights.

use super::Method;
use super::address::{MemberAddress, canonical};
use crate::input::{InputError, Position};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
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
}

/// A member of a declared pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeclaredMember {
    /// Where it is.
    pub backend: SocketAddr,
    /// What it should get, relative to the others: 0 when drained or a backup.
    pub weight: f64,
}

impl DeclaredPool {
    /// Whether it declares the same, wherever it is written.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        Self { source: other.source.clone(), ..self.clone() } == *other
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
        let mut weights: BTreeMap<SocketAddr, f64> = BTreeMap::new();
        for member in &self.members {
            *weights.entry(canonical(member.backend)).or_default() += member.weight;
        }
        self.members =
            weights.into_iter().map(|(backend, weight)| DeclaredMember { backend, weight }).collect();
        self
    }
}

/// A pools file that is right in itself; its host names are not resolved yet.
#[derive(Clone, Debug)]
pub struct PoolsFile {
    pub(super) file: String,
    pub(super) pools: Vec<WrittenPool>,
}

/// A pool as it is written.
#[derive(Clone, Debug)]
pub(super) struct WrittenPool {
    pub(super) name: String,
    pub(super) balancer: Option<String>,
    pub(super) method: Method,
    pub(super) line: usize,
    pub(super) members: Vec<WrittenMember>,
    pub(super) health_check_interval: Option<Duration>,
}

/// A member as it is written.
#[derive(Clone, Debug)]
pub(super) struct WrittenMember {
    pub(super) address: MemberAddress,
    pub(super) weight: f64,
    pub(super) at: Position,
}

/// The addresses of a host name, from the system's resolver. Blocks as long as that takes.
///
/// # Errors
/// When the name has no address, or the resolver no answer.
pub fn system_resolver(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

impl PoolsFile {
    /// The pools, every host name resolved by `resolver` to all its addresses, each with the member's whole weight. Two
    /// members that resolve to the same address add their weights, as a balancer that lists it twice does. Repeat it to
    /// follow names that change.
    ///
    /// # Errors
    /// Every name that does not resolve, with its place.
    pub fn resolve(
        &self,
        mut resolver: impl FnMut(&str, u16) -> io::Result<Vec<SocketAddr>>,
    ) -> Result<Vec<DeclaredPool>, Vec<InputError>> {
        let mut problems = Vec::new();
        let mut pools = Vec::new();
        for written in &self.pools {
            let mut members = Vec::new();
            for member in &written.members {
                let addresses = match &member.address {
                    MemberAddress::Ip(address) => Ok(vec![*address]),
                    MemberAddress::Host { name, port } => resolve_name(name, *port, &mut resolver),
                };
                match addresses {
                    Ok(addresses) => {
                        let weight = member.weight;
                        members
                            .extend(addresses.into_iter().map(|backend| DeclaredMember { backend, weight }));
                    }
                    Err(message) => problems.push(InputError {
                        file: self.file.clone(),
                        line: member.at.line,
                        column: member.at.column,
                        message,
                    }),
                }
            }
            let pool = DeclaredPool {
                name: written.name.clone(),
                balancer: written.balancer.clone(),
                method: written.method,
                source: format!("{}:{}", self.file, written.line),
                members,
                health_check_interval: written.health_check_interval,
            };
            pools.push(pool.normalised());
        }
        if problems.is_empty() { Ok(pools) } else { Err(problems) }
    }

    /// Whether a member is a host name, so that resolving again can change the pools.
    #[must_use]
    pub fn has_host_names(&self) -> bool {
        let mut members = self.pools.iter().flat_map(|pool| &pool.members);
        members.any(|member| matches!(member.address, MemberAddress::Host { .. }))
    }
}

fn resolve_name(
    name: &str,
    port: u16,
    resolver: &mut impl FnMut(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> Result<Vec<SocketAddr>, String> {
    let remedy = "check the name, or write the address";
    let mut addresses: Vec<SocketAddr> = resolver(name, port)
        .map_err(|error| format!("the host name {name:?} does not resolve: {error}; {remedy}"))?
        .into_iter()
        .map(canonical)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(format!("the host name {name:?} has no address: {remedy}"));
    }
    Ok(addresses)
}
