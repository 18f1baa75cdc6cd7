//! From cumulative snapshots to samples.

use super::{BackendSample, Counters, Other, Sample, Stock, Uncounted};
use crate::kernel::{Balancer, Inheritance, Snapshot, sum};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// A balancer and one of its backends, in the order of their names.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Pair(Arc<Balancer>, SocketAddr);

impl Ord for Pair {
    /// Of the same balancer, as in most comparisons, no name is looked at.
    fn cmp(&self, other: &Self) -> Ordering {
        let Self(balancer, backend) = self;
        let by_name = if Arc::ptr_eq(balancer, &other.0) { Ordering::Equal } else { balancer.cmp(&other.0) };
        by_name.then_with(|| backend.cmp(&other.1))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Remembers the last snapshot, so that the next gives what happened since.
pub struct Collector {
    /// Seconds since the epoch at `started`. The clock of samples goes on from there by the monotonic clock, so that it
    /// never goes back when somebody sets the time.
    epoch_seconds: f64,
    started: Instant,
    previous_seconds: f64,
    /// What each cell said last, and whose it was, by its place, with its generation.
    cells: HashMap<u32, (u32, Pair, Counters)>,
    /// What is known of each pair that has a cell.
    pairs: BTreeMap<Pair, Known>,
    /// Of those that have none any more.
    retired: Counters,
    /// What the last snapshot had counted for want of a place.
    overflow: Counters,
    /// Connections that the last snapshot said had no cell of their own.
    crowded_out: u64,
}

/// What is remembered of a pair.
#[derive(Default)]
struct Known {
    /// Counted by cells that it has no more.
    past: Counters,
    /// What was given as happened so far. A figure that was made up for and is taken back again is not given twice.
    given: Counters,
}

/// What the cells of a pair say.
#[derive(Default)]
struct Present {
    counters: Counters,
    stock: Stock,
}

impl Collector {
    /// Counters are taken as zero at `started`, which is `epoch_seconds` after the epoch.
    #[must_use]
    pub fn new(started: Instant, epoch_seconds: f64) -> Self {
        Self {
            epoch_seconds,
            started,
            previous_seconds: 0.0,
            cells: HashMap::new(),
            pairs: BTreeMap::new(),
            retired: Counters::default(),
            overflow: Counters::default(),
            crowded_out: 0,
        }
    }

    /// Goes on from an agent before: the next sample is what happened since it told of its counters last, at
    /// `epoch_seconds` after the epoch. Also gives all that it has told, as if that were one interval.
    #[must_use]
    pub fn resume(epoch_seconds: f64, before: &Inheritance) -> (Self, Sample) {
        let mut collector = Self::new(before.told.taken, epoch_seconds);
        collector.retired = Counters::from(&before.retired);
        let mut sample = collector.sample(&before.told);
        // In an interval that is told, what made room had happened before.
        sample.other.delta = sample.other.total.clone();
        (collector, sample)
    }

    /// What happened since the snapshot before this one.
    pub fn sample(&mut self, snapshot: &Snapshot) -> Sample {
        let seconds = snapshot.taken.saturating_duration_since(self.started).as_secs_f64();
        let session = snapshot.sweep.map(|end| end.session);
        let backends = self.backends(snapshot, session);
        let overflow = &snapshot.overflow;
        // A cell that the last sweep did not visit has no sockets.
        let stock = if Some(overflow.stock.session) == session {
            Stock::from(&overflow.stock)
        } else {
            Stock::default()
        };
        let counted = Counters::from(overflow);
        let mut other = Other {
            delta: &counted - &self.overflow,
            total: counted.clone(),
            exchanges: snapshot.exchanges,
            stock: session.map(|_| stock),
        };
        self.overflow = counted;
        other.total += &self.retired;
        let uncounted = &snapshot.uncounted;
        let sample = Sample {
            time_seconds: self.epoch_seconds + seconds,
            interval_seconds: (seconds - self.previous_seconds).max(0.0),
            adopted_unknown: !snapshot.adopts,
            exchanges: snapshot.exchanges,
            crowded: uncounted.no_cell > self.crowded_out,
            uncounted: Uncounted {
                backends: uncounted.no_cell,
                connections: sum([uncounted.no_storage, uncounted.over_limit, uncounted.stale_cell]),
                memory: uncounted.no_storage,
                limit: uncounted.over_limit,
                undecided: uncounted.undecided,
                recursion_misses: sum(backends
                    .iter()
                    .map(|backend| backend.total.repaired)
                    .chain([other.total.repaired])),
            },
            other,
            backends,
        };
        self.previous_seconds = seconds;
        self.crowded_out = uncounted.no_cell;
        sample
    }

    /// Every pair that has a cell. Several cells may be of one pair: a restarted unit has a new cgroup of the same path,
    /// and a cell on its way out lives on for a while beside its successor.
    fn backends(&mut self, snapshot: &Snapshot, session: Option<u64>) -> Vec<BackendSample> {
        let mut gone = std::mem::take(&mut self.cells);
        let mut present: BTreeMap<Pair, Present> = BTreeMap::new();
        for reading in &snapshot.readings {
            let slot = reading.slot;
            if gone.get(&slot.index).is_some_and(|(generation, ..)| *generation == slot.generation) {
                gone.remove(&slot.index);
            }
            let now = Counters::from(&*reading.cell);
            let pair = Pair(Arc::clone(&reading.balancer), reading.backend);
            let sums = present.entry(pair.clone()).or_default();
            sums.counters += &now;
            if Some(reading.cell.stock.session) == session {
                sums.stock += Stock::from(&reading.cell.stock);
            }
            self.cells.insert(slot.index, (slot.generation, pair, now));
        }
        for (_, pair, last) in gone.into_values() {
            self.pairs.entry(pair).or_default().past += &last;
        }
        for (_, known) in self.pairs.extract_if(.., |pair, _| !present.contains_key(pair)) {
            self.retired += &known.past;
        }
        present
            .into_iter()
            .map(|(pair, Present { counters: mut total, stock })| {
                let Pair(balancer, backend) = pair.clone();
                let known = self.pairs.entry(pair).or_default();
                total += &known.past;
                let delta = &total - &known.given;
                known.given += &delta;
                known.given.share(&total);
                BackendSample { balancer, backend, delta, total, stock: session.map(|_| stock) }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Reading;
    use std::time::Duration;
    use tracer_ebpf::{Cell, Slot, SweepEnd};

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
        let cell = Cell {
            attempts,
            established: attempts,
            stock: tracer_ebpf::Stock { session, live, ..tracer_ebpf::Stock::EMPTY },
            ..Cell::EMPTY
        };
        let slot = Slot { index: 1, generation: 0 };
        Reading {
            balancer: Arc::clone(balancer),
            backend: "10.0.0.1:80".parse().unwrap(),
            slot,
            cell: Box::new(cell),
        }
    }

    fn at(index: u32, generation: u32, reading: Reading) -> Reading {
        Reading { slot: Slot { index, generation }, ..reading }
    }

    fn snapshot(taken: Instant, readings: Vec<Reading>, session: Option<u64>) -> Snapshot {
        Snapshot {
            taken,
            readings,
            overflow: Cell::EMPTY,
            uncounted: tracer_ebpf::Uncounted::default(),
            adopts: true,
            exchanges: true,
            sweep: session.map(|session| SweepEnd { session, ..SweepEnd::default() }),
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
        let readings = vec![reading(&nginx, 5, 2, 1), at(2, 0, reading(&nginx, 3, 1, 1))];
        let sample = collector.sample(&snapshot(start, readings, Some(1)));
        assert_eq!(sample.backends.len(), 1);
        assert_eq!(sample.backends[0].total.attempts, 8);
        assert_eq!(sample.backends[0].stock.unwrap().live, 3);
    }

    #[test]
    fn balancers_in_two_cgroups_are_two() {
        let start = Instant::now();
        let readings = vec![reading(&balancer("/a"), 5, 0, 1), at(2, 0, reading(&balancer("/b"), 3, 0, 1))];
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

    #[test]
    fn a_place_that_goes_to_another_backend_begins_at_zero_and_its_past_is_kept() {
        let start = Instant::now();
        let (old, new) = (balancer("/old"), balancer("/new"));
        let mut collector = Collector::new(start, 0.0);
        collector.sample(&snapshot(start, vec![reading(&old, 5, 0, 1)], Some(1)));
        let next = collector.sample(&snapshot(start, vec![at(1, 1, reading(&new, 3, 1, 2))], Some(2)));
        assert_eq!(next.backends.len(), 1);
        assert_eq!((next.backends[0].delta.attempts, next.backends[0].total.attempts), (3, 3));
        assert_eq!((next.other.total.attempts, next.other.stock), (5, Some(Stock::default())));
        let back = collector.sample(&snapshot(start, vec![at(1, 2, reading(&old, 2, 0, 3))], Some(3)));
        assert_eq!((back.backends[0].total.attempts, back.other.total.attempts), (2, 8));
    }

    #[test]
    fn exchanges_of_a_retired_backend_are_kept_and_known_only_where_they_are_measured() {
        let start = Instant::now();
        let nginx = balancer("/nginx.service");
        let mut collector = Collector::new(start, 0.0);
        let mut kept = reading(&nginx, 2, 2, 1);
        kept.cell.exchanges = 40;
        kept.cell.response_time[7] = 40;
        let sample = collector.sample(&snapshot(start, vec![kept], Some(1)));
        assert_eq!((sample.exchanges, sample.backends[0].delta.exchanges), (true, 40));
        assert_eq!(sample.backends[0].delta.response_time.counts()[7], 40);
        let gone = collector.sample(&snapshot(start, Vec::new(), Some(2)));
        assert_eq!((gone.other.exchanges, gone.other.total.exchanges), (true, 40));
        let unmeasured = Snapshot { exchanges: false, ..snapshot(start, Vec::new(), Some(3)) };
        let sample = collector.sample(&unmeasured);
        assert!(!sample.exchanges && !sample.other.exchanges);
    }

    #[test]
    fn a_pair_that_moves_to_another_place_keeps_its_total() {
        let start = Instant::now();
        let nginx = balancer("/nginx.service");
        let mut collector = Collector::new(start, 0.0);
        collector.sample(&snapshot(start, vec![reading(&nginx, 5, 0, 1)], Some(1)));
        let both = vec![reading(&nginx, 5, 0, 2), at(2, 0, reading(&nginx, 1, 1, 2))];
        collector.sample(&snapshot(start, both, Some(2)));
        let left = collector.sample(&snapshot(start, vec![at(2, 0, reading(&nginx, 4, 1, 3))], Some(3)));
        assert_eq!((left.backends[0].delta.attempts, left.backends[0].total.attempts), (3, 9));
        assert_eq!(left.other.total.attempts, 0);
    }

    #[test]
    fn what_has_no_place_is_in_other_and_the_interval_is_crowded() {
        let start = Instant::now();
        let mut collector = Collector::new(start, 0.0);
        let mut full = snapshot(start, Vec::new(), Some(1));
        full.overflow.attempts = 7;
        full.uncounted.no_cell = 7;
        let crowded = collector.sample(&full);
        assert_eq!((crowded.other.total.attempts, crowded.crowded, crowded.uncounted.backends), (7, true, 7));
        assert!(!collector.sample(&full).crowded, "nothing more since");
    }

    #[test]
    fn what_an_agent_before_has_told_is_in_totals_and_not_told_again() {
        let start = Instant::now();
        let (nginx, gone) = (balancer("/nginx.service"), balancer("/gone"));
        let mut told =
            snapshot(start, vec![reading(&nginx, 5, 2, 1), at(2, 0, reading(&gone, 4, 0, 1))], None);
        told.overflow.attempts = 7;
        told.uncounted.no_cell = 7;
        let retired = Cell { attempts: 11, ..Cell::EMPTY };
        let before = Inheritance { began: start, told: told.clone(), retired };
        let (mut collector, all) = Collector::resume(1000.0, &before);
        let attempts: Vec<u64> = all.backends.iter().map(|backend| backend.delta.attempts).collect();
        assert_eq!((attempts, all.other.delta.attempts, all.crowded), (vec![4, 5], 18, true));
        // It was dead for a minute, and one backend made room by then.
        let mut now = snapshot(start + Duration::from_secs(60), vec![reading(&nginx, 8, 2, 2)], Some(2));
        (now.overflow, now.uncounted) = (told.overflow, told.uncounted);
        let sample = collector.sample(&now);
        assert_eq!((sample.time_seconds, sample.interval_seconds), (1060.0, 60.0));
        assert_eq!((sample.backends[0].delta.attempts, sample.backends[0].total.attempts), (3, 8));
        assert_eq!((sample.other.delta.attempts, sample.other.total.attempts), (0, 22));
        assert!(!sample.crowded, "that was told");
    }

    #[test]
    fn what_was_made_up_for_and_is_taken_back_is_not_given_twice() {
        let start = Instant::now();
        let nginx = balancer("/nginx.service");
        let mut collector = Collector::new(start, 0.0);
        let closed = |closed, session| {
            let mut reading = reading(&nginx, 9, 0, session);
            reading.cell.closed = closed;
            snapshot(start, vec![reading], Some(session))
        };
        let mut given = 0;
        for (session, count) in [(1, 5), (2, 6), (3, 5), (4, 6), (5, 7)] {
            let sample = collector.sample(&closed(count, session));
            given += sample.backends[0].delta.closed;
            assert_eq!(sample.backends[0].total.closed, count);
        }
        assert_eq!(given, 7);
    }
}
