//! How many come: ±50 % over a day, times noise that lasts about a minute, now and then a burst.

use super::Chance;
use std::f64::consts::TAU;

/// Ticks between two looks at the time of day.
const DAYLIGHT_TICKS: u64 = 64;
const DAY_TICKS: f64 = 86_400.0;
/// What is left of the log-noise after a tick, and what comes to it: σ = 0.2 in the long run.
const NOISE_KEPT: f64 = 0.98;
const NOISE_ADDED: f64 = 0.04;

/// The rate of arrivals, tick by tick.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    /// Mean over a day, per tick.
    mean: f64,
    bursts: bool,
    daylight: f64,
    noise: f64,
    tick: u64,
    burst_ends: u64,
}

impl Arrivals {
    pub(crate) fn new(mean: f64, bursts: bool) -> Self {
        Self { mean, bursts, daylight: 1.0, noise: 0.0, tick: 0, burst_ends: 0 }
    }

    /// Arrivals that are due in the next tick.
    pub(crate) fn next(&mut self, chance: &mut Chance) -> f64 {
        if self.tick.is_multiple_of(DAYLIGHT_TICKS) {
            #[expect(clippy::cast_precision_loss, reason = "ticks far below 2^53")]
            let day = self.tick as f64 / DAY_TICKS;
            self.daylight = 1.0 + 0.5 * (TAU * day).sin();
        }
        self.noise = NOISE_KEPT * self.noise + NOISE_ADDED * chance.normal();
        // Six times as many for three seconds, every five minutes on average.
        if self.bursts && self.tick >= self.burst_ends && chance.share() < 1.0 / 300.0 {
            self.burst_ends = self.tick + 3;
        }
        let burst = if self.tick < self.burst_ends { 6.0 } else { 1.0 };
        self.tick += 1;
        self.mean * self.daylight * self.noise.exp() * burst
    }
}
