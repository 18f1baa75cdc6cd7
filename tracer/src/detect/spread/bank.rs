//! The bank of one-sided sequential tests: every member against eight alternatives.
//!
//! Page 1954 (CUSUM) with the hypotheses of detector.md §2, dispersion (§3), calibration (§4) and clearing by the
//! reversed test (§5). About 8 K multiplications and additions per tick, and no allocation.

use super::calibration::Calibration;
use super::dispersion::Dispersion;
use super::odds::{ABOVE, ALTERNATIVES, Coefficients, untested};
use crate::detect::Settings;
use std::collections::HashMap;

/// A test never stands higher than this many thresholds, so that it can come down again.
const HIGHEST: f64 = 3.0;
/// One tick takes a flag down by at most this part of the clearing threshold.
const CLEARING_LEAST_TICKS: f64 = 5.0;

/// The run of one test: the time since it last stood at zero.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub(in crate::detect) struct Run {
    /// Highest of the run, nats.
    #[serde(with = "crate::detect::exact", skip_serializing_if = "crate::detect::exact::is_nothing")]
    peak: f64,
    /// Ticks of the run.
    pub(in crate::detect) ticks: u64,
    /// Counts of the member in the run.
    #[serde(skip_serializing_if = "crate::detect::exact::is_nothing")]
    pub(in crate::detect) own: f64,
    /// Counts of the pool in the run.
    #[serde(skip_serializing_if = "crate::detect::exact::is_nothing")]
    pub(in crate::detect) pool: f64,
    /// When the run began, seconds.
    #[serde(skip_serializing_if = "crate::detect::exact::is_nothing")]
    began_seconds: f64,
}

/// A raised flag.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Flag {
    /// Which alternative raised it.
    pub(in crate::detect) alternative: usize,
    /// When its run began, seconds.
    pub(in crate::detect) onset_seconds: f64,
}

/// What a tick did to the flag of a member.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) enum Event {
    /// It was raised.
    Raised { member: usize, alternative: usize, run: (f64, f64, u64) },
    /// It was cleared; it had been well since then, seconds.
    Cleared { member: usize, well_since_seconds: f64 },
}

/// The strongest departure that a tick left standing.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Departure {
    /// Evidence, nats.
    #[serde(with = "crate::detect::exact")]
    pub(in crate::detect) nats: f64,
    /// Connections of the pool in its run.
    pub(in crate::detect) pool: f64,
}

/// The tests of one member. What every tick reads of every member comes first.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Member {
    /// Evidence of each test, nats times dispersion and calibration.
    #[serde(with = "crate::detect::exact")]
    heights: [f64; ALTERNATIVES],
    eligible: bool,
    /// Place of its coefficients: members with the same share have the same.
    class: usize,
    flag: Option<Flag>,
    #[serde(with = "crate::detect::exact")]
    reversed: f64,
    reversed_ticks: u64,
    /// When the reversed test last stood at zero, seconds.
    reversed_began_seconds: f64,
    runs: [Run; ALTERNATIVES],
}

impl Member {
    fn restart(&mut self) {
        self.heights = [0.0; ALTERNATIVES];
        self.runs = Default::default();
        self.flag = None;
        self.reversed = 0.0;
        self.reversed_ticks = 0;
    }
}

/// The tests that do not stand at zero, or will not after gaining so much; one bit each.
fn moving(heights: &[f64; ALTERNATIVES], gains: &[f64; ALTERNATIVES]) -> u8 {
    let test = |index: usize| {
        let (height, gain) = (heights[index], gains[index]);
        u8::from((height > 0.0) | (height + gain > 0.0)) << index
    };
    (0..ALTERNATIVES).fold(0, |moving, index| moving | test(index))
}

/// All tests of one pool on one signal.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Bank {
    members: Vec<Member>,
    /// Coefficients of every different share.
    classes: Vec<Coefficients>,
    eligible: usize,
    /// Counts of the tick, 0 where not eligible.
    counts: Vec<f64>,
    margin: f64,
    untested: usize,
    /// Height at which a flag is raised, nats, once the pool is known.
    threshold: f64,
    learning_seconds_left: f64,
    dispersion: Dispersion,
    calibration: Calibration,
    strongest: Departure,
    events: Vec<Event>,
}

impl Bank {
    /// Of a pool of which nothing is known, not even its members.
    pub(in crate::detect) fn new(settings: &Settings) -> Self {
        Self {
            members: Vec::new(),
            classes: Vec::new(),
            eligible: 0,
            counts: Vec::new(),
            margin: settings.margin,
            untested: 0,
            threshold: settings.threshold(1.0),
            learning_seconds_left: settings.learning_seconds,
            dispersion: Dispersion::new(0),
            calibration: Calibration::default(),
            strongest: Departure::default(),
            events: Vec::new(),
        }
    }

