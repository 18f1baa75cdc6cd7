//! The judgement on one pool, tick by tick.

use super::Settings;
use super::assessment::Assessment;
use super::bank::Bank;
use super::diffuse::{self, Diffuse};
use super::ejection::{Ejection, Tried};
use super::failing::{Health, Tally};
use super::history::History;
use super::lifetime::Lifetime;
use super::missing::{Absence, Surroundings};
use super::odds::power;
use super::roster::{Change, Roster};
use super::skew::{self, Grounds, Outcome, Skew};
use super::unexpected::Stray;
use crate::pools::{Method, PoolSample};

/// What is kept of one member.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Member {
    pub(super) absence: Absence,
    pub(super) ejection: Ejection,
    pub(super) health: Health,
    pub(super) lifetime: Lifetime,
    pub(super) stray: Stray,
}

/// Judges one pool: keeps what must be remembered between its samples.
///
/// Pure: time is an argument, and the same samples give the same assessments. The method is that of detector.md on
/// the signal "new connections".
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct PoolJudge {
    pub(super) settings: Settings,
    pub(super) roster: Roster,
    pub(super) members: Vec<Member>,
    /// New connections of the tick, by member.
    counts: Vec<f64>,
    eligible: Vec<bool>,
    /// Whether the bank has yet to be told who takes part.
    unsettled: bool,
    pub(super) bank: Bank,
    pub(super) history: History,
    pub(super) diffuse: Option<Diffuse>,
    pub(super) skew: Option<Skew>,
    /// The pool as if it were one member, for failures that no member shows alone.
    pub(super) health: Health,
    pub(super) past: Tally,
    pub(super) margin: f64,
    /// Nats per connection that a member at twice its due would show.
    #[serde(with = "super::exact")]
    pub(super) power: f64,
    /// Connections that speak for "balanced", and the ticks they came in.
    pub(super) watched: f64,
    pub(super) watched_ticks: u64,
    /// Since when they do, seconds.
    #[serde(with = "super::exact")]
    pub(super) watched_from_seconds: f64,
    pub(super) was_balanced: bool,
    /// Connections to members with an expected share, since when, and when the last of them came.
    pub(super) connections: f64,
    pub(super) began_seconds: f64,
    pub(super) last_connection_seconds: f64,
    /// End of the first interval with traffic to any member, seconds.
    pub(super) first_traffic_seconds: Option<f64>,
    pub(super) now_seconds: Option<f64>,
}

