//! What was expected of a pool then, and how that changed.

use super::material::{Material, MemberInForce, PoolInForce};
use super::stamp::Time;
use crate::chronicle::PoolName;
use crate::pools::{ExpectedSource, Method};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What was expected of a pool from some time on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expected {
    /// From when on.
    pub since: Time,
    /// `file:line` of the declaration, or `discovered`. Untrusted text.
    pub source: String,
    /// Where the expected shares come from.
    pub expected_source: ExpectedSource,
    /// How the balancer chooses.
    pub method: Method,
    /// In the order of their addresses; empty: it was not declared, and only listed.
    pub members: Vec<ExpectedMember>,
}

/// What was expected of a member.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExpectedMember {
    /// Which one.
    pub backend: SocketAddr,
    /// Its weight; null: not declared.
    pub weight: Option<f64>,
    /// Its share, 0 to 1; null: not declared.
    pub share: Option<f64>,
    /// `file:line` at which the weight is written, where that is known. Untrusted text.
    pub at: Option<String>,
}

/// A change of what was expected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExpectedChange {
    /// When it counted.
    pub time: Time,
    /// In a sentence. Untrusted text.
    pub text: String,
}

/// What was in force at a moment: the last that began before it; where the pool was gone in between or was never there
/// before, the next.
pub(super) fn at(material: &Material, pool: &PoolName, time_seconds: f64) -> Option<Expected> {
    let of_pool = || material.pools.iter().filter(|in_force| in_force.pool == *pool);
    let last = of_pool().rfind(|in_force| in_force.time_seconds <= time_seconds);
    let next = of_pool().find(|in_force| in_force.time_seconds > time_seconds);
    let went = |in_force: &&PoolInForce| {
        let between = in_force.time_seconds..=time_seconds;
        material.gone.iter().any(|gone| gone.pool == *pool && between.contains(&gone.time_seconds))
    };
    last.filter(|last| !went(last)).or(next).or(last).map(expected)
}

fn expected(pool: &PoolInForce) -> Expected {
    let sum: f64 = pool.members.iter().filter_map(|member| member.weight).sum();
    let member = |member: &MemberInForce| ExpectedMember {
        backend: member.backend,
        weight: member.weight,
        share: member.weight.filter(|_| sum > 0.0).map(|weight| (weight / sum * 1e6).round() / 1e6),
        at: member.at.clone(),
    };
    Expected {
        since: Time(pool.time_seconds),
        source: pool.source.clone(),
        expected_source: pool.expected_source,
        method: pool.method,
        members: pool.members.iter().map(member).collect(),
    }
}

/// How what is expected of a pool changed, in order.
pub(super) fn changes(material: &Material, pool: &PoolName) -> Vec<ExpectedChange> {
    let there = material.pools.iter().filter(|in_force| in_force.pool == *pool);
    let gone = material.gone.iter().filter(|gone| gone.pool == *pool);
    let gone = gone.map(|gone| (gone.time_seconds, None));
    let mut all: Vec<_> = gone.chain(there.map(|now| (now.time_seconds, Some(now)))).collect();
    all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    // What was expected last, and whether the pool has gone since.
    let (mut before, mut is_gone) = (None, false);
    let mut changes = Vec::new();
    for (time_seconds, now) in all {
        let text = match now {
            None => (before.is_some() && !is_gone).then(|| "the pool is gone".to_owned()),
            Some(now) => before.and_then(|before| difference(before, now, is_gone)),
        };
        changes.extend(text.map(|text| ExpectedChange { time: Time(time_seconds), text }));
        (before, is_gone) = (now.or(before), now.is_none());
    }
    changes.retain(|change| material.range.contains(change.time.0));
    changes
}

/// What is otherwise, in a sentence; `None` when only the place is.
fn difference(before: &PoolInForce, now: &PoolInForce, was_gone: bool) -> Option<String> {
    let mut parts = Vec::new();
    if was_gone {
        parts.push(format!("the pool is there again ({})", now.source));
    }
    if before.source != now.source && before.expected_source != now.expected_source {
        parts.push(format!("expected shares come from {} now", now.source));
    }
    if before.method != now.method {
        parts.push(format!("method {}, was {}", now.method.as_str(), before.method.as_str()));
    }
    // Of a pool that is only listed the members are not noted.
    if !before.members.is_empty() && !now.members.is_empty() {
        parts.extend(members(before, now));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn members(before: &PoolInForce, now: &PoolInForce) -> Vec<String> {
    let by_backend = |pool: &PoolInForce| -> BTreeMap<SocketAddr, MemberInForce> {
        pool.members.iter().map(|member| (member.backend, member.clone())).collect()
    };
    let (old, new) = (by_backend(before), by_backend(now));
    let place = |member: &MemberInForce| member.at.as_ref().map_or(String::new(), |at| format!(" ({at})"));
    let weight =
        |member: &MemberInForce| member.weight.map_or("none".to_owned(), |weight| weight.to_string());
    let mut parts = Vec::new();
    for (backend, member) in &new {
        match old.get(backend) {
            None => parts.push(format!("{backend} is new, weight {}{}", weight(member), place(member))),
            Some(was) if was.weight != member.weight => parts.push(format!(
                "{backend} has weight {}{}, had {}",
                weight(member),
                place(member),
                weight(was)
            )),
            Some(_) => {}
        }
    }
    let gone = old.keys().filter(|backend| !new.contains_key(backend));
    parts.extend(gone.map(|backend| format!("{backend} is no longer a member")));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(members: &[(u8, f64)]) -> PoolInForce {
        let member = |&(number, weight): &(u8, f64)| MemberInForce {
            backend: ([10, 0, 0, number], 80).into(),
            weight: Some(weight),
            at: Some(format!("nginx.conf:{number}")),
        };
        PoolInForce {
            time_seconds: 0.0,
            pool: PoolName { pool: "app".into(), balancer: None },
            source: "nginx.conf:1".into(),
            expected_source: ExpectedSource::Declared,
            method: Method::RoundRobin,
            members: members.iter().map(member).collect(),
        }
    }

    #[test]
    fn what_changed_is_said_with_its_place() {
        let before = pool(&[(1, 1.0), (2, 1.0), (3, 1.0)]);
        let now = pool(&[(1, 1.0), (2, 10.0), (4, 1.0)]);
        assert_eq!(
            difference(&before, &now, false).unwrap(),
            "10.0.0.2:80 has weight 10 (nginx.conf:2), had 1; 10.0.0.4:80 is new, weight 1 (nginx.conf:4); \
             10.0.0.3:80 is no longer a member"
        );
        assert_eq!(difference(&now, &pool(&[]), false), None, "it is only listed");
        assert_eq!(difference(&now, &now, true).unwrap(), "the pool is there again (nginx.conf:1)");
        let moved = PoolInForce { source: "nginx.conf:9".into(), ..before.clone() };
        assert_eq!(difference(&before, &moved, false), None, "it says the same elsewhere");
    }

    #[test]
    fn shares_are_of_the_weights() {
        let shares: Vec<_> =
            expected(&pool(&[(1, 1.0), (2, 3.0)])).members.iter().map(|member| member.share).collect();
        assert_eq!(shares, [Some(0.25), Some(0.75)]);
    }
}
