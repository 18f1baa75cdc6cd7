//! How durations are spread: weights per bucket of [`tracer_ebpf::histogram`], where old ones fade.

use crate::collect::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracer_ebpf::histogram::{BUCKETS, upper_bound_ns};

/// Faded weights are whole multiples of `1 / GRAINS`: most buckets stay empty, and what is written down stays short.
const GRAINS: f64 = 1024.0;

/// Weights of durations.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread(pub(super) Box<[f64; BUCKETS]>);

impl Default for Spread {
    fn default() -> Self {
        Self(Box::new([0.0; BUCKETS]))
    }
}

impl Spread {
    /// Fades what there is to the part `kept`, 0 to 1.
    pub(super) fn fade(&mut self, kept: f64) {
        for weight in self.0.iter_mut() {
            *weight = (*weight * kept * GRAINS).floor() / GRAINS;
        }
    }

    /// Counts durations.
    pub(super) fn count(&mut self, more: &Histogram) {
        for (weight, count) in self.0.iter_mut().zip(more.0.iter()) {
            *weight += *count as f64;
        }
    }

    /// Adds another spread.
    pub(super) fn add(&mut self, more: &Self) {
        for (weight, more) in self.0.iter_mut().zip(more.0.iter()) {
            *weight += more;
        }
    }

    /// Takes away a part of it.
    pub(super) fn remove(&mut self, part: &Self) {
        for (weight, part) in self.0.iter_mut().zip(part.0.iter()) {
            *weight = (*weight - part).max(0.0);
        }
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.0.fill(0.0);
    }

    /// Sum of all weights.
    pub(super) fn mass(&self) -> f64 {
        self.0.iter().sum()
    }

    /// The duration below which a share `quantile` of the weight lies, straight-line within its bucket, seconds;
    /// `None` when there is none. Of what lies beyond the last bound, the bound is given.
    pub(super) fn quantile(&self, quantile: f64) -> Option<f64> {
        Tail::of(self).quantile(quantile)
    }
}

impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().enumerate().filter(|(_, weight)| **weight > 0.0))
    }
}

impl<'de> Deserialize<'de> for Spread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut read = Self::default();
        for (bucket, weight) in Vec::<(usize, f64)>::deserialize(deserializer)? {
            match read.0.get_mut(bucket) {
                Some(place) if weight.is_finite() && weight >= 0.0 => *place = weight,
                _ => return Err(serde::de::Error::custom("no such bucket, or no such weight")),
            }
        }
        Ok(read)
    }
}

/// Lower and upper bound of a bucket, nanoseconds; the last one has no width.
fn bounds_ns(bucket: usize) -> (f64, f64) {
    let lower = bucket.checked_sub(1).and_then(upper_bound_ns).unwrap_or(0) as f64;
    (lower, upper_bound_ns(bucket).map_or(lower, |upper| upper as f64))
}

/// A duration's place among the buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Place {
    bucket: usize,
    /// Part of the bucket that lies above it, 0 to 1.
    above: f64,
}

impl Place {
    /// Of a duration, nanoseconds.
    pub(super) fn of(duration_ns: f64) -> Self {
        for bucket in 0..BUCKETS - 1 {
            let (lower, upper) = bounds_ns(bucket);
            if duration_ns < upper {
                return Self { bucket, above: ((upper - duration_ns) / (upper - lower)).clamp(0.0, 1.0) };
            }
        }
        Self { bucket: BUCKETS - 1, above: 1.0 }
    }

    /// The first bucket bound that is not below a duration: its bucket is the first that lies above.
    pub(super) fn bound_at_least(duration_ns: f64) -> Self {
        let bucket = (0..BUCKETS - 1).find(|&bucket| bounds_ns(bucket).0 >= duration_ns);
        Self { bucket: bucket.unwrap_or(BUCKETS - 1), above: 1.0 }
    }

    /// The duration, nanoseconds.
    pub(super) fn ns(self) -> f64 {
        let (lower, upper) = bounds_ns(self.bucket);
        upper - self.above * (upper - lower)
    }

