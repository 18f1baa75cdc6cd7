//! The judgement on one pool, tick by tick.

use super::Settings;
use super::absence::{self, Absence, Due, Surroundings};
use super::assessment::Assessment;
use super::explanation::{Fading, Lifetime};
use super::health::{Ejection, Health, Patience, Tally, Tried};
use super::live::Live;
use super::reuse::Reuse;
use super::roster::{Change, Roster};
use super::rules;
use super::slow::{Durations, Pace, Slowness};
use super::spread::{Parts, Spread};
use super::stray::Stray;
use super::{Verdict, assessment::Signal};
use crate::pools::{MemberSample, Method, PoolSample};
use std::cell::LazyCell;

/// What is kept of one member.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Member {
    pub(super) absence: Absence,
    pub(super) ejection: Ejection,
    pub(super) health: Health,
    pub(super) lifetime: Lifetime,
    pub(super) stray: Stray,
}

impl Member {
    /// Whether it takes part in the comparison, if it is due anything.
    fn takes_part(&self) -> bool {
        self.health.failing().is_none() && self.absence.missing().is_none() && !self.ejection.is_ejected()
    }
}

/// Judges one pool: keeps what must be remembered between its samples.
///
/// Pure: time is an argument, and the same samples give the same assessments. The method is that of detector.md.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct PoolJudge {
    pub(super) settings: Settings,
    pub(super) roster: Roster,
    pub(super) members: Vec<Member>,
    /// New connections of the tick, by member.
    decisions: Vec<f64>,
    /// Exchanges of the tick, by member.
    requests: Vec<f64>,
    /// What the balancer chose each member for in the tick: `decisions`, and `requests` where connections are reused.
    chosen: Vec<f64>,
    pub(super) eligible: Vec<bool>,
    /// Who has had nothing while the pool went on.
    #[serde(skip)]
    without: Vec<usize>,
    /// Whether the exchanges of everybody were measured in the tick.
    measured: bool,
    /// Whether the spreads have yet to be told who takes part.
    unsettled: bool,
    pub(super) connections: Spread,
    /// From the first tick on in which exchanges were measured.
    pub(super) exchanges: Option<Spread>,
    pub(super) live: Live,
    pub(super) slow: Slowness,
    pub(super) reuse: Reuse,
    /// The pool as if it were one member, for failures that no member shows alone.
    pub(super) health: Health,
    pub(super) past: Tally,
    patience: Patience,
    pub(super) margin: f64,
    pub(super) was_balanced: bool,
    pub(super) began_seconds: f64,
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
            decisions: Vec::new(),
            requests: Vec::new(),
            chosen: Vec::new(),
            eligible: Vec::new(),
            without: Vec::new(),
            measured: false,
            unsettled: true,
            connections: Spread::new(Signal::Connections, &settings, 0, 0.0),
            exchanges: None,
            live: Live::default(),
            slow: Slowness::default(),
            reuse: Reuse::default(),
            health: Health::default(),
            past: Tally::default(),
            patience: Patience::default(),
            margin: settings.margin,
            was_balanced: false,
            began_seconds: 0.0,
            first_traffic_seconds: None,
            now_seconds: None,
            settings,
        }
    }

    /// Whether everything that is kept is of the same members: what was written down and read again may have been
    /// changed in between.
    pub(crate) fn is_whole(&self) -> bool {
        let members = self.roster.len();
        let by_member = [self.decisions.len(), self.requests.len(), self.chosen.len(), self.eligible.len()];
        self.settings.are_sound()
            && self.roster.is_whole()
            && self.members.len() == members
            && by_member == [members; 4]
            && self.connections.is_whole(members)
            && self.exchanges.iter().all(|exchanges| exchanges.is_whole(members))
            && self.live.is_whole(members)
            && self.slow.is_whole(members)
    }

    /// Takes in one more interval, which ended at `now_seconds`, and judges the pool. Time must not run backwards;
    /// where it does, it stands still.
    pub fn judge(&mut self, sample: &PoolSample, now_seconds: f64) -> Assessment {
        self.observe(sample, now_seconds);
        self.assess(sample)
    }

    /// Takes in one more interval: everything that [`PoolJudge::judge`] does but for words and figures, which take
    /// longer than all the rest and may not be wanted.
    pub fn observe(&mut self, sample: &PoolSample, now_seconds: f64) {
        let (began, now) = self.interval(sample.interval_seconds, now_seconds);
        let method = sample.pool.method;
        if let Some(change) = self.roster.update(sample) {
            self.rearrange(&change, began, now);
        }
        self.count(sample, began);
        let mut paces = Vec::with_capacity(self.members.len());
        let disturbed = self.observe_members(sample, began, now, &mut paces);
        self.settle(method, began, disturbed.then_some(began));
        let parts = Parts { shares: self.roster.shares(), eligible: &self.eligible, margin: self.margin };
        self.connections.tick(&self.decisions, parts, (began, now), &self.settings);
        if let Some(exchanges) = self.exchanges.as_mut().filter(|_| self.measured) {
            exchanges.tick(&self.requests, parts, (began, now), &self.settings);
        }
        if self.find_missing(method, now) {
            self.settle(method, now, Some(now));
        }
        paces.iter_mut().zip(&self.eligible).for_each(|(pace, eligible)| pace.takes_part = *eligible);
        self.judge_spreads(sample, &paces, now);
        self.slow.tick(&paces, began, now, &self.settings);
        self.hold_back(sample);
    }

    /// Says what stands after the last interval; `sample` is the one that was observed.
    pub fn assess(&mut self, sample: &PoolSample) -> Assessment {
        let assessment = rules::conclude(self, sample, self.now_seconds.unwrap_or_default());
        self.was_balanced = matches!(assessment.verdict, Verdict::Balanced | Verdict::UnevenWeights);
        assessment
    }

    /// Whether nothing stands that may be a finding (uneven weights apart, which are no fault of the traffic).
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let found = |member: &Member| {
            member.health.failing().is_some()
                || member.absence.missing().is_some()
                || member.stray.found().is_some()
        };
        self.health.failing().is_none()
            && self.spreads().all(|spread| spread.episode().is_none())
            && self.live.found().is_none()
            && !self.slow.is_found()
            // Who takes part is due a share, and neither failing nor missing.
            && !self.members.iter().zip(&self.eligible).any(|(member, takes_part)| !takes_part && found(member))
    }

    /// The spreads that say whom the balancer chooses: of new connections, of exchanges where connections are reused.
    pub(super) fn spreads(&self) -> impl Iterator<Item = &Spread> {
        let exchanges = self.exchanges.as_ref().filter(|_| self.measured && self.reuse.is_seen());
        let connections = (!self.exchanges_lead()).then_some(&self.connections);
        exchanges.into_iter().chain(connections)
    }

    /// The spread that "balanced" is said of.
    pub(super) fn leading(&self) -> &Spread {
        self.exchanges.as_ref().filter(|_| self.exchanges_lead()).unwrap_or(&self.connections)
    }

    /// Whether connections are reused so much that opening one is no choice of a backend any more.
    fn exchanges_lead(&self) -> bool {
        self.exchanges.is_some() && self.measured && self.reuse.leads()
    }

    /// What each member was chosen for in the tick.
    fn count(&mut self, sample: &PoolSample, began: f64) {
        let mut measured = self.roster.expected() > 0;
        for member in 0..self.members.len() {
            let seen = &sample.members[self.roster.place(member)];
            // Exchanges of some members say nothing of their shares.
            measured &= seen.requests.is_some() || self.roster.shares()[member] <= 0.0;
            self.decisions[member] = seen.decisions as f64;
            self.requests[member] = seen.requests.unwrap_or(0) as f64;
        }
        if measured && self.exchanges.is_none() {
            let members = self.roster.len();
            self.exchanges = Some(Spread::new(Signal::Exchanges, &self.settings, members, began));
            self.unsettled = true;
        }
        let led = self.exchanges_lead();
        self.measured = measured;
        if measured {
            let seconds = sample.interval_seconds;
            self.reuse.tick(self.decisions.iter().sum(), self.requests.iter().sum(), seconds);
        }
        let lead = self.exchanges_lead();
        if lead != led {
            // What was counted until now was counted in another unit.
            self.members.iter_mut().for_each(|member| member.absence.recount(began));
        }
        for ((chosen, decisions), requests) in self.chosen.iter_mut().zip(&self.decisions).zip(&self.requests)
        {
            // A new connection and its first exchange are one choice.
            *chosen = if lead { requests.max(*decisions) } else { *decisions };
        }
    }

    /// When the interval began and ended, both finite and in order.
    fn interval(&mut self, seconds: f64, now_seconds: f64) -> (f64, f64) {
        let seconds = if seconds.is_finite() && seconds > 0.0 { seconds } else { 1.0 };
        let before = self.now_seconds;
        let now = if now_seconds.is_finite() { now_seconds } else { before.unwrap_or(0.0) + seconds };
        let now = before.map_or(now, |before| now.max(before));
        let began = before.map_or(now - seconds, |before| (now - seconds).max(before));
        if before.is_none() {
            self.began_seconds = began;
            self.connections = Spread::new(Signal::Connections, &self.settings, 0, began);
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
        for counts in [&mut self.decisions, &mut self.requests, &mut self.chosen] {
            *counts = vec![0.0; count];
        }
        self.eligible = vec![false; count];
        self.unsettled = true;
        self.connections.rearrange(change, began);
        if let Some(exchanges) = &mut self.exchanges {
            exchanges.rearrange(change, began);
        }
        self.live.rearrange(change);
        self.slow.rearrange(&change.from);
        self.was_balanced &= change.same_shares;
    }

    /// Takes in what every member did; says whether a member's or the pool's standing changed so that what the bank
    /// saw until now does not count any more.
    fn observe_members<'a>(
        &mut self,
        sample: &'a PoolSample,
        began: f64,
        now: f64,
        paces: &mut Vec<Pace<'a>>,
    ) -> bool {
        let shares = self.roster.shares();
        let pool: f64 =
            self.chosen.iter().zip(shares).filter(|(_, s)| **s > 0.0).map(|(count, _)| count).sum();
        if sample.members.iter().any(|member| {
            member.decisions > 0
                || member.delta.attempts > 0
                || member.requests.is_some_and(|count| count > 0)
        }) {
            self.first_traffic_seconds.get_or_insert(now);
        }
        let (patience, unknown) = (&self.patience, self.settings.cancelled_boundary_seconds);
        let boundary_seconds = LazyCell::new(|| patience.boundary_seconds(unknown));
        let weight = absence::weight(pool, self.roster.expected());
        // Where exchanges are what is chosen, kept connections are idle as well as busy.
        let counts_connections = sample.pool.method == Method::LeastConnections && !self.exchanges_lead();
        let busier = if counts_connections { self.began_busier() } else { Vec::new() };
        let fading = Fading::over(now - began);
        let (mut disturbed, mut failing) = (false, false);
        let mut all = Tally::default();
        self.without.clear();
        for (index, member) in self.members.iter_mut().enumerate() {
            let seen = &sample.members[self.roster.place(index)];
            let (own, share, delta) = (self.chosen[index], shares[index], &seen.delta);
            let pace = pace_of(seen);
            let busier = busier.get(index) == Some(&true);
            member.lifetime.tick(seen.stock, pace.closed, delta, busier, &fading);
            paces.push(pace);
            // Who is due nothing may be down for good reason: its health checks fail, and nobody need know.
            if share > 0.0 {
                let tally = Tally::of(delta, || *boundary_seconds);
                all.add(&tally);
                disturbed |= member.health.tick(&tally, Some(delta), now, &self.settings);
                failing |= member.health.failing().is_some();
                // A kept connection serves without being established again.
                let served = tally.succeeded + self.requests[index];
                // Who is rightly passed over goes without nothing.
                let passed_over = own <= 0.0 && busier;
                let missed = if passed_over { 0.0 } else { pool };
                member.absence.tick(own, missed, Due { share, weight }, began, now);
                if tally.failures() > 0.0 {
                    member.absence.failed();
                }
                disturbed |= member.absence.serve(own, served, now, self.settings.missing_clears_seconds);
                let tried = Tried {
                    decisions: own,
                    established: delta.established as f64 + self.requests[index],
                    failures: tally.failures(),
                    missed: member.absence.pool * share,
                };
                member.ejection.tick(tried, now, &self.settings);
                self.unsettled |= member.takes_part() != self.eligible[index];
                if member.absence.pool > 0.0 {
                    self.without.push(index);
                }
            } else {
                member.stray.tick(self.decisions[index], began, now, &self.settings);
            }
        }
        let turn = self.patience.next(self.members.len());
        if shares.get(turn).is_some_and(|share| *share > 0.0) {
            let delta = &sample.members[self.roster.place(turn)].delta;
            self.patience.add(&delta.connect_time, delta.established);
        }
        if self.health.tick(&all, None, now, &self.settings) {
            // What every member failed of in the outage is told; it must not be found again in their longer windows.
            self.members.iter_mut().for_each(|member| member.health.forget());
            disturbed = true;
        }
        let newly = self.judge_failures(now);
        failing |= newly && self.members.iter().any(|member| member.health.failing().is_some());
        if self.health.failing().is_none() && !failing {
            self.past.add(&all);
        }
        disturbed | newly
    }

    /// Who takes part in the comparison, given everybody's standing; begins the runs again from the
    /// moment at which it was `disturbed`.
    fn settle(&mut self, method: Method, began: f64, disturbed: Option<f64>) {
        // Somebody's standing may have changed; else there is nothing to do.
        if !self.unsettled && disturbed.is_none() {
            return;
        }
        let mut changed = std::mem::take(&mut self.unsettled);
        let shares = self.roster.shares();
        for ((eligible, member), &share) in self.eligible.iter_mut().zip(&self.members).zip(shares) {
            let takes_part = share > 0.0 && member.takes_part();
            changed |= takes_part != *eligible;
            *eligible = takes_part;
        }
        if changed {
            self.margin = self.settings.margin_for(method, self.roster.is_equal());
            let threshold = self.settings.threshold(self.roster.expected() as f64);
            let parts = Parts { shares, eligible: &self.eligible, margin: self.margin };
            self.connections.expect(parts, threshold, began);
            if let Some(exchanges) = &mut self.exchanges {
                exchanges.expect(parts, threshold, began);
            }
        }
        if let Some(from) = disturbed {
            self.connections.restart(from);
            if let Some(exchanges) = &mut self.exchanges {
                exchanges.restart(from);
            }
            self.was_balanced = false;
        }
    }

    /// Members that get nothing. detector.md §9.
    fn find_missing(&mut self, method: Method, now: f64) -> bool {
        let leading = match &self.exchanges {
            Some(exchanges) if self.measured && self.reuse.leads() => exchanges,
            _ => &self.connections,
        };
        let around = Surroundings {
            settings: &self.settings,
            method,
            members: self.roster.expected(),
            per_second: leading.per_second(now),
            learning: leading.bank().is_learning(),
            now_seconds: now,
        };
        let mut found = false;
        for &index in &self.without {
            let (member, share) = (&mut self.members[index], self.roster.shares()[index]);
            if member.health.failing().is_some() {
                continue;
            }
            let absence = &mut member.absence;
            let dispersion = leading.bank().dispersion().over(absence.ticks);
            let before = absence.began_seconds - self.settings.ejection_failure_seconds;
            let after_failures = member.ejection.failed_since(before);
            if member.ejection.is_ejected() {
                if member.ejection.lasts(now, &self.settings) {
                    let nats = -absence.pool * (1.0 - share).max(1e-12).ln() / dispersion.max(1.0);
                    found |= absence.find(nats, true);
                }
                continue;
            }
            let flagged = leading.gets_too_little(index);
            found |= absence.judge(share, dispersion, flagged, after_failures, &around);
        }
        found
    }

    /// Episodes that may turn out to be a slow member's in a moment.
    fn hold_back(&mut self, sample: &PoolSample) {
        let may_explain =
            |spread: &Spread| spread.may_be_held_back() && self.may_be_slowness(spread, &sample.pool);
        let of_connections = may_explain(&self.connections);
        let of_exchanges = self.exchanges.as_ref().map(may_explain);
        self.connections.hold_back(of_connections);
        if let (Some(exchanges), Some(may_explain)) = (&mut self.exchanges, of_exchanges) {
            exchanges.hold_back(may_explain);
        }
    }

    /// Episodes of skew, and the stock of live connections.
    fn judge_spreads(&mut self, sample: &PoolSample, paces: &[Pace], now: f64) {
        let parts = Parts { shares: self.roster.shares(), eligible: &self.eligible, margin: self.margin };
        // Under hashing a failing member's clients go to its neighbour: a consequence.
        let consequence = sample.pool.method == Method::Hash
            && self.members.iter().any(|member| member.health.failing().is_some());
        for spread in std::iter::once(&mut self.connections).chain(&mut self.exchanges) {
            if consequence {
                spread.drop_episode();
            } else if spread.judge_episode(parts, now) {
                self.was_balanced = false;
            }
        }
        let explained = |spread: &Spread| {
            let explanation = self.explanation(spread, &sample.pool);
            let surely = explanation.as_ref().is_some_and(|explanation| {
                explanation.is_surely_slow() && !self.slow.is_as_fast_by_ended(explanation.member)
            });
            (explanation.is_some() || self.passed_over(spread, &sample.pool).is_some(), surely)
        };
        let (of_connections, of_exchanges) =
            (explained(&self.connections), self.exchanges.as_ref().map(explained));
        self.was_balanced &= !self.connections.explain(of_connections.0, of_connections.1, now);
        if let (Some(exchanges), Some((explained, surely))) = (&mut self.exchanges, of_exchanges) {
            self.was_balanced &= !exchanges.explain(explained, surely, now);
        }
        let parts = Parts { shares: self.roster.shares(), eligible: &self.eligible, margin: self.margin };
        let stocks = paces.iter().map(|pace| (pace.live, pace.closed));
        self.live.tick(stocks, parts, sample.pool.method, sample.interval_seconds, now, &self.settings);
    }
}

/// How fast a member was in an interval; whether it takes part is not known yet.
fn pace_of(seen: &MemberSample) -> Pace<'_> {
    let unmeasured = &seen.recorded.unmeasured;
    let measured = |name| unmeasured.is_empty() || !unmeasured.contains(name);
    let answered = |spread| Durations { spread, none: seen.exchanges.count == Some(0) };
    let connected = Durations { spread: &seen.delta.connect_time, none: seen.delta.established == 0 };
    let held = Durations { spread: &seen.delta.lifetime, none: seen.delta.closed == 0 };
    Pace {
        response_time: seen.exchanges.response_time.as_ref().map(answered),
        connect_time: measured("established").then_some(connected),
        held_time: measured("lifetime").then_some(held),
        live: seen.stock.map(|stock| stock.live as f64),
        closed: measured("closed").then_some(seen.delta.closed as f64),
        takes_part: false,
    }
}