    /// Other members, or the same in other places: `from` tells for each where it was, if anywhere, and `kept` whether
    /// its runs go on. Flags fall when the shares are not those they were raised on.
    pub(in crate::detect) fn rearrange(&mut self, from: &[Option<usize>], kept: &[bool], same_shares: bool) {
        let old = std::mem::take(&mut self.members);
        self.members = from
            .iter()
            .zip(kept)
            .map(|(&from, &kept)| {
                let known = from.filter(|_| kept).and_then(|from| old.get(from));
                known.cloned().unwrap_or_default()
            })
            .collect();
        // What departs from other shares says nothing of these, neither of the member nor of those it took from.
        if !same_shares && self.members.iter().any(|member| member.flag.is_some()) {
            self.restart();
        }
        self.counts = vec![0.0; from.len()];
        self.dispersion.drop_blocks(from.len());
    }

    /// Expected shares (any scale), who is eligible, and the margin; called when one of them changed. Runs of members
    /// whose eligibility changed begin again, those of the others go on with the new shares. detector.md §6.
    pub(in crate::detect) fn expect(
        &mut self,
        shares: &[f64],
        eligible: &[bool],
        margin: f64,
        threshold: f64,
    ) {
        let eligible = |index: usize| eligible[index] && shares[index] > 0.0;
        self.margin = margin;
        self.untested = untested(margin);
        self.threshold = threshold;
        let sum: f64 = (0..shares.len()).filter(|&index| eligible(index)).map(|index| shares[index]).sum();
        self.eligible = (0..shares.len()).filter(|&index| eligible(index)).count();
        let mut changed = false;
        let mut classes: HashMap<u64, usize> = HashMap::new();
        self.classes.clear();
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.eligible != eligible(index) {
                member.eligible = eligible(index);
                member.restart();
                changed = true;
            }
            let share = if member.eligible { shares[index] / sum } else { 0.0 };
            member.class = *classes.entry(share.to_bits()).or_insert_with(|| {
                self.classes.push(Coefficients::new(share, margin));
                self.classes.len() - 1
            });
        }
        if changed {
            self.dispersion.drop_blocks(self.members.len());
        }
    }

    /// Forgets every run and flag; keeps what was learned of the pool.
    pub(in crate::detect) fn restart(&mut self) {
        self.members.iter_mut().for_each(Member::restart);
        self.strongest = Departure::default();
        // A block that straddles the end of a fault is no scatter.
        self.dispersion.drop_blocks(self.members.len());
    }

    /// Takes in one tick: the new connections of every member, and when it began and ended.
    pub(in crate::detect) fn tick(
        &mut self,
        counts: &[f64],
        began_seconds: f64,
        ended_seconds: f64,
        settings: &Settings,
    ) {
        self.events.clear();
        let mut total = 0.0;
        for ((kept, &count), member) in self.counts.iter_mut().zip(counts).zip(&self.members) {
            *kept = if member.eligible { count } else { 0.0 };
            total += *kept;
        }
        if self.eligible < 2 || total <= 0.0 {
            // Time is time, once the first traffic came.
            if self.learning_seconds_left < settings.learning_seconds {
                self.learn(ended_seconds - began_seconds);
            }
            return;
        }
        self.dispersion.tick(&self.counts, self.eligible, total, began_seconds);
        let (raising, learning) = (self.threshold_in_force(), self.is_learning());
        let per_tick = self.cap(settings);
        let factors = self.calibration.factors();
        self.strongest = Departure::default();
        for (index, (member, &count)) in self.members.iter_mut().zip(&self.counts).enumerate() {
            if !member.eligible {
                continue;
            }
            let gains = self.classes[member.class].of(count, total);
            // At most times most tests of a member stand at zero and stay there.
            let mut moving = moving(&member.heights, &gains);
            while moving != 0 {
                let alternative = moving.trailing_zeros() as usize;
                moving &= moving - 1;
                let (factor, gain) = (factors[alternative], gains[alternative]);
                let (height, run) = (&mut member.heights[alternative], &mut member.runs[alternative]);
                if *height + gain <= 0.0 {
                    if *height > 0.0 && (run.peak < self.threshold || (learning && member.flag.is_none())) {
                        self.calibration.ended(alternative, run.peak, self.threshold);
                    }
                    if run.ticks > 0 {
                        (*height, *run) = (0.0, Run::default());
                    }
                    continue;
                }
                if run.ticks == 0 {
                    run.began_seconds = began_seconds;
                }
                run.ticks = run.ticks.saturating_add(1);
                run.own += count;
                run.pool += total;
                // The cap is of the scale that the run will be held to once it is longer.
                let cap = per_tick * self.dispersion.over(run.ticks) * factor;
                let scale = self.dispersion.of_run(run.ticks, run.pool, self.eligible) * factor;
                *height = (*height + gain.min(cap)).min(HIGHEST * self.threshold * scale);
                let nats = *height / scale;
                run.peak = run.peak.max(nats);
                if nats > self.strongest.nats {
                    self.strongest = Departure { nats, pool: run.pool };
                }
                if nats >= raising && member.flag.is_none() {
                    member.flag = Some(Flag { alternative, onset_seconds: run.began_seconds });
                    member.reversed = 0.0;
                    member.reversed_ticks = 0;
                    let run = (run.own, run.pool, run.ticks);
                    self.events.push(Event::Raised { member: index, alternative, run });
                }
            }
        }
        self.clear(total, began_seconds, settings);
        self.calibration.forget(ended_seconds - began_seconds, settings.calibration_half_life_seconds);
        self.learn(ended_seconds - began_seconds);
    }

    /// The pool is so many seconds less new. It stays new until its dispersion is known, however long that takes: what
    /// is learned is learned from counts.
    fn learn(&mut self, seconds: f64) {
        let left = self.learning_seconds_left - seconds;
        if self.is_learning() && (left > 0.0 || self.dispersion.is_known()) {
            self.learning_seconds_left = left;
        }
    }

    /// The reversed tests of flagged members. detector.md §5.
    fn clear(&mut self, total: f64, began_seconds: f64, settings: &Settings) {
        for (index, (member, &count)) in self.members.iter_mut().zip(&self.counts).enumerate() {
            let Some(flag) = member.flag else { continue };
            let side = (flag.alternative % ABOVE.len()).min(1).max(self.untested);
            let reversed = side + if flag.alternative < ABOVE.len() { 0 } else { ABOVE.len() };
            let gain = -self.classes[member.class].of(count, total)[reversed];
            if member.reversed + gain <= 0.0 {
                member.reversed = 0.0;
                member.reversed_ticks = 0;
                continue;
            }
            if member.reversed_ticks == 0 {
                member.reversed_began_seconds = began_seconds;
            }
            member.reversed_ticks = member.reversed_ticks.saturating_add(1);
            let scale = self.dispersion.over(member.reversed_ticks);
            member.reversed += gain.min(settings.clearing_nats * scale / CLEARING_LEAST_TICKS);
            if member.reversed / scale >= settings.clearing_nats
                && member.reversed_ticks >= settings.clearing_least_ticks
            {
                member.restart();
                let well_since_seconds = member.reversed_began_seconds;
                self.events.push(Event::Cleared { member: index, well_since_seconds });
            }
        }
    }

    /// Most that one tick may add, nats.
    fn cap(&self, settings: &Settings) -> f64 {
        let least_ticks =
            if self.is_learning() { settings.least_ticks_learning } else { settings.least_ticks };
        self.threshold_in_force() / least_ticks.max(1.0)
    }

    /// Whether the pool is new, and thresholds doubled.
    pub(in crate::detect) fn is_learning(&self) -> bool {
        self.learning_seconds_left > 0.0
    }

    /// Height at which a flag is raised at present, nats.
    pub(in crate::detect) fn threshold_in_force(&self) -> f64 {
        if self.is_learning() { 2.0 * self.threshold } else { self.threshold }
    }

    /// Whether it is of so many members, and all it refers to is there.
    pub(in crate::detect) fn is_whole(&self, members: usize) -> bool {
        let flagged = self.members.iter().filter_map(|member| member.flag);
        let of = |event: &Event| match *event {
            Event::Raised { member, .. } | Event::Cleared { member, .. } => member,
        };
        self.members.len() == members
            && self.calibration.is_whole()
            && self.members.iter().all(|member| !member.eligible || member.class < self.classes.len())
            && self.counts.len() == members
            && flagged.into_iter().all(|flag| flag.alternative < ALTERNATIVES)
            && self.events.iter().all(|event| of(event) < members)
    }

    /// Members that count at present.
    pub(in crate::detect) fn eligible(&self) -> usize {
        self.eligible
    }

    /// What the last tick did.
    pub(in crate::detect) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The pool's dispersion.
    pub(in crate::detect) fn dispersion(&self) -> &Dispersion {
        &self.dispersion
    }

    /// Calibration of the alternative that stands for a member at about twice its due.
    pub(in crate::detect) fn calibration_of_double(&self) -> f64 {
        self.calibration.factors()[1]
    }

    /// The strongest departure of all members, flagged or not.
    pub(in crate::detect) fn strongest(&self) -> Departure {
        self.strongest
    }

    /// The flag of a member.
    pub(in crate::detect) fn flag(&self, member: usize) -> Option<Flag> {
        self.members.get(member).and_then(|member| member.flag)
    }

    /// The flagged member with the most evidence by now, and this evidence, nats.
    pub(in crate::detect) fn strongest_flagged(&self) -> Option<(usize, f64)> {
        let factors = self.calibration.factors();
        let flagged = self.members.iter().enumerate().filter_map(|(index, member)| {
            let flag = member.flag?;
            let ticks = member.runs[flag.alternative].ticks;
            let scale = self.dispersion.over(ticks) * factors[flag.alternative];
            Some((index, member.heights[flag.alternative] / scale))
        });
        flagged.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
    }

    #[cfg(test)]
    pub(in crate::detect) fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    #[cfg(test)]
    pub(in crate::detect) fn test(&self, member: usize, alternative: usize) -> (f64, Run) {
        let member = &self.members[member];
        (member.heights[alternative], member.runs[alternative])
    }
}
