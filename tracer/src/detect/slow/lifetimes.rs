//! How long connections are held, by Little's law: `lifetime = live-seconds / connections` (detector.md §7, §10).
//!
//! Closes given live-seconds are a Poisson count with exposure. With opens, a drained member would be slow; with closes
//! alone, one that was just given more traffic would be, since its connections have yet to end. Hence closes, and half
//! of what the stock grew by: the mean of opens and closes while it grows, which is exact for it.

use super::run::{Flag, Rule, Run, Tally};
use super::{ALTERNATIVES, MARGIN, Pace};

/// Connections of a member that are remembered (e-folding); as with times.
const MEMORY: f64 = 60.0;
/// What was longer ago is forgotten, seconds (e-folding).
const MEMORY_SECONDS: f64 = 3600.0;
/// Connections of the others before anything is compared with them.
const LEAST_CLOSED: f64 = 20.0;
/// More connections than there can be.
const MOST: f64 = 1e15;
/// Connections of slack in the stock: it is a whole number, and seen once a tick. detector.md §7.
const SLACK: f64 = 0.5;
/// Standard errors by which the run's own ratio must exceed the margin. Own choice, by simulation.
const DEVIATIONS: f64 = 3.0;
/// Mean lifetimes after which a stock is another one. A lognormal one is remembered for `exp(sigma²)` of them: 2.7 at
/// sigma 1, 55 at sigma 2.
const STOCK_LASTS: f64 = 55.0;
/// What seeing the stock only once a tick adds to the variance, per tick and mean lifetime: that of a Poisson number
/// weighed by `1/1.5 − 1/2.5`, against closes weighed by `log(2.5/1.5)`.
const SAMPLING: f64 = 0.27;

/// What is kept of one member.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Held {
    memory: Tally,
    live: Option<f64>,
    runs: [Run; ALTERNATIVES.len()],
    flag: Option<Flag>,
    /// Evidence that there would be were it slow, nats; fades.
    power: f64,
    takes_part: bool,
    /// What the last tick saw of it; none: not measured.
    #[serde(skip)]
    seen: Option<Tally>,
}

impl Held {
    fn is_reference(&self) -> bool {
        self.takes_part && self.flag.is_none()
    }

    /// What a member did in a tick.
    fn see(&mut self, pace: &Pace, seconds: f64) -> Option<Tally> {
        let known = |number: &f64| (0.0..=MOST).contains(number);
        let (live, closed) = (pace.live.filter(known), pace.closed.filter(known));
        let before = std::mem::replace(&mut self.live, live);
        let (live, closed) = live.zip(closed)?;
        let grown = before.map_or(0.0, |before| (live - before).max(0.0));
        Some(Tally { events: closed + grown / 2.0, exposure: live * seconds })
    }
}

/// Lifetimes of a pool's connections.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Lifetimes {
    members: Vec<Held>,
    /// What the others did, ever.
    all: Tally,
    #[serde(skip)]
    raised: Vec<(usize, Flag)>,
}

impl Lifetimes {
    /// Other members, or the same in other places.
    pub(super) fn rearrange(&mut self, from: &[Option<usize>]) {
        self.members = super::rearranged(&self.members, from);
    }

    /// Whether it is of so many members.
    pub(super) fn is_whole(&self, members: usize) -> bool {
        self.members.len() == members
    }

    /// Takes in one tick; says whether any connection was there.
    pub(super) fn tick(&mut self, paces: &[Pace], rule: &Rule) -> bool {
        let seconds = rule.seconds();
        let (mut any, all_before) = (false, self.all);
        let mut remembered = Tally::default();
        let faded = (-seconds / MEMORY_SECONDS).exp();
        self.members.resize_with(paces.len(), Held::default);
        for (member, pace) in self.members.iter_mut().zip(paces) {
            if member.takes_part != pace.takes_part {
                *member = Held { takes_part: pace.takes_part, ..Held::default() };
            }
            member.seen = if pace.takes_part { member.see(pace, seconds) } else { None };
            if let Some(seen) = member.seen.filter(|seen| !seen.is_nothing()) {
                any = true;
                let kept = if seen.events > 0.0 { faded * (-seen.events / MEMORY).exp() } else { faded };
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
                if let Some(flag) = &mut member.flag {
                    flag.note(nats, figures, MARGIN);
                    if test == 0 && flag.clears(gain, scale, rule) {
                        member.flag = None;
                        member.runs = Default::default();
                        break;
                    }
                } else if nats >= rule.raise
                    && strongest.is_none_or(|strongest| nats > strongest.nats)
                    && let Some(figures) = holds(run, self.all, rule.now_seconds)
                {
                    strongest = Some(Flag::new(test, run.began_seconds, nats, figures));
                }
            }
            self.raised.extend(strongest.map(|flag| (index, flag)));
        }
    }

    /// Raises flags, the strongest first, on at most half of those who take part.
    fn raise(&mut self) {
        self.raised.sort_by(|a, b| b.1.nats.total_cmp(&a.1.nats).then(a.0.cmp(&b.0)));
        let part = self.members.iter().filter(|member| member.takes_part).count();
        let flagged = self.members.iter().filter(|member| member.flag.is_some()).count();
        for &(index, flag) in self.raised.iter().take((part / 2).saturating_sub(flagged)) {
            self.members[index].flag = Some(flag);
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

    /// How many times longer a member holds its connections than the others; below 1 when for less long.
    pub(super) fn ratio(&self, member: usize) -> Option<f64> {
        let own = self.members.get(member).filter(|member| member.takes_part)?.memory;
        let mut rest = Tally::default();
        for (index, other) in self.members.iter().enumerate() {
            if index != member && other.is_reference() {
                rest.add(other.memory);
            }
        }
        let ratio = (own.exposure / own.events) / (rest.exposure / rest.events);
        (own.events >= LEAST_CLOSED && rest.events >= LEAST_CLOSED && ratio.is_finite()).then_some(ratio)
    }
}

/// Nats per connection of a member that is as slow as the first alternative, as Poisson counts.
fn power() -> f64 {
    let [ratio, _] = ALTERNATIVES;
    ratio * (1.0 / MARGIN - 1.0 / ratio) - (ratio / MARGIN).ln()
}

/// Lifetimes of the member and of the others within a run, seconds, when these alone bear out that it is slow: the stock
/// of a member with few long connections is an accident that lasts.
fn holds(run: &Run, all: Tally, now_seconds: f64) -> Option<(f64, f64)> {
    let (own, rest) = (run.own, run.rest(all, true));
    let closed = own.events.max(1.0);
    let (lifetime, usual) = (own.exposure / closed, rest.exposure / rest.events);
    let stock = own.exposure / (now_seconds - run.began_seconds);
    let accident = (1.0 / stock).min(STOCK_LASTS * usual / own.exposure);
    let error = (1.0 / closed + 1.0 / rest.events + accident).sqrt();
    let holds = (lifetime / usual / MARGIN).ln() >= DEVIATIONS * error;
    (rest.events > 0.0 && holds && usual > 0.0).then_some((lifetime, usual))
}
