//! Who fails: the members against each other, the pool against its own past, and those hardly ever tried.
//! detector.md §10.

use super::failing::{self, Tally};
use super::windows::{LONGEST, WINDOWS_SECONDS};
use crate::detect::judge::{Member, PoolJudge};

/// Attempts of a pool before its own past tells what is normal.
const PAST_ATTEMPTS: f64 = 1000.0;
/// A pool beside a member that is left out has practically no failures when it has at most this many per success.
const PRACTICALLY_NONE: f64 = 0.01;
/// Failures in a row, the last a retry, of a member that is left out, at least.
const RETRIES_FAILED: f64 = 2.0;
/// How often that may be chance, where attempts fail now and then: once in so many years of a pool. Own choice.
const CHANCE_YEARS: f64 = 10.0;
const YEAR_SECONDS: f64 = 365.25 * 86_400.0;
/// How long they span: nginx leaves out for ten seconds, and a tick may end a moment early.
const LEFT_OUT_SECONDS: f64 = 9.0;
/// Failures of a member that never succeeded, however soon they came.
const ALWAYS_FAILED: f64 = 3.0;
/// Failures of a pool that never succeeds.
const POOL_FAILED: f64 = 4.0;

impl PoolJudge {
    /// Failure rates, of the members against each other and of the pool against its own past. detector.md §10.
    pub(in crate::detect) fn judge_failures(&mut self, now: f64) -> bool {
        let mut changed = self.judge_rates(now);
        changed |= self.judge_left_out(now);
        changed | self.judge_nothing_succeeds()
    }

    /// Members whose failures are too many next to the others', and a pool's next to its own past.
    fn judge_rates(&mut self, now: f64) -> bool {
        if !self.members.iter().any(|member| member.health.may_have_failed()) {
            return false;
        }
        let mut changed = false;
        let mut others = [Tally::default(); WINDOWS_SECONDS.len()];
        let mut failed = 0_usize;
        let mut tried = 0_usize;
        for member in self.members.iter().filter(|member| member.health.failing().is_none()) {
            for (window, sum) in others.iter_mut().enumerate() {
                sum.add(&member.health.window(window));
            }
            let long = member.health.window(LONGEST);
            failed += usize::from(long.failures() > 0.0);
            tried += usize::from(long.tried > 0.0);
        }
        for member in &mut self.members {
            if !member.health.may_have_failed() || member.health.failures() < self.settings.failing_least {
                continue;
            }
            let own: [Tally; WINDOWS_SECONDS.len()] =
                std::array::from_fn(|window| member.health.window(window));
            let counted = member.health.failing().is_none();
            let settings = &self.settings;
            let rest: [Tally; WINDOWS_SECONDS.len()] = std::array::from_fn(|window| {
                if counted { others[window].without(&own[window]) } else { others[window] }
            });
            let limit = |window: usize| failing::limit(&rest[window], settings);
            let usual = failing::usual(&rest[LONGEST]).min(settings.failing_ceiling);
            changed |= member.health.judge(now, settings, limit, usual);
        }
        // Failures that are spread so thinly that no member shows them alone.
        let failures = others[LONGEST].failures();
        if failed >= 2 && failed as f64 >= 0.5 * failures.min(tried as f64) {
            let settings = &self.settings;
            let limit = if self.past.tried >= PAST_ATTEMPTS {
                failing::limit(&self.past, settings)
            } else {
                settings.failing_ceiling
            };
            let shown = others.iter().any(|sum| failing::exceeds(sum, limit, settings).is_some());
            changed |= shown && self.health.judge(now, settings, |_| limit, 1.0);
        }
        changed
    }

    /// Members that the balancer leaves out and whose every retry fails. A retry every ten seconds would take a minute
    /// to become failures enough for a rate, and nobody would be told before.
    fn judge_left_out(&mut self, now: f64) -> bool {
        let left_out = |member: &Member| {
            member.health.may_have_failed()
                && (member.ejection.is_ejected() || member.absence.missing().is_some())
        };
        if !self.members.iter().any(left_out) {
            return false;
        }
        // Who fails in a row is no measure of what is usual: two members may have stopped.
        let mut rest = Tally::default();
        let well = self
            .members
            .iter()
            .filter(|member| member.health.failing().is_none() && member.health.unbroken().0 <= 0.0);
        well.for_each(|member| rest.add(&member.health.window(LONGEST)));
        if rest.succeeded <= 0.0 || rest.failures() > PRACTICALLY_NONE * rest.succeeded {
            return false;
        }
        let usual = failing::usual(&rest).clamp(self.settings.failing_floor, self.settings.failing_ceiling);
        let least = RETRIES_FAILED.max(self.no_chance());
        let mut changed = false;
        for member in self.members.iter_mut().filter(|member| left_out(member)) {
            // Only failures that are not forgotten: one that is not tried any more is missing in the end.
            let long = member.health.window(LONGEST);
            let (row, began_seconds) = member.health.unbroken();
            let row = row.min(long.failures());
            let again = row >= least && now - began_seconds >= LEFT_OUT_SECONDS;
            let always = row >= ALWAYS_FAILED && long.succeeded <= 0.0;
            if again || always {
                changed |= member.health.find(-row * usual.ln());
            }
        }
        changed
    }

    /// Failures in a row that are no chance, where a part of the attempts fails now and then.
    ///
    /// A part `p` of the attempts fails by accident; each is the first of a row, which goes on with probability `p` a time.
    /// So there are `rate · p^n` rows of `n` a second, and that many shall be less than one in [`CHANCE_YEARS`].
    fn no_chance(&self) -> f64 {
        let accidents: f64 = self.members.iter().map(|member| member.health.accidents()).sum();
        if accidents <= 0.0 {
            return 0.0;
        }
        let part = (accidents / self.past.tried.max(1.0)).min(0.5);
        let per_second = self.health.window(LONGEST).tried / WINDOWS_SECONDS[LONGEST];
        (per_second * YEAR_SECONDS * CHANCE_YEARS).ln() / -part.ln()
    }

    /// A pool of which no attempt succeeds any more, on whichever member: each is hardly ever tried, and none shows it
    /// alone; where some did fail before the others, it is not they alone.
    fn judge_nothing_succeeds(&mut self) -> bool {
        let (row, _) = self.health.unbroken();
        let row = row.min(self.health.failures());
        if row <= 0.0 {
            return false;
        }
        let long = self.health.window(LONGEST);
        let usual =
            failing::usual(&self.past).clamp(self.settings.failing_floor, self.settings.failing_ceiling);
        let (nats, certain) = if long.succeeded > 0.0 {
            let nats = -row * usual.ln();
            (nats, row >= self.settings.failing_least && nats >= failing::IN_A_ROW_NATS)
        } else {
            (-row * self.settings.failing_ceiling.ln(), row >= POOL_FAILED)
        };
        // Since nothing succeeded, whoever was tried has failed, and not succeeded after it.
        let failed = |member: &Member| member.health.unbroken().0 > 0.0;
        let count = self.members.iter().filter(|member| failed(member)).count();
        let most = self.settings.pool_failing_share * self.roster.expected() as f64;
        if !certain || count < 2 || (count as f64) < most {
            return false;
        }
        // Where something succeeded before, one failure of a member is not yet the member's.
        let least = if long.succeeded > 0.0 { self.settings.failing_least } else { 1.0 };
        let mut changed = self.health.find(nats);
        for member in self.members.iter_mut().filter(|member| member.health.unbroken().0 >= least) {
            changed |= member.health.find(nats);
        }
        changed
    }
}
