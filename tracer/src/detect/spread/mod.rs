//! Whether one signal follows the expected shares, since when, and who departs.

mod attribution;
mod bank;
mod calibration;
mod diffuse;
mod dispersion;
mod episode;
mod history;
mod odds;

use super::roster::Change;
use super::standing::Window;
use super::{Settings, assessment::Signal};
pub(in crate::detect) use attribution::Named;
#[cfg(test)]
pub(in crate::detect) use attribution::attribute;
pub(in crate::detect) use bank::{Bank, Event};
pub(in crate::detect) use dispersion::Dispersion;
pub(in crate::detect) use episode::Episode;
pub(in crate::detect) use history::Moment;
pub(in crate::detect) use odds::{ALTERNATIVES, divergence, tilt};

use diffuse::Diffuse;
use episode::{Grounds, Outcome};
use history::History;
use odds::{ABOVE, power};

/// Ticks for which an episode is held back at most. Own choice: a slow member's response times are sure in less.
const MOST_HELD_BACK: u64 = 5;
/// Of an episode that was told.
const TOLD: u64 = MOST_HELD_BACK + 1;

/// Who takes part in the comparison.
#[derive(Clone, Copy, Debug)]
pub(in crate::detect) struct Parts<'a> {
    /// Expected shares of all members.
    pub(in crate::detect) shares: &'a [f64],
    /// Who is compared at present.
    pub(in crate::detect) eligible: &'a [bool],
    /// Margin in force.
    pub(in crate::detect) margin: f64,
}

/// The tests on one signal of one pool.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Spread {
    /// What is counted.
    pub(in crate::detect) signal: Signal,
    bank: Bank,
    history: History,
    diffuse: Option<Diffuse>,
    episode: Option<Episode>,
    /// Whether something else explains it.
    explained: bool,
    /// Whether it was, at some moment of the episode, beyond doubt.
    explained_surely: bool,
    /// Ticks of the episode in which it was held back; [`TOLD`] once it was told.
    held_back: u64,
    /// Nats per count that a member at twice its due would show.
    #[serde(with = "crate::detect::exact")]
    power: f64,
    /// Counts that speak for "balanced", and the ticks they came in.
    watched: f64,
    watched_ticks: u64,
    /// Since when they do, seconds.
    watched_from_seconds: f64,
    /// Since when shares, and who takes part, are what they are, seconds.
    steady_from_seconds: f64,
    /// Counts of members with an expected share, since when, and when the last of them came.
    seen: f64,
    began_seconds: f64,
    last_seconds: f64,
}

impl Spread {
    /// Of a pool of so many members, from now on.
    pub(in crate::detect) fn new(
        signal: Signal,
        settings: &Settings,
        members: usize,
        began_seconds: f64,
    ) -> Self {
        let mut new = Self {
            signal,
            bank: Bank::new(settings),
            history: History::default(),
            diffuse: None,
            episode: None,
            explained: false,
            explained_surely: false,
            held_back: 0,
            power: 0.0,
            watched: 0.0,
            watched_ticks: 0,
            watched_from_seconds: began_seconds,
            steady_from_seconds: began_seconds,
            seen: 0.0,
            began_seconds,
            last_seconds: began_seconds,
        };
        new.bank.rearrange(&vec![None; members], &vec![false; members], false);
        new.history.begin(members, began_seconds);
        new
    }

    /// Members joined, left or changed their weight. detector.md §6.
    pub(in crate::detect) fn rearrange(&mut self, change: &Change, began_seconds: f64) {
        self.bank.rearrange(&change.from, &change.kept, change.same_shares);
        if change.same_shares {
            self.history.rearrange(&change.from);
            if let Some(episode) = &mut self.episode {
                episode.rearrange(&change.from);
            }
        } else {
            self.history.begin(change.from.len(), began_seconds);
            self.episode = None;
            self.diffuse = None;
            self.start_watching(began_seconds);
        }
    }

    /// Called when the shares, the margin or who takes part changed.
    pub(in crate::detect) fn expect(&mut self, parts: Parts, threshold: f64, now: f64) {
        self.steady_from_seconds = now;
        let Parts { shares, eligible, margin } = parts;
        self.bank.expect(shares, eligible, margin, threshold);
        let sum: f64 = shares.iter().zip(eligible).filter(|(_, e)| **e).map(|(share, _)| share).sum();
        let taking_part = shares.iter().zip(eligible).filter(|(_, eligible)| **eligible);
        self.power = power(taking_part.map(|(share, _)| share / sum), margin);
    }

