//! Failure rates of members over 10, 60 and 300 seconds. detector.md §10, detector-study.md §5.

use super::windows::{LONGEST, WINDOWS_SECONDS, Windows};
use crate::collect::{Counters, Histogram};
use crate::detect::Settings;
use crate::detect::interval::wilson;
use crate::detect::spread::divergence;
use tracer_ebpf::histogram::upper_bound_ns;

/// Standard deviations of the bounds.
const DEVIATIONS: f64 = 3.0;
/// A failing member is well when it fails by this much less, as a ratio of rates.
const WELL: f64 = 0.25;
/// Causes, in the order of the counters, and then `RESET`.
pub(in crate::detect) const CAUSES: usize = 7;
/// Place of `cancelled` among the causes.
pub(in crate::detect) const CANCELLED: usize = 3;
/// Place of `local` among the causes.
pub(in crate::detect) const LOCAL: usize = 4;
/// Place of connections that were established and reset by the backend before it had sent a byte: an application that
/// crashes, a proxy with nothing behind it.
pub(in crate::detect) const RESET: usize = 6;
/// Evidence of failures in a row that is no accident: one in a million. Without this rule a member that is hardly ever
/// tried again (ejected, or passed over) hides for a minute behind what it served before.
pub(in crate::detect) const IN_A_ROW_NATS: f64 = 13.8;
/// Failure rate that is taken for certain where all of a few attempts failed: a lower bound would be so low that it
/// took a hundred successes to clear.
const NOTHING_SUCCEEDS: f64 = 0.5;
/// And never taken to be higher, so that there is something to fall from.
const HIGHEST_RATE: f64 = 0.99;
/// Ages kept before old ones are given half the weight.
const AGES: u64 = 4096;
/// No bucket counts further, so that all of them together can be added up.
const MOST_PER_BUCKET: u64 = 1 << 40;

/// Attempts whose fate is known, and those that failed, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub(in crate::detect) struct Tally {
    /// Established or failed, or all attempts where more were made.
    #[serde(skip_serializing_if = "crate::detect::exact::is_nothing")]
    pub(in crate::detect) tried: f64,
    /// Established, or of unknown fate: what cannot be told is not held against anybody.
    #[serde(skip_serializing_if = "crate::detect::exact::is_nothing")]
    pub(in crate::detect) succeeded: f64,
    /// Failed, by cause.
    #[serde(skip_serializing_if = "crate::detect::exact::are_nothing")]
    pub(in crate::detect) failed: [f64; CAUSES],
}

impl Tally {
    /// Of what a member did in a tick. What the clients gave up, before a backend answers even when it is well (see
    /// `Patience`), is neither a failure nor an attempt.
    pub(in crate::detect) fn of(delta: &Counters, boundary_seconds: impl FnOnce() -> f64) -> Self {
        let aborted = match delta.failed.cancelled {
            0 => 0,
            all => early_cancelled(&delta.cancelled_age, boundary_seconds()).min(all),
        };
        let causes = &delta.failed;
        let failed = [
            causes.refused,
            causes.timed_out,
            causes.unreachable,
            causes.cancelled - aborted,
            causes.local,
            causes.other,
            delta.resets_without_data,
        ]
        .map(|count| count as f64);
        // Who was reset had been established, in this tick or in one before.
        let well = delta.established.saturating_sub(delta.resets_without_data) as f64;
        let resolved = well + total(&failed);
        Self {
            tried: resolved.max(delta.attempts.saturating_sub(aborted) as f64),
            succeeded: well + delta.untracked as f64,
            failed,
        }
    }

    /// All causes together.
    pub(in crate::detect) fn failures(&self) -> f64 {
        total(&self.failed)
    }

    /// The most frequent cause.
    pub(in crate::detect) fn cause(&self) -> usize {
        (0..CAUSES).max_by(|&a, &b| self.failed[a].total_cmp(&self.failed[b]).then(b.cmp(&a))).unwrap_or(0)
    }

    pub(in crate::detect) fn add(&mut self, other: &Self) {
        self.tried += other.tried;
        self.succeeded += other.succeeded;
        self.failed.iter_mut().zip(other.failed).for_each(|(sum, count)| *sum += count);
    }

    /// Without a part of it; never below nothing.
    pub(in crate::detect) fn without(mut self, part: &Self) -> Self {
        self.tried = (self.tried - part.tried).max(0.0);
        self.succeeded = (self.succeeded - part.succeeded).max(0.0);
        self.failed.iter_mut().zip(part.failed).for_each(|(sum, count)| *sum = (*sum - count).max(0.0));
        self
    }
}

