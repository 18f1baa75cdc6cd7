//! Response, connect or held times of every member against those of the others.
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

use super::cut::{Cut, Odds, Shares, TESTS};
use super::finding::Measure;
use super::memory::{MEMORY, left_by};
use super::past::Past;
use super::run::{Flag, Rule, Run, Tally};
use super::spread::{Spread, Tail};
use super::{ALTERNATIVES, Durations, MARGIN, Pace};
use crate::detect::spread::Dispersion;

/// Quantiles at which answers are cut.
pub(super) const QUANTILES: [f64; 2] = [0.5, 0.75];
/// What was measured longer ago is forgotten with the next answer, seconds (e-folding).
const MEMORY_SECONDS: f64 = 3600.0;
/// Answers of the others, and of the member, before they are compared.
const LEAST_ANSWERS: f64 = 20.0;
/// A member whose part of what all remember is less than this is not taken out of it to be compared with the others:
/// their shares would move by less than this part of themselves. Own choice.
const OWN_MATTERS: f64 = 0.01;
/// Answers that the belief in the others' lasting share is worth, when a flag is checked against the run's own.
const BELIEF: f64 = 5.0;

/// What is kept of one member.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Timed {
    memory: Spread,
    /// When it last answered, seconds.
    seen_seconds: f64,
    runs: [[Run; TESTS]; QUANTILES.len()],
    /// Whether any of them has begun.
    running: bool,
    flag: Option<Flag>,
    /// Evidence that there would be were it slow, nats; fades.
    power: f64,
}

/// Which times, and what is too short to matter.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// Where they are.
    pub(super) of: for<'a> fn(&Pace<'a>) -> Option<Durations<'a>>,
    /// Nothing below it is slow, nanoseconds.
    pub(super) floor_ns: f64,
    /// Where the others take longer than this, nothing is said, nanoseconds.
    pub(super) ceiling_ns: f64,
    /// Whether the pool is compared with its own past.
    pub(super) has_past: bool,
    /// What a flag of either cut is called.
    pub(super) measures: [Measure; QUANTILES.len()],
}

/// One kind of times, of one pool.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Times {
    members: Vec<Timed>,
    /// Who takes part: apart from the rest, so that those who did nothing cost a glance.
    takes_part: Vec<bool>,
    /// Who has a flag: how many.
    flagged: usize,
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
            takes_part: Vec::new(),
            flagged: 0,
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
    active: Vec<Active>,
    /// What they answered, one after the other.
    answers: Vec<(usize, f64)>,
    /// What those who are compared with answered.
    answered: Spread,
    /// Answers above the median's cut, of every one of them.
    counts: Vec<f64>,
    raised: Vec<(usize, Flag)>,
}

/// A member that answered in the tick.
#[derive(Clone, Debug)]
struct Active {
    member: usize,
    /// Where its answers are among everybody's.
    answers: std::ops::Range<usize>,
    /// How many there are.
    count: f64,
    /// How many it remembers.
    mass: f64,
    /// How many lie above either cut.
    tallies: [Tally; QUANTILES.len()],
}

/// What members are compared with in a tick.
struct Others<'a> {
    /// What those remember who are compared with.
    pool: Tail,
    cuts: &'a [Cut; QUANTILES.len()],
    /// The odds of a member whose own part in it does not matter.
    usual: [Odds; QUANTILES.len()],
    dispersion: &'a Dispersion,
    /// What they answered, ever, with and without the tick.
    all: [Tally; QUANTILES.len()],
    all_before: [Tally; QUANTILES.len()],
    rule: &'a Rule,
}

/// The others, as one member sees them.
struct Rest {
    odds: [Odds; QUANTILES.len()],
    /// How much the evidence is weakened because they are not known well.
    uncertain: f64,
}