    /// How many of the counted durations lie above a bound.
    pub(super) fn counted_above(self, counted: &Histogram) -> u64 {
        counted.0[self.bucket.min(BUCKETS)..].iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// The weights of a spread, summed from above.
pub(super) struct Tail([f64; BUCKETS + 1]);

impl Tail {
    /// Sums the weights.
    pub(super) fn of(spread: &Spread) -> Self {
        let mut sums = [0.0; BUCKETS + 1];
        let mut sum = 0.0;
        for (bucket, weight) in spread.0.iter().enumerate().rev() {
            sum += weight;
            sums[bucket] = sum;
        }
        Self(sums)
    }

    /// The same without a part of it.
    pub(super) fn without(&self, part: Option<&Self>) -> Self {
        let mut rest = self.0;
        for (sum, part) in rest.iter_mut().zip(part.iter().flat_map(|part| part.0)) {
            *sum = (*sum - part).max(0.0);
        }
        Self(rest)
    }

    /// All of it.
    pub(super) fn mass(&self) -> f64 {
        self.0[0]
    }

    /// Weight above a place.
    pub(super) fn above(&self, place: Place) -> f64 {
        let next = self.0[place.bucket + 1];
        next + place.above * (self.0[place.bucket] - next)
    }

    /// As [`Spread::quantile`].
    pub(super) fn quantile(&self, quantile: f64) -> Option<f64> {
        let mass = self.mass();
        let wanted = (1.0 - quantile) * mass;
        let bucket = (0..BUCKETS).rev().find(|&bucket| self.0[bucket] > 0.0 && self.0[bucket] >= wanted)?;
        let next = self.0[bucket + 1];
        let above = ((wanted - next) / (self.0[bucket] - next)).clamp(0.0, 1.0);
        Some(Place { bucket, above }.ns() / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_ebpf::histogram::bucket_of;

    fn spread(durations_ms: &[u64]) -> Spread {
        let mut counted = Histogram::default();
        durations_ms.iter().for_each(|ms| counted.0[bucket_of(ms * 1_000_000) as usize] += 1);
        let mut spread = Spread::default();
        spread.count(&counted);
        spread
    }

    #[test]
    fn quantiles_are_those_of_the_histogram() {
        let mut counted = Histogram::default();
        for (bucket, count) in [(0, 3), (20, 5), (21, 1), (60, 8), (BUCKETS - 1, 2)] {
            counted.0[bucket] = count;
        }
        let mut spread = Spread::default();
        spread.count(&counted);
        for quantile in [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0] {
            let (one, other) = (spread.quantile(quantile).unwrap(), counted.quantile(quantile).unwrap());
            assert!((one - other).abs() < 1e-9 * other.max(1e-9), "{quantile}: {one} {other}");
        }
        assert_eq!(Spread::default().quantile(0.5), None);
    }

    #[test]
    fn the_weight_above_a_quantile_is_what_is_left() {
        let spread = spread(&[1, 2, 3, 5, 8, 13, 21, 34, 55, 89]);
        let tail = Tail::of(&spread);
        for quantile in [0.2, 0.5, 0.75] {
            let place = Place::of(spread.quantile(quantile).unwrap() * 1e9);
            assert!((tail.above(place) / spread.mass() - (1.0 - quantile)).abs() < 1e-6, "{quantile}");
        }
        assert!(tail.above(Place::of(f64::INFINITY)).abs() < 1e-12);
        assert!((tail.above(Place::of(0.0)) - 10.0).abs() < 1e-12);
    }

    #[test]
    fn a_bound_lies_not_below_what_was_asked_for() {
        for ns in [0.0, 1.0, 40_000.0, 3e6, 6e10] {
            let place = Place::bound_at_least(ns);
            assert!(place.ns() >= ns && place.ns() <= ns * 1.25 + 32_768.0, "{ns}: {}", place.ns());
        }
    }

    #[test]
    fn what_is_written_down_comes_back_and_nonsense_does_not() {
        let mut spread = spread(&[1, 2, 2, 900]);
        spread.fade(0.3);
        let text = serde_json::to_string(&spread).unwrap();
        assert_eq!(serde_json::from_str::<Spread>(&text).unwrap(), spread);
        for text in ["[[86,1.0]]", "[[1,-1.0]]", "7"] {
            assert!(serde_json::from_str::<Spread>(text).is_err(), "{text}");
        }
    }
}