/// All causes together, in pairs: a sum one after the other would take twice as long, and there is one a member and tick.
fn total(failed: &[f64; CAUSES]) -> f64 {
    let [a, b, c, d, e, f, g] = failed;
    ((a + b) + (c + d)) + ((e + f) + g)
}

/// Attempts that were given up before that age.
fn early_cancelled(ages: &Histogram, boundary_seconds: f64) -> u64 {
    let early =
        |bucket: usize| upper_bound_ns(bucket).is_some_and(|bound| (bound as f64) <= boundary_seconds * 1e9);
    ages.counts()
        .iter()
        .enumerate()
        .filter(|&(bucket, _)| early(bucket))
        .fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

/// A finding on failures.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Failing {
    /// Since when, seconds.
    pub(in crate::detect) since_seconds: f64,
    /// Evidence, nats.
    #[serde(with = "crate::detect::exact")]
    pub(in crate::detect) nats: f64,
    /// Failure rate it has at least.
    rate: f64,
    /// Reversed test for clearing, nats.
    reversed: f64,
}

/// Attempts and failures of a member, or of a pool, lately.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Health {
    windows: Windows,
    failing: Option<Failing>,
    ages: Option<Histogram>,
    first_failure_seconds: f64,
    /// Failures since anything last succeeded, and since when.
    streak: f64,
    streak_began_seconds: f64,
    /// The same, where an attempt without a fate yet does not end the row.
    unbroken: f64,
    unbroken_began_seconds: f64,
    /// Whether it failed of late and was not found failing, and how often that turned out to be an accident: it
    /// succeeded again.
    in_doubt: bool,
    accidents: f64,
}

impl Health {
    /// Takes in one tick. Says whether a finding was cleared by it.
    pub(in crate::detect) fn tick(
        &mut self,
        tally: &Tally,
        delta: Option<&Counters>,
        now_seconds: f64,
        settings: &Settings,
    ) -> bool {
        self.windows.advance(now_seconds);
        let failures = tally.failures();
        if failures > 0.0 {
            self.in_doubt = self.failing.is_none();
        } else if tally.succeeded > 0.0 && std::mem::take(&mut self.in_doubt) {
            self.accidents += 1.0;
        }
        if tally.succeeded > 0.0 {
            self.unbroken = 0.0;
        } else if failures > 0.0 {
            if self.unbroken <= 0.0 {
                self.unbroken_began_seconds = now_seconds;
            }
            self.unbroken += failures;
        }
        if tally.tried <= 0.0 {
            let silent = self.failing.is_some() && self.window(LONGEST).tried <= 0.0;
            return silent && self.failing.take().is_some();
        }
        if failures > 0.0 && self.failures() <= 0.0 {
            self.first_failure_seconds = now_seconds;
        }
        self.windows.add(tally);
        if tally.tried > failures {
            self.streak = 0.0;
        } else {
            if self.streak <= 0.0 {
                self.streak_began_seconds = now_seconds;
            }
            self.streak += failures;
        }
        if tally.failed[CANCELLED] > 0.0
            && let Some(delta) = delta
        {
            self.note_ages(&delta.cancelled_age);
        }
        self.clear(tally, settings)
    }

    fn note_ages(&mut self, ages: &Histogram) {
        let kept = self.ages.get_or_insert_default();
        if kept.count() > AGES {
            kept.counts_mut().iter_mut().for_each(|count| *count /= 2);
        }
        for (sum, count) in kept.counts_mut().iter_mut().zip(ages.counts().iter()) {
            *sum = sum.saturating_add(*count).min(MOST_PER_BUCKET);
        }
    }

    /// The reversed test, as for flags: failing at the rate found against a quarter of it.
    fn clear(&mut self, tally: &Tally, settings: &Settings) -> bool {
        let Some(failing) = &mut self.failing else { return false };
        let (high, low) = (failing.rate, failing.rate * WELL);
        let failures = tally.failures();
        let gain =
            failures * (low / high).ln() + (tally.tried - failures) * ((1.0 - low) / (1.0 - high)).ln();
        failing.reversed = (failing.reversed + gain.min(settings.clearing_nats / 5.0)).max(0.0);
        let well = failing.reversed >= settings.clearing_nats;
        if well {
            *self = Self { accidents: self.accidents, ..Self::default() };
        }
        well
    }

    /// What was tried in a window.
    pub(in crate::detect) fn window(&self, window: usize) -> Tally {
        self.windows.sum(window)
    }

    /// Failures in the longest window.
    pub(in crate::detect) fn failures(&self) -> f64 {
        total(&self.windows.causes(LONGEST))
    }

