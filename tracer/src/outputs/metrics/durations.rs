//! Durations in fewer buckets than the kernel has: a series for each bucket, member and kind is what fleets pay for.

use crate::collect::Histogram;
use tracer_ebpf::histogram::{BUCKETS, upper_bound_ns};

/// Every bucket ends where one of the kernel's does: two octaves a bucket, 131 µs to 34 s.
const BOUNDS: usize = 10;
/// log2 of the first bound, nanoseconds.
const FIRST: usize = 17;
const OCTAVES: usize = 2;
const NANOSECONDS: f64 = 1e9;

/// Durations, added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Durations {
    counts: [u64; BOUNDS + 1],
    /// Estimated, since the kernel adds up no durations: each counts as the middle of its fine bucket, which is at most a
    /// quarter wide, so that it is off by an eighth at most.
    pub(super) sum_seconds: f64,
}

impl Durations {
    /// Adds those of an interval.
    pub(super) fn add(&mut self, fine: &Histogram) {
        let mut lower_ns = 0;
        for (bucket, &count) in fine.counts().iter().enumerate() {
            // Of what lies beyond the last bound, the bound counts.
            let upper_ns = upper_bound_ns(bucket).unwrap_or(lower_ns);
            if count > 0 {
                let at = &mut self.counts[COARSE[bucket]];
                *at = at.saturating_add(count);
                let middle = (lower_ns + upper_ns) as f64 / 2.0;
                self.sum_seconds += count as f64 * middle / NANOSECONDS;
            }
            lower_ns = upper_ns;
        }
    }

    /// Adds all of another.
    pub(super) fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum = sum.saturating_add(count);
        }
        self.sum_seconds += other.sum_seconds;
    }

    /// How many.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Each bucket's upper bound, seconds, with how many lie in it; the last has no bound.
    pub(super) fn buckets(&self) -> [(f64, u64); BOUNDS + 1] {
        let mut bucket = 0;
        self.counts.map(|count| {
            let bound = bound_ns(bucket).map_or(f64::INFINITY, |bound| bound as f64 / NANOSECONDS);
            bucket += 1;
            (bound, count)
        })
    }
}

/// Upper bound of one of our buckets, nanoseconds.
fn bound_ns(bucket: usize) -> Option<u64> {
    (bucket < BOUNDS).then(|| 1 << (FIRST + bucket * OCTAVES))
}

/// Which of ours holds each of the kernel's.
const COARSE: [usize; BUCKETS] = {
    let mut coarse = [BOUNDS; BUCKETS];
    let (mut fine, mut bucket) = (0, 0);
    while let Some(upper) = upper_bound_ns(fine) {
        while bucket < BOUNDS && upper > 1 << (FIRST + bucket * OCTAVES) {
            bucket += 1;
        }
        coarse[fine] = bucket;
        fine += 1;
    }
    coarse
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tracer_ebpf::histogram::bucket_of;

    #[test]
    fn every_bound_is_one_of_the_kernels() {
        let bounds: Vec<u64> = (0..BUCKETS).filter_map(upper_bound_ns).collect();
        for bucket in 0..BOUNDS {
            assert!(bounds.contains(&bound_ns(bucket).unwrap()), "{bucket}");
        }
        assert_eq!(bound_ns(0), Some(131_072));
        assert_eq!(bound_ns(9), Some(34_359_738_368));
    }

    proptest! {
        #[test]
        fn every_duration_is_counted_once_below_its_bound(times in prop::collection::vec(0_u64..200_000_000_000, 1..50)) {
            let mut fine = Histogram::default();
            times.iter().for_each(|time| fine.counts_mut()[bucket_of(*time) as usize] += 1);
            let mut durations = Durations::default();
            durations.add(&fine);
            prop_assert_eq!(durations.count(), times.len() as u64);
            let mut below = 0;
            for (bound, count) in durations.buckets() {
                below += count;
                let truly = times.iter().filter(|time| (**time as f64) < bound * NANOSECONDS).count();
                prop_assert_eq!(below, truly as u64, "below {}", bound);
            }
        }

        #[test]
        fn the_sum_is_off_by_an_eighth_at_most(times in prop::collection::vec(32_768_u64..68_000_000_000, 1..50)) {
            let mut fine = Histogram::default();
            times.iter().for_each(|time| fine.counts_mut()[bucket_of(*time) as usize] += 1);
            let mut durations = Durations::default();
            durations.add(&fine);
            let truly = times.iter().map(|time| *time as f64).sum::<f64>() / NANOSECONDS;
            prop_assert!((durations.sum_seconds / truly - 1.0).abs() <= 0.125, "{} {truly}", durations.sum_seconds);
        }
    }

    #[test]
    fn sums_stop_at_the_largest_number() {
        let mut fine = Histogram::default();
        fine.counts_mut()[3] = u64::MAX;
        let mut durations = Durations::default();
        durations.add(&fine);
        durations.add(&fine);
        let same = durations.clone();
        durations.merge(&same);
        assert_eq!(durations.count(), u64::MAX);
    }
}
