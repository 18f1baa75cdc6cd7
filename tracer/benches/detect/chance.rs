//! Seeded numbers: the same on every machine for a seed.

use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Exp1, Poisson, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A source of chance.
#[derive(Clone, Debug)]
pub(crate) struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// The source of one part of one cell: `seed` is the user's, the others keep the parts apart.
    pub(crate) fn new(seed: u64, cell: &str, part: u64) -> Self {
        // FNV-1a over the cell's name: adding a cell does not change the others.
        let name = cell.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name.rotate_left(17) ^ part.rotate_left(40);
        Self(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// Uniform in [0, 1).
    pub(crate) fn share(&mut self) -> f64 {
        self.0.random()
    }

    /// Uniform among the first `count` numbers; `count` is not 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    /// Standard normal.
    pub(crate) fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// Exponential with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        Exp1.sample(&mut self.0)
    }

    /// Log-normal with σ = 1 and the given mean: the study's lifetimes.
    pub(crate) fn lifetime(&mut self, mean: f64) -> f64 {
        mean * (self.normal() - 0.5).exp()
    }

    /// Events in a time in which `mean` are expected.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count, as a whole number"
        )]
        Poisson::new(mean).map_or(0, |poisson| poisson.sample(&mut self.0) as u64)
    }

    /// Geometric on 1, 2, … with the given mean, which is at least 1.
    pub(crate) fn geometric(&mut self, mean: f64) -> u64 {
        if mean <= 1.0 {
            return 1;
        }
        let failure = (1.0 - 1.0 / mean).ln();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count, as a whole number"
        )]
        let more = ((1.0 - self.share()).ln() / failure) as u64;
        1 + more
    }
}