impl Others<'_> {
    /// Those that a member is compared with; `None` when they answered too little.
    fn of(&self, member: &Timed, seen: &Active) -> Option<Rest> {
        let among = member.flag.is_none();
        let all = self.pool.mass();
        let mass = if among { all - seen.mass } else { all };
        let odds = if among && seen.mass > OWN_MATTERS * all {
            let rest = self.without(member);
            self.cuts.map(|cut| cut.shares(&rest).odds())
        } else {
            self.usual
        };
        let uncertain = 1.0 + seen.mass.min(seen.count + MEMORY) / mass;
        (mass >= LEAST_ANSWERS).then_some(Rest { odds, uncertain })
    }

    /// What is remembered of all but the member.
    fn without(&self, member: &Timed) -> Tail {
        let own = member.flag.is_none().then(|| Tail::of(&member.memory));
        self.pool.without(own.as_ref())
    }

    /// Whether those that a member is compared with take longer than that, times the margin, by the upper quartile: where it
    /// is the slow one's own, it says nothing of them.
    fn take_longer_than(&self, ceiling_ns: f64, member: &Timed) -> bool {
        let upper = self.without(member).quantile(QUANTILES[QUANTILES.len() - 1]);
        upper.is_some_and(|seconds| seconds * 1e9 * MARGIN > ceiling_ns)
    }

    /// A quantile of the member and of the others, seconds.
    fn figures(&self, member: &Timed, level: usize) -> Option<(f64, f64)> {
        let quantile = QUANTILES[level];
        member.memory.quantile(quantile).zip(self.without(member).quantile(quantile))
    }
}

impl Rest {
    /// What the evidence of a run of so many ticks is divided by.
    fn scale(&self, others: &Others, ticks: u64) -> f64 {
        others.dispersion.over(ticks).max(1.0) * self.uncertain
    }
}

impl Timed {
    /// Evidence that there would be by now were it slow, nats.
    fn power(&self, now_seconds: f64) -> f64 {
        let idle_seconds = (now_seconds - self.seen_seconds).max(0.0);
        self.power * (-idle_seconds / MEMORY_SECONDS).exp()
    }

    /// Takes in what a member without a flag answered; gives the flag to raise.
    fn is_told(&mut self, seen: &Active, rest: &Rest, others: &Others) -> Option<Flag> {
        let rule = others.rule;
        let is_for =
            |level: usize| (0..TESTS).any(|test| rest.odds[level].gain(test, seen.tallies[level]) > 0.0);
        if !self.running && !(0..QUANTILES.len()).any(is_for) {
            return None;
        }
        let mut best = [None::<Flag>; QUANTILES.len()];
        for (level, (odds, tally)) in rest.odds.iter().zip(seen.tallies).enumerate() {
            for test in 0..TESTS {
                let run = &mut self.runs[level][test];
                let scale = rest.scale(others, run.ticks.saturating_add(1));
                let nats = run.tick(odds.gain(test, tally), scale, tally, others.all_before[level], rule);
                let told = nats >= rule.raise / 2.0
                    && seen.mass >= LEAST_ANSWERS
                    && best[level].is_none_or(|best| nats > best.nats)
                    && holds(run, &odds.shares, test, others.all[level]) >= rule.raise / 2.0 * scale;
                let began_seconds = run.began_seconds;
                let figures = told.then(|| others.figures(self, level)).flatten();
                if let Some(figures) = figures.filter(|(own, rest)| *own >= MARGIN * rest) {
                    best[level] = Some(Flag::new(level * TESTS + test, began_seconds, nats, figures));
                }
            }
        }
        self.running = self.runs.iter().flatten().any(|run| run.ticks > 0);
        let nats = best.iter().flatten().map(|flag| flag.nats).fold(0.0, f64::max);
        // Who is slow with all requests is more so with some: the median speaks first.
        let mut flag = best.into_iter().flatten().next().filter(|_| nats >= rule.raise)?;
        flag.nats = nats;
        Some(flag)
    }

    /// Takes in what a member with a flag answered; says whether all is well again.
    fn is_well_again(&mut self, seen: &Active, rest: &Rest, others: &Others) -> bool {
        let Some(mut flag) = self.flag else { return false };
        let level = flag.test / TESTS;
        let (odds, tally) = (&rest.odds[level], seen.tallies[level]);
        let figures = others.figures(self, level);
        let mut well = false;
        for test in 0..TESTS {
            let run = &mut self.runs[level][test];
            let scale = rest.scale(others, run.ticks.saturating_add(1));
            let gain = odds.gain(test, tally);
            let nats = run.tick(gain, scale, tally, others.all_before[level], others.rule);
            flag.note(nats, figures, MARGIN);
            // The milder alternative tells sooner that all is well.
            well |= test == 0 && flag.clears(gain, scale, others.rule);
        }
        self.flag = Some(flag);
        well
    }
}

