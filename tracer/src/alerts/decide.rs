//! From verdicts to alerts. Pure: time is an argument.
//!
//! - Only declared pools have alerts: shares that are assumed are nobody's wish.
//! - A finding is an alert when it has stood for as long as was asked for, and for [`STEADY_INTERVALS`] at least. Uneven
//!   weights are none: the balancer does as it was told.
//! - An alert is over when another certain verdict has stood for [`STEADY_INTERVALS`]; when that is an alert itself, the one
//!   ends as the other begins.
//! - Insufficient evidence changes nothing: it neither fires nor resolves, nor does a finding stand for less long for it.
//! - A pool that is no longer there, or no longer declared, has no alert after [`GONE_SECONDS`]. One that a former agent left
//!   and that this one never saw is let alone: it may be another agent's.

use super::wording::{Annotations, annotations, is_declared};
use crate::agent::Judged;
use crate::chronicle::STEADY_INTERVALS;
use crate::detect::Verdict;
use crate::outputs::escape::for_terminal;
use std::collections::{BTreeMap, BTreeSet};

/// Alerts that can be on at once.
pub(super) const MOST_FIRING: usize = 1_024;

/// How long a pool may be away before its alert is over, seconds: balancers are started anew.
pub(super) const GONE_SECONDS: f64 = 60.0;

/// Which pool, by the names as they are shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PoolKey {
    pub(super) pool: String,
    /// Empty where it is not known.
    pub(super) balancer: String,
}

impl PoolKey {
    fn of(judged: &Judged) -> Self {
        let pool = &judged.sample.pool;
        let shown = |text: &str| for_terminal(text).into_owned();
        Self { pool: shown(&pool.name), balancer: shown(pool.balancer.as_deref().unwrap_or_default()) }
    }
}

/// An alert that is on, or was.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alert {
    pub(super) key: PoolKey,
    pub(super) verdict: Verdict,
    /// Since the epoch.
    pub(super) starts_seconds: f64,
    pub(super) annotations: Annotations,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// The alert is on; when it was before, this is what it says now.
    On(Alert),
    /// The alert is over since then, seconds since the epoch.
    Over(Alert, f64),
    /// It is nothing of ours, and no longer sent.
    NotOurs(Alert),
}

/// Remembers which alerts are on, and what may be next.
#[derive(Debug)]
pub(super) struct Decider {
    stands_seconds: f64,
    pools: BTreeMap<PoolKey, Standing>,
    firing: usize,
    left_out: u64,
}

/// One pool.
#[derive(Debug, Default)]
struct Standing {
    firing: Option<Alert>,
    /// What certain verdicts say that is otherwise than what is told.
    next: Option<Next>,
    seen_seconds: f64,
    /// A former agent left it, and this one has not seen the pool yet.
    is_inherited: bool,
}

/// What may be told next: an alert, or that there is none.
#[derive(Clone, Copy, Debug)]
struct Next {
    alert: Option<Verdict>,
    since_seconds: f64,
    intervals: u32,
}

impl Decider {
    pub(super) fn new(stands_seconds: f64) -> Self {
        Self { stands_seconds, pools: BTreeMap::new(), firing: 0, left_out: 0 }
    }

    /// Takes an interval that ended at `now`, seconds since the epoch.
    pub(super) fn take(&mut self, now: f64, pools: &[Judged]) -> Vec<Change> {
        let mut changes = Vec::new();
        self.left_out = 0;
        let declared = declared(pools);
        for (key, judged) in &declared {
            self.take_pool(now, key, judged, &mut changes);
        }
        // One whose balancer is not known yet may be any that has its name.
        let waiting: BTreeSet<PoolKey> = declared.into_keys().filter(|key| key.balancer.is_empty()).collect();
        let waits = |key: &PoolKey| waiting.contains(&PoolKey { balancer: String::new(), ..key.clone() });
        let mut firing = 0;
        self.pools.retain(|key, standing| {
            if standing.seen_seconds > now || standing.firing.is_some() && waits(key) {
                standing.seen_seconds = now;
            }
            let gone = now - standing.seen_seconds;
            if gone > 0.0 {
                standing.next = None;
                if standing.firing.is_none() {
                    return false;
                }
            }
            if gone > GONE_SECONDS {
                let inherited = standing.is_inherited;
                // What we never saw may be another agent's, of a host of the same name: it is let alone, and ends by itself
                // if nobody sends it.
                let change =
                    |alert| if inherited { Change::NotOurs(alert) } else { Change::Over(alert, now) };
                changes.extend(standing.firing.take().map(change));
                return false;
            }
            firing += usize::from(standing.firing.is_some());
            true
        });
        self.firing = firing;
        changes
    }