    /// What was seen until `from_seconds` does not count any more: the pool was disturbed.
    pub(in crate::detect) fn restart(&mut self, from_seconds: f64) {
        self.bank.restart();
        self.diffuse = None;
        self.steady_from_seconds = from_seconds;
        self.start_watching(from_seconds);
    }

    fn start_watching(&mut self, from_seconds: f64) {
        self.watched = 0.0;
        self.watched_ticks = 0;
        self.watched_from_seconds = from_seconds;
    }

    /// Takes in one tick.
    pub(in crate::detect) fn tick(
        &mut self,
        counts: &[f64],
        parts: Parts,
        (began, now): (f64, f64),
        settings: &Settings,
    ) {
        self.bank.tick(counts, began, now, settings);
        self.history.tick(counts, now);
        let (shares, eligible) = (parts.shares, parts.eligible);
        let counted = diffuse::Counts {
            bank: &self.bank,
            history: &self.history,
            shares,
            eligible,
            from_seconds: self.steady_from_seconds,
        };
        self.diffuse = match diffuse::judge(self.diffuse, &counted, settings.false_alarm_ticks) {
            diffuse::After::Stands(standing) => standing,
            diffuse::After::Well { since_seconds } => {
                self.steady_from_seconds = since_seconds;
                None
            }
        };
        let due: f64 = counts.iter().zip(shares).filter(|(_, share)| **share > 0.0).map(|(own, _)| own).sum();
        if due > 0.0 {
            self.seen += due;
            self.last_seconds = now;
        }
        self.weigh(counts, parts, now - began, settings);
    }

    /// Counts that speak for "balanced": those of the last day, and not from before the last change.
    fn weigh(&mut self, counts: &[f64], parts: Parts, seconds: f64, settings: &Settings) {
        let taking_part = counts.iter().zip(parts.eligible).filter(|(_, eligible)| **eligible);
        let total: f64 = taking_part.map(|(count, _)| count).sum();
        self.watched *= (-seconds / settings.memory_seconds).exp();
        self.watched += total;
        self.watched_ticks = self.watched_ticks.saturating_add(u64::from(total > 0.0));
        let enough = self.enough();
        if enough.is_finite() {
            self.watched = self.watched.min(2.0 * enough);
        }
    }

    /// Carries the episode of skew on by one tick. Says whether one ended.
    pub(in crate::detect) fn judge_episode(&mut self, parts: Parts, now: f64) -> bool {
        if self.episode.is_none() && self.diffuse.is_none() && self.bank.strongest_flagged().is_none() {
            return false;
        }
        let taking_part = parts.shares.iter().zip(parts.eligible);
        let shares: Vec<f64> =
            taking_part.map(|(share, eligible)| if *eligible { *share } else { 0.0 }).collect();
        let grounds = Grounds {
            bank: &self.bank,
            history: &self.history,
            shares: &shares,
            diffuse: self.diffuse,
            margin: parts.margin,
        };
        let outcome = episode::judge(self.episode.take(), &grounds);
        let ended = matches!(outcome, Outcome::Ended);
        self.episode = match outcome {
            Outcome::Stands(episode) => Some(episode),
            Outcome::None | Outcome::Ended => None,
        };
        if ended {
            let well_since = |event: &Event| match event {
                Event::Cleared { well_since_seconds, .. } => Some(*well_since_seconds),
                Event::Raised { .. } => None,
            };
            let well_since = self.bank.events().iter().filter_map(well_since).reduce(f64::max);
            self.bank.restart();
            self.start_watching(now);
            if let Some(base) = well_since.and_then(|since| self.history.since(since)) {
                // What cleared it speaks for "balanced".
                let (seconds, ticks) = (base.seconds, self.history.ticks().saturating_sub(base.ticks));
                let window = self.window_from(Some(base), &shares, now);
                (self.watched, self.watched_ticks, self.watched_from_seconds) = (window.pool, ticks, seconds);
            }
        }
        ended
    }

