//! Buckets of time: the same for every histogram, fixed by the ABI.
//!
//! Four buckets an octave from 2^15 ns (32.8 µs) to 2^36 ns (68.7 s), each octave cut in four equal parts, with one
//! bucket below and one above. A bucket's width is at most a quarter of its lower bound, so that a quantile is off by
//! at most a quarter. Powers of two need no division in the kernel.

#![expect(clippy::cast_possible_truncation, reason = "bucket numbers are below 87; const fn has no try_from")]

/// log2 of the lower bound of the first octave, nanoseconds.
const FIRST_OCTAVE: u32 = 15;
/// log2 of the upper bound of the last octave, nanoseconds.
const LAST_OCTAVE: u32 = 36;
const PARTS_LOG2: u32 = 2;
const PARTS: u32 = 1 << PARTS_LOG2;

/// Number of buckets, the one below and the one above included.
pub const BUCKETS: usize = ((LAST_OCTAVE - FIRST_OCTAVE) * PARTS + 2) as usize;

/// Index of the bucket that holds a duration; always below [`BUCKETS`].
#[inline(always)]
#[must_use]
pub const fn bucket_of(duration_ns: u64) -> u32 {
    if duration_ns < 1 << FIRST_OCTAVE {
        return 0;
    }
    if duration_ns >= 1 << LAST_OCTAVE {
        return BUCKETS as u32 - 1;
    }
    let octave = duration_ns.ilog2();
    let part = (duration_ns >> (octave - PARTS_LOG2)) as u32 & (PARTS - 1);
    (octave - FIRST_OCTAVE) * PARTS + part + 1
}

/// Upper bound of a bucket, nanoseconds (exclusive); `None` for the last, which has none.
#[must_use]
pub const fn upper_bound_ns(bucket: usize) -> Option<u64> {
    if bucket + 1 >= BUCKETS {
        return None;
    }
    let octave = FIRST_OCTAVE + bucket as u32 / PARTS;
    let part = bucket as u64 % PARTS as u64;
    Some((PARTS as u64 + part) << (octave - PARTS_LOG2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_below_its_upper_bound_and_not_below_the_one_before() {
        let mut durations = vec![0, 1, u64::MAX];
        for octave in 0..40 {
            for part in 0..16 {
                let edge = ((16 + part) << octave) / 16;
                durations.extend([edge - 1, edge, edge + 1]);
            }
        }
        for duration in durations {
            let bucket = bucket_of(duration) as usize;
            assert!(bucket < BUCKETS);
            if let Some(upper) = upper_bound_ns(bucket) {
                assert!(duration < upper, "{duration} in bucket {bucket} below {upper}");
            }
            if bucket > 0 {
                assert!(upper_bound_ns(bucket - 1).is_some_and(|lower| lower <= duration), "{duration}");
            }
        }
    }

    #[test]
    fn bounds_are_as_documented() {
        assert_eq!(BUCKETS, 86);
        assert_eq!(upper_bound_ns(0), Some(32_768));
        assert_eq!(upper_bound_ns(BUCKETS - 2), Some(68_719_476_736));
        assert_eq!(upper_bound_ns(BUCKETS - 1), None);
        for bucket in 1..BUCKETS - 1 {
            let (lower, upper) = (upper_bound_ns(bucket - 1).unwrap(), upper_bound_ns(bucket).unwrap());
            assert!(upper > lower && (upper - lower) * 4 <= lower, "bucket {bucket}: {lower}..{upper}");
        }
    }
}
