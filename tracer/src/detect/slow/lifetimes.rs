//! How long connections are held, by Little's law: `lifetime = live-seconds / connections` (detector.md §7, §10).
//!
//! Closes given live-seconds are a Poisson count with exposure. With opens, a drained member would be slow; with closes
//! alone, one that was just given more traffic would be, since its connections have yet to end. Hence closes, and half
//! of what the stock grew by: the mean of opens and closes while it grows, which is exact for it.
//!
//! Closes are Poisson given live-seconds only where lifetimes are exponential. Where a few connections last very long,
//! the live-seconds of a member are those of the few, and no new evidence comes with every second of theirs. What holds
//! for any spread of lifetimes is that a stock is a Poisson number (M/G/∞; Takács 1962). So a flag needs as much
//! evidence again from the stock alone, as a number of connections: see [`stock`].
//!
//! When a member begins again, what it held ends at once, whatever its lifetime would have been; then its stock is young,
//! as that of a member that joins, and only short ones have had time to end. Neither tells of lifetimes, and the others
//! would seem slow next to it. So it is left out of the comparison until its stock has had time to be one.

use super::memory::{MEMORY, left_by};
use super::run::{Flag, Rule, Run, Tally};
use super::{ALTERNATIVES, MARGIN, Pace};
use crate::detect::spread::divergence;

/// What was longer ago is forgotten, seconds (e-folding).
const MEMORY_SECONDS: f64 = 3600.0;
/// Connections of the others before anything is compared with them.
const LEAST_CLOSED: f64 = 20.0;
/// More connections than there can be.
const MOST: f64 = 1e15;
/// Connections of slack in the stock: it is a whole number, and seen once a tick. detector.md §7.
const SLACK: f64 = 0.5;
/// Mean lifetimes after which a stock is another one. A lognormal one is remembered for `exp(sigma²)` of them: 2.7 at
/// sigma 1, 55 at sigma 2, most of it by the few that last, of which the longest is counted apart. Own choice, by
/// simulation.
const STOCK_LASTS: f64 = 20.0;
/// What seeing the stock only once a tick adds to the variance, per tick and mean lifetime: that of a Poisson number
/// weighed by `1/1.5 − 1/2.5`, against closes weighed by `log(2.5/1.5)`.
const SAMPLING: f64 = 0.27;

/// Part of the usual lifetime within which a stock that falls to half of what would be left did not end by itself: of one
/// that is not refilled at all, a fifth ends. Own choice.
const AT_ONCE: f64 = 0.25;
/// Standard deviations of a Poisson stock by which it falls then, at least.
const FALLS: f64 = 4.0;
/// Usual lifetimes for which a stock is young. Own choice, by simulation.
const YOUNG: f64 = 3.0;

/// What is kept of one member. What every tick reads of every member comes first.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Held {
    memory: Tally,
    live: Option<f64>,
    /// The stock of late, connections: the highest, which is forgotten as the stock is not it any more.
    peak: f64,
    /// How long ago the stock began anew, seconds; none: long enough.
    young_seconds: Option<f64>,
    /// How long there has been a stock at all, seconds.
    held_seconds: f64,
    /// Evidence that there would be were it slow, nats; fades.
    power: f64,
    /// What the last tick saw of it; none: not measured.
    #[serde(skip)]
    seen: Option<Tally>,
    runs: [Run; ALTERNATIVES.len()],
    /// The longest time with a stock within each run.
    longest_seconds: [f64; ALTERNATIVES.len()],
    takes_part: bool,
    flag: Option<Flag>,
}

impl Held {
    fn is_reference(&self) -> bool {
        self.takes_part && self.flag.is_none()
    }

    /// How long connections of the others last, by what is `remembered` of those who are compared with, seconds; 0: not
    /// known.
    fn usual_seconds(&self, remembered: Tally) -> f64 {
        let rest = if self.is_reference() { remembered.without(self.memory) } else { remembered };
        if rest.events >= LEAST_CLOSED { rest.exposure / rest.events } else { 0.0 }
    }

    /// What a member did in a tick.
    fn see(&mut self, pace: &Pace, seconds: f64) -> Option<Tally> {
        let known = |number: &f64| (0.0..=MOST).contains(number);
        let (live, closed) = (pace.live.filter(known), pace.closed.filter(known));
        let before = std::mem::replace(&mut self.live, live);
        let (live, closed) = live.zip(closed)?;
        self.held_seconds = if live >= 1.0 { self.held_seconds + seconds } else { 0.0 };
        let grown = before.map_or(0.0, |before| (live - before).max(0.0));
        Some(Tally { events: closed + grown / 2.0, exposure: live * seconds })
    }

