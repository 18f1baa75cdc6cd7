//! What people use instead, on the same counts: three tests of one minute each.

/// Length of their window, ticks.
const WINDOW: u64 = 60;
/// Normal quantile of one false alarm in a year of minutes; the approximation below makes it rather less, p ≈ 1e-6.
const CHI_SQUARE_Z: f64 = 4.62;
/// Largest share over the expected one, the customary limit.
const MOST_OVER_MEAN: f64 = 1.5;
/// Standard deviation of the members' counts over what they were due.
const VARIATION: f64 = 0.3;

pub(crate) const NAMES: [&str; 3] = ["chi-square", "max/mean", "CV"];

/// A minute's counts.
#[derive(Clone, Debug)]
pub(crate) struct Baselines {
    shares: Vec<f64>,
    counts: Vec<u64>,
    ticks: u64,
}

impl Baselines {
    pub(crate) fn new(shares: Vec<f64>) -> Self {
        Self { counts: vec![0; shares.len()], shares, ticks: 0 }
    }

    /// Takes in the counts of a tick; at the end of a minute, which tests raise an alarm.
    pub(crate) fn tick(&mut self, counts: impl Iterator<Item = u64>) -> Option<[bool; 3]> {
        self.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        self.ticks += 1;
        if !self.ticks.is_multiple_of(WINDOW) {
            return None;
        }
        let alarms = alarms(&self.shares, &self.counts);
        self.counts.fill(0);
        Some(alarms)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(crate) fn alarms(shares: &[f64], counts: &[u64]) -> [bool; 3] {
    let total = counts.iter().sum::<u64>() as f64;
    if total <= 0.0 {
        return [false; 3];
    }
    let members = shares.len() as f64;
    let (mut distance, mut most, mut squares) = (0.0, 0.0_f64, 0.0);
    for (&share, &count) in shares.iter().zip(counts) {
        let due = total * share;
        let ratio = count as f64 / due;
        distance += (count as f64 - due).powi(2) / due;
        most = most.max(ratio);
        squares += (ratio - 1.0).powi(2);
    }
    // Wilson and Hilferty 1931.
    let freedom = members - 1.0;
    let limit =
        freedom * (1.0 - 2.0 / (9.0 * freedom) + CHI_SQUARE_Z * (2.0 / (9.0 * freedom)).sqrt()).powi(3);
    [distance > limit, most > MOST_OVER_MEAN, (squares / freedom).sqrt() > VARIATION]
}
