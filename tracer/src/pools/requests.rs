//! Exchanges that were no health check's. Pure.
//!
//! A check that was taken out, or is held back, had about one exchange: two under TLS, none when it failed. What of its
//! exchanges is not there by the end of the next interval is given up.
//!
//! Over any time: exchanges = requests + taken, and taken ≤ checks.

/// Checks of one member that may wait for their response at the end of an interval.
const LATE: u64 = 2;

/// What became of the exchanges of one member's checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CheckExchanges {
    /// Taken out.
    taken: u64,
    /// Checks that had none that could be taken out.
    without: u64,
}

impl CheckExchanges {
    /// The requests among an interval's `exchanges`, `checks` in all having been taken out or held back by its end. What
    /// was held back and turned out to be traffic is given back. `None`: not measured.
    pub(super) fn requests(&mut self, checks: u64, exchanges: Option<u64>) -> Option<u64> {
        let settled = self.taken + self.without;
        let released = settled.saturating_sub(checks);
        let without = released.min(self.without);
        let given_back = released - without;
        self.without -= without;
        self.taken -= given_back;
        let due = checks.saturating_sub(settled);
        let Some(exchanges) = exchanges else {
            self.without += due;
            return None;
        };
        let out = due.min(exchanges);
        self.taken += out;
        self.without += (due - out).saturating_sub(LATE);
        Some(exchanges - out + given_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_check_takes_one_exchange_out_in_its_interval_or_the_next() {
        let mut checks = CheckExchanges::default();
        assert_eq!(checks.requests(1, Some(10)), Some(9));
        assert_eq!(checks.requests(3, Some(1)), Some(0), "one response is still to come");
        assert_eq!(checks.requests(3, Some(10)), Some(9));
        assert_eq!(checks.requests(3, Some(10)), Some(10));
    }

    #[test]
    fn checks_that_fail_take_no_later_traffic_out() {
        let mut checks = CheckExchanges::default();
        for failed in 1..=100 {
            assert_eq!(checks.requests(failed, Some(0)), Some(0));
        }
        assert_eq!(checks.requests(100, Some(50)), Some(48), "two may be late");
    }

    #[test]
    fn what_was_held_back_and_is_traffic_is_given_back() {
        let mut checks = CheckExchanges::default();
        assert_eq!(checks.requests(4, Some(4)), Some(0));
        assert_eq!(checks.requests(0, Some(1)), Some(5));
    }

    #[test]
    fn what_came_before_it_is_measured_is_not_taken_out_later() {
        let mut checks = CheckExchanges::default();
        assert_eq!(checks.requests(50, None), None);
        assert_eq!(checks.requests(51, Some(5)), Some(4));
    }

    proptest! {
        #[test]
        fn requests_and_what_is_taken_are_all_exchanges(
            series in prop::collection::vec((0_u64..30, prop::option::weighted(0.9, 0_u64..30)), 1..60),
        ) {
            let mut checks = CheckExchanges::default();
            let (mut exchanges, mut requests) = (0, 0);
            for (in_all, measured) in series {
                exchanges += measured.unwrap_or(0);
                let before = checks.taken;
                match checks.requests(in_all, measured) {
                    Some(count) => requests += count,
                    // Exchanges that nobody knows of are given back to nobody.
                    None => exchanges -= before - checks.taken,
                }
                prop_assert_eq!(exchanges, requests + checks.taken);
                prop_assert!(checks.taken + checks.without <= in_all);
            }
        }
    }
}
