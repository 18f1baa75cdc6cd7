//! Which members depart, and by how much.
//!
//! Greedy and conditional (detector.md §8, detector-study.md §4.6): the shares of the others move as a consequence,
//! so the worst is taken out and the rest is looked at again.

use super::odds::{divergence, tilt};
use crate::detect::interval::NINETY_FIVE;

/// Added to the logarithm of the number of members, the least evidence that names one, nats.
const LEAST_NATS: f64 = 5.0;

/// No more than so many are named, however large the pool: who reads them, and it takes members times named.
pub(in crate::detect) const MOST_NAMED: usize = 64;

/// A member that departs from the rest of the pool.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Named {
    /// Which.
    pub(in crate::detect) member: usize,
    /// How many times its due it gets, against the balanced remainder; infinite when nothing is left over.
    #[serde(with = "crate::detect::exact")]
    pub(in crate::detect) ratio: f64,
    /// 95 % interval of that, on the log scale, with the dispersion.
    #[serde(with = "crate::detect::exact")]
    pub(in crate::detect) interval: [f64; 2],
    /// Evidence when it was taken, nats.
    #[serde(with = "crate::detect::exact")]
    pub(in crate::detect) nats: f64,
}

/// Names the members of a window: `counts` and `shares` (any scale; 0 takes a member out) by member. The most
/// conspicuous comes first.
pub(in crate::detect) fn attribute(
    counts: &[f64],
    shares: &[f64],
    dispersion: f64,
    margin: f64,
) -> Vec<Named> {
    let mut left: Vec<usize> =
        (0..counts.len().min(shares.len())).filter(|&index| shares[index] > 0.0).collect();
    let members = left.len();
    let least = (members as f64).ln() + LEAST_NATS;
    let mut named = Vec::new();
    while left.len() > 1 && named.len() < (members / 2).clamp(1, MOST_NAMED) {
        let total: f64 = left.iter().map(|&index| counts[index]).sum();
        let due: f64 = left.iter().map(|&index| shares[index]).sum();
        if total < 1.0 {
            break;
        }
        // Beside a fault a pool is no longer as steady as it was without one.
        let scale = if named.is_empty() { dispersion } else { dispersion.max(1.0) };
        let mut worst = (0, 0.0);
        for (position, &index) in left.iter().enumerate() {
            let nats = total * departure(counts[index] / total, shares[index] / due, margin) / scale;
            // Of two that are equally conspicuous but for rounding (always so in a pool of two), the first.
            if nats > worst.1 * (1.0 + 1e-9) {
                worst = (position, nats);
            }
        }
        if worst.1 < least {
            break;
        }
        let member = left.remove(worst.0);
        named.push(Named { member, ratio: f64::INFINITY, interval: [0.0, f64::INFINITY], nats: worst.1 });
    }
    let rest: f64 = left.iter().map(|&index| counts[index]).sum();
    let rest_due: f64 = left.iter().map(|&index| shares[index]).sum();
    for one in &mut named {
        let (count, due) = (counts[one.member], shares[one.member]);
        if rest > 0.0 {
            one.ratio = (count / due) / (rest / rest_due);
        }
        let error = (dispersion * (1.0 / (count + 0.5) + 1.0 / (rest + 0.5))).sqrt();
        let centre = (((count + 0.5) / due) / ((rest + 0.5) / rest_due)).ln();
        one.interval = [(centre - NINETY_FIVE * error).exp(), (centre + NINETY_FIVE * error).exp()];
    }
    named
}

/// Nats per connection by which a share lies outside the margin around what is expected.
fn departure(observed: f64, expected: f64, margin: f64) -> f64 {
    let edge = tilt(expected, if observed > expected { margin } else { 1.0 / margin });
    let inside = if observed > expected { observed <= edge } else { observed >= edge };
    if inside { 0.0 } else { divergence(observed, edge) }
}
