//! Many members slightly off: weak for each of them, clear for the pool.
//!
//! In pools of 20 and more, Pearson's X² of the counts since some moment ago against what the margin allows, with Birgé's
//! bound on the tail of a noncentral χ² (detector.md §8, detector-study.md §4.9). How long ago is 16, 24, 32, 48, 64 …
//! ticks, each looked at every eighth of its length, so that one is soon found that began when the fault did; that costs
//! less than two looks at every member a tick. Both halves must depart in the same way: what happens once, such as the
//! workers of a reloaded balancer all beginning with the first member, is in one half only.

use super::bank::Bank;
use super::history::{History, Moment};

/// Smaller pools are served better by the tests of their members.
const LEAST_MEMBERS: usize = 20;
/// Scatter of true shares that is fine, as a coefficient of variation.
const FINE: f64 = 0.1;
/// The shortest length looked at, ticks. Shorter ones would show what the workers of a reloaded balancer do at first.
const SHORTEST: u64 = 16;
/// How many lengths: every second is twice the one before the last, up to 2^16 ticks.
const LENGTHS: u32 = 25;
/// Counts per member on average: workers of a reloaded balancer that all begin with the same members give these a few more
/// each, and that must not be much of it. Own choice, by simulation.
const LEAST_EACH: f64 = 32.0;
/// Part of the departure of the whole that the halves must have in common.
const COMMON: f64 = 0.5;

/// Standing finding on the whole pool.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Diffuse {
    /// Which length showed it, the shortest that did.
    length: u32,
    /// When that began, seconds.
    pub(in crate::detect) since_seconds: f64,
    /// Evidence beyond what the margin allows, nats.
    pub(in crate::detect) nats: f64,
    /// How much the true shares scatter, as a coefficient of variation.
    pub(in crate::detect) variation: f64,
}

/// What is looked at.
pub(in crate::detect) struct Counts<'a> {
    /// The tests, for dispersion and thresholds.
    pub(in crate::detect) bank: &'a Bank,
    /// Counts then and now.
    pub(in crate::detect) history: &'a History,
    /// Expected shares, as given to the bank.
    pub(in crate::detect) shares: &'a [f64],
    /// Who is compared.
    pub(in crate::detect) eligible: &'a [bool],
    /// Since when what is counted is of the same pool in the same state, seconds.
    pub(in crate::detect) from_seconds: f64,
}

/// What a tick leaves standing.
pub(in crate::detect) enum After {
    /// A finding, or none.
    Stands(Option<Diffuse>),
    /// The pool is well again since then, seconds: what came before must not be looked at any more.
    Well { since_seconds: f64 },
}

/// How far counts are from what is expected of them.
struct Distance {
    /// Pearson's X² of the whole.
    whole: f64,
    /// What the halves have in common of it, per count squared.
    common: f64,
    /// Counts in each half.
    halves: [f64; 2],
}

/// Looks at the lengths that are due in this tick; gives what stands after it.
pub(in crate::detect) fn judge(standing: Option<Diffuse>, counts: &Counts, false_alarm_ticks: f64) -> After {
    let (bank, history) = (counts.bank, counts.history);
    let members = bank.eligible();
    if members < LEAST_MEMBERS {
        return After::Stands(None);
    }
    let threshold =
        ((false_alarm_ticks * f64::from(LENGTHS)).ln() - 3.0) * if bank.is_learning() { 2.0 } else { 1.0 };
    let freedom = members as f64 - 1.0;
    let mut standing = standing;
    for length in 0..LENGTHS {
        let ticks = ticks_of(length);
        if history.ticks() < ticks {
            break;
        }
        if !history.ticks().is_multiple_of(ticks / 8) {
            continue;
        }
        let (Some(begin), Some(middle)) = (history.ticks_ago(ticks), history.ticks_ago(ticks / 2)) else {
            continue;
        };
        if begin.seconds < counts.from_seconds || begin.ticks >= middle.ticks {
            break;
        }
        let distance = counts.distance(begin, middle);
        let [first, second] = distance.halves;
        let total = first + second;
        if total < LEAST_EACH * members as f64 {
            continue;
        }
        let dispersion = bank.dispersion().over(ticks).max(1.0);
        let allowed = total * FINE * FINE / dispersion;
        let found = distance.whole / dispersion;
        let limit =
            freedom + allowed + 2.0 * ((freedom + 2.0 * allowed) * threshold).sqrt() + 2.0 * threshold;
        let excess = (distance.whole - dispersion * freedom) / total;
        if found > limit && distance.common >= COMMON * excess {
            let since_seconds = standing.map_or(begin.seconds, |before| before.since_seconds);
            let length = standing.map_or(length, |before| before.length.min(length));
            let nats = excess_nats(found, freedom, allowed);
            standing = Some(Diffuse { length, since_seconds, nats, variation: excess.max(0.0).sqrt() });
        } else if standing.is_some_and(|before| before.length == length) && found < freedom + allowed {
            return After::Well { since_seconds: begin.seconds };
        }
    }
    After::Stands(standing)
}

/// A length in ticks: 16, 24, 32, 48, 64 …
fn ticks_of(length: u32) -> u64 {
    let octave = SHORTEST << (length / 2);
    if length.is_multiple_of(2) { octave } else { octave + octave / 2 }
}

impl Counts<'_> {
    fn distance(&self, begin: &Moment, middle: &Moment) -> Distance {
        let now = self.history.now();
        let taking_part =
            || (0..now.len()).filter(|&member| self.eligible[member] && self.shares[member] > 0.0);
        let halves = |member: usize| {
            let between = middle.counts[member] - begin.counts[member];
            [between, now[member] - middle.counts[member]]
        };
        let (mut due, mut total) = (0.0, [0.0; 2]);
        for member in taking_part() {
            let [first, second] = halves(member);
            due += self.shares[member];
            total = [total[0] + first, total[1] + second];
        }
        let (mut whole, mut common) = (0.0, 0.0);
        for member in taking_part() {
            let share = self.shares[member] / due;
            let [first, second] = halves(member);
            let off = [first - total[0] * share, second - total[1] * share];
            whole += (off[0] + off[1]) * (off[0] + off[1]) / share;
            common += off[0] * off[1] / share;
        }
        let sum = total[0] + total[1];
        Distance {
            whole: whole / sum.max(1.0),
            common: common / (total[0] * total[1]).max(1.0),
            halves: total,
        }
    }
}

/// The threshold at which Birgé's bound would just be met: solves `found = d + λ + 2 √((d + 2λ) t) + 2 t` for t.
fn excess_nats(found: f64, freedom: f64, allowed: f64) -> f64 {
    let (spread, beyond) = (freedom + 2.0 * allowed, found - freedom - allowed);
    let root = ((spread + 2.0 * beyond.max(0.0)).sqrt() - spread.sqrt()) / 2.0;
    root * root
}
