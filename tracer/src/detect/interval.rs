//! Intervals of shares and rates.

/// Normal quantile of a 95 % interval.
pub(super) const NINETY_FIVE: f64 = 1.96;

/// Score interval of a binomial share (Wilson 1927); counts may be fractions (effective counts). All of it when
/// nothing was tried.
pub(super) fn wilson(hits: f64, tried: f64, z: f64) -> [f64; 2] {
    if tried <= 0.0 || !tried.is_finite() || hits.is_nan() {
        return [0.0, 1.0];
    }
    let share = (hits / tried).clamp(0.0, 1.0);
    let z2 = z * z;
    let centre = (share + z2 / (2.0 * tried)) / (1.0 + z2 / tried);
    let half = z / (1.0 + z2 / tried) * (share * (1.0 - share) / tried + z2 / (4.0 * tried * tried)).sqrt();
    [(centre - half).clamp(0.0, share), (centre + half).clamp(share, 1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let [low, high] = wilson(81.0, 263.0, NINETY_FIVE);
        assert!(
            (low - 0.2553).abs() < 2e-4 && (high - 0.3662).abs() < 2e-4,
            "Newcombe 1998, method 3: {low} {high}"
        );
        let [low, _] = wilson(6.0, 6.0, 3.0);
        assert!((low - 0.4).abs() < 1e-12);
    }

    #[test]
    fn nothing_tried_says_nothing() {
        assert_eq!(wilson(0.0, 0.0, 3.0), [0.0, 1.0]);
        assert_eq!(wilson(f64::NAN, 5.0, 3.0), [0.0, 1.0]);
    }
}
