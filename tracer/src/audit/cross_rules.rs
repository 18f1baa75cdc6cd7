//! What the pools of one balancer say of each other.

use crate::imports::Problem;
use crate::input::Place;
use crate::pools::{MemberAddress, WrittenMember, WrittenPool};
use std::collections::{BTreeMap, BTreeSet};

/// Every problem between pools.
pub(super) fn all(pools: &[WrittenPool]) -> Vec<Problem> {
    let mut problems = shared_addresses(pools);
    problems.extend(unlike_addresses(pools));
    problems
}

/// One note for each pair of pools, however many members they share.
fn shared_addresses(pools: &[WrittenPool]) -> Vec<Problem> {
    let mut first: BTreeMap<&MemberAddress, &WrittenPool> = BTreeMap::new();
    let mut shared: BTreeMap<(&str, &str), (usize, &WrittenMember)> = BTreeMap::new();
    for pool in pools {
        let mut own: BTreeSet<&MemberAddress> = BTreeSet::new();
        for member in pool.members.iter().filter(|member| own.insert(&member.address)) {
            match first.get(&member.address) {
                None => {
                    first.insert(&member.address, pool);
                }
                Some(other) => {
                    let pair = (other.name.as_str(), pool.name.as_str());
                    shared.entry(pair).or_insert((0, member)).0 += 1;
                }
            }
        }
    }
    let problem = |((one, other), (count, member)): ((&str, &str), (usize, &WrittenMember))| {
        let what = if count == 1 { String::new() } else { format!(" and {} more", count - 1) };
        let message = format!(
            "{}{what} in pools {one} and {other}: the kernel cannot tell which of them a connection is for, so that each \
             is judged on its other members only",
            member.address
        );
        Problem::note("shared-address", member.at.clone(), message)
    };
    shared.into_iter().map(problem).collect()
}

/// Servers with one name and several hosts, where a host has that name in at least two pools: otherwise `s1` is just the
/// first of each pool.
fn unlike_addresses(pools: &[WrittenPool]) -> Vec<Problem> {
    let mut by_name: BTreeMap<&str, BTreeMap<String, Vec<&Place>>> = BTreeMap::new();
    for member in pools.iter().flat_map(|pool| &pool.members) {
        let Some(name) = &member.name else { continue };
        by_name.entry(name).or_default().entry(host(&member.address)).or_default().push(&member.at);
    }
    let mut problems = Vec::new();
    for (name, hosts) in by_name.into_iter().filter(|(_, hosts)| hosts.len() > 1) {
        let Some((usual, places)) = hosts.iter().max_by_key(|(_, places)| places.len()) else { continue };
        let odd = hosts.iter().filter(|(host, _)| *host != usual);
        let count: usize = odd.clone().map(|(_, places)| places.len()).sum();
        let likely = places.len() > 1 && places.len() > count;
        for (host, at) in odd.take(if likely { usize::MAX } else { 1 }) {
            let Some(&at) = at.first() else { continue };
            let message = format!("server {name} is {host} here and {usual} at {}", places[0]);
            let problem = if likely {
                Problem::warning("unlike-addresses", at.clone(), message)
                    .hint("correct the address, or give another server another name")
            } else {
                Problem::note("unlike-addresses", at.clone(), message)
                    .hint("names that differ tell servers apart in statistics and logs")
            };
            problems.push(problem);
        }
    }
    problems
}

fn host(address: &MemberAddress) -> String {
    match address {
        MemberAddress::Ip(address) => address.ip().to_string(),
        MemberAddress::Host { name, .. } => name.clone(),
    }
}
