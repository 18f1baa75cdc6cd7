//! Shares tilted by a ratio of odds, and how far two shares are apart.

/// Ratios tested above the expected share. detector.md §2.
pub(in crate::detect) const ABOVE: [f64; 4] = [1.25, 1.6, 2.5, 6.0];
/// Ratios tested below it. detector.md §2.
pub(in crate::detect) const BELOW: [f64; 4] = [1.0 / 1.25, 1.0 / 1.8, 1.0 / 4.0, 0.02];
/// Tests per member.
pub(in crate::detect) const ALTERNATIVES: usize = ABOVE.len() + BELOW.len();
/// A ratio nearer to the margin than this is not tested: the two hypotheses would be the same, or swapped.
const APART: f64 = 1.1;
/// What a pool that is called balanced would have shown: a member with this many times its due. detector.md §10.
const SHOWN_RATIO: f64 = 2.0;

/// Share of a member that gets `ratio` times its due against the rest of the pool.
pub(in crate::detect) fn tilt(share: f64, ratio: f64) -> f64 {
    ratio * share / (1.0 - share + ratio * share)
}

/// What a count of the member, and one of another, adds to the log-likelihood ratio of each test, nats.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Coefficients {
    #[serde(with = "crate::detect::exact")]
    own: [f64; ALTERNATIVES],
    #[serde(with = "crate::detect::exact")]
    other: [f64; ALTERNATIVES],
}

impl Coefficients {
    /// The eight tests of a member with the expected share `share`, each against the edge of the margin on its side;
    /// nothing for a share of 0 or 1, which cannot be departed from. detector.md §2.
    pub(in crate::detect) fn new(share: f64, margin: f64) -> Self {
        let mut all = Self::default();
        if share > 0.0 && share < 1.0 {
            let skipped = untested(margin);
            for index in (0..ALTERNATIVES).filter(|index| index % ABOVE.len() >= skipped) {
                let side = index % ABOVE.len();
                let (ratio, edge) =
                    if index < ABOVE.len() { (ABOVE[side], margin) } else { (BELOW[side], 1.0 / margin) };
                let (far, near) = (tilt(share, ratio), tilt(share, edge));
                all.own[index] = (far / near).ln();
                all.other[index] = ((1.0 - far) / (1.0 - near)).ln();
            }
        }
        all
    }

    /// Nats that `own` of `total` counts add to each test.
    pub(in crate::detect) fn of(&self, own: f64, total: f64) -> [f64; ALTERNATIVES] {
        let others = total - own;
        std::array::from_fn(|index| self.own[index] * own + self.other[index] * others)
    }
}

/// The number of ratios, on either side, that lie too near to the margin to be tested.
pub(in crate::detect) fn untested(margin: f64) -> usize {
    ABOVE.iter().zip(BELOW).filter(|&(&above, below)| above.min(1.0 / below) < margin * APART).count()
}

/// Kullback-Leibler divergence of two binary outcomes, nats per connection: `observed` from `expected`.
pub(in crate::detect) fn divergence(observed: f64, expected: f64) -> f64 {
    let term = |a: f64, b: f64| if a > 0.0 { a * (a / b).ln() } else { 0.0 };
    term(observed, expected) + term(1.0 - observed, 1.0 - expected)
}

/// Nats per connection by which a member at twice its due departs from the margin's edge; the least of all members
/// that are not more than half of the pool. 0 when there is none. detector.md §10.
pub(in crate::detect) fn power(shares: impl Iterator<Item = f64>, margin: f64) -> f64 {
    let shown = SHOWN_RATIO.max(margin * 1.5);
    let least = shares
        .filter(|&share| share > 0.0 && share <= 0.5)
        .map(|share| divergence(tilt(share, shown), tilt(share, margin)))
        .fold(f64::INFINITY, f64::min);
    if least.is_finite() { least.max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_tilted_and_back_is_the_share() {
        for share in [1e-9, 0.01, 0.25, 0.9] {
            for ratio in [0.02, 0.8, 1.1, 6.0] {
                assert!((tilt(tilt(share, ratio), 1.0 / ratio) / share - 1.0).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn every_test_expects_to_fall_where_all_is_well() {
        for share in [0.001, 0.25, 0.5, 0.97] {
            for margin in [1.05, 1.1, 2.0] {
                let gains = Coefficients::new(share, margin).of(share, 1.0);
                assert!(gains.iter().all(|gain| *gain <= 0.0), "{share} {margin} {gains:?}");
            }
        }
    }

    #[test]
    fn a_quarter_takes_as_many_connections_as_simulated() {
        let threshold = crate::detect::Settings::default().threshold(4.0);
        let needed = threshold / power([0.25; 4].into_iter(), 1.1);
        assert!((430.0..442.0).contains(&needed), "detector-study.md §4.10 says 436, here {needed}");
    }
}
