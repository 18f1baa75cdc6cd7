//! Response or connect times of every member against those of the others.
//!
//! Every member's lately measured times are remembered (by number, not by time, so that the others are always seen as
//! they are now). The pool's median and upper quartile, times the margin, cut the tick's answers in two, and each
//! member's share above the cut is tested one-sidedly against what the others' spread says about a member at the margin
//! ([`super::cut`]). The median tells of a member that is slow at all, and is blind to tails; the upper quartile tells
//! of one that is slow with some of its requests, a quarter or more, always. Higher quantiles are left alone: they
//! belong to the mix of requests as much as to the member.
//!
//! What makes all members slower at once must not be blamed on one while the memory still holds the better days: a
//! flag needs half of its evidence against the others *within the same run*.

use super::cut::{Cut, Shares, TESTS};
use super::finding::Measure;
use super::past::Past;
use super::run::{Flag, Rule, Run, Tally};
use super::spread::{Spread, Tail};
use super::{ALTERNATIVES, MARGIN, Pace};
use crate::collect::Histogram;
use crate::detect::spread::Dispersion;

/// Quantiles at which answers are cut.
pub(super) const QUANTILES: [f64; 2] = [0.5, 0.75];
/// Answers of a member that are remembered (e-folding). Own choice: so few that a change is seen after one more memory,
/// so many that the others' quantiles are known to some per cent.
const MEMORY: f64 = 60.0;
/// What was measured longer ago is forgotten with the next answer, seconds (e-folding).
const MEMORY_SECONDS: f64 = 3600.0;
/// Answers of the others, and of the member, before they are compared.
const LEAST_ANSWERS: f64 = 20.0;
/// Answers that the belief in the others' lasting share is worth, when a flag is checked against the run's own.
const BELIEF: f64 = 5.0;

/// What is kept of one member.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Timed {
    memory: Spread,
    /// When it last answered, seconds.
    seen_seconds: f64,
    runs: [[Run; TESTS]; QUANTILES.len()],
    flag: Option<Flag>,
    /// Evidence that there would be were it slow, nats; fades.
    power: f64,
    takes_part: bool,
}

impl Timed {
    fn restart(&mut self) {
        self.runs = Default::default();
        self.flag = None;
    }

    fn is_reference(&self) -> bool {
        self.takes_part && self.flag.is_none()
    }
}

/// Which times, and what is too short to matter.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// Where they are.
    pub(super) of: for<'a> fn(&Pace<'a>) -> Option<&'a Histogram>,
    /// Nothing below it is slow, nanoseconds.
    pub(super) floor_ns: f64,
    /// What a flag of either cut is called.
    pub(super) measures: [Measure; QUANTILES.len()],
}

/// One kind of times, of one pool.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Times {
    members: Vec<Timed>,
    /// What those who are compared with remember, all together; of how many; and whether these are others by now.
    pool: Spread,
    references: usize,
    changed: bool,
    /// Answers of the others, ever, above either cut.
    all: [Tally; QUANTILES.len()],
    dispersion: Dispersion,
    past: Past,
    measured: bool,
    #[serde(skip)]
    scratch: Scratch,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            pool: Spread::default(),
            references: 0,
            changed: true,
            all: Default::default(),
            dispersion: Dispersion::new(0),
            past: Past::default(),
            measured: false,
            scratch: Scratch::default(),
        }
    }
}

/// Working memory of a tick.
#[derive(Clone, Debug, Default)]
struct Scratch {
    /// Who answered in the tick.
    active: Vec<usize>,
    /// What those who are compared with answered.
    answered: Spread,
    /// Answers above the median's cut, of every one of them.
    counts: Vec<f64>,
    raised: Vec<(usize, Flag)>,
}

impl Times {
    /// Other members, or the same in other places.
    pub(super) fn rearrange(&mut self, from: &[Option<usize>]) {
        self.members = super::rearranged(&self.members, from);
        self.changed = true;
    }

    /// Whether it is of so many members, and every flag is one of its own.
    pub(super) fn is_whole(&self, members: usize) -> bool {
        let mut flags = self.members.iter().filter_map(|member| member.flag);
        self.members.len() == members && flags.all(|flag| flag.test < QUANTILES.len() * TESTS)
    }

    /// Whether anything was measured in the last tick, if only that nobody answered.
    pub(super) fn is_measured(&self) -> bool {
        self.measured
    }