    /// Whether what it held ended at once in a tick, where connections usually last for `usual_seconds`.
    fn begins_again(&mut self, seconds: f64, usual_seconds: f64) -> bool {
        let Some(live) = self.live.filter(|_| usual_seconds > 0.0) else { return false };
        let fell = self.peak - live;
        let left = self.peak * (-seconds / usual_seconds).exp();
        let begins = live < left / 2.0 && fell > FALLS * self.peak.sqrt();
        let forgotten = (seconds / (AT_ONCE * usual_seconds)).min(1.0);
        self.peak = if begins { live } else { live.max(self.peak - fell * forgotten) };
        begins
    }

    /// Whether its stock is too young to tell of lifetimes, after so many seconds more.
    fn is_young(&mut self, seconds: f64, usual_seconds: f64) -> bool {
        self.young_seconds =
            self.young_seconds.map(|young| young + seconds).filter(|young| *young < YOUNG * usual_seconds);
        self.young_seconds.is_some()
    }
}

/// Lifetimes of a pool's connections.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Lifetimes {
    members: Vec<Held>,
    /// Who has a flag: how many.
    flagged: usize,
    /// What the others did, ever.
    all: Tally,
    /// What is remembered of those who are compared with.
    remembered: Tally,
    #[serde(skip)]
    raised: Vec<(usize, Flag)>,
}

impl Lifetimes {
    /// Other members, or the same in other places.
    pub(super) fn rearrange(&mut self, from: &[Option<usize>]) {
        self.members = super::rearranged(&self.members, from);
        self.flagged = self.count_flags();
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        if !self.members.is_empty() {
            *self = Self::default();
        }
    }

    /// Whether it is of so many members, or of none.
    pub(super) fn is_whole(&self, members: usize) -> bool {
        (self.members.is_empty() || self.members.len() == members) && self.flagged == self.count_flags()
    }

    /// Whether anybody has a flag.
    pub(super) fn is_found(&self) -> bool {
        self.flagged > 0
    }

    fn count_flags(&self) -> usize {
        self.members.iter().filter(|member| member.flag.is_some()).count()
    }

    /// Takes in one tick; says whether any connection was there.
    pub(super) fn tick(&mut self, paces: &[Pace], rule: &Rule) -> bool {
        let seconds = rule.seconds();
        let (mut any, all_before) = (false, self.all);
        let mut remembered = Tally::default();
        let faded = (-seconds / MEMORY_SECONDS).exp();
        if self.members.len() != paces.len() {
            self.members.resize_with(paces.len(), Held::default);
            self.flagged = self.count_flags();
        }
        for (member, pace) in self.members.iter_mut().zip(paces) {
            let usual_seconds = member.usual_seconds(self.remembered);
            if member.takes_part != pace.takes_part {
                self.flagged -= usize::from(member.flag.is_some());
                let is_new = pace.takes_part && usual_seconds > 0.0;
                let young_seconds = is_new.then_some(0.0);
                *member = Held { takes_part: pace.takes_part, young_seconds, ..Held::default() };
            }
            member.seen = if pace.takes_part { member.see(pace, seconds) } else { None };
            if member.begins_again(seconds, usual_seconds) {
                self.flagged -= usize::from(member.flag.is_some());
                let Held { live, peak, takes_part, .. } = *member;
                *member = Held { live, peak, takes_part, young_seconds: Some(0.0), ..Held::default() };
            } else if member.is_young(seconds, usual_seconds) {
                member.seen = None;
            }
            if let Some(seen) = member.seen.filter(|seen| !seen.is_nothing()) {
                any = true;
                let kept = faded * left_by(seen.events);
                member.memory.events *= kept;
                member.memory.exposure *= kept;
                member.power *= faded;
                member.memory.add(seen);
                if member.is_reference() {
                    self.all.add(seen);
                }
            }
            if member.is_reference() {
                remembered.add(member.memory);
            }
        }
        self.remembered = remembered;
        if any {
            self.compare(remembered, all_before, rule);
            self.raise();
        }
        any
    }

