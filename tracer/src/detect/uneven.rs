//! Declared weights that are followed and look like a typing error. Pure arithmetic: no traffic is looked at.

use crate::pools::out_of_line;

/// Weights that one does not expect.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Uneven {
    /// The member with the largest weight; the first of several.
    pub(super) member: usize,
    /// Its weight, in medians of the others'.
    pub(super) ratio: f64,
    /// Whether all others have the same weight.
    pub(super) others_are_equal: bool,
    /// How many others are out of line too.
    pub(super) more: usize,
}

/// Whether members' weights, or their shares, are out of line.
pub(super) fn uneven(weights: &[f64]) -> Option<Uneven> {
    let out = out_of_line(weights);
    let largest =
        out.iter().copied().reduce(|a, b| if weights[b.index] > weights[a.index] { b } else { a })?;
    let others = weights.iter().enumerate().filter(|(index, _)| *index != largest.index);
    let others = || others.clone().map(|(_, weight)| *weight).filter(|weight| *weight > 0.0);
    let (least, most) = (others().fold(f64::INFINITY, f64::min), others().fold(0.0, f64::max));
    Some(Uneven {
        member: largest.index,
        ratio: largest.ratio,
        others_are_equal: most - least <= 1e-9 * most,
        more: out.len() - 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Member, ratio, whether the others are equal, how many more.
    fn found(weights: &[f64]) -> Option<(usize, f64, bool, usize)> {
        uneven(weights).map(|uneven| (uneven.member, uneven.ratio, uneven.others_are_equal, uneven.more))
    }

    #[test]
    fn a_digit_too_many_is_found() {
        assert_eq!(found(&[5.0, 50.0, 5.0, 5.0]), Some((1, 10.0, true, 0)));
        assert_eq!(found(&[1.0, 3.0]), Some((1, 3.0, true, 0)), "of two, the other is the median");
        assert_eq!(found(&[0.1, 0.3, 0.1]).map(|found| found.0), Some(1), "three times as written");
        assert_eq!(found(&[4.0, 1.0, 2.0, 30.0]), Some((3, 15.0, false, 0)));
    }

    #[test]
    fn several_are_counted_and_the_largest_is_named() {
        assert_eq!(found(&[5.0, 40.0, 5.0, 50.0, 5.0]), Some((3, 10.0, false, 1)));
        assert_eq!(found(&[50.0, 5.0, 5.0, 50.0]), Some((0, 10.0, false, 1)));
    }

    #[test]
    fn what_differs_less_is_meant() {
        for weights in
            [&[][..], &[7.0], &[1.0, 2.9], &[1.0, 2.0, 2.0, 5.0], &[50.0, 50.0, 5.0], &[1.0, 5.0, 5.0]]
        {
            assert_eq!(found(weights), None, "{weights:?}");
        }
    }

    #[test]
    fn who_has_no_weight_does_not_count() {
        assert_eq!(found(&[0.0, 5.0, 0.0, 5.0, 5.0]), None);
        assert_eq!(found(&[0.0, 5.0, 0.0]), None);
        assert_eq!(found(&[0.0, 0.0]), None);
        assert_eq!(found(&[0.0, 5.0, 50.0, 5.0]), Some((2, 10.0, true, 0)));
    }

    fn weights() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec((0_u32..60).prop_map(f64::from), 0..12)
    }

    /// As it is defined, one member after the other.
    fn is_out_of_line(weights: &[f64], member: usize) -> bool {
        let mut others: Vec<f64> = weights.to_vec();
        let own = others.remove(member);
        others.retain(|weight| *weight > 0.0);
        others.sort_by(f64::total_cmp);
        let middle = others.len() / 2;
        let median = match others.len() {
            0 => return false,
            odd if odd % 2 == 1 => others[middle],
            _ => f64::midpoint(others[middle - 1], others[middle]),
        };
        own > 0.0 && own >= 3.0 * median
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(weights in weights()) {
            let out: Vec<usize> = (0..weights.len()).filter(|&member| is_out_of_line(&weights, member)).collect();
            let found = uneven(&weights);
            prop_assert_eq!(found.as_ref().map_or(0, |found| found.more + 1), out.len());
            prop_assert!(found.is_none_or(|found| out.contains(&found.member)));
        }

        #[test]
        fn equal_weights_are_never_uneven(weight in any::<f64>(), members in 0_usize..50, drained in 0_usize..9) {
            let mut weights = vec![weight; members];
            weights.extend(vec![0.0; drained]);
            prop_assert_eq!(uneven(&weights), None);
        }

        #[test]
        fn the_unit_does_not_matter(weights in weights(), factor in 1e-3_f64..1e3) {
            let scaled: Vec<f64> = weights.iter().map(|weight| weight * factor).collect();
            let (plain, scaled) = (uneven(&weights), uneven(&scaled));
            let counted = |found: &Option<Uneven>| found.as_ref().map(|found| (found.member, found.more));
            prop_assert_eq!(counted(&plain), counted(&scaled));
        }

        #[test]
        fn the_order_does_not_matter(weights in weights(), turn in 0_usize..12) {
            let mut other = weights.clone();
            other.rotate_left(turn % weights.len().max(1));
            other.reverse();
            let said = |weights: &[f64]| {
                uneven(weights).map(|found| (weights[found.member], found.ratio, found.others_are_equal, found.more))
            };
            prop_assert_eq!(said(&weights), said(&other));
        }

        #[test]
        fn any_numbers_are_borne(weights in prop::collection::vec(any::<f64>(), 0..9)) {
            if let Some(found) = uneven(&weights) {
                prop_assert!(found.member < weights.len() && found.ratio >= 2.9 && found.more < weights.len());
            }
        }
    }
}
