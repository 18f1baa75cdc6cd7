//! From what stands after a tick to the assessment: order of verdicts, shares, what is still needed.

use super::assessment::{Assessment, Finding, MemberAssessment, Verdict};
use super::failing::WINDOWS_SECONDS;
use super::history::Moment;
use super::judge::PoolJudge;
use super::sentence;
use super::standing::{Standing, Window, whole};
use super::uneven::uneven;
use crate::pools::{ExpectedSource, Method, PoolSample};

/// Connections after which a pool of one declared member is as it should be.
const ENOUGH_FOR_ONE: f64 = 10.0;

impl PoolJudge {
    /// The assessment after a tick.
    pub(super) fn conclude(&mut self, sample: &PoolSample, now: f64) -> Assessment {
        let standing = self.standing(sample.pool.method);
        let window = self.window(&standing, now);
        let mut members: Vec<MemberAssessment> = (sample.members.iter())
            .map(|member| MemberAssessment {
                backend: member.backend,
                finding: None,
                expected_share: None,
                observed_share: None,
                share_interval: None,
            })
            .collect();
        for index in 0..self.roster.len() {
            let found =
                standing.iter().flat_map(|standing| &standing.members).find(|(member, _)| *member == index);
            let assessed = &mut members[self.roster.place(index)];
            assessed.finding = found.map(|(_, finding)| *finding);
            assessed.expected_share = self.roster.weight(index).map(|_| self.roster.shares()[index]);
            assessed.observed_share = window.observed(index);
            assessed.share_interval = window.interval(index);
        }
        let (verdict, summary, needed) = match standing.first() {
            Some(worst) => (worst.verdict, sentence::finding(self, worst, &window, sample, now), None),
            None => self.without_standing(&window, sample, now),
        };
        self.was_balanced = matches!(verdict, Verdict::Balanced | Verdict::UnevenWeights);
        let mut findings: Vec<Verdict> = standing.iter().map(|standing| standing.verdict).collect();
        let mut since_seconds = standing.first().map(|worst| worst.since_seconds);
        if verdict == Verdict::UnevenWeights {
            findings.push(verdict);
            since_seconds = Some(self.watched_from_seconds);
        }
        Assessment {
            verdict,
            findings,
            summary,
            since_seconds,
            since_start: since_seconds
                .is_some_and(|since| self.first_traffic_seconds.is_some_and(|first| since <= first)),
            evidence: standing.first().map_or(self.bank.strongest().nats, |worst| worst.nats),
            needed,
            signal: "connections",
            members,
        }
    }

    /// Every verdict that is supported, the most severe first. detector.md §10.
    fn standing(&self, method: Method) -> Vec<Standing> {
        let collect = |verdict, finding, found: &dyn Fn(usize) -> Option<(f64, f64)>| {
            let found: Vec<(usize, f64, f64)> = (0..self.members.len())
                .filter_map(|index| found(index).map(|(s, n)| (index, s, n)))
                .collect();
            (!found.is_empty()).then(|| Standing {
                verdict,
                since_seconds: found.iter().map(|found| found.1).fold(f64::INFINITY, f64::min),
                nats: found.iter().map(|found| found.2).fold(0.0, f64::max),
                members: found.iter().map(|found| (found.0, finding)).collect(),
            })
        };
        let mut all: Vec<Standing> = Vec::new();
        let mut failing = collect(Verdict::BackendFailing, Finding::Failing, &|index| {
            self.members[index].health.failing().map(|failing| (failing.since_seconds, failing.nats))
        });
        if self.pool_fails(failing.as_ref().map_or(0, |failing| failing.members.len())) {
            let wide = self.health.failing();
            let standing = failing.take();
            let earlier = |a: f64, b: Option<f64>| b.map_or(a, |b| a.min(b));
            let since_seconds = earlier(
                standing.as_ref().map_or(f64::INFINITY, |standing| standing.since_seconds),
                wide.map(|wide| wide.since_seconds),
            );
            let nats = standing.as_ref().map_or(0.0, |s| s.nats).max(wide.map_or(0.0, |wide| wide.nats));
            let members = standing.map_or_else(Vec::new, |standing| standing.members);
            all.push(Standing { verdict: Verdict::PoolFailing, since_seconds, nats, members });
        }
        all.extend(failing);
        all.extend(collect(Verdict::MemberMissing, Finding::Missing, &|index| {
            let member = &self.members[index];
            let missing = member.absence.missing().filter(|_| member.health.failing().is_none())?;
            Some((missing.since_seconds, missing.nats))
        }));
        all.extend(collect(Verdict::UnexpectedBackend, Finding::Unexpected, &|index| {
            // A count is its own evidence: none was due.
            self.members[index].stray.found().map(|(got, since)| (since, got))
        }));
        if let Some(skew) = self.skew.as_ref().filter(|_| self.slow_gets_less(method).is_none()) {
            let finding = |ratio: f64| if ratio > 1.0 { Finding::Over } else { Finding::Under };
            all.push(Standing {
                verdict: Verdict::Skewed,
                since_seconds: skew.since_seconds,
                nats: skew.nats,
                members: skew.named.iter().map(|named| (named.member, finding(named.ratio))).collect(),
            });
        }
        all
    }

