//! How durations are spread: weights per bucket of [`tracer_ebpf::histogram`], where old ones fade.

use crate::collect::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::Range;
use tracer_ebpf::histogram::{BUCKETS, upper_bound_ns};

/// Weights below this have faded away: most buckets stay empty, and what is written down stays short.
const FADED: f64 = 1.0 / 1024.0;

/// Buckets that are looked at together: a cache line of counts.
const PART: usize = 8;

/// Weights of durations.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread {
    weights: Box<[f64; BUCKETS]>,
    /// Buckets outside are empty; so are most.
    filled: Range<usize>,
}

impl Default for Spread {
    fn default() -> Self {
        Self { weights: Box::new([0.0; BUCKETS]), filled: 0..0 }
    }
}

impl Spread {
    /// Fades what there is to the part `kept`, 0 to 1.
    pub(super) fn fade(&mut self, kept: f64) {
        for weight in &mut self.weights[self.filled.clone()] {
            let faded = *weight * kept;
            *weight = if faded < FADED { 0.0 } else { faded };
        }
        self.tighten();
    }

    /// Leaves empty buckets at either end outside.
    fn tighten(&mut self) {
        let weights = &self.weights[self.filled.clone()];
        let is_filled = |weight: &f64| *weight > 0.0;
        match (weights.iter().position(is_filled), weights.iter().rposition(is_filled)) {
            (Some(first), Some(last)) => {
                self.filled = self.filled.start + first..self.filled.start + last + 1;
            }
            _ => self.filled = 0..0,
        }
    }

    /// Counts durations: buckets, and how many each.
    pub(super) fn count(&mut self, more: &[(usize, f64)]) {
        if let (Some((first, _)), Some((last, _))) = (more.first(), more.last()) {
            self.reach(*first..*last + 1);
        }
        for &(bucket, count) in more {
            self.weights[bucket] += count;
        }
    }

    /// Adds another spread.
    pub(super) fn add(&mut self, more: &Self) {
        self.reach(more.filled.clone());
        let (weights, more) = (&mut self.weights[more.filled.clone()], &more.weights[more.filled.clone()]);
        weights.iter_mut().zip(more).for_each(|(weight, more)| *weight += more);
    }

    /// Fades, counts, and brings a sum of which it is a part up to date; gives the sum of all weights.
    pub(super) fn renew(&mut self, kept: f64, more: &[(usize, f64)], sum: &mut Self) -> f64 {
        let mut mass = 0.0;
        let weights = &mut self.weights[self.filled.clone()];
        let sums = &mut sum.weights[self.filled.clone()];
        for (weight, sum) in weights.iter_mut().zip(sums) {
            let faded = *weight * kept;
            let faded = if faded < FADED { 0.0 } else { faded };
            *sum = (*sum + (faded - *weight)).max(0.0);
            *weight = faded;
            mass += faded;
        }
        self.tighten();
        self.count(more);
        sum.count(more);
        mass + more.iter().map(|(_, count)| count).sum::<f64>()
    }

    fn reach(&mut self, buckets: Range<usize>) {
        if self.filled.is_empty() {
            self.filled = buckets;
        } else if !buckets.is_empty() {
            self.filled = self.filled.start.min(buckets.start)..self.filled.end.max(buckets.end);
        }
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.weights[self.filled.clone()].fill(0.0);
        self.filled = 0..0;
    }

    /// Sum of all weights.
    pub(super) fn mass(&self) -> f64 {
        self.weights[self.filled.clone()].iter().sum()
    }

    /// The duration below which a share `quantile` of the weight lies, straight-line within its bucket, seconds;
    /// `None` when there is none. Of what lies beyond the last bound, the bound is given.
    pub(super) fn quantile(&self, quantile: f64) -> Option<f64> {
        Tail::of(self).quantile(quantile)
    }
}

impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0))
    }
}

impl<'de> Deserialize<'de> for Spread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut read = Self::default();
        for (bucket, weight) in Vec::<(usize, f64)>::deserialize(deserializer)? {
            match read.weights.get_mut(bucket) {
                Some(place) if weight.is_finite() && weight >= 0.0 => {
                    *place = weight;
                    read.reach(bucket..bucket + 1);
                }
                _ => return Err(serde::de::Error::custom("no such bucket, or no such weight")),
            }
        }
        Ok(read)
    }
}

/// Durations of one member in an interval.
#[derive(Clone, Copy, Debug)]
pub(in crate::detect) struct Durations<'a> {
    /// How they are spread.
    pub(in crate::detect) spread: &'a Histogram,
    /// Whether there are none for sure: it saves looking.
    pub(in crate::detect) none: bool,
}

impl Durations<'_> {
    /// Appends the buckets that are not empty, in order, and what they hold; gives the sum.
    pub(super) fn read(self, into: &mut Vec<(usize, f64)>) -> f64 {
        if self.none {
            return 0.0;
        }
        let mut sum = 0.0;
        let mut take = |from: usize, counts: &[u64]| {
            for (place, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                into.push((from + place, count as f64));
                sum += count as f64;
            }
        };
        let (parts, rest) = self.spread.counts().as_chunks::<PART>();
        for (part, counts) in parts.iter().enumerate() {
            if counts.iter().fold(0, |any, count| any | count) != 0 {
                take(part * PART, counts);
            }
        }
        take(parts.len() * PART, rest);
        sum
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
    pub(super) fn counted_above(self, counted: &[(usize, f64)]) -> f64 {
        counted.iter().rev().take_while(|(bucket, _)| *bucket >= self.bucket).map(|(_, count)| count).sum()
    }
}

/// The weights of a spread, summed from above.
pub(super) struct Tail([f64; BUCKETS + 1]);

impl Tail {
    /// Sums the weights.
    pub(super) fn of(spread: &Spread) -> Self {
        let mut sums = [0.0; BUCKETS + 1];
        let mut sum = 0.0;
        for (bucket, weight) in spread.weights.iter().enumerate().rev() {
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

    fn read(counted: &Histogram) -> Vec<(usize, f64)> {
        let mut answers = Vec::new();
        Durations { spread: counted, none: false }.read(&mut answers);
        answers
    }

    fn spread(durations_ms: &[u64]) -> Spread {
        let mut counted = Histogram::default();
        durations_ms.iter().for_each(|ms| counted.counts_mut()[bucket_of(ms * 1_000_000) as usize] += 1);
        let mut spread = Spread::default();
        spread.count(&read(&counted));
        spread
    }

    #[test]
    fn quantiles_are_those_of_the_histogram() {
        let mut counted = Histogram::default();
        for (bucket, count) in [(0, 3), (20, 5), (21, 1), (60, 8), (BUCKETS - 1, 2)] {
            counted.counts_mut()[bucket] = count;
        }
        let mut spread = Spread::default();
        spread.count(&read(&counted));
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
