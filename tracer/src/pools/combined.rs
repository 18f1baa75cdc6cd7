//! Pools of several origins, together.

use super::declared::DeclaredPool;
use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;

/// The pools of a pools file, then those of balancers' configurations. What the pools file says of a pool or of all its
/// members takes precedence: otherwise neither could be judged, since every member would be in two pools. Names are made
/// unlike each other.
#[must_use]
pub fn combine(pools_file: Vec<DeclaredPool>, imported: Vec<Vec<DeclaredPool>>) -> Vec<DeclaredPool> {
    let written: BTreeSet<SocketAddr> = pools_file.iter().flat_map(addresses).collect();
    let mut names: HashSet<String> = pools_file.iter().map(|pool| pool.name.clone()).collect();
    let known = names.clone();
    let mut all = pools_file;
    for mut pool in imported.into_iter().flatten() {
        let covered = !pool.members.is_empty() && addresses(&pool).all(|address| written.contains(&address));
        if covered || known.contains(&pool.name) {
            continue;
        }
        if !names.insert(pool.name.clone()) {
            pool.name = unlike(&pool, &names);
            names.insert(pool.name.clone());
        }
        all.push(pool);
    }
    all
}

fn addresses(pool: &DeclaredPool) -> impl Iterator<Item = SocketAddr> {
    pool.members.iter().map(|member| member.backend)
}

fn unlike(pool: &DeclaredPool, names: &HashSet<String>) -> String {
    let by_balancer = format!("{} ({})", pool.name, pool.balancer.as_deref().unwrap_or("another"));
    let numbered = (2..).map(|number: usize| format!("{} ({number})", pool.name));
    std::iter::once(by_balancer).chain(numbered).find(|name| !names.contains(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pools::{DeclaredMember, Method};

    fn pool(name: &str, balancer: &str, members: &[&str]) -> DeclaredPool {
        let member = |address: &&str| DeclaredMember::new(address.parse().unwrap(), 1.0);
        DeclaredPool {
            balancer: Some(balancer.into()),
            members: members.iter().map(member).collect(),
            ..DeclaredPool::named(name, Method::RoundRobin)
        }
    }

    fn names(pools: &[DeclaredPool]) -> Vec<&str> {
        pools.iter().map(|pool| pool.name.as_str()).collect()
    }

    #[test]
    fn the_pools_file_takes_precedence_and_names_differ() {
        let file = vec![pool("app", "nginx", &["10.0.0.1:80", "10.0.0.2:80"])];
        let nginx = vec![
            pool("app", "nginx", &["10.0.0.9:80"]),
            pool("same", "nginx", &["10.0.0.2:80"]),
            pool("overlaps", "nginx", &["10.0.0.2:80", "10.0.0.3:80"]),
            pool("db", "nginx", &["10.0.1.1:80"]),
        ];
        let haproxy = vec![pool("db", "haproxy", &["10.0.2.1:80"]), pool("db", "haproxy", &["10.0.3.1:80"])];
        let all = combine(file, vec![nginx, haproxy]);
        assert_eq!(names(&all), ["app", "overlaps", "db", "db (haproxy)", "db (2)"]);
        assert_eq!(all[0].members.len(), 2);
    }
}
