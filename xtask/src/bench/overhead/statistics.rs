//! Quartiles of a few figures. Pure.

use serde::Serialize;

/// A quarter of the figures lies below `low`, half below `median`, a quarter above `high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(in crate::bench) struct Quartiles {
    pub(in crate::bench) low: f64,
    pub(in crate::bench) median: f64,
    pub(in crate::bench) high: f64,
}

impl Quartiles {
    /// Of figures in any order; `None` when there are none. In between two figures it is on the line that joins them
    /// (Hyndman and Fan 1996, definition 7, as R and NumPy do it).
    pub(in crate::bench) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |quarter: usize| {
            let (below, rest) = (last * quarter / 4, last * quarter % 4);
            let above = sorted[(below + 1).min(last)];
            sorted[below] + (above - sorted[below]) * rest as f64 / 4.0
        };
        Some(Self { low: at(1), median: at(2), high: at(3) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_those_of_the_sorted_figures() {
        let found = Quartiles::of([4.0, 1.0, 3.0, 2.0, 5.0]);
        assert_eq!(found, Some(Quartiles { low: 2.0, median: 3.0, high: 4.0 }));
        let found = Quartiles::of([1.0, 2.0, 3.0, 4.0]);
        assert_eq!(found, Some(Quartiles { low: 1.75, median: 2.5, high: 3.25 }));
    }

    #[test]
    fn one_figure_is_all_of_them_and_none_has_no_median() {
        assert_eq!(Quartiles::of([7.0]), Some(Quartiles { low: 7.0, median: 7.0, high: 7.0 }));
        assert_eq!(Quartiles::of([]), None);
    }
}
