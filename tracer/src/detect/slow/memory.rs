//! How much of what is remembered of a member gives way to what is new.

use std::sync::LazyLock;

/// Answers, or connections, of a member that are remembered (e-folding). Own choice: so few that a change is seen after
/// one more memory, so many that the others' quantiles are known to some per cent.
pub(super) const MEMORY: f64 = 60.0;
/// Numbers for which it is known beforehand, in halves.
const KNOWN: usize = 256;

/// The part of what is remembered that so many more leave of it. Nearly always they are few, and a whole number or half
/// of one: a stock that grew counts by half.
pub(super) fn left_by(more: f64) -> f64 {
    static LEFT: LazyLock<[f64; KNOWN]> =
        LazyLock::new(|| std::array::from_fn(|halves| left(halves as f64 / 2.0)));
    let halves = place(more);
    match LEFT.get(halves) {
        Some(left) if (halves as f64).to_bits() == (2.0 * more).to_bits() => *left,
        _ => left(more),
    }
}

fn left(more: f64) -> f64 {
    (-more / MEMORY).exp()
}

#[expect(clippy::cast_possible_truncation, reason = "a float to an integer saturates, and NaN becomes 0")]
fn place(more: f64) -> usize {
    (2.0 * more) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_beforehand_is_what_would_be_worked_out() {
        for more in [0.0, 0.5, 7.0, 127.5, 128.0, 1e9, 0.3, -0.0, -1.0, f64::INFINITY] {
            assert_eq!(left_by(more).to_bits(), left(more).to_bits(), "{more}");
        }
        assert!(left_by(f64::NAN).is_nan());
    }
}
