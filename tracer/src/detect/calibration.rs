//! What dispersion misses shows in the height of harmless excursions, which should be exponential with mean 1.
//!
//! detector.md §4, detector-study.md §4.4.

use super::odds::ALTERNATIVES;

/// Heights above which excursions are counted, nats.
const LEVELS: [f64; 4] = [3.0, 6.0, 9.0, 12.0];
/// Weight of the belief that all is as it should be, in excursions.
const PRIOR: f64 = 10.0;

/// Excursions of one pool, all members together, per alternative.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Calibration([[Level; LEVELS.len()]; ALTERNATIVES]);

#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Level {
    #[serde(with = "super::exact")]
    excess: f64,
    above: f64,
}

impl Calibration {
    /// Factor by which evidence of every alternative is divided, at least 1.
    pub(super) fn factors(&self) -> [f64; ALTERNATIVES] {
        self.0.map(|levels| {
            levels.iter().map(|level| (PRIOR + level.excess) / (PRIOR + level.above)).fold(1.0, f64::max)
        })
    }

    /// Takes in an excursion that ended without a flag.
    pub(super) fn ended(&mut self, alternative: usize, peak: f64, threshold: f64) {
        for (level, height) in self.0[alternative].iter_mut().zip(LEVELS) {
            if peak > height {
                level.excess += peak.min(2.0 * threshold) - height;
                level.above += 1.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excursions_of_mean_one_leave_the_evidence_alone_and_higher_ones_weaken_it() {
        let mut as_expected = Calibration::default();
        let mut too_high = Calibration::default();
        for _ in 0..100 {
            as_expected.ended(2, 4.0, 17.0);
            too_high.ended(2, 9.0, 17.0);
        }
        assert!((as_expected.factors()[2] - 1.0).abs() < 1e-12);
        assert!(too_high.factors()[2] > 5.0);
        assert!((too_high.factors()[1] - 1.0).abs() < 1e-12, "each alternative for itself");
    }
}