    fn compare(&mut self, remembered: Tally, all_before: Tally, rule: &Rule) {
        self.raised.clear();
        let costs = ALTERNATIVES.map(|ratio| (ratio / MARGIN).ln());
        let power = power();
        for (index, member) in self.members.iter_mut().enumerate() {
            let among = member.is_reference();
            let Some(seen) = member.seen.filter(|seen| !seen.is_nothing()) else { continue };
            let rest = if among { remembered.without(member.memory) } else { remembered };
            let lifetime = rest.exposure / rest.events;
            if rest.events < LEAST_CLOSED || !(lifetime.is_finite() && lifetime > 0.0) {
                continue;
            }
            let slack = SLACK * rule.seconds();
            let own = Tally { exposure: (seen.exposure - slack).max(0.0), ..seen };
            let uncertain = 1.0 + member.memory.events.min(MEMORY + seen.events) / rest.events;
            let scale = uncertain * (1.0 + SAMPLING * rule.seconds() / lifetime);
            member.power += seen.events * power / scale;
            let figures = Some((member.memory.exposure / member.memory.events.max(1.0), lifetime));
            let mut strongest: Option<Flag> = None;
            for (test, run) in member.runs.iter_mut().enumerate() {
                // Poisson: a lifetime so many times the others' against one at the margin.
                let gain = own.exposure / lifetime * (1.0 / MARGIN - 1.0 / ALTERNATIVES[test])
                    - own.events * costs[test];
                let nats = run.tick(gain, scale, own, all_before, rule);
                let longest = if run.ticks > 1 { member.longest_seconds[test] } else { 0.0 };
                let within = if run.ticks > 0 { rule.now_seconds - run.began_seconds } else { 0.0 };
                member.longest_seconds[test] = longest.max(member.held_seconds.min(within));
                if let Some(flag) = &mut member.flag {
                    flag.note(nats, figures, MARGIN);
                    if test == 0 && flag.clears(gain, scale, rule) {
                        member.flag = None;
                        self.flagged -= 1;
                        member.runs = Default::default();
                        break;
                    }
                } else if nats >= rule.raise
                    && strongest.is_none_or(|strongest| nats > strongest.nats)
                    && let Some(stock) = stock(run, self.all, member.longest_seconds[test], rule)
                    && stock.nats >= rule.height
                {
                    strongest =
                        Some(Flag::new(test, run.began_seconds, nats.min(stock.nats), stock.lifetimes));
                }
            }
            self.raised.extend(strongest.map(|flag| (index, flag)));
        }
    }

    /// Raises flags, the strongest first, on at most half of those who take part.
    fn raise(&mut self) {
        if self.raised.is_empty() {
            return;
        }
        self.raised.sort_by(|a, b| b.1.nats.total_cmp(&a.1.nats).then(a.0.cmp(&b.0)));
        let part = self.members.iter().filter(|member| member.takes_part).count();
        for &(index, flag) in self.raised.iter().take((part / 2).saturating_sub(self.flagged)) {
            self.members[index].flag = Some(flag);
            self.flagged += 1;
        }
    }

    /// The flag of a member.
    pub(super) fn flag(&self, member: usize) -> Option<&Flag> {
        self.members.get(member).and_then(|member| member.flag.as_ref())
    }

    /// Whether of everybody who takes part enough was seen to find it, were it slow.
    pub(super) fn is_enough(&self, raise: f64) -> bool {
        self.members.iter().filter(|member| member.takes_part).all(|member| member.power >= raise)
    }
}

/// Nats per connection of a member that is as slow as the first alternative, as Poisson counts.
fn power() -> f64 {
    let [ratio, _] = ALTERNATIVES;
    ratio * (1.0 / MARGIN - 1.0 / ratio) - (ratio / MARGIN).ln()
}

/// What a run says when its stock counts as connections, not as time.
struct Stock {
    /// Evidence, nats.
    nats: f64,
    /// Lifetimes of the member and of the others within the run, seconds.
    lifetimes: (f64, f64),
}

/// Two Poisson numbers of the member: its mean stock, and connections that ended; against a lifetime at the margin.
///
/// A run longer than a stock lasts has seen several stocks, so that what comes and goes counts as often. The longest time
/// with a stock at all may be that of one connection, and counts once, however long. The others' lifetime is known from
/// as little, and the evidence is divided by what that adds to the variance.
fn stock(run: &Run, all: Tally, longest_seconds: f64, rule: &Rule) -> Option<Stock> {
    let (own, rest) = (run.own, run.rest(all, true));
    let seconds = rule.now_seconds - run.began_seconds;
    let (closed, usual) = (own.events.max(1.0), rest.exposure / rest.events);
    if !(seconds > 0.0 && usual > 0.0 && usual.is_finite()) {
        return None;
    }
    let looks = (seconds / (STOCK_LASTS * MARGIN * usual)).max(1.0);
    let stock = own.exposure / seconds;
    let lasting = (longest_seconds / seconds).min(stock);
    let held = 1.0_f64.min(stock * looks) + (stock - lasting) * looks;
    // Connections in the stock for every one that ended, at the margin.
    let expected = MARGIN * usual * looks / seconds;
    let (total, share) = (held + own.events, expected / (1.0 + expected));
    let observed = held / total;
    let variance = (1.0 + 1.0 / expected) / closed;
    let of_rest = 1.0 / rest.events + seconds / (rest.exposure * looks);
    let nats = total * divergence(observed, share) / (1.0 + of_rest / variance);
    (observed > share && nats.is_finite())
        .then_some(Stock { nats, lifetimes: (own.exposure / closed, usual) })
}
