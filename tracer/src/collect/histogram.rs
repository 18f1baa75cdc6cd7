//! How durations are spread.

use std::ops::{AddAssign, Sub};
use std::sync::Arc;
use tracer_ebpf::histogram::{BUCKETS, upper_bound_ns};

/// Counts of durations in the buckets of [`tracer_ebpf::histogram`].
///
/// Most of a sample's are empty: of backends that had no traffic, of what is not measured. An empty one takes no memory
/// beyond its place. The others go from room to room, and are shared until somebody changes one.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Option<Arc<[u64; BUCKETS]>>);

const NOTHING: &[u64; BUCKETS] = &[0; BUCKETS];

impl From<&[u64; BUCKETS]> for Histogram {
    fn from(counts: &[u64; BUCKETS]) -> Self {
        Self((counts != NOTHING).then(|| Arc::new(*counts)))
    }
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        let same = self.0.as_ref().zip(other.0.as_ref()).is_some_and(|(one, other)| Arc::ptr_eq(one, other));
        same || self.counts() == other.counts()
    }
}

impl Eq for Histogram {}

impl AddAssign<&Histogram> for Histogram {
    fn add_assign(&mut self, other: &Histogram) {
        let Some(other) = &other.0 else { return };
        let Some(_) = &self.0 else {
            self.0 = Some(Arc::clone(other));
            return;
        };
        for (sum, count) in self.counts_mut().iter_mut().zip(other.iter()) {
            *sum = sum.saturating_add(*count);
        }
    }
}

impl Sub for &Histogram {
    type Output = Histogram;
    fn sub(self, earlier: &Histogram) -> Histogram {
        if self == earlier {
            return Histogram::default();
        }
        let mut counts = *self.counts();
        for (count, before) in counts.iter_mut().zip(earlier.counts()) {
            *count = count.saturating_sub(*before);
        }
        Histogram(Some(Arc::new(counts)))
    }
}

impl Histogram {
    /// How many durations each bucket has.
    #[must_use]
    pub fn counts(&self) -> &[u64; BUCKETS] {
        self.0.as_deref().unwrap_or(NOTHING)
    }

    /// The same, to be changed.
    pub fn counts_mut(&mut self) -> &mut [u64; BUCKETS] {
        Arc::make_mut(self.0.get_or_insert_with(|| Arc::new(*NOTHING)))
    }

    /// Takes no memory of its own for what is the same as in `other`.
    pub(super) fn share(&mut self, other: &Histogram) {
        if self == other {
            self.0.clone_from(&other.0);
        }
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().flat_map(|counts| counts.iter()).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The duration in seconds below which a share `quantile` (0 to 1) of the counted ones lies, straight-line within
    /// the bucket; `None` when nothing was counted. Of what lies beyond the last bound, the bound is given.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let wanted = (quantile * total as f64).clamp(f64::MIN_POSITIVE, total as f64);
        let mut below = 0.0;
        let mut lower_ns = 0;
        for (bucket, &count) in self.counts().iter().enumerate() {
            let count = count as f64;
            let Some(upper_ns) = upper_bound_ns(bucket) else { break };
            if count > 0.0 && below + count >= wanted {
                let within = (wanted - below) / count;
                return Some((lower_ns as f64 + within * (upper_ns - lower_ns) as f64) / 1e9);
            }
            below += count;
            lower_ns = upper_ns;
        }
        Some(lower_ns as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_ebpf::histogram::bucket_of;

    #[test]
    fn quantiles_lie_within_a_quarter() {
        let mut histogram = Histogram::default();
        for milliseconds in 1..=1000_u64 {
            histogram.counts_mut()[bucket_of(milliseconds * 1_000_000) as usize] += 1;
        }
        for (quantile, seconds) in [(0.5, 0.5), (0.9, 0.9), (0.99, 0.99), (0.01, 0.01)] {
            let found = histogram.quantile(quantile).unwrap();
            assert!((found / seconds - 1.0_f64).abs() < 0.25, "{quantile}: {found} for {seconds}");
        }
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn durations_beyond_the_last_bound_are_given_as_the_bound() {
        let mut histogram = Histogram::default();
        histogram.counts_mut()[BUCKETS - 1] = 3;
        assert!((histogram.quantile(0.5).unwrap() - 68.719_476_736).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_nothing_however_it_came_about() {
        let mut histogram = Histogram::default();
        assert_eq!(Histogram::from(NOTHING), histogram);
        histogram.counts_mut()[3] = 2;
        let difference = &histogram - &histogram;
        assert!(difference.0.is_none() && difference == Histogram::default());
        histogram.counts_mut()[3] = 0;
        assert_eq!(histogram, Histogram::default());
    }

    #[test]
    fn what_is_shared_is_one_until_it_changes() {
        let mut one = Histogram::default();
        one.counts_mut()[3] = 2;
        let mut sum = Histogram::default();
        sum += &one;
        let mut equal = Histogram::from(one.counts());
        let mut different = Histogram::default();
        different.counts_mut()[4] = 2;
        equal.share(&one);
        different.share(&one);
        let is_one = |other: &Histogram| Arc::ptr_eq(one.0.as_ref().unwrap(), other.0.as_ref().unwrap());
        assert!(is_one(&sum) && is_one(&equal) && !is_one(&different));
        sum += &one;
        assert_eq!((sum.counts()[3], one.counts()[3], different.counts()[4]), (4, 2, 2));
    }
}