impl Times {
    /// Other members, or the same in other places.
    pub(super) fn rearrange(&mut self, from: &[Option<usize>]) {
        self.members = super::rearranged(&self.members, from);
        self.takes_part = super::rearranged(&self.takes_part, from);
        self.flagged = flags(&self.members);
        self.changed = true;
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        if !self.members.is_empty() {
            *self = Self::default();
        }
    }

    /// Whether anybody, or the pool, has a flag.
    pub(super) fn is_found(&self) -> bool {
        self.flagged > 0 || self.past.flag().is_some()
    }

    /// Whether it is of so many members, or of none, and every flag is one of its own.
    pub(super) fn is_whole(&self, members: usize) -> bool {
        let mut raised = self.members.iter().filter_map(|member| member.flag);
        let members = if self.members.is_empty() { 0 } else { members };
        self.members.len() == members
            && self.takes_part.len() == members
            && self.flagged == flags(&self.members)
            && raised.all(|flag| flag.test < QUANTILES.len() * TESTS)
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
            let cuts = [median, upper];
            let all_before = self.all;
            self.count(&cuts, rule);
            self.compare(&cuts, kind, all_before, rule);
            self.raise();
        }
        if kind.has_past {
            self.past.tick(&self.scratch.answered, self.references, kind.floor_ns, rule);
        }
        true
    }

    /// Adds the tick to what is remembered.
    fn remember(&mut self, paces: &[Pace], kind: &Kind, rule: &Rule) -> bool {
        let Scratch { active, answers, answered, .. } = &mut self.scratch;
        answered.clear();
        active.clear();
        answers.clear();
        self.measured = paces.iter().any(|pace| pace.takes_part && (kind.of)(pace).is_some());
        if !self.measured && self.members.is_empty() {
            // What is never measured takes no memory.
            return false;
        }
        if self.members.len() != paces.len() {
            self.members.resize_with(paces.len(), Timed::default);
            self.takes_part.resize(paces.len(), false);
            self.flagged = flags(&self.members);
            self.changed = true;
        }
        let mut idle = (0.0_f64, 1.0);
        for (index, (takes_part, pace)) in self.takes_part.iter_mut().zip(paces).enumerate() {
            if *takes_part != pace.takes_part {
                *takes_part = pace.takes_part;
                self.flagged -= usize::from(self.members[index].flag.is_some());
                self.members[index] = Timed::default();
                self.changed = true;
            }
            let Some(times) = (kind.of)(pace).filter(|_| pace.takes_part) else { continue };
            let from = answers.len();
            let count = times.read(answers);
            if count <= 0.0 {
                continue;
            }
            let member = &mut self.members[index];
            let more = &answers[from..];
            let idle_seconds = (rule.now_seconds - member.seen_seconds).max(0.0);
            // Most answered in the last tick.
            if idle_seconds.to_bits() != idle.0.to_bits() {
                idle = (idle_seconds, (-idle_seconds / MEMORY_SECONDS).exp());
            }
            let faded = idle.1;
            let kept = faded * left_by(count);
            let mass = if member.flag.is_none() {
                answered.count(more);
                member.memory.renew(kept, more, &mut self.pool)
            } else {
                member.memory.fade(kept);
                member.memory.count(more);
                member.memory.mass()
            };
            member.power *= faded;
            member.seen_seconds = rule.now_seconds;
            let answers = from..answers.len();
            active.push(Active { member: index, answers, count, mass, tallies: Default::default() });
        }
        if std::mem::take(&mut self.changed) {
            self.dispersion.drop_blocks(self.members.len());
            self.pool.clear();
            self.references = 0;
            for (member, part) in self.members.iter().zip(&self.takes_part) {
                if *part && member.flag.is_none() {
                    self.pool.add(&member.memory);
                    self.references += 1;
                }
            }
        }
        !self.scratch.active.is_empty()
    }

    /// Counts answers above the cuts.
    fn count(&mut self, cuts: &[Cut; QUANTILES.len()], rule: &Rule) {
        let Scratch { active, answers, counts, .. } = &mut self.scratch;
        counts.clear();
        counts.resize(self.members.len(), 0.0);
        for active in active {
            let answers = &answers[active.answers.clone()];
            active.tallies =
                cuts.map(|cut| Tally { events: cut.at.counted_above(answers), exposure: active.count });
            if self.members[active.member].flag.is_none() {
                counts[active.member] = active.tallies[0].events;
                self.all.iter_mut().zip(active.tallies).for_each(|(all, tally)| all.add(tally));
            }
        }
        self.dispersion.tick(counts, self.references, counts.iter().sum(), rule.began_seconds);
    }

    /// Tests every member that answered.
    fn compare(
        &mut self,
        cuts: &[Cut; QUANTILES.len()],
        kind: &Kind,
        all_before: [Tally; QUANTILES.len()],
        rule: &Rule,
    ) {
        let Scratch { active, raised, .. } = &mut self.scratch;
        let pool = Tail::of(&self.pool);
        let usual = cuts.map(|cut| cut.shares(&pool).odds());
        let (dispersion, all) = (&self.dispersion, self.all);
        let others = Others { pool, cuts, usual, dispersion, all, all_before, rule };
        raised.clear();
        let may_be_too_long = cuts.iter().any(|cut| cut.at.ns() > kind.ceiling_ns);
        for seen in active.iter() {
            let member = &mut self.members[seen.member];
            if may_be_too_long && others.take_longer_than(kind.ceiling_ns, member) {
                self.flagged -= usize::from(member.flag.is_some());
                self.changed |= member.flag.is_some();
                (member.runs, member.running, member.flag, member.power) = Default::default();
                continue;
            }
            let Some(rest) = others.of(member, seen) else { continue };
            member.power += seen.count * rest.odds[0].power / rest.scale(&others, 1);
            if member.flag.is_none() {
                let flag = member.is_told(seen, &rest, &others);
                raised.extend(flag.map(|flag| (seen.member, flag)));
            } else if member.is_well_again(seen, &rest, &others) {
                (member.runs, member.running, member.flag) = Default::default();
                self.flagged -= 1;
                self.changed = true;
            }
        }
    }

    /// Raises flags, the strongest first, on at most half of those who take part.
    fn raise(&mut self) {
        let raised = &mut self.scratch.raised;
        if raised.is_empty() {
            return;
        }
        raised.sort_by(|a, b| b.1.nats.total_cmp(&a.1.nats).then(a.0.cmp(&b.0)));
        let part = self.takes_part.iter().filter(|part| **part).count();
        for &(index, flag) in raised.iter().take((part / 2).saturating_sub(self.flagged)) {
            self.members[index].flag = Some(flag);
            self.flagged += 1;
            self.past.disturb();
            self.changed = true;
        }
    }

    /// The flag of a member.
    pub(super) fn flag(&self, member: usize) -> Option<&Flag> {
        self.members.get(member).and_then(|member| member.flag.as_ref())
    }

    /// Strongest evidence that a member without a flag is slow, nats.
    pub(super) fn evidence(&self, member: usize) -> f64 {
        let runs = self.members.get(member).filter(|member| member.running).map(|member| &member.runs);
        let nats = |run: &Run| run.height() / self.dispersion.over(run.ticks).max(1.0);
        runs.into_iter().flatten().flatten().map(nats).fold(0.0, f64::max)
    }

    /// The pool against its own past.
    pub(super) fn past(&self) -> &Past {
        &self.past
    }

    /// Whether of everybody who takes part enough was seen to find it, were it slow.
    pub(super) fn is_enough(&self, raise: f64, now_seconds: f64) -> bool {
        let mut members = self.members.iter().zip(&self.takes_part);
        !self.members.is_empty() && members.all(|(member, part)| !part || member.power(now_seconds) >= raise)
    }

    /// Whether of a member so much was seen.
    pub(super) fn is_enough_of(&self, member: usize, raise: f64, now_seconds: f64) -> bool {
        self.members.get(member).is_some_and(|member| member.power(now_seconds) >= raise)
    }
}

/// What a run of a member without a flag tells when the others are taken as they were in it, nats times the scale.
fn holds(run: &Run, shares: &Shares, test: usize, all: Tally) -> f64 {
    let rest = run.rest(all, true);
    let now = (rest.events + BELIEF * shares.now()) / (rest.exposure + BELIEF);
    shares.moved_to(now).odds().gain(test, run.own)
}

/// How many have a flag.
fn flags(members: &[Timed]) -> usize {
    members.iter().filter(|member| member.flag.is_some()).count()
}
