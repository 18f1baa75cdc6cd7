//! From cumulative snapshots to samples.

use super::{BackendSample, Counters, Sample, Stock, Uncounted};
use crate::kernel::{Balancer, Snapshot};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Remembers the last snapshot, so that the next gives what happened since.
pub struct Collector {
    /// Seconds since the epoch at `started`. The clock of samples goes on from there by the monotonic clock, so that it
    /// never goes back when somebody sets the time.
    epoch_seconds: f64,
    started: Instant,
    previous_seconds: f64,
    totals: BTreeMap<(Arc<Balancer>, SocketAddr), Counters>,
}

impl Collector {
    /// Counters are taken as zero at `started`, which is `epoch_seconds` after the epoch.
    #[must_use]
    pub fn new(started: Instant, epoch_seconds: f64) -> Self {
        Self { epoch_seconds, started, previous_seconds: 0.0, totals: BTreeMap::new() }
    }

    /// What happened since the snapshot before this one.
    pub fn sample(&mut self, snapshot: &Snapshot) -> Sample {
        let seconds = snapshot.taken.saturating_duration_since(self.started).as_secs_f64();
        let mut merged: BTreeMap<(Arc<Balancer>, SocketAddr), (Counters, Stock)> = BTreeMap::new();
        let session = snapshot.sweep.map(|end| end.session);
        for reading in &snapshot.readings {
            let (counters, stock) =
                merged.entry((Arc::clone(&reading.balancer), reading.backend)).or_default();
            *counters += &Counters::from(&reading.cell);
            // A cell that the last sweep did not visit has no sockets.
            if Some(reading.cell.stock.session) == session {
                *stock += Stock::from(&reading.cell.stock);
            }
        }
        let backends = merged
            .into_iter()
            .map(|((balancer, backend), (total, stock))| {
                let before = self.totals.entry((Arc::clone(&balancer), backend)).or_default();
                let delta = &total - before;
                *before = total.clone();
                BackendSample { balancer, backend, delta, total, stock: session.map(|_| stock) }
            })
            .collect();
        let sample = Sample {
            time_seconds: self.epoch_seconds + seconds,
            interval_seconds: (seconds - self.previous_seconds).max(0.0),
            backends,
            uncounted: Uncounted {
                backends: snapshot.uncounted.no_cell,
                connections: snapshot.uncounted.no_storage + snapshot.uncounted.stale_cell,
                recursion_misses: snapshot.readings.iter().map(|reading| reading.cell.repaired).sum(),
            },
        };
        self.previous_seconds = seconds;
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Reading;
    use std::time::Duration;
    use tracer_ebpf::{Cell, CellKey, SweepEnd};

    fn balancer(cgroup: &str) -> Arc<Balancer> {
        Arc::new(Balancer {
            command: "nginx".into(),
            cgroup: Some(cgroup.into()),
            netns: 1,
            first_pid: 7,
            listens: Some(true),
        })
    }

    /// A cell with this many attempts and live connections as of sweep `session`.
    fn reading(balancer: &Arc<Balancer>, attempts: u64, live: u32, session: u64) -> Reading {
        let key =
            CellKey { cgroup_id: 1, command: [0; 16], address: [0; 16], netns: 1, port: 80, reserved: 0 };
        let buckets = [0; tracer_ebpf::histogram::BUCKETS];
        let cell = Cell {
            key,
            generation: 0,
            last_pid: 7,
            attempts,
            untracked: 0,
            established: attempts,
            failed: [0; 6],
            closed: 0,
            resets: 0,
            resets_without_data: 0,
            probes: 0,
            sent_bytes: 0,
            received_bytes: 0,
            segments_sent: 0,
            segments_received: 0,
            retransmits: 0,
            syn_retransmits: 0,
            repaired: 0,
            connect_time: buckets,
            cancelled_age: buckets,
            stock: tracer_ebpf::Stock { session, live, ..tracer_ebpf::Stock::EMPTY },
        };
        Reading { balancer: Arc::clone(balancer), backend: "10.0.0.1:80".parse().unwrap(), cell }
    }

    fn snapshot(taken: Instant, readings: Vec<Reading>, session: Option<u64>) -> Snapshot {
        Snapshot {
            taken,
            readings,
            uncounted: tracer_ebpf::Uncounted::default(),
            sweep: session.map(|session| SweepEnd { session }),
        }
    }

    #[test]
    fn samples_are_what_came_since_the_last_one() {
        let start = Instant::now();
        let nginx = balancer("/nginx.service");
        let mut collector = Collector::new(start, 1000.0);
        let first = collector.sample(&snapshot(
            start + Duration::from_secs(1),
            vec![reading(&nginx, 5, 2, 1)],
            Some(1),
        ));
        let second = collector.sample(&snapshot(
            start + Duration::from_secs(3),
            vec![reading(&nginx, 12, 3, 2)],
            Some(2),
        ));
        assert_eq!((first.time_seconds, first.interval_seconds), (1001.0, 1.0));
        assert_eq!((second.time_seconds, second.interval_seconds), (1003.0, 2.0));
        assert_eq!(first.backends[0].delta.attempts, 5);
        assert_eq!(second.backends[0].delta.attempts, 7);
        assert_eq!(second.backends[0].total.attempts, 12);
        assert_eq!(second.backends[0].stock.unwrap().live, 3);
    }

    #[test]
    fn a_restarted_unit_is_the_same_balancer() {
        let start = Instant::now();
        let nginx = balancer("/nginx.service");
        let mut collector = Collector::new(start, 0.0);
        let readings = vec![reading(&nginx, 5, 2, 1), reading(&nginx, 3, 1, 1)];
        let sample = collector.sample(&snapshot(start, readings, Some(1)));
        assert_eq!(sample.backends.len(), 1);
        assert_eq!(sample.backends[0].total.attempts, 8);
        assert_eq!(sample.backends[0].stock.unwrap().live, 3);
    }

    #[test]
    fn balancers_in_two_cgroups_are_two() {
        let start = Instant::now();
        let readings = vec![reading(&balancer("/a"), 5, 0, 1), reading(&balancer("/b"), 3, 0, 1)];
        let sample = Collector::new(start, 0.0).sample(&snapshot(start, readings, Some(1)));
        assert_eq!(sample.backends.len(), 2);
    }

    #[test]
    fn without_a_sweep_present_sockets_are_unknown_and_not_zero() {
        let start = Instant::now();
        let nginx = balancer("/nginx.service");
        let mut collector = Collector::new(start, 0.0);
        let unknown = collector.sample(&snapshot(start, vec![reading(&nginx, 5, 2, 1)], None));
        assert_eq!(unknown.backends[0].stock, None);
        let none = collector.sample(&snapshot(start, vec![reading(&nginx, 5, 2, 1)], Some(9)));
        assert_eq!(none.backends[0].stock, Some(Stock::default()), "swept, and no socket found");
    }
}
