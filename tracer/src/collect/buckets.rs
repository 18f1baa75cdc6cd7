//! Histograms as they are written down: `[[upper bound in seconds, count], …]`, without the empty buckets. The bucket
//! that has no upper bound has `null` for it.

use super::Histogram;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use tracer_ebpf::histogram::{BUCKETS, bucket_of, upper_bound_ns};

/// Nanoseconds of a second.
const NANOSECONDS: f64 = 1e9;

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let filled = self.counts().iter().enumerate().filter(|&(_, &count)| count > 0);
        serializer.collect_seq(filled.map(|(bucket, count)| {
            let bound = upper_bound_ns(bucket).map(|bound| bound as f64 / NANOSECONDS);
            (bound, count)
        }))
    }
}

impl<'de> Deserialize<'de> for Histogram {
    /// Bounds that are none of ours count in the bucket that ends there or soonest after.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Buckets;

        impl<'de> Visitor<'de> for Buckets {
            type Value = Histogram;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of [upper bound in seconds, count]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut buckets: A) -> Result<Histogram, A::Error> {
                let mut histogram = Histogram::default();
                while let Some((bound, count)) = buckets.next_element::<(Option<f64>, u64)>()? {
                    let bucket = bound.map_or(Ok(BUCKETS - 1), bucket_below).map_err(A::Error::custom)?;
                    let sum = &mut histogram.counts_mut()[bucket];
                    *sum = sum.saturating_add(count);
                }
                Ok(histogram)
            }
        }

        deserializer.deserialize_seq(Buckets)
    }
}

/// The bucket of durations just below a bound.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn bucket_below(bound_seconds: f64) -> Result<usize, String> {
    if bound_seconds > 0.0 && bound_seconds.is_finite() {
        let nanoseconds = (bound_seconds * NANOSECONDS).round() as u64;
        Ok(bucket_of(nanoseconds.saturating_sub(1)) as usize)
    } else {
        Err(format!("a bucket's upper bound is a number of seconds above 0, not {bound_seconds}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn histograms_come_back_as_they_were(counts in prop::collection::vec((0..BUCKETS, any::<u64>()), 0..20)) {
            let mut histogram = Histogram::default();
            counts.iter().for_each(|&(bucket, count)| histogram.counts_mut()[bucket] = count);
            let text = serde_json::to_string(&histogram).unwrap();
            prop_assert_eq!(serde_json::from_str::<Histogram>(&text).unwrap(), histogram, "{}", text);
        }
    }

    #[test]
    fn every_bound_is_that_of_its_bucket() {
        for bucket in 0..BUCKETS {
            let mut histogram = Histogram::default();
            histogram.counts_mut()[bucket] = 7;
            let text = serde_json::to_string(&histogram).unwrap();
            assert_eq!(serde_json::from_str::<Histogram>(&text).unwrap(), histogram, "{text}");
        }
    }

    #[test]
    fn other_bounds_count_where_their_durations_lie() {
        let read: Histogram = serde_json::from_str("[[0.001,3],[0.002,8],[0.064,1],[1e9,2]]").unwrap();
        assert_eq!(read.count(), 14);
        assert_eq!(read.counts()[bucket_of(999_999) as usize], 3);
        assert_eq!(read.counts()[BUCKETS - 1], 2);
    }

    #[test]
    fn what_is_no_bound_is_refused() {
        for text in ["[[0,1]]", "[[-1,1]]", "[[1,-1]]", "[[1,1.5]]", "[[1]]", "[1]", "{}"] {
            assert!(serde_json::from_str::<Histogram>(text).is_err(), "{text}");
        }
    }
}
