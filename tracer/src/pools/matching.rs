//! Which declared pools are which balancer's, and which backends are in them.

use super::balancer::{BalancerKey, answers_to, same_name};
use super::declared::DeclaredPool;
use super::filter::Filter;
use super::sorted::Traffic;
use super::strangers::are_a_pool;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Ports on which a balancer also talks to the outside on its own account (OCSP responders, certificate authorities).
const WEB_PORTS: [u16; 2] = [80, 443];

/// The declared pools of the sample's balancers.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    /// For each declared pool in order: whether it is looked at, and through which balancers.
    pub(super) pools: Vec<Assigned>,
    claimed: BTreeMap<BalancerKey, BTreeSet<SocketAddr>>,
}

/// A declared pool and its balancers.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    /// The filter leaves nothing of it.
    pub(super) hidden: bool,
    /// Nobody that answers to its balancer's name has been seen with it, when empty.
    pub(super) through: Vec<Through>,
}

/// One pool through one balancer.
#[derive(Debug)]
pub(super) struct Through {
    pub(super) balancer: BalancerKey,
    /// Others are more likely to be the pool's balancer, which the declaration does not name.
    pub(super) bystander: bool,
    /// Seen, but in no declared pool of the balancer, and in this one by its port.
    pub(super) strangers: Vec<SocketAddr>,
    /// As strangers, but too many and too even for that: another pool on the port, and how many backends it has.
    pub(super) neighbours: BTreeMap<u16, usize>,
    /// As strangers, but several pools have members on the port.
    pub(super) homeless: Vec<SocketAddr>,
    /// Members that are in other pools of the balancer too: which (all of them, this one included).
    pub(super) shared: BTreeMap<SocketAddr, Rc<[usize]>>,
}

impl Assignment {
    /// Whether a declared pool of this balancer has taken the backend.
    pub(super) fn is_claimed(&self, balancer: &BalancerKey, backend: SocketAddr) -> bool {
        self.claimed.get(balancer).is_some_and(|claimed| claimed.contains(&backend))
    }
}

/// Finds the balancers of each declared pool, then sorts each balancer's backends into its pools.
pub(super) fn assign(
    declared: &[DeclaredPool],
    sorted: &BTreeMap<BalancerKey, Traffic>,
    filter: &Filter,
) -> Assignment {
    let mut assignment = Assignment::default();
    for pool in declared {
        let through: Vec<Through> = balancers_of(pool, sorted, filter);
        let hidden = through.is_empty() && is_hidden(pool, filter);
        assignment.pools.push(Assigned { hidden, through });
    }
    for (balancer, traffic) in sorted {
        let own: Vec<usize> = (0..declared.len())
            .filter(|&index| {
                assignment.pools[index].through.iter().any(|through| through.balancer == *balancer)
            })
            .collect();
        if !own.is_empty() {
            sort_backends(declared, &own, balancer, traffic, &mut assignment);
        }
    }
    assignment
}

/// Who talks to the pool. By name where the declaration names the balancer: those that talk to a member or, when none
/// does, to something else on the members' ports. Else whoever talks to a member; a scraper or a person with curl does
/// that too, so that known proxies and what listens take precedence.
fn balancers_of(
    pool: &DeclaredPool,
    sorted: &BTreeMap<BalancerKey, Traffic>,
    filter: &Filter,
) -> Vec<Through> {
    let named =
        |traffic: &Traffic| pool.balancer.as_deref().is_none_or(|name| answers_to(&traffic.balancer, name));
    let candidates: Vec<(&BalancerKey, &Traffic)> =
        sorted.iter().filter(|(key, traffic)| named(traffic) && !key.is_kernel()).collect();
    let addresses = || {
        let former = pool.former.iter().map(|former| &former.backend);
        pool.members.iter().map(|member| &member.backend).chain(former)
    };
    let talks = |traffic: &Traffic| addresses().any(|address| traffic.backends.contains_key(address));
    let mut found: Vec<(&BalancerKey, &Traffic)> =
        candidates.iter().copied().filter(|(_, traffic)| talks(traffic)).collect();
    if found.is_empty() && pool.balancer.is_some() {
        let ports: BTreeSet<u16> = pool.members.iter().map(|member| member.backend.port()).collect();
        found = candidates;
        found.retain(|(_, traffic)| traffic.backends.keys().any(|backend| ports.contains(&backend.port())));
    }
    let by_guess = pool.balancer.is_none() && filter.balancer.is_none();
    // Who only holds connections from before says nothing of who spreads what comes now.
    let proxies = by_guess && found.iter().any(|(_, traffic)| traffic.is_proxy && traffic.connects());
    found
        .into_iter()
        .map(|(balancer, traffic)| Through {
            balancer: balancer.clone(),
            bystander: proxies && !traffic.is_proxy,
            strangers: Vec::new(),
            neighbours: BTreeMap::new(),
            homeless: Vec::new(),
            shared: BTreeMap::new(),
        })
        .collect()
}

