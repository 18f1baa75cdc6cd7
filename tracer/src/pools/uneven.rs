//! Weights that look like a typing error. Pure arithmetic: what is said of it is not decided here.

/// A weight is out of line from so many times the median of the others on: twice is a larger machine, ten times a digit
/// too many.
const OUT_OF_LINE: f64 = 3.0;
/// A third of 0.3 is not quite 0.1 to a machine.
const ALMOST: f64 = 1.0 - 1e-9;

/// A weight that one does not expect next to the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutOfLine {
    /// Its place in the list.
    pub index: usize,
    /// The median of the others.
    pub others: f64,
    /// How many times that it is.
    pub ratio: f64,
}

/// The weights that are at least three times the median of the others; who has none does not count.
#[must_use]
pub fn out_of_line(weights: &[f64]) -> Vec<OutOfLine> {
    found(weights, |ratio| ratio >= OUT_OF_LINE * ALMOST)
}

/// The weights that are at most a third of the median of the others. Where one is far above, all the others are far below
/// it: to be asked where none is.
#[must_use]
pub fn far_below(weights: &[f64]) -> Vec<OutOfLine> {
    found(weights, |ratio| ratio * OUT_OF_LINE * ALMOST <= 1.0)
}

fn found(weights: &[f64], is_out: impl Fn(f64) -> bool) -> Vec<OutOfLine> {
    let mut sorted: Vec<f64> = weights.iter().copied().filter(|weight| *weight > 0.0).collect();
    sorted.sort_by(f64::total_cmp);
    let one = |(index, &weight): (usize, &f64)| {
        let others = median_without(&sorted, sorted.partition_point(|&other| other < weight))?;
        let ratio = weight / others;
        is_out(ratio).then_some(OutOfLine { index, others, ratio })
    };
    weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0).filter_map(one).collect()
}

/// The median of all but the one at `place`; `None` when there is no other.
fn median_without(sorted: &[f64], place: usize) -> Option<f64> {
    let others = sorted.len().checked_sub(1).filter(|others| *others > 0)?;
    let other = |index: usize| sorted[if index < place { index } else { index + 1 }];
    Some(f64::midpoint(other((others - 1) / 2), other(others / 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(found: &[OutOfLine]) -> Vec<usize> {
        found.iter().map(|one| one.index).collect()
    }

    #[test]
    fn the_large_are_found_by_the_median_of_the_others() {
        for (weights, expected) in [
            (&[5.0, 50.0, 5.0, 5.0][..], &[1][..]),
            (&[50.0, 5.0, 5.0, 50.0], &[0, 3]),
            (&[0.1, 0.3, 0.1], &[1]),
            (&[1.0, 2.9], &[]),
            (&[50.0, 50.0, 5.0], &[]),
            (&[0.0, 5.0, 0.0], &[]),
            (&[7.0], &[]),
            (&[], &[]),
        ] {
            assert_eq!(places(&out_of_line(weights)), expected, "{weights:?}");
        }
        let found = out_of_line(&[5.0, 50.0, 5.0])[0];
        assert_eq!(found, OutOfLine { index: 1, others: 5.0, ratio: 10.0 });
    }

    #[test]
    fn the_small_are_found_the_same_way() {
        assert_eq!(places(&far_below(&[50.0, 5.0, 50.0])), [1]);
        assert_eq!(places(&far_below(&[0.3, 0.1, 0.3])), [1]);
        assert_eq!(places(&far_below(&[5.0, 2.0, 5.0, 0.0])), [0; 0]);
    }
}