impl PoolJudge {
    /// For a pool of which nothing was seen yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            roster: Roster::default(),
            members: Vec::new(),
            counts: Vec::new(),
            eligible: Vec::new(),
            unsettled: true,
            bank: Bank::new(&settings),
            history: History::default(),
            diffuse: None,
            skew: None,
            health: Health::default(),
            past: Tally::default(),
            margin: settings.margin,
            power: 0.0,
            watched: 0.0,
            watched_ticks: 0,
            watched_from_seconds: f64::NEG_INFINITY,
            was_balanced: false,
            connections: 0.0,
            began_seconds: 0.0,
            last_connection_seconds: 0.0,
            first_traffic_seconds: None,
            now_seconds: None,
            settings,
        }
    }

    /// Whether everything that is kept is of the same members: what was written down and read again may have been
    /// changed in between.
    pub(crate) fn is_whole(&self) -> bool {
        let members = self.roster.len();
        let named = self.skew.iter().flat_map(|skew| &skew.named);
        self.roster.is_whole()
            && [self.members.len(), self.counts.len(), self.eligible.len()] == [members; 3]
            && self.history.now().len() == members
            && self.bank.is_whole(members)
            && self.skew.iter().all(|skew| skew.base.counts.len() == members)
            && named.into_iter().all(|named| named.member < members)
    }

    /// Takes in one more interval, which ended at `now_seconds`, and judges the pool. Time must not run backwards;
    /// where it does, it stands still.
    pub fn judge(&mut self, sample: &PoolSample, now_seconds: f64) -> Assessment {
        let (began, now) = self.interval(sample.interval_seconds, now_seconds);
        let method = sample.pool.method;
        if let Some(change) = self.roster.update(sample) {
            self.rearrange(&change, began, now);
        }
        for (member, count) in self.counts.iter_mut().enumerate() {
            *count = sample.members[self.roster.place(member)].decisions as f64;
        }
        self.note_lifetimes(sample, now - began);
        let disturbed = self.observe(sample, began, now);
        self.settle(method, disturbed.then_some(began));
        self.bank.tick(&self.counts, began, now, &self.settings);
        self.history.tick(&self.counts, now);
        self.diffuse = diffuse::judge(
            self.diffuse,
            &self.bank,
            self.roster.shares(),
            &self.eligible,
            self.settings.false_alarm_ticks,
        );
        if self.find_missing(method, now) {
            self.settle(method, Some(now));
        }
        self.judge_skew(method, now);
        self.weigh(began, now);
        self.conclude(sample, now)
    }

    /// When the interval began and ended, both finite and in order.
    fn interval(&mut self, seconds: f64, now_seconds: f64) -> (f64, f64) {
        let seconds = if seconds.is_finite() && seconds > 0.0 { seconds } else { 1.0 };
        let before = self.now_seconds;
        let now = if now_seconds.is_finite() { now_seconds } else { before.unwrap_or(0.0) + seconds };
        let now = before.map_or(now, |before| now.max(before));
        let began = before.map_or(now - seconds, |before| (now - seconds).max(before));
        if before.is_none() {
            self.watched_from_seconds = began;
            self.began_seconds = began;
            self.last_connection_seconds = began;
        }
        self.now_seconds = Some(now);
        (began, now)
    }

    /// Members joined, left or changed their weight. detector.md §6.
    fn rearrange(&mut self, change: &Change, began: f64, now: f64) {
        let mut old: Vec<Option<Member>> = std::mem::take(&mut self.members).into_iter().map(Some).collect();
        for (index, from) in change.from.iter().enumerate() {
            let known = from.and_then(|from| old.get_mut(from)).and_then(Option::take);
            let mut member =
                known.unwrap_or_else(|| Member { absence: Absence::new(began), ..Member::default() });
            if !change.kept[index] {
                member.absence.restart(began);
                member.stray = Stray::default();
            }
            if change.lost_weight[index] {
                member.stray.lost_weight(now, &self.settings);
                (member.health, member.ejection) = Default::default();
            }
            self.members.push(member);
        }
        let count = self.roster.len();
        self.counts = vec![0.0; count];
        self.eligible = vec![false; count];
        self.unsettled = true;
        self.bank.rearrange(&change.from, &change.kept, change.same_shares);
        if change.same_shares {
            self.history.rearrange(&change.from);
            if let Some(skew) = &mut self.skew {
                skew.rearrange(&change.from);
            }
        } else {
            self.history.begin(count, began);
            self.skew = None;
            self.diffuse = None;
            self.start_watching(began);
        }
    }

    /// Takes in what every member did; says whether a member's or the pool's standing changed so that what the bank
    /// saw until now does not count any more.
    fn observe(&mut self, sample: &PoolSample, began: f64, now: f64) -> bool {
        let shares = self.roster.shares();
        let pool: f64 =
            self.counts.iter().zip(shares).filter(|(_, s)| **s > 0.0).map(|(count, _)| count).sum();
        if pool > 0.0 {
            self.connections += pool;
            self.last_connection_seconds = now;
        }
        if sample.members.iter().any(|member| member.decisions > 0 || member.delta.attempts > 0) {
            self.first_traffic_seconds.get_or_insert(now);
        }
        let mut disturbed = false;
        let mut all = Tally::default();
        for (index, member) in self.members.iter_mut().enumerate() {
            let delta = &sample.members[self.roster.place(index)].delta;
            let (own, share) = (self.counts[index], shares[index]);
            // Who is due nothing may be down for good reason: its health checks fail, and nobody need know.
            if share > 0.0 {
                let tally = Tally::of(delta, &self.settings);
                all.add(&tally);
                disturbed |= member.health.tick(&tally, Some(delta), now, &self.settings);
                member.absence.tick(own, pool, began, now);
                if tally.failures() > 0.0 {
                    member.absence.failed();
                }
                disturbed |=
                    member.absence.serve(own, tally.succeeded, now, self.settings.missing_clears_seconds);
                let tried = Tried {
                    decisions: own,
                    established: delta.established as f64,
                    failures: tally.failures(),
                    missed: member.absence.pool * share,
                };
                member.ejection.tick(tried, now, &self.settings);
            } else {
                member.stray.tick(own, began, now, &self.settings);
            }
        }
        self.health.tick(&all, None, now, &self.settings);
        disturbed |= self.judge_failures(now);
        let anybody = self.members.iter().any(|member| member.health.failing().is_some());
        if self.health.failing().is_none() && !anybody {
            self.past.add(&all);
        }
        disturbed
    }

    /// Who takes part in the comparison, given everybody's standing; begins the runs again from the
    /// moment at which it was `disturbed`.
    fn settle(&mut self, method: Method, disturbed: Option<f64>) {
        let mut changed = std::mem::take(&mut self.unsettled);
        let shares = self.roster.shares();
        for ((eligible, member), &share) in self.eligible.iter_mut().zip(&self.members).zip(shares) {
            let takes_part = share > 0.0
                && member.health.failing().is_none()
                && member.absence.missing().is_none()
                && !member.ejection.is_ejected();
            changed |= takes_part != *eligible;
            *eligible = takes_part;
        }
        if changed {
            self.margin = self.settings.margin_for(method, self.roster.is_equal());
            let threshold = self.settings.threshold(self.roster.expected() as f64);
            self.bank.expect(shares, &self.eligible, self.margin, threshold);
            let sum: f64 =
                shares.iter().zip(&self.eligible).filter(|(_, e)| **e).map(|(share, _)| share).sum();
            let taking_part = shares.iter().zip(&self.eligible).filter(|(_, eligible)| **eligible);
            self.power = power(taking_part.map(|(share, _)| share / sum), self.margin);
        }
        if let Some(from) = disturbed {
            self.bank.restart();
            self.diffuse = None;
            self.start_watching(from);
        }
    }

    /// Members that get nothing. detector.md §9.
    fn find_missing(&mut self, method: Method, now: f64) -> bool {
        let around = Surroundings {
            settings: &self.settings,
            method,
            members: self.roster.expected(),
            per_second: self.connections / (now - self.began_seconds).max(1.0),
            learning: self.bank.is_learning(),
            now_seconds: now,
        };
        let mut found = false;
        for (index, member) in self.members.iter_mut().enumerate() {
            let share = self.roster.shares()[index];
            if share <= 0.0 || member.health.failing().is_some() {
                continue;
            }
            let absence = &mut member.absence;
            let dispersion = self.bank.dispersion().over(absence.ticks);
            let before = absence.began_seconds - self.settings.ejection_failure_seconds;
            let after_failures = member.ejection.failed_since(before);
            if member.ejection.is_ejected() {
                if member.ejection.lasts(now, &self.settings) {
                    let nats = -absence.pool * (1.0 - share).max(1e-12).ln() / dispersion.max(1.0);
                    found |= absence.find(nats, true);
                }
                continue;
            }
            let flagged =
                self.bank.flag(index).is_some_and(|flag| flag.alternative >= super::odds::ABOVE.len());
            found |= absence.judge(share, dispersion, flagged, after_failures, &around);
        }
        found
    }

    /// Shares of those who take part.
    fn judge_skew(&mut self, method: Method, now: f64) {
        let shares = self.roster.shares().iter().zip(&self.eligible);
        let quiet = self.skew.is_none() && self.diffuse.is_none() && self.bank.strongest_flagged().is_none();
        // Under hashing a failing member's clients go to its neighbour: a consequence.
        let consequence =
            method == Method::Hash && self.members.iter().any(|member| member.health.failing().is_some());
        if quiet || consequence {
            self.skew = None;
            return;
        }
        let taking_part: Vec<f64> =
            shares.map(|(share, eligible)| if *eligible { *share } else { 0.0 }).collect();
        let grounds = Grounds {
            bank: &self.bank,
            history: &self.history,
            shares: &taking_part,
            diffuse: self.diffuse,
            margin: self.margin,
        };
        self.skew = match skew::judge(self.skew.take(), &grounds) {
            Outcome::None => None,
            Outcome::Stands(skew) => Some(skew),
            Outcome::Ended => {
                self.bank.restart();
                self.start_watching(now);
                None
            }
        };
    }

    /// Connections that speak for "balanced": those of the last day, and not from before the last change.
    fn weigh(&mut self, began: f64, now: f64) {
        let taking_part = self.counts.iter().zip(&self.eligible).filter(|(_, eligible)| **eligible);
        let total: f64 = taking_part.map(|(count, _)| count).sum();
        self.watched *= (-(now - began) / self.settings.memory_seconds).exp();
        self.watched += total;
        self.watched_ticks += u64::from(total > 0.0);
        let enough = self.enough();
        if enough.is_finite() {
            self.watched = self.watched.min(2.0 * enough);
        }
    }

    /// Connections after which "balanced" can be said: `h φ κ / KL`. detector.md §10.
    pub(super) fn enough(&self) -> f64 {
        let dispersion = self.bank.dispersion().over(self.watched_ticks);
        self.bank.threshold_in_force() * dispersion * self.bank.calibration_of_double() / self.power
    }

    fn start_watching(&mut self, from: f64) {
        self.watched = 0.0;
        self.watched_ticks = 0;
        self.watched_from_seconds = from;
        self.was_balanced = false;
    }
}
