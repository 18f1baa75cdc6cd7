use super::super::grouping::Pools;
use crate::collect::{BackendSample, Balancer, Counters, Sample, Stock};
use crate::pools::{Filter, PoolSample};
use std::sync::Arc;

/// What one backend gets in a second: attempts, and those of them that were probes.
type Got = (&'static str, u64, u64);

/// The pools after `seconds` of what `got` gives for each second; `each` looks at every interval.
fn run(
    command: &str,
    seconds: u32,
    got: impl Fn(u32) -> Vec<Got>,
    mut each: impl FnMut(u32, &PoolSample),
) -> PoolSample {
    let balancer = Arc::new(Balancer {
        command: command.into(),
        cgroup: None,
        netns: 1,
        first_pid: 1,
        listens: Some(true),
    });
    let mut pools = Pools::new(Vec::new(), Filter::default());
    let mut last = None;
    for second in 1..=seconds {
        let backends = got(second).into_iter().map(|(backend, attempts, probes)| {
            let counters = Counters { attempts, probes, ..Counters::default() };
            BackendSample {
                balancer: Arc::clone(&balancer),
                backend: backend.parse().unwrap(),
                delta: counters.clone(),
                total: counters,
                stock: Some(Stock::default()),
            }
        });
        let found = pools.group(&Sample {
            time_seconds: f64::from(second),
            interval_seconds: 1.0,
            backends: backends.collect(),
            ..Sample::default()
        });
        each(second, &found[0]);
        last = found.into_iter().next();
    }
    last.unwrap()
}

pub(in crate::pools) fn weights(pool: &PoolSample) -> Vec<f64> {
    pool.members.iter().filter_map(|member| member.weight).collect()
}

pub(in crate::pools) fn note(pool: &PoolSample) -> &str {
    pool.note.as_deref().unwrap_or_default()
}

pub(in crate::pools) const A: &str = "10.0.0.1:9000";
pub(in crate::pools) const B: &str = "10.0.0.2:9000";
pub(in crate::pools) const C: &str = "10.0.0.3:9000";
pub(in crate::pools) const D: &str = "10.0.0.4:9000";

#[test]
fn a_member_with_http_checks_only_is_due_nothing() {
    for (every, idle_seconds) in [(1, 0), (2, 0), (10, 0), (2, 60), (1, 300)] {
        let check = |second: u32| u64::from(second.is_multiple_of(every));
        let traffic = |second: u32| if second > idle_seconds { 25 } else { 0 };
        let got = |second| {
            let one = traffic(second) + check(second);
            vec![(A, one, 0), (B, one, 0), (C, one, 0), (D, check(second), 0)]
        };
        let pool = run("haproxy", idle_seconds + 60, got, |second, pool| {
            if second > idle_seconds + 1 && second >= every {
                assert_eq!(
                    weights(pool),
                    [1.0, 1.0, 1.0, 0.0],
                    "every {every}, after {second}: {}",
                    note(pool)
                );
                assert_eq!(pool.members[3].decisions, 0);
            }
        });
        assert!(pool.judged);
        assert_eq!(
            note(&pool),
            "10.0.0.4:9000 gets only health checks: backup, drained or left out; declare the pool to have it judged"
        );
    }
}

#[test]
fn a_member_with_tcp_checks_only_is_due_nothing() {
    // The probe of every other check ends in the interval after.
    let got = |second: u32| {
        let (attempt, probe) =
            (u64::from(second.is_multiple_of(2)), u64::from(second % 2 == 1 && second > 1));
        vec![(A, 25 + attempt, probe), (B, 25 + attempt, probe), (D, attempt, probe)]
    };
    let pool = run("haproxy", 60, got, |second, pool| {
        assert!(second < 3 || weights(pool) == [1.0, 1.0, 0.0], "after {second}");
    });
    assert!(pool.judged && note(&pool).starts_with("10.0.0.4:9000 gets only health checks"));
}

#[test]
fn a_member_that_was_left_out_joins_with_its_first_traffic() {
    let got = |second: u32| vec![(A, 25, 0), (B, 25, 0), (D, if second > 30 { 25 } else { 1 }, 0)];
    let pool = run("haproxy", 40, got, |second, pool| {
        let expected = if second > 30 { [1.0, 1.0, 1.0] } else { [1.0, 1.0, 0.0] };
        assert_eq!(weights(pool), expected, "after {second}");
    });
    assert_eq!((pool.members[2].decisions, note(&pool)), (25, ""));
}

#[test]
fn a_light_member_is_no_checked_one() {
    let light = |second: u32| [0, 2, 0, 0, 1, 1, 0, 3, 0, 0, 0, 2][second as usize % 12];
    let got = |second| vec![(A, 25, 0), (B, 25, 0), (C, light(second), 0)];
    let pool = run("haproxy", 60, got, |_, _| {});
    assert!(pool.judged);
    assert_eq!((weights(&pool), note(&pool)), (vec![1.0, 1.0, 1.0], ""));
}

#[test]
fn checks_alone_make_no_verdict() {
    for probes in [0, 1] {
        let got = |second: u32| {
            let check = u64::from(second.is_multiple_of(2));
            vec![(A, check, check * probes), (B, check, check * probes)]
        };
        let pool = run("haproxy", 60, got, |_, _| {});
        assert!(!pool.judged);
        assert_eq!(note(&pool), "not judged: only health checks seen");
    }
}

#[test]
fn two_even_groups_are_not_judged_as_one_pool() {
    let got = |_| vec![(A, 75, 0), (B, 72, 0), (C, 10, 0), (D, 11, 0)];
    let pool = run("nginx", 10, got, |second, pool| assert_eq!(pool.judged, second < 3, "after {second}"));
    assert_eq!(
        note(&pool),
        "may be 2 pools on one port (10.0.0.1:9000, 10.0.0.2:9000 / 10.0.0.3:9000, 10.0.0.4:9000); declare them"
    );
    assert_eq!(weights(&pool), [1.0; 4]);
}

#[test]
fn a_single_odd_member_stays_judged() {
    for odd in [10, 700] {
        let pool = run("nginx", 60, |_| vec![(A, 75, 0), (B, 72, 0), (C, odd, 0), (D, 78, 0)], |_, _| {});
        assert!(pool.judged && pool.note.is_none(), "{odd}");
    }
    let near = run("nginx", 60, |_| vec![(A, 75, 0), (B, 72, 0), (C, 30, 0), (D, 31, 0)], |_, _| {});
    assert!(near.judged, "less than three times as much");
}

#[test]
fn members_that_join_are_no_second_pool() {
    let got = |second| {
        let later = if second > 100 { 50 } else { 0 };
        let mut all = vec![(A, 50, 0), (B, 50, 0)];
        if later > 0 {
            all.extend([(C, later, 0), (D, later, 0)]);
        }
        all
    };
    run("nginx", 120, got, |second, pool| assert!(pool.judged, "after {second}: {}", note(pool)));
}