    /// Notes whether the episode is explained by something else at present. One that was and is no more is over: what was
    /// seen of it is of a time that is over, too. Says whether that ended one.
    pub(in crate::detect) fn explain(&mut self, explained: bool, surely: bool, now: f64) -> bool {
        let over = self.episode.is_some() && self.explained && !explained;
        if over {
            self.episode = None;
            self.restart(now);
        }
        self.explained = explained && self.episode.is_some();
        self.explained_surely = self.explained && (self.explained_surely || surely);
        over
    }

    /// Whether the episode may still be held back: it has not been told yet.
    pub(in crate::detect) fn may_be_held_back(&self) -> bool {
        self.episode.is_some() && self.held_back <= MOST_HELD_BACK
    }

    /// Holds the episode back for a few ticks from its first on, while it is not sure yet what `may_explain` it.
    pub(in crate::detect) fn hold_back(&mut self, may_explain: bool) {
        self.held_back = match self.episode {
            None => 0,
            Some(_) if may_explain => self.held_back.saturating_add(1),
            Some(_) => TOLD,
        };
    }

    /// Whether the episode is held back.
    pub(in crate::detect) fn is_held_back(&self) -> bool {
        (1..=MOST_HELD_BACK).contains(&self.held_back)
    }

    /// Whether something else was found to explain the episode beyond doubt.
    pub(in crate::detect) fn is_surely_explained(&self) -> bool {
        self.explained_surely
    }

    /// Forgets the episode: what departs is a consequence of something else.
    pub(in crate::detect) fn drop_episode(&mut self) {
        self.episode = None;
    }

    /// The episode that stands.
    pub(in crate::detect) fn episode(&self) -> Option<&Episode> {
        self.episode.as_ref()
    }

    /// The tests.
    pub(in crate::detect) fn bank(&self) -> &Bank {
        &self.bank
    }

    /// Whether the tests say that a member gets too little.
    pub(in crate::detect) fn gets_too_little(&self, member: usize) -> bool {
        self.bank.flag(member).is_some_and(|flag| flag.alternative >= ABOVE.len())
    }

    /// Counts of members with an expected share so far.
    pub(in crate::detect) fn seen(&self) -> f64 {
        self.seen
    }

    /// The same per second.
    pub(in crate::detect) fn per_second(&self, now: f64) -> f64 {
        self.seen / (now - self.began_seconds).max(1.0)
    }

    /// When the last of them came, seconds.
    pub(in crate::detect) fn last_seconds(&self) -> f64 {
        self.last_seconds
    }

    /// Since when what was seen speaks for "balanced", seconds.
    pub(in crate::detect) fn watched_from_seconds(&self) -> f64 {
        self.watched_from_seconds
    }

    /// Since when shares, and who takes part, are what they are; or since a diffuse skew was over, or the pool was
    /// disturbed.
    pub(in crate::detect) fn steady_from_seconds(&self) -> f64 {
        self.steady_from_seconds
    }

    /// Counts after which "balanced" can be said: `h φ κ / KL`. detector.md §10.
    pub(in crate::detect) fn enough(&self) -> f64 {
        let dispersion = self.bank.dispersion().over(self.watched_ticks);
        self.bank.threshold_in_force() * dispersion * self.bank.calibration_of_double() / self.power
    }

    /// How many more that are; not above 0 when there are enough.
    pub(in crate::detect) fn lacks(&self) -> f64 {
        self.enough() - self.watched
    }

    /// What every member got from `seconds` on, as far as it is remembered.
    pub(in crate::detect) fn window_since(&self, seconds: f64, shares: &[f64], now: f64) -> Window {
        self.window_from(self.history.since(seconds), shares, now)
    }

    /// What every member got from a moment on; without one, since the beginning.
    pub(in crate::detect) fn window_from(&self, base: Option<&Moment>, shares: &[f64], now: f64) -> Window {
        let before = |index: usize| base.and_then(|base| base.counts.get(index)).copied().unwrap_or(0.0);
        let counts: Vec<f64> = self
            .history
            .now()
            .iter()
            .enumerate()
            .map(|(index, now)| (now - before(index)).max(0.0))
            .collect();
        let expected = counts.iter().zip(shares).filter(|(_, share)| **share > 0.0);
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

    /// Whether it is of so many members, and all it refers to is there.
    pub(in crate::detect) fn is_whole(&self, members: usize) -> bool {
        self.bank.is_whole(members)
            && self.history.is_whole(members)
            && self.episode.iter().all(|episode| episode.is_whole(members))
    }
}