    /// Takes in one tick; says whether anybody answered.
    pub(super) fn tick(&mut self, paces: &[Pace], kind: &Kind, rule: &Rule) -> bool {
        if !self.remember(paces, kind, rule) {
            return false;
        }
        let cut = |quantile| Cut::of(&self.pool, quantile, MARGIN, ALTERNATIVES, kind.floor_ns);
        if let [Some(median), Some(upper)] = QUANTILES.map(cut) {
            self.compare(paces, kind, &[median, upper], rule);
            self.raise();
        }
        self.past.tick(&self.scratch.answered, self.references, kind.floor_ns, rule);
        true
    }

    /// Adds the tick to what is remembered.
    fn remember(&mut self, paces: &[Pace], kind: &Kind, rule: &Rule) -> bool {
        let Scratch { active, answered, .. } = &mut self.scratch;
        answered.clear();
        active.clear();
        self.measured = false;
        if self.members.len() != paces.len() {
            self.members.resize_with(paces.len(), Timed::default);
            self.changed = true;
        }
        for (index, (member, pace)) in self.members.iter_mut().zip(paces).enumerate() {
            if member.takes_part != pace.takes_part {
                *member = Timed { takes_part: pace.takes_part, ..Timed::default() };
                self.changed = true;
            }
            let Some(times) = (kind.of)(pace).filter(|_| pace.takes_part) else { continue };
            self.measured = true;
            if times.0.iter().fold(0, |any, count| any | count) == 0 {
                continue;
            }
            active.push(index);
            let among = member.flag.is_none();
            let idle_seconds = (rule.now_seconds - member.seen_seconds).max(0.0);
            let faded = (-idle_seconds / MEMORY_SECONDS).exp();
            if among {
                answered.count(times);
                self.pool.remove(&member.memory);
            }
            member.memory.fade(faded * (-(times.count() as f64) / MEMORY).exp());
            member.memory.count(times);
            if among {
                self.pool.add(&member.memory);
            }
            member.power *= faded;
            member.seen_seconds = rule.now_seconds;
        }
        if std::mem::take(&mut self.changed) {
            self.dispersion.drop_blocks(self.members.len());
            self.pool.clear();
            self.references = 0;
            for member in self.members.iter().filter(|member| member.is_reference()) {
                self.pool.add(&member.memory);
                self.references += 1;
            }
        }
        !self.scratch.active.is_empty()
    }

    /// Tests every member that answered.
    fn compare(&mut self, paces: &[Pace], kind: &Kind, cuts: &[Cut; QUANTILES.len()], rule: &Rule) {
        let Scratch { active, counts, raised, .. } = &mut self.scratch;
        let all_before = self.all;
        counts.clear();
        counts.resize(self.members.len(), 0.0);
        for &index in active.iter() {
            let times = (kind.of)(&paces[index]).filter(|_| self.members[index].is_reference());
            for (level, tally) in times.map(|times| tallies(times, cuts)).into_iter().flatten().enumerate() {
                self.all[level].add(tally);
                if level == 0 {
                    counts[index] = tally.events;
                }
            }
        }
        self.dispersion.tick(counts, self.references, counts.iter().sum(), rule.began_seconds);
        let others = Tail::of(&self.pool);
        raised.clear();
        for &index in active.iter() {
            let member = &mut self.members[index];
            let Some(times) = (kind.of)(&paces[index]) else { continue };
            let own = Tail::of(&member.memory);
            let among = member.flag.is_none();
            let rest = others.without(among.then_some(&own));
            if rest.mass() < LEAST_ANSWERS {
                continue;
            }
            let uncertain = 1.0 + own.mass().min(times.count() as f64 + MEMORY) / rest.mass();
            let tallies = tallies(times, cuts);
            let mut best = [None::<Flag>; QUANTILES.len()];
            for (level, (cut, tally)) in cuts.iter().zip(tallies).enumerate() {
                let shares = cut.shares(&rest);
                let figures = || own.quantile(QUANTILES[level]).zip(rest.quantile(QUANTILES[level]));
                if level == 0 {
                    let scale = self.dispersion.over(1).max(1.0) * uncertain;
                    member.power += tally.exposure * shares.power() / scale;
                }
                for test in 0..TESTS {
                    let run = &mut member.runs[level][test];
                    let scale = self.dispersion.over(run.ticks + 1).max(1.0) * uncertain;
                    let gain = shares.gain(test, tally);
                    let nats = run.tick(gain, scale, tally, all_before[level], rule);
                    let number = level * TESTS + test;
                    if let Some(flag) = member.flag.as_mut().filter(|flag| flag.test / TESTS == level) {
                        flag.note(nats, figures(), MARGIN);
                        // The milder alternative tells sooner that all is well.
                        if test == 0 && flag.clears(gain, scale, rule) {
                            member.restart();
                            self.changed = true;
                            break;
                        }
                        continue;
                    }
                    let told = nats >= rule.raise / 2.0
                        && own.mass() >= LEAST_ANSWERS
                        && best[level].is_none_or(|best| nats > best.nats)
                        && holds(run, &shares, test, self.all[level], among) >= rule.raise / 2.0 * scale;
                    let figures = told.then(figures).flatten();
                    if let Some(figures) = figures.filter(|(own, rest)| *own >= MARGIN * rest) {
                        best[level] = Some(Flag::new(number, run.began_seconds, nats, figures));
                    }
                }
            }
            let nats = best.iter().flatten().map(|flag| flag.nats).fold(0.0, f64::max);
            // Who is slow with all requests is more so with some: the median speaks first.
            let flag =
                best.into_iter().flatten().next().filter(|_| member.flag.is_none() && nats >= rule.raise);
            raised.extend(flag.map(|mut flag| {
                flag.nats = nats;
                (index, flag)
            }));
        }
    }

