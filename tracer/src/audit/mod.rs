//! A configuration looked at without traffic: what in it is likely not as somebody meant it.
//!
//! [`audit`] takes the pools of all origins as they are written and gives located problems; a legitimate configuration has
//! no error among them. Each rule is a function of its own in [`pool_rules`] (one pool at a time) or [`cross_rules`] (all
//! pools together). Pure: host names are resolved by whoever calls, if at all. `# tracer: intended` on a line silences
//! what is warned of there.
#![forbid(unsafe_code)]

mod cross_rules;
mod pool_rules;

use crate::imports::{Problem, Problems, Severity};
use crate::input::Place;
use crate::pools::{Names, WrittenPool, WrittenPools};
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

/// What is looked at: the pools of one origin.
#[derive(Clone, Copy, Debug)]
pub struct Audited<'a> {
    /// As they are written, or run.
    pub pools: &'a WrittenPools,
    /// Connections that are established to each address now; `None`: not known, as without a running balancer.
    pub established: Option<&'a BTreeMap<SocketAddr, u64>>,
}

/// The problems of pools, by severity and then by place, the first [`crate::imports::MOST_PROBLEMS`]. `names`: what the resolver says; `None`: nobody asked it.
#[must_use]
pub fn audit(origins: &[Audited<'_>], names: Option<&Names>) -> Vec<Problem> {
    let pools: Vec<&WrittenPool> = origins.iter().flat_map(|origin| &origin.pools.pools).collect();
    let mut problems: Vec<Problem> = pools.iter().flat_map(|pool| pool_rules::all(pool, names)).collect();
    for origin in origins {
        // Pools of two balancers may well share members.
        problems.extend(cross_rules::all(&origin.pools.pools));
        let limits = |established| pool_rules::limits(&origin.pools.pools, established, names);
        problems.extend(origin.established.into_iter().flat_map(limits));
    }
    let vouched = vouched(&pools);
    problems
        .retain(|problem| problem.severity == Severity::Error || !vouched.contains(&line_of(&problem.at)));
    problems.sort_by(|a, b| (a.severity, &a.at, a.code).cmp(&(b.severity, &b.at, b.code)));
    problems.into_iter().collect::<Problems>().finish()
}

/// The lines that somebody vouches for. A pools file as a whole vouches for weights, but not for each of its lines.
fn vouched(pools: &[&WrittenPool]) -> HashSet<(String, usize)> {
    let by_line = pools.iter().filter(|pool| pool.vouched && pool.balancer.is_some());
    let members = pools.iter().flat_map(|pool| &pool.members).filter(|member| member.vouched);
    by_line.map(|pool| line_of(&pool.at)).chain(members.map(|member| line_of(&member.at))).collect()
}

fn line_of(place: &Place) -> (String, usize) {
    (place.file.to_string(), place.line)
}

#[cfg(test)]
mod tests;