    /// Whether it is the pool that fails rather than `failing` of its members.
    fn pool_fails(&self, failing: usize) -> bool {
        let tried = self.members.iter().filter(|member| {
            member.health.failing().is_some() || member.health.window(WINDOWS_SECONDS.len() - 1).tried > 0.0
        });
        let most = (tried.count() as f64 * self.settings.pool_failing_share).ceil();
        self.health.failing().is_some() || (failing >= 2 && failing as f64 >= most)
    }

    /// What shares are shown over: since the onset of the worst finding, else the last minutes.
    fn window(&self, standing: &[Standing], now: f64) -> Window {
        let recent = now - self.settings.window_seconds;
        let base = match standing.first() {
            Some(worst) if worst.verdict == Verdict::Skewed => self.skew.as_ref().map(|skew| &skew.base),
            Some(worst) => self.history.since(worst.since_seconds.min(now - 1.0)),
            None => self.history.since(recent),
        };
        let window = self.window_from(base, now);
        if window.total > 0.0 { window } else { self.window_from(self.history.since(recent), now) }
    }

    pub(super) fn window_from(&self, base: Option<&Moment>, now: f64) -> Window {
        let before = |index: usize| base.and_then(|base| base.counts.get(index)).copied().unwrap_or(0.0);
        let counts: Vec<f64> = self
            .history
            .now()
            .iter()
            .enumerate()
            .map(|(index, now)| (now - before(index)).max(0.0))
            .collect();
        let expected = counts.iter().zip(self.roster.shares()).filter(|(_, share)| **share > 0.0);
        let pool = expected.map(|(count, _)| count).sum();
        let ticks = self.history.ticks() - base.map_or(0, |base| base.ticks.min(self.history.ticks()));
        let total: f64 = counts.iter().sum();
        Window {
            total: if total.is_finite() { total } else { 0.0 },
            dispersion: self.bank.dispersion().over(ticks),
            seconds: now - base.map_or(self.began_seconds, |base| base.seconds),
            pool,
            counts,
        }
    }

    /// Balanced, or as declared and the declaration is odd, or what is lacking.
    fn without_standing(
        &self,
        window: &Window,
        sample: &PoolSample,
        now: f64,
    ) -> (Verdict, String, Option<u64>) {
        let pool = &sample.pool;
        let source = pool.expected_source;
        let lacking = |summary: String, needed| (Verdict::InsufficientEvidence, summary, needed);
        match self.roster.expected() {
            0 => return lacking(sentence::nobody_expected(self.roster.len()), None),
            1 if source == ExpectedSource::Assumed => return lacking(sentence::only_one_seen(), None),
            1 if self.connections >= ENOUGH_FOR_ONE => {
                return (Verdict::Balanced, sentence::only_one(), None);
            }
            1 => {
                let needed = ENOUGH_FOR_ONE - self.connections;
                return lacking(
                    sentence::needed(needed, window, self.connections <= 0.0),
                    Some(whole(needed)),
                );
            }
            _ => {}
        }
        // Of what counts for "balanced" only: not from before a repair.
        let recent = (now - self.settings.window_seconds).max(self.watched_from_seconds);
        let judged = self.window_from(self.history.since(recent), now);
        if let Some((summary, needed)) = self.doubt(&judged, source, pool.method) {
            return lacking(summary, needed);
        }
        if self.bank.eligible() < 2 {
            return lacking(sentence::nothing_to_compare(), None);
        }
        let lacks = self.enough() - self.watched;
        if lacks > 0.0 {
            return lacking(sentence::needed(lacks, window, self.connections <= 0.0), Some(whole(lacks)));
        }
        let strongest = self.bank.strongest();
        if self.is_doubtful() {
            // At the pace of the departure so far, when it would be clear.
            let lacks = strongest.pool * (self.bank.threshold_in_force() / strongest.nats - 1.0);
            return lacking(sentence::doubtful(lacks, window), Some(whole(lacks)));
        }
        let questionable = source == ExpectedSource::Declared && !pool.vouched;
        match questionable.then(|| uneven(self.roster.shares())).flatten() {
            Some(uneven) => (Verdict::UnevenWeights, sentence::uneven(self, &uneven, sample), None),
            None => (Verdict::Balanced, sentence::balanced(self, window, source, now), None),
        }
    }
}