    /// Raises flags, the strongest first, on at most half of those who take part.
    fn raise(&mut self) {
        let raised = &mut self.scratch.raised;
        if raised.is_empty() {
            return;
        }
        raised.sort_by(|a, b| b.1.nats.total_cmp(&a.1.nats).then(a.0.cmp(&b.0)));
        let part = self.members.iter().filter(|member| member.takes_part).count();
        let flagged = self.members.iter().filter(|member| member.flag.is_some()).count();
        for &(index, flag) in raised.iter().take((part / 2).saturating_sub(flagged)) {
            self.members[index].flag = Some(flag);
            self.past.disturb();
            self.changed = true;
        }
    }

    /// The flag of a member.
    pub(super) fn flag(&self, member: usize) -> Option<&Flag> {
        self.members.get(member).and_then(|member| member.flag.as_ref())
    }

    /// The pool against its own past.
    pub(super) fn past(&self) -> &Past {
        &self.past
    }

    /// Whether of everybody who takes part enough was seen to find it, were it slow.
    pub(super) fn is_enough(&self, raise: f64, now_seconds: f64) -> bool {
        let power = |member: &Timed| {
            let idle_seconds = (now_seconds - member.seen_seconds).max(0.0);
            member.power * (-idle_seconds / MEMORY_SECONDS).exp()
        };
        let mut part = self.members.iter().filter(|member| member.takes_part);
        part.all(|member| power(member) >= raise)
    }

    /// How many times slower a member's median is than that of the others; below 1 when it is faster.
    pub(super) fn ratio(&self, member: usize) -> Option<f64> {
        let own = self.members.get(member).filter(|member| member.takes_part)?;
        let mut rest = Spread::default();
        for (index, other) in self.members.iter().enumerate() {
            if index != member && other.is_reference() {
                rest.add(&other.memory);
            }
        }
        let known = own.memory.mass() >= LEAST_ANSWERS && rest.mass() >= LEAST_ANSWERS;
        let (own, rest) = (own.memory.quantile(0.5)?, rest.quantile(0.5)?);
        let ratio = own / rest;
        (known && ratio.is_finite()).then_some(ratio)
    }
}

/// What was answered, and how much of it above either cut.
fn tallies(times: &Histogram, cuts: &[Cut; QUANTILES.len()]) -> [Tally; QUANTILES.len()] {
    let exposure = times.count() as f64;
    cuts.map(|cut| Tally { events: cut.at.counted_above(times) as f64, exposure })
}

/// What a run tells when the others are taken as they were in it, nats times the scale.
fn holds(run: &Run, shares: &Shares, test: usize, all: Tally, among: bool) -> f64 {
    let rest = run.rest(all, among);
    let now = (rest.events + BELIEF * shares.now()) / (rest.exposure + BELIEF);
    shares.moved_to(now).gain(test, run.own)
}