/// Whether a pool without traffic is none that was asked for.
fn is_hidden(pool: &DeclaredPool, filter: &Filter) -> bool {
    let other_balancer = match (&pool.balancer, &filter.balancer) {
        (Some(declared), Some(wanted)) => !same_name(declared, wanted),
        _ => false,
    };
    // One whose names have no address yet has no member that a filter could leave out.
    let mut members = pool.members.iter();
    other_balancer
        || (!pool.members.is_empty() && !members.any(|member| filter.matches_backend(member.backend)))
}

fn sort_backends(
    declared: &[DeclaredPool],
    own: &[usize],
    balancer: &BalancerKey,
    traffic: &Traffic,
    assignment: &mut Assignment,
) {
    let mut pools_of: BTreeMap<SocketAddr, Vec<usize>> = BTreeMap::new();
    let mut pools_on_port: BTreeMap<u16, BTreeSet<usize>> = BTreeMap::new();
    for &index in own {
        for member in &declared[index].members {
            pools_of.entry(member.backend).or_default().push(index);
            pools_on_port.entry(member.backend.port()).or_default().insert(index);
        }
    }
    let former = former_addresses(declared, own);
    let mut claimed: BTreeSet<SocketAddr> = pools_of.keys().copied().collect();
    let mut through: BTreeMap<usize, &mut Through> = assignment
        .pools
        .iter_mut()
        .enumerate()
        .filter_map(|(index, pool)| {
            pool.through
                .iter_mut()
                .find(|through| through.balancer == *balancer)
                .map(|through| (index, through))
        })
        .collect();
    let mut strangers: BTreeMap<(usize, u16), Vec<SocketAddr>> = BTreeMap::new();
    for &backend in traffic.backends.keys().filter(|backend| !pools_of.contains_key(backend)) {
        // It names its pool: neither its port nor its company says more.
        if let Some(through) = former.get(&backend).and_then(|index| through.get_mut(index)) {
            claimed.insert(backend);
            through.strangers.push(backend);
            continue;
        }
        let Some(pools) = pools_on_port.get(&backend.port()) else { continue };
        let pools: Vec<usize> =
            pools.iter().copied().filter(|&index| !is_outside(&declared[index], backend)).collect();
        for index in &pools {
            let Some(through) = through.get_mut(index) else { continue };
            if pools.len() == 1 {
                strangers.entry((*index, backend.port())).or_default().push(backend);
            } else {
                through.homeless.push(backend);
            }
        }
    }
    for ((index, port), strangers) in strangers {
        let Some(through) = through.get_mut(&index) else { continue };
        if are_a_pool(&strangers, &declared[index], traffic) {
            through.neighbours.insert(port, strangers.len());
        } else {
            claimed.extend(&strangers);
            through.strangers.extend(strangers);
        }
    }
    // Thousands of pools may have the same members: each list of pools is there once.
    let mut lists: BTreeSet<Rc<[usize]>> = BTreeSet::new();
    for (backend, pools) in pools_of.into_iter().filter(|(_, pools)| pools.len() > 1) {
        let pools = lists.get(pools.as_slice()).cloned().unwrap_or_else(|| pools.into());
        lists.insert(Rc::clone(&pools));
        for index in pools.iter() {
            if let Some(through) = through.get_mut(index) {
                through.shared.insert(backend, Rc::clone(&pools));
            }
        }
    }
    assignment.claimed.insert(balancer.clone(), claimed);
}

/// The pool that each former address is counted in: the first of those with the name, so that nothing counts twice.
fn former_addresses(declared: &[DeclaredPool], own: &[usize]) -> BTreeMap<SocketAddr, usize> {
    let mut pool_of = BTreeMap::new();
    for &index in own {
        for former in &declared[index].former {
            pool_of.entry(former.backend).or_insert(index);
        }
    }
    pool_of
}

/// Whether a backend is a public web address and all of the pool is private: what a balancer asks of the outside world
/// for itself, no member gone astray.
fn is_outside(pool: &DeclaredPool, backend: SocketAddr) -> bool {
    WEB_PORTS.contains(&backend.port())
        && !is_private(backend.ip())
        && pool.members.iter().all(|member| is_private(member.backend.ip()))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            // 100.64.0.0/10 is what carriers and overlay networks use inside.
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
