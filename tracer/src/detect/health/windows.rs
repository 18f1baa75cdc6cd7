//! Attempts and failures over the last 10, 60 and 300 seconds, in ten slots each.
//!
//! A tick adds to the slot under way of each window, and these lie together: thousands of members are gone through in
//! every tick. What a window holds is added up when somebody asks, and nobody does while nothing fails.

use super::failing::{CAUSES, Tally};

/// Windows, seconds.
pub(in crate::detect) const WINDOWS_SECONDS: [f64; WINDOWS] = [10.0, 60.0, 300.0];
/// How many there are.
const WINDOWS: usize = 3;
/// Place of the longest window.
pub(in crate::detect) const LONGEST: usize = WINDOWS - 1;
/// Parts of a window.
const SLOTS: usize = 10;

/// Attempts of one slot.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
struct Attempts {
    #[serde(skip_serializing_if = "crate::detect::exact::is_nothing")]
    tried: f64,
    #[serde(skip_serializing_if = "crate::detect::exact::is_nothing")]
    succeeded: f64,
}

/// What was tried lately, and what failed of it.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Windows {
    /// Number of the slot of each window that the last tick lies in.
    numbers: [u64; WINDOWS],
    /// What that slot holds by now.
    under_way: [Attempts; WINDOWS],
    /// Failures by cause, of all slots with the one under way; none while no slot holds any.
    failed: Option<Box<[[[f64; CAUSES]; SLOTS]; WINDOWS]>>,
    /// The other slots; that of the one under way is empty. Elsewhere, so that what every tick needs lies together.
    ended: Box<[[Attempts; SLOTS]; WINDOWS]>,
}

impl Windows {
    /// Forgets the slots that lie before the windows now.
    pub(super) fn advance(&mut self, now_seconds: f64) {
        for (window, number) in numbers_at(now_seconds).into_iter().enumerate() {
            let before = self.numbers[window];
            if number <= before {
                continue;
            }
            self.numbers[window] = number;
            self.ended[window][slot_of(before)] = std::mem::take(&mut self.under_way[window]);
            for passed in 1..=(number - before).min(SLOTS as u64) {
                let slot = slot_of(before + passed);
                self.ended[window][slot] = Attempts::default();
                if let Some(failed) = &mut self.failed {
                    failed[window][slot] = [0.0; CAUSES];
                }
            }
            if window == LONGEST && !self.any_failed() {
                self.failed = None;
            }
        }
    }

    /// Adds to the slots of now.
    pub(super) fn add(&mut self, tally: &Tally) {
        for attempts in &mut self.under_way {
            attempts.tried += tally.tried;
            attempts.succeeded += tally.succeeded;
        }
        if tally.failures() > 0.0 {
            let failed = self.failed.get_or_insert_default();
            for (failed, number) in failed.iter_mut().zip(self.numbers) {
                add(&mut failed[slot_of(number)], &tally.failed);
            }
        }
    }

    /// What a window holds.
    pub(super) fn sum(&self, window: usize) -> Tally {
        let mut sum = Tally { failed: self.causes(window), ..Tally::default() };
        for attempts in self.ended[window].iter().chain([&self.under_way[window]]) {
            sum.tried += attempts.tried;
            sum.succeeded += attempts.succeeded;
        }
        sum
    }

    /// Failures in a window, by cause.
    pub(super) fn causes(&self, window: usize) -> [f64; CAUSES] {
        let mut sum = [0.0; CAUSES];
        if let Some(failed) = &self.failed {
            failed[window].iter().for_each(|slot| add(&mut sum, slot));
        }
        sum
    }

    /// Whether anything failed lately, as far as that is known without a look at every slot.
    pub(super) fn may_hold_failures(&self) -> bool {
        self.failed.is_some()
    }

    fn any_failed(&self) -> bool {
        self.failed.iter().any(|failed| failed.iter().flatten().flatten().any(|count| *count > 0.0))
    }
}

fn add(sum: &mut [f64; CAUSES], more: &[f64; CAUSES]) {
    sum.iter_mut().zip(more).for_each(|(sum, count)| *sum += count);
}

/// Number of the slot of each window that a moment lies in.
#[expect(clippy::cast_possible_truncation, reason = "a float to an integer saturates, and NaN becomes 0")]
fn numbers_at(now_seconds: f64) -> [u64; WINDOWS] {
    WINDOWS_SECONDS.map(|seconds| (now_seconds * (SLOTS as f64 / seconds)) as u64)
}

fn slot_of(number: u64) -> usize {
    usize::try_from(number % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tally(succeeded: u32, refused: u32) -> Tally {
        let mut tally = Tally { succeeded: f64::from(succeeded), ..Tally::default() };
        tally.failed[0] = f64::from(refused);
        tally.tried = tally.succeeded + tally.failures();
        tally
    }

    proptest! {
        #[test]
        fn a_window_holds_what_came_in_its_last_ten_slots(
            ticks in prop::collection::vec((0_u32..80, 0_u32..50, 0_u32..3), 1..200),
        ) {
            let (mut windows, mut now_seconds, mut came) = (Windows::default(), 0.0, Vec::new());
            for (seconds, succeeded, refused) in ticks {
                // Most ticks follow one another; some come after a long silence.
                now_seconds += if seconds < 70 { 1.0 } else { f64::from(seconds) };
                windows.advance(now_seconds);
                windows.add(&tally(succeeded, refused));
                came.push((numbers_at(now_seconds), tally(succeeded, refused)));
                for (window, number) in numbers_at(now_seconds).into_iter().enumerate() {
                    let mut expected = Tally::default();
                    let within = came.iter().filter(|(numbers, _)| numbers[window] + SLOTS as u64 > number);
                    within.for_each(|(_, tally)| expected.add(tally));
                    prop_assert_eq!(windows.sum(window), expected);
                    prop_assert_eq!(windows.causes(window), expected.failed);
                    prop_assert!(windows.may_hold_failures() || expected.failures() <= 0.0);
                }
            }
        }
    }

    #[test]
    fn failures_take_no_place_once_they_are_forgotten() {
        let mut windows = Windows::default();
        windows.advance(1000.0);
        windows.add(&tally(5, 1));
        windows.advance(1200.0);
        assert!(windows.may_hold_failures());
        windows.advance(1330.0);
        assert!(!windows.may_hold_failures());
    }
}
