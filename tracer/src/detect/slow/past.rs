//! A pool against its own past.
//!
//! The past is what the pool answered in the last hours, in blocks of a minute; a block in which something seemed to
//! happen, or a flag stood, does not teach. It is compared with after ten minutes: the least in which the noise of
//! ten-second spells, which all members share, has been seen often enough to be known (`Dispersion` on answers above
//! and below the cut). So a check of a minute never says that a pool is slow. The margin is 2, and the past fades
//! within an hour: what takes six hours to become three times slower, as load does from night to noon, moves by a fifth
//! in that time.

use super::cut::{Cut, TESTS};
use super::run::{Flag, Rule, Run, Tally};
use super::spread::{Spread, Tail};
use crate::detect::spread::Dispersion;

/// A pool up to so many times slower than before is fine. Own choice, see above.
const MARGIN: f64 = 2.0;
/// Slowness tested. Own choice: the members' alternatives, as far from the margin.
const ALTERNATIVES: [f64; TESTS] = [4.0, 10.0];
/// Length of a block, seconds.
const BLOCK_SECONDS: f64 = 60.0;
/// How fast the past fades, seconds (e-folding).
const MEMORY_SECONDS: f64 = 3600.0;
/// Past before anything is compared with it: its length, seconds, and answers in it.
const LEAST_SECONDS: f64 = 600.0;
const LEAST_ANSWERS: f64 = 200.0;
/// Answers that the present median is taken from (e-folding).
const PRESENT: f64 = 200.0;
/// A flag takes at least so many ticks: spells of some seconds are no news.
const LEAST_TICKS: f64 = 8.0;
/// A block in which a test came to this part of the threshold does not teach.
const STRAINED: f64 = 0.25;
/// After so long, how the pool is now is how it is, seconds.
const NEW_NORMAL_SECONDS: f64 = 3600.0;

/// The past of a pool, and the tests against it.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Past {
    past: Spread,
    known_seconds: f64,
    block: Spread,
    block_began_seconds: Option<f64>,
    strained: bool,
    present: Spread,
    dispersion: Dispersion,
    runs: [Run; TESTS],
    flag: Option<Flag>,
    members: usize,
}

impl Default for Past {
    fn default() -> Self {
        Self {
            past: Spread::default(),
            known_seconds: 0.0,
            block: Spread::default(),
            block_began_seconds: None,
            strained: false,
            present: Spread::default(),
            dispersion: Dispersion::new(2),
            runs: Default::default(),
            flag: None,
            members: 0,
        }
    }
}

impl Past {
    /// Takes in what so many members answered in a tick.
    pub(super) fn tick(&mut self, answered: &Spread, members: usize, floor_ns: f64, rule: &Rule) {
        let answers = answered.mass();
        if answers <= 0.0 {
            return;
        }
        self.members = members;
        self.turn(rule);
        self.present.fade((-answers / PRESENT).exp());
        self.present.add(answered);
        self.block.add(answered);
        if self.known_seconds < LEAST_SECONDS || self.past.mass() < LEAST_ANSWERS {
            return;
        }
        if let Some(cut) = Cut::of(&self.past, 0.5, MARGIN, ALTERNATIVES, floor_ns) {
            self.test(answered, &cut, &Rule { least_ticks: LEAST_TICKS, ..*rule });
        }
    }

    fn test(&mut self, answered: &Spread, cut: &Cut, rule: &Rule) {
        let (answered, past) = (Tail::of(answered), Tail::of(&self.past));
        let tally = Tally { events: answered.above(cut.at), exposure: answered.mass() };
        let below = tally.exposure - tally.events;
        self.dispersion.tick(&[tally.events, below], 2, tally.exposure, rule.began_seconds);
        let odds = cut.shares(&past).odds();
        let figures = self.present.quantile(0.5).zip(past.quantile(0.5));
        let slow = figures.filter(|(now, before)| *now >= MARGIN * before);
        for (test, run) in self.runs.iter_mut().enumerate() {
            let scale = self.dispersion.over(run.ticks.saturating_add(1)).max(1.0);
            let gain = odds.gain(test, tally);
            let nats = run.tick(gain, scale, tally, Tally::default(), rule);
            self.strained |= nats >= STRAINED * rule.raise;
            match (&mut self.flag, slow) {
                (Some(flag), _) => {
                    flag.note(nats, figures, MARGIN);
                    if test == 0 && flag.clears(gain, scale, rule) {
                        self.disturb();
                        return;
                    }
                }
                (None, Some(figures)) if nats >= rule.raise => {
                    self.flag = Some(Flag::new(test, run.began_seconds, nats, figures));
                }
                (None, _) => {}
            }
        }
    }

    /// Ends the block when it is time.
    fn turn(&mut self, rule: &Rule) {
        let began = *self.block_began_seconds.get_or_insert(rule.began_seconds);
        if self.flag.is_some_and(|flag| rule.now_seconds - flag.since_seconds > NEW_NORMAL_SECONDS) {
            *self = Self { members: self.members, ..Self::default() };
            return;
        }
        if rule.now_seconds - began < BLOCK_SECONDS {
            return;
        }
        if self.flag.is_none() && !self.strained {
            self.past.fade((-BLOCK_SECONDS / MEMORY_SECONDS).exp());
            self.past.add(&self.block);
            self.known_seconds = (self.known_seconds + BLOCK_SECONDS).min(MEMORY_SECONDS);
        }
        self.block.clear();
        self.strained = false;
        self.block_began_seconds = Some(rule.now_seconds);
    }

    /// Begins the tests again: who is looked at is not the same any more.
    pub(super) fn disturb(&mut self) {
        self.runs = Default::default();
        self.flag = None;
        self.strained = false;
        self.block.clear();
    }

    /// The flag that stands, and of how many members.
    pub(super) fn flag(&self) -> Option<(&Flag, usize)> {
        self.flag.as_ref().map(|flag| (flag, self.members))
    }
}
