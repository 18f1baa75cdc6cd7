//! What speaks against "balanced" before it is sure: a suspicion, named, and how much more is needed.
//!
//! The rules wait (ticks while learning, doubled thresholds, failures enough for a rate). A pool must not be called
//! balanced meanwhile: `check` ends on a verdict that stands.

use super::failing::{self, LONGEST, Tally, WINDOWS_SECONDS};
use super::judge::PoolJudge;
use super::odds::{divergence, tilt};
use super::sentence;
use super::standing::{Window, whole};
use crate::pools::{ExpectedSource, Method};

/// Connections a member was due, per unit of dispersion and beside the logarithm of the number of members, after which
/// having had none is suspicious.
const DUE: f64 = 10.0;
/// Part of a threshold from which on it is suspicious.
const HALF_WAY: f64 = 0.5;
/// The same where the pool was balanced before: half a threshold is reached by chance every hour or so, and a verdict
/// should not flutter.
const FAR: f64 = 0.75;
/// Failures that may become a finding, and how many standard deviations their rate lies above what is too much.
const FAILURES: f64 = 3.0;
const DEVIATIONS: f64 = 1.5;
/// What is so close is not worth a number, seconds.
const MOMENT_SECONDS: f64 = 2.0;

/// A suspicion in plain words, and the connections after which it is sure, where these can be told.
pub(super) type Doubt = (String, Option<u64>);

impl PoolJudge {
    /// What is suspected of a pool in which nothing was found; `source` of the shares.
    pub(super) fn doubt(&self, window: &Window, source: ExpectedSource, method: Method) -> Option<Doubt> {
        self.nothing_succeeded()
            .or_else(|| self.left_out())
            .or_else(|| self.slow(method))
            .or_else(|| self.silent(window, method))
            .or_else(|| self.may_fail())
            .or_else(|| self.uneven(window, source, method))
    }

    fn nothing_succeeded(&self) -> Option<Doubt> {
        let long = self.health.window(LONGEST);
        let failures = long.failures();
        let all = failures > 0.0 && long.succeeded <= 0.0 && long.tried <= failures;
        all.then(|| (sentence::all_failed(long), None))
    }

    /// Who is left out may come back, and may not.
    fn left_out(&self) -> Option<Doubt> {
        let out = |&member: &usize| self.members[member].ejection.is_ejected();
        let first = (0..self.members.len()).find(out)?;
        let others = (first + 1..self.members.len()).filter(out).count();
        Some((sentence::left_out(self, first, others), None))
    }

    /// A slow member that least connections gives less.
    fn slow(&self, method: Method) -> Option<Doubt> {
        let (member, ratio, window) = self.slow_gets_less(method)?;
        let share = window.observed_of_pool(member).unwrap_or(0.0);
        Some((sentence::slow_gets_less(self, member, share, ratio), None))
    }

    /// A member that has had nothing.
    fn silent(&self, window: &Window, method: Method) -> Option<Doubt> {
        let least = DUE + (self.roster.expected() as f64).ln();
        let silent = (0..self.members.len()).filter(|&member| {
            let (absence, share) = (&self.members[member].absence, self.roster.shares()[member]);
            let dispersion = self.bank.dispersion().over(absence.ticks).max(1.0);
            share > 0.0
                && (absence.pool * share >= least * dispersion
                    || (method != Method::Hash && absence.progress() > HALF_WAY))
        });
        let without = |member: &usize| self.members[*member].absence.pool;
        let member = silent.max_by(|a, b| without(a).total_cmp(&without(b)).then(b.cmp(a)))?;
        let absence = &self.members[member].absence;
        let mut line = sentence::has_had_none(self, member);
        if method == Method::Hash {
            line.push_str("; with hashing, shares depend on the clients");
            return Some((line, None));
        }
        let lacks = absence.pool * (1.0 / absence.progress().max(1e-3) - 1.0);
        Some(self.sure_after(line, lacks, window))
    }

    /// A member that fails, not often enough to be sure.
    fn may_fail(&self) -> Option<Doubt> {
        let mut all = [Tally::default(); WINDOWS_SECONDS.len()];
        for (window, sum) in all.iter_mut().enumerate() {
            self.members.iter().for_each(|member| sum.add(member.health.window(window)));
        }
        let (member, window) = (0..self.members.len()).find_map(|member| {
            let suspicious = |window: &usize| {
                let own = self.members[member].health.window(*window);
                let rest = all[*window].without(own);
                let limit = failing::limit(&rest, &self.settings);
                own.failures() >= FAILURES && failing::low(own, DEVIATIONS) > limit
            };
            (0..WINDOWS_SECONDS.len()).find(suspicious).map(|window| (member, window))
        })?;
        Some((sentence::may_fail(self, member, window), None))
    }

    /// A member whose share lies outside the margin, as far as can be told.
    fn uneven(&self, window: &Window, source: ExpectedSource, method: Method) -> Option<Doubt> {
        let shares = self.roster.shares();
        let departs = (0..shares.len()).filter(|&member| shares[member] > 0.0).filter_map(|member| {
            let [low, high] = window.interval_of_pool(member)?;
            let above = tilt(shares[member], self.margin);
            let below = tilt(shares[member], 1.0 / self.margin);
            let edge = if low > above { Some(above) } else { (high < below).then_some(below) }?;
            let observed = window.observed_of_pool(member)?;
            Some((member, observed, divergence(observed, edge)))
        });
        let (member, observed, per_connection) =
            departs.max_by(|a, b| a.2.total_cmp(&b.2).then(b.0.cmp(&a.0)))?;
        let threshold = self.bank.threshold_in_force();
        let strongest = self.bank.strongest();
        // At the pace of the tests where they say something already, which knows the dispersion they are held to.
        let lacks = if strongest.nats > 1.0 {
            strongest.pool * (threshold / strongest.nats - 1.0)
        } else {
            threshold * window.dispersion() / per_connection.max(1e-9)
        };
        let mut line = sentence::gets_so_far(self, member, observed, source);
        line.push_str(sentence::hint(self, window, method).unwrap_or_default());
        Some(self.sure_after(line, lacks, window))
    }

    /// Whether some test is so far on the way to a flag that nothing should be called balanced.
    pub(super) fn is_doubtful(&self) -> bool {
        let part = if self.was_balanced { FAR } else { HALF_WAY };
        self.bank.strongest().nats >= part * self.bank.threshold_in_force()
    }

    fn sure_after(&self, mut line: String, lacks: f64, window: &Window) -> Doubt {
        let lacks = lacks.max(1.0);
        if lacks <= MOMENT_SECONDS * window.pool / window.seconds.max(1e-9) {
            line.push_str("; a moment more to be sure");
        } else {
            line.push_str(&format!("; about {:.0} more connections to be sure", lacks.ceil()));
        }
        (line, Some(whole(lacks)))
    }
}