    fn take_pool(&mut self, now: f64, key: &PoolKey, judged: &Judged, changes: &mut Vec<Change>) {
        let Some(assessment) = &judged.assessment else { return };
        let standing = self.pools.entry(key.clone()).or_default();
        standing.seen_seconds = now;
        standing.is_inherited = false;
        if assessment.verdict == Verdict::InsufficientEvidence {
            return;
        }
        let alert = is_alert(assessment.verdict).then_some(assessment.verdict);
        let told = standing.firing.as_ref().map(|alert| alert.verdict);
        if alert == told {
            standing.next = None;
            changes.extend(standing.firing.as_mut().and_then(|firing| retold(firing, judged)));
            return;
        }
        let same = standing.next.filter(|next| next.alert == alert);
        let mut next = same.unwrap_or(Next { alert, since_seconds: now, intervals: 0 });
        next.intervals = next.intervals.saturating_add(1);
        // The clock may have been set back.
        next.since_seconds = next.since_seconds.min(now);
        standing.next = Some(next);
        let long_enough = alert.is_none() || now - next.since_seconds >= self.stands_seconds;
        if next.intervals < STEADY_INTERVALS || !long_enough {
            return;
        }
        if alert.is_some() && told.is_none() && self.firing >= MOST_FIRING {
            self.left_out += 1;
            return;
        }
        standing.next = None;
        changes.extend(standing.firing.take().map(|before| Change::Over(before, now)));
        self.firing -= usize::from(told.is_some());
        if let (Some(verdict), Some(annotations)) = (alert, annotations(judged)) {
            let alert = Alert { key: key.clone(), verdict, starts_seconds: now, annotations };
            changes.push(Change::On(alert.clone()));
            standing.firing = Some(alert);
            self.firing += 1;
        }
    }

    /// Takes over what a former agent left on: from now on it is as if it had been told by this one.
    pub(super) fn adopt(&mut self, now: f64, alerts: Vec<Alert>) -> Vec<Change> {
        let mut changes = Vec::new();
        // Those beyond end by themselves.
        let room = MOST_FIRING.saturating_sub(self.firing);
        for alert in alerts.into_iter().take(room) {
            let standing = self.pools.entry(alert.key.clone()).or_insert_with(|| Standing {
                seen_seconds: now,
                is_inherited: true,
                ..Standing::default()
            });
            match &standing.firing {
                None if is_alert(alert.verdict) => {
                    standing.next = None;
                    standing.firing = Some(alert.clone());
                    self.firing += 1;
                    changes.push(Change::On(alert));
                }
                Some(firing) if firing.verdict == alert.verdict => {}
                // A pool has one alert, and another agent may have had others.
                _ => changes.push(Change::Over(alert, now)),
            }
        }
        changes
    }

    /// Pools whose finding is no alert since too many are on.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What is on.
    #[cfg(test)]
    pub(super) fn firing(&self) -> Vec<&Alert> {
        self.pools.values().filter_map(|standing| standing.firing.as_ref()).collect()
    }
}

/// The declared pools that are judged; of several that are shown alike the most severe.
fn declared(pools: &[Judged]) -> BTreeMap<PoolKey, &Judged> {
    let verdict = |judged: &Judged| judged.assessment.as_ref().map(|assessment| assessment.verdict);
    let mut declared: BTreeMap<PoolKey, &Judged> = BTreeMap::new();
    for judged in pools.iter().filter(|judged| is_declared(judged) && judged.assessment.is_some()) {
        let of = declared.entry(PoolKey::of(judged)).or_insert(judged);
        if verdict(judged) < verdict(of) {
            *of = judged;
        }
    }
    declared
}

/// Whether somebody is to be called for this.
const fn is_alert(verdict: Verdict) -> bool {
    verdict.is_finding() && !matches!(verdict, Verdict::UnevenWeights)
}

/// What an alert that stays on says now, if that is something else.
fn retold(firing: &mut Alert, judged: &Judged) -> Option<Change> {
    let said = annotations(judged).filter(|said| said.summary != firing.annotations.summary)?;
    firing.annotations = said;
    Some(Change::On(firing.clone()))
}
