//! Many members slightly off: weak for each of them, clear for the pool.
//!
//! One statistic per closed block of the dispersion, in pools of 20 and more: Pearson's X² against what the margin
//! allows, with Birgé's bound on the tail of a noncentral χ². detector.md §8, detector-study.md §4.9.

use super::bank::Bank;
use super::dispersion::SCALES;

/// Smaller pools are served better by the tests of their members.
const LEAST_MEMBERS: usize = 20;
/// Scatter of true shares that is fine, as a coefficient of variation.
const FINE: f64 = 0.1;

/// Standing finding on the whole pool.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Diffuse {
    /// Scale of the block that showed it.
    scale: usize,
    /// When that block began, seconds.
    pub(in crate::detect) since_seconds: f64,
    /// Evidence beyond what the margin allows, nats.
    pub(in crate::detect) nats: f64,
    /// How much the true shares scatter, as a coefficient of variation.
    pub(in crate::detect) variation: f64,
}

/// Looks at the blocks that the bank's last tick closed; gives what stands after them. `shares` as given to the bank.
pub(in crate::detect) fn judge(
    standing: Option<Diffuse>,
    bank: &Bank,
    shares: &[f64],
    eligible: &[bool],
    false_alarm_ticks: f64,
) -> Option<Diffuse> {
    let members = bank.eligible();
    if members < LEAST_MEMBERS {
        return None;
    }
    let mut standing = standing;
    let threshold =
        ((false_alarm_ticks * SCALES as f64).ln() - 3.0) * if bank.is_learning() { 2.0 } else { 1.0 };
    let sum: f64 =
        shares.iter().zip(eligible).filter(|(_, eligible)| **eligible).map(|(share, _)| share).sum();
    // Scale 0 is left out: one second alone raises no flag.
    for scale in (1..SCALES).filter(|scale| bank.closed_scales() & (1 << scale) != 0) {
        let block = bank.dispersion().closed(scale);
        if block.total < 2.0 * members as f64 {
            continue;
        }
        let mut distance = 0.0;
        for ((&count, &share), &eligible) in block.counts.iter().zip(shares).zip(eligible) {
            if eligible && share > 0.0 {
                let due = block.total * share / sum;
                distance += (count - due) * (count - due) / due;
            }
        }
        let dispersion = bank.dispersion().over(1 << (2 * scale)).max(1.0);
        let freedom = members as f64 - 1.0;
        let allowed = block.total * FINE * FINE / dispersion;
        let found = distance / dispersion;
        let limit =
            freedom + allowed + 2.0 * ((freedom + 2.0 * allowed) * threshold).sqrt() + 2.0 * threshold;
        if found > limit {
            let since_seconds = standing.map_or(block.began_seconds, |before| before.since_seconds);
            let variation = ((distance - dispersion * freedom) / block.total).max(0.0).sqrt();
            let nats = excess_nats(found, freedom, allowed);
            standing = Some(Diffuse { scale, since_seconds, nats, variation });
        } else if standing.is_some_and(|before| before.scale <= scale) && found < freedom + allowed {
            standing = None;
        }
    }
    standing
}

/// The threshold at which Birgé's bound would just be met: solves `found = d + λ + 2 √((d + 2λ) t) + 2 t` for t.
fn excess_nats(found: f64, freedom: f64, allowed: f64) -> f64 {
    let (spread, beyond) = (freedom + 2.0 * allowed, found - freedom - allowed);
    let root = ((spread + 2.0 * beyond.max(0.0)).sqrt() - spread.sqrt()) / 2.0;
    root * root
}