    /// Whether it may have failed lately: if not, there is nothing to look at.
    pub(in crate::detect) fn may_have_failed(&self) -> bool {
        self.windows.may_hold_failures()
    }

    /// Failures since anything last succeeded, and when the first of them came, seconds.
    pub(in crate::detect) fn unbroken(&self) -> (f64, f64) {
        (self.unbroken, self.unbroken_began_seconds)
    }

    /// How often it failed, and succeeded again without having been found failing.
    pub(in crate::detect) fn accidents(&self) -> f64 {
        self.accidents
    }

    /// Finds it failing because nothing it was tried with succeeds; says whether that is new.
    pub(in crate::detect) fn find(&mut self, nats: f64) -> bool {
        if let Some(failing) = &mut self.failing {
            failing.nats = failing.nats.max(nats);
            failing.rate = failing.rate.max(NOTHING_SUCCEEDS);
            return false;
        }
        let since_seconds = self.unbroken_began_seconds;
        self.in_doubt = false;
        self.failing = Some(Failing { since_seconds, nats, rate: NOTHING_SUCCEEDS, reversed: 0.0 });
        true
    }

    /// Forgets what was tried: it belongs to a time of which enough was said.
    pub(in crate::detect) fn forget(&mut self) {
        if self.failing.is_none() {
            *self = Self { accidents: self.accidents, ..Self::default() };
        }
    }

    /// The finding that stands.
    pub(in crate::detect) fn failing(&self) -> Option<&Failing> {
        self.failing.as_ref()
    }

    /// Median age at which the balancer gave up, seconds.
    pub(in crate::detect) fn median_age_seconds(&self) -> Option<f64> {
        self.ages.as_ref().and_then(|ages| ages.quantile(0.5))
    }

    /// Whether failures exceed in some window the `limit` of it, or came so many in a row that it is no accident where
    /// a share `usual` fails; says whether that is new.
    pub(in crate::detect) fn judge(
        &mut self,
        now_seconds: f64,
        settings: &Settings,
        limit: impl Fn(usize) -> f64,
        usual: f64,
    ) -> bool {
        let in_window = WINDOWS_SECONDS.iter().enumerate().find_map(|(window, seconds)| {
            let (rate, nats) = exceeds(&self.window(window), limit(window), settings)?;
            Some((rate, nats, self.first_failure_seconds.max(now_seconds - seconds)))
        });
        let in_a_row = || {
            let nats = -self.streak * usual.clamp(settings.failing_floor, 1.0).ln();
            let found = self.streak >= settings.failing_least && nats >= IN_A_ROW_NATS;
            let [rate, _] = wilson(self.streak, self.streak, DEVIATIONS);
            found.then_some((rate, nats, self.streak_began_seconds))
        };
        let Some((rate, nats, since_seconds)) = in_window.or_else(in_a_row) else { return false };
        if let Some(failing) = &mut self.failing {
            failing.nats = failing.nats.max(nats);
            // The bound at which it was found is low, and a fall from there would take long to see.
            failing.rate = failing.rate.max(rate.min(HIGHEST_RATE));
            return false;
        }
        self.in_doubt = false;
        self.failing =
            Some(Failing { since_seconds, nats, rate: rate.clamp(0.01, HIGHEST_RATE), reversed: 0.0 });
        true
    }
}

/// The failure rate that `others` have at most.
pub(in crate::detect) fn usual(others: &Tally) -> f64 {
    let [_, high] = wilson(others.failures(), others.tried, DEVIATIONS);
    high
}

/// Lower bound of the failure rate and evidence, when there are enough failures and it lies above `limit`.
pub(in crate::detect) fn exceeds(tally: &Tally, limit: f64, settings: &Settings) -> Option<(f64, f64)> {
    let failures = tally.failures();
    if failures < settings.failing_least {
        return None;
    }
    let [low, _] = wilson(failures, tally.tried, DEVIATIONS);
    let nats = tally.tried * divergence((failures / tally.tried).min(1.0), limit.clamp(1e-6, 0.999_999));
    (low > limit).then_some((low, nats))
}

/// Lower bound of the failure rate, so many standard deviations below what was seen.
pub(in crate::detect) fn low(tally: &Tally, deviations: f64) -> f64 {
    let [low, _] = wilson(tally.failures(), tally.tried, deviations);
    low
}

/// The failure rate that is too much next to that of `others`.
pub(in crate::detect) fn limit(others: &Tally, settings: &Settings) -> f64 {
    (3.0 * usual(others)).min(settings.failing_ceiling).max(settings.failing_floor)
}
