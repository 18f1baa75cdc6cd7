//! Ten seconds together. What is not written yet waits here.

use super::columns::Figures;
use super::tick::{PoolTick, Tick};
use crate::chronicle::PoolName;
use crate::collect::Uncounted;
use crate::detect::Verdict;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

/// Length of a bin, seconds.
pub(super) const BIN_SECONDS: i64 = 10;

/// Bins that are not written, in order of time; the last one still grows.
#[derive(Debug, Default)]
pub(super) struct Bins {
    bins: BTreeMap<i64, Bin>,
    uncounted: Uncounted,
}

/// Ten seconds.
#[derive(Debug, Default)]
pub(super) struct Bin {
    pub(super) pools: HashMap<PoolName, PoolBin>,
    pub(super) other: Option<Kept>,
    /// What could not be counted in it.
    pub(super) uncounted: Uncounted,
    /// End of the last interval in it.
    pub(super) end_seconds: f64,
    /// Length of its intervals.
    pub(super) seconds: f64,
    /// How many they are.
    pub(super) intervals: u64,
    /// How many of them are not written.
    pub(super) unwritten: u64,
}

/// A pool in ten seconds.
#[derive(Debug)]
pub(super) struct PoolBin {
    pub(super) end_seconds: f64,
    pub(super) seconds: f64,
    pub(super) exchanges: bool,
    pub(super) verdict: Option<Verdict>,
    pub(super) members: HashMap<SocketAddr, Kept>,
}

/// A row.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) figures: Figures,
    /// Whether it is otherwise than it was written last.
    pub(super) unwritten: bool,
    /// End of the last interval in it.
    end_seconds: f64,
}

impl Kept {
    fn new(figures: Figures, end_seconds: f64) -> Self {
        Self { figures, unwritten: true, end_seconds }
    }

    fn add(&mut self, figures: &Figures, end_seconds: f64) {
        self.figures.add(figures);
        (self.unwritten, self.end_seconds) = (true, end_seconds);
    }
}

/// The bin that an interval belongs to: where its middle is.
pub(super) fn bin_of(time_seconds: f64, interval_seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let middle = (time_seconds - interval_seconds / 2.0).floor() as i64;
    // A damaged history may say any time.
    middle.saturating_sub(middle.rem_euclid(BIN_SECONDS))
}

impl Bins {
    /// Takes an interval.
    pub(super) fn add(&mut self, tick: &Tick) {
        let bin = self.bins.entry(bin_of(tick.time_seconds, tick.interval_seconds)).or_default();
        bin.end_seconds = tick.time_seconds;
        bin.seconds += tick.interval_seconds;
        (bin.intervals, bin.unwritten) = (bin.intervals + 1, bin.unwritten + 1);
        for pool in &tick.pools {
            match bin.pools.get_mut(&pool.name) {
                Some(kept) => kept.add(pool, tick),
                None => {
                    bin.pools.insert(pool.name.clone(), PoolBin::new(pool, tick));
                }
            }
        }
        if let Some(other) = &tick.other {
            match &mut bin.other {
                Some(kept) => kept.add(other, tick.time_seconds),
                None => bin.other = Some(Kept::new(other.clone(), tick.time_seconds)),
            }
        }
        if let Some(uncounted) = tick.uncounted {
            bin.uncounted = bin.uncounted.and(uncounted.since(self.uncounted));
            self.uncounted = uncounted;
        }
    }

    /// Those with something that is not written, in order of time.
    pub(super) fn unwritten(&self) -> impl Iterator<Item = (i64, &Bin)> {
        self.bins.iter().filter(|(_, bin)| bin.unwritten > 0).map(|(time, bin)| (*time, bin))
    }

    /// Everything was written; only the last bin can still grow.
    pub(super) fn written(&mut self) {
        while self.bins.len() > 1 {
            self.bins.pop_first();
        }
        for bin in self.bins.values_mut() {
            bin.unwritten = 0;
            let members = bin.pools.values_mut().flat_map(|pool| pool.members.values_mut());
            members.chain(&mut bin.other).for_each(|kept| kept.unwritten = false);
        }
    }

    /// What was written is gone with its file: the last bin has to be written whole.
    pub(super) fn forget_written(&mut self) {
        for bin in self.bins.values_mut() {
            let members = bin.pools.values_mut().flat_map(|pool| pool.members.values_mut());
            members.chain(&mut bin.other).for_each(|kept| kept.unwritten = true);
        }
    }

    /// Intervals that are not written.
    pub(super) fn intervals(&self) -> u64 {
        self.bins.values().map(|bin| bin.unwritten).sum()
    }

    /// Lets go of the earliest bins until at most so many rows wait. Gives the intervals that are lost.
    pub(super) fn shorten(&mut self, most_rows: usize) -> u64 {
        let rows = |bin: &Bin| bin.pools.values().map(|pool| 1 + pool.members.len()).sum::<usize>() + 1;
        let mut waiting: usize = self.bins.values().map(rows).sum();
        let mut lost = 0;
        while waiting > most_rows
            && self.bins.len() > 1
            && let Some((_, bin)) = self.bins.pop_first()
        {
            waiting -= rows(&bin);
            lost += bin.unwritten;
        }
        lost
    }
}

impl PoolBin {
    fn new(pool: &PoolTick, tick: &Tick) -> Self {
        let kept = |(backend, figures): &(SocketAddr, Figures)| {
            (*backend, Kept::new(figures.clone(), tick.time_seconds))
        };
        Self {
            end_seconds: tick.time_seconds,
            seconds: tick.interval_seconds,
            exchanges: pool.exchanges,
            verdict: pool.verdict,
            members: pool.members.iter().map(kept).collect(),
        }
    }

    fn add(&mut self, pool: &PoolTick, tick: &Tick) {
        self.end_seconds = tick.time_seconds;
        self.seconds += tick.interval_seconds;
        self.exchanges &= pool.exchanges;
        self.verdict = pool.verdict;
        for (backend, figures) in &pool.members {
            match self.members.get_mut(backend) {
                Some(kept) => kept.add(figures, tick.time_seconds),
                None => {
                    self.members.insert(*backend, Kept::new(figures.clone(), tick.time_seconds));
                }
            }
        }
        for kept in self.members.values_mut() {
            // There was nothing of it in this interval, not even a connection that it still holds.
            if kept.end_seconds < tick.time_seconds && kept.figures.end_empty() {
                (kept.unwritten, kept.end_seconds) = (true, tick.time_seconds);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_belongs_where_its_middle_is_whatever_a_damaged_history_says() {
        assert_eq!((bin_of(20.4, 1.0), bin_of(20.6, 1.0), bin_of(-0.1, 0.0)), (10, 20, -10));
        assert_eq!((bin_of(-1e300, 1.0), bin_of(f64::NAN, 1.0)), (i64::MIN, 0));
        assert_eq!(bin_of(1e300, 1.0), i64::MAX - i64::MAX % 10);
    }
}
