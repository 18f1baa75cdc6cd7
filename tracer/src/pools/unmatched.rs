//! What the user asked for and what was not seen, with what was.

use super::balancer::{answers_to, is_known_proxy};
use super::declared::DeclaredPool;
use super::filter::Filter;
use super::matching::Assignment;
use crate::collect::Sample;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Names that are listed.
const NAMED: usize = 5;

/// One line for each thing that was asked for and not found in the sample, which has everything since the start.
pub(super) fn unmatched(
    declared: &[DeclaredPool],
    filter: &Filter,
    assignment: &Assignment,
    sample: &Sample,
) -> Vec<String> {
    let mut lines = of_filter(filter, sample);
    for (pool, assigned) in declared.iter().zip(&assignment.pools) {
        if assigned.hidden {
            lines.push(format!("pool {} is left out by the filter", pool.name));
        } else if assigned.through.is_empty() {
            lines.extend(of_pool(pool, sample));
        }
    }
    lines
}

/// Each part of the filter by itself, then all together.
fn of_filter(filter: &Filter, sample: &Sample) -> Vec<String> {
    let mut lines = Vec::new();
    let nothing = Filter::default();
    let mut missing = |part: Filter, option: String, seen: Vec<String>| {
        if part.is_empty() || sample.backends.iter().any(|backend| part.matches(backend)) {
            return;
        }
        let seen = if seen.is_empty() { String::new() } else { format!("; seen: {}", seen.join(", ")) };
        lines.push(format!("nothing seen of {option}{seen}"));
    };
    if let Some(name) = &filter.balancer {
        let part = Filter { balancer: Some(name.clone()), ..nothing.clone() };
        missing(part, format!("--balancer {name}"), commands(sample));
    }
    if let Some(port) = filter.port {
        let seen = some(sample.backends.iter().map(|backend| backend.backend.port()));
        missing(Filter { port: Some(port), ..nothing.clone() }, format!("--port {port}"), seen);
    }
    if let Some(range) = filter.backend {
        let seen = some(sample.backends.iter().map(|backend| super::address::canonical(backend.backend)));
        missing(Filter { backend: Some(range), ..nothing.clone() }, format!("--backend {range}"), seen);
    }
    if let Some(netns) = filter.netns {
        let seen = some(sample.backends.iter().map(|backend| backend.balancer.netns));
        missing(Filter { netns: Some(netns), ..nothing }, format!("--netns {netns}"), seen);
    }
    if lines.is_empty()
        && !filter.is_empty()
        && !sample.backends.iter().any(|backend| filter.matches(backend))
    {
        lines.push("nothing seen that all filters together let through".into());
    }
    lines
}

/// A pool that names a balancer which was not seen, while others talk to its members.
fn of_pool(pool: &DeclaredPool, sample: &Sample) -> Option<String> {
    let name = pool.balancer.as_ref()?;
    if sample.backends.iter().any(|backend| answers_to(&backend.balancer, name)) {
        return None;
    }
    let members: BTreeSet<SocketAddr> = pool.members.iter().map(|member| member.backend).collect();
    let talks = sample.backends.iter().filter(|backend| {
        backend.delta.attempts + backend.total.attempts > 0
            && members.contains(&super::address::canonical(backend.backend))
    });
    let others: BTreeSet<&str> = talks.map(|backend| backend.balancer.command.as_str()).collect();
    let verb = if others.len() == 1 { "connects" } else { "connect" };
    let others: Vec<&str> = others.into_iter().take(NAMED).collect();
    (!others.is_empty()).then(|| {
        format!(
            "pool {}: {name} was not seen, but {} {verb} to its members; is `balancer` right?",
            pool.name,
            others.join(", ")
        )
    })
}

/// Commands that were seen, known proxies first.
fn commands(sample: &Sample) -> Vec<String> {
    let names = sample.backends.iter().map(|backend| backend.balancer.command.as_str());
    let found: BTreeSet<(bool, &str)> = names.map(|name| (!is_known_proxy(name), name)).collect();
    found.into_iter().take(NAMED).map(|(_, name)| name.to_owned()).collect()
}

fn some<T: Ord + ToString>(all: impl Iterator<Item = T>) -> Vec<String> {
    let found: BTreeSet<T> = all.collect();
    found.iter().take(NAMED).map(ToString::to_string).collect()
}
