//! Backends that are not declared, on the port of a declared pool's members: gone astray, or another pool?

use super::declared::DeclaredPool;
use super::sorted::Traffic;
use std::net::SocketAddr;

/// Whether the strangers are a pool of their own, rather than part of `pool`: two or more, that share among themselves
/// as balancers do. One stranger is none, and neither are strangers that get little and unevenly, nor those of a pool
/// whose own members were never talked to: these have taken its place. Told from all that was counted since the start,
/// so that a lull does not move backends to another pool.
pub(super) fn are_a_pool(strangers: &[SocketAddr], pool: &DeclaredPool, traffic: &Traffic) -> bool {
    let seen = pool.members.iter().any(|member| traffic.backends.contains_key(&member.backend));
    if strangers.len() < 2 || !seen {
        return false;
    }
    let counts: Vec<f64> = strangers.iter().map(|backend| connections(*backend, traffic)).collect();
    #[expect(clippy::cast_precision_loss, reason = "a number of backends")]
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    // What chance alone does to few connections is no unevenness.
    let comparable = counts.iter().filter(|&&count| count + mean.sqrt() >= mean / 2.0).count();
    // A third that gets only health checks is a backup of theirs.
    comparable >= 2
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn connections(backend: SocketAddr, traffic: &Traffic) -> f64 {
    let total = traffic.backends.get(&backend).map(|counted| &counted.total);
    total.map_or(0.0, |total| total.attempts.saturating_sub(total.probes) as f64)
}

#[cfg(test)]
mod tests {
    use super::super::assumed::tests::{A, B, C, D, note, weights};
    use crate::collect::{BackendSample, Balancer, Counters, Sample, Stock};
    use crate::pools::{Filter, Names, PoolSample, Pools, parse_pools_file};
    use std::sync::Arc;

    const E: &str = "10.0.0.5:9000";

    /// What is found when A and B are declared, after what each backend got in all.
    fn found(got: &[(&str, u64)]) -> Vec<PoolSample> {
        let text = format!(
            "[[pool]]\nname = \"app\"\nbalancer = \"nginx\"\nmembers = [{{ address = \"{A}\" }}, {{ address = \"{B}\" }}]"
        );
        let declared =
            parse_pools_file("pools.toml", text.as_bytes()).unwrap().resolve(&Names::default(), true);
        let balancer = Arc::new(Balancer {
            command: "nginx".into(),
            cgroup: None,
            netns: 1,
            first_pid: 1,
            listens: Some(true),
        });
        let backends = got.iter().map(|&(backend, attempts)| BackendSample {
            balancer: Arc::clone(&balancer),
            backend: backend.parse().unwrap(),
            delta: Counters::default(),
            total: Counters { attempts, ..Counters::default() },
            stock: Some(Stock::default()),
        });
        let sample = Sample { interval_seconds: 1.0, backends: backends.collect(), ..Sample::default() };
        Pools::new(declared.pools, Filter::default()).group(&sample)
    }

    #[test]
    fn even_strangers_are_a_pool_of_their_own() {
        for (one, other) in [(1000, 1000), (20, 20), (2, 1), (9000, 5000), (0, 0)] {
            let pools = found(&[(A, 500), (B, 500), (C, one), (D, other)]);
            assert_eq!(pools.len(), 2, "{one} and {other}");
            assert_eq!(weights(&pools[0]), [1.0, 1.0]);
            assert_eq!(
                note(&pools[0]),
                "2 more backends on port 9000 are not declared: judged as nginx:9000"
            );
            assert_eq!(pools[1].pool.name, "nginx:9000");
        }
        let with_a_backup = found(&[(A, 500), (B, 500), (C, 300), (D, 300), (E, 3)]);
        assert_eq!(with_a_backup[1].members.len(), 3);
    }

    #[test]
    fn a_single_stranger_is_unexpected() {
        for attempts in [1, 500, 5000] {
            let pools = found(&[(A, 500), (B, 0), (C, attempts)]);
            assert_eq!((pools.len(), pools[0].members.len(), note(&pools[0])), (1, 3, ""));
            assert_eq!(pools[0].members[2].weight, None);
        }
    }

    #[test]
    fn uneven_strangers_are_unexpected() {
        let pools = found(&[(A, 5000), (B, 5000), (C, 1000), (D, 20)]);
        assert_eq!((pools.len(), pools[0].members.len()), (1, 4));
    }

    #[test]
    fn strangers_in_place_of_members_never_seen_are_unexpected() {
        let pools = found(&[(C, 500), (D, 500)]);
        assert_eq!((pools.len(), pools[0].members.len()), (1, 4));
    }
}
