//! Counts of members over the time judged, and their shares.

use super::interval::{NINETY_FIVE, wilson};

/// Shares over the time judged.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) counts: Vec<f64>,
    pub(super) total: f64,
    pub(super) dispersion: f64,
    /// Length, seconds.
    pub(super) seconds: f64,
    /// Connections to members with an expected share.
    pub(super) pool: f64,
}

impl Window {
    /// Of what is present, rather than of what came in some time.
    pub(super) fn of_stock(counts: &[f64], shares: &[f64]) -> Self {
        let due = counts.iter().zip(shares).filter(|(_, share)| **share > 0.0);
        Self {
            counts: counts.to_vec(),
            total: counts.iter().sum(),
            dispersion: 1.0,
            seconds: 0.0,
            pool: due.map(|(count, _)| count).sum(),
        }
    }

    /// Share that a member got.
    pub(super) fn observed(&self, member: usize) -> Option<f64> {
        (self.total > 0.0).then(|| self.counts[member] / self.total)
    }

    /// The same among the members with an expected share.
    pub(super) fn observed_of_pool(&self, member: usize) -> Option<f64> {
        (self.pool > 0.0).then(|| self.counts[member] / self.pool)
    }

    /// 95 % interval of that.
    pub(super) fn interval_of_pool(&self, member: usize) -> Option<[f64; 2]> {
        let effective = |count: f64| count / self.dispersion;
        (self.pool > 0.0).then(|| wilson(effective(self.counts[member]), effective(self.pool), NINETY_FIVE))
    }

    /// Dispersion over its length.
    pub(super) fn dispersion(&self) -> f64 {
        self.dispersion
    }

    /// 95 % interval of the share that a member got.
    pub(super) fn interval(&self, member: usize) -> Option<[f64; 2]> {
        let effective = |count: f64| count / self.dispersion;
        (self.total > 0.0).then(|| wilson(effective(self.counts[member]), effective(self.total), NINETY_FIVE))
    }
}

/// Connections still needed, at least one.
#[expect(clippy::cast_possible_truncation, reason = "a float to an integer saturates, and NaN becomes 0")]
pub(super) fn whole(connections: f64) -> u64 {
    (connections.ceil() as u64).max(1)
}
