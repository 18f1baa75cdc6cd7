//! What dispersion misses shows in the height of harmless excursions, which should be exponential with mean 1.
//!
//! detector.md §4, detector-study.md §4.4.

use super::odds::ALTERNATIVES;

/// Heights above which excursions are counted, nats.
const LEVELS: [f64; 4] = [3.0, 6.0, 9.0, 12.0];
/// Weight of the belief that all is as it should be, in excursions.
const PRIOR: f64 = 10.0;

/// How often old excursions are made to weigh less, seconds.
const FORGET_EVERY_SECONDS: f64 = 3600.0;

/// Excursions of one pool, all members together, per alternative.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Calibration {
    levels: [[Level; LEVELS.len()]; ALTERNATIVES],
    /// What follows from them: every tick asks, and they seldom change.
    #[serde(with = "crate::detect::exact")]
    factors: [f64; ALTERNATIVES],
    /// Since excursions were last made to weigh less, seconds.
    since_forgotten: f64,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Level {
    #[serde(with = "crate::detect::exact")]
    excess: f64,
    above: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { levels: Default::default(), factors: [1.0; ALTERNATIVES], since_forgotten: 0.0 }
    }
}

/// Factor that the excursions of an alternative tell.
fn factor(levels: &[Level]) -> f64 {
    levels.iter().map(|level| (PRIOR + level.excess) / (PRIOR + level.above)).fold(1.0, f64::max)
}

impl Calibration {
    /// Factor by which evidence of every alternative is divided, at least 1.
    pub(in crate::detect) fn factors(&self) -> [f64; ALTERNATIVES] {
        self.factors
    }

    /// Whether the factors are what follows from the excursions.
    pub(in crate::detect) fn is_whole(&self) -> bool {
        self.factors == self.levels.map(|levels| factor(&levels))
    }

    /// Lets time pass: what was long ago says less of how the pool scatters now. detector-study.md §4.4.
    pub(in crate::detect) fn forget(&mut self, seconds: f64, half_life_seconds: f64) {
        self.since_forgotten += seconds;
        if self.since_forgotten >= FORGET_EVERY_SECONDS {
            let kept = (-self.since_forgotten / half_life_seconds).exp2();
            for level in self.levels.iter_mut().flatten() {
                level.excess *= kept;
                level.above *= kept;
            }
            self.factors = self.levels.map(|levels| factor(&levels));
            self.since_forgotten = 0.0;
        }
    }

    /// Takes in an excursion that ended without a flag.
    pub(in crate::detect) fn ended(&mut self, alternative: usize, peak: f64, threshold: f64) {
        let [lowest, ..] = LEVELS;
        // Most are harmless. What is not a number is above nothing.
        if peak.is_nan() || peak <= lowest {
            return;
        }
        for (level, height) in self.levels[alternative].iter_mut().zip(LEVELS) {
            if peak > height {
                level.excess += peak.min(2.0 * threshold) - height;
                level.above += 1.0;
            }
        }
        self.factors[alternative] = factor(&self.levels[alternative]);
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

    #[test]
    fn what_was_weeks_ago_is_forgotten() {
        let week = 604_800.0;
        let mut calibration = Calibration::default();
        (0..100).for_each(|_| calibration.ended(2, 9.0, 17.0));
        let before = calibration.factors()[2];
        (0..168).for_each(|_| calibration.forget(3600.0, week));
        let after = calibration.factors()[2];
        assert!(after < before && (after - (10.0 + 300.0) / (10.0 + 50.0)).abs() < 1e-9, "{before} {after}");
        (0..168 * 30).for_each(|_| calibration.forget(3600.0, week));
        assert!((calibration.factors()[2] - 1.0).abs() < 1e-6);
    }
}
