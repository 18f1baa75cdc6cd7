//! An episode of skew: from the first flag to the last, judged on what came since its onset.

use super::attribution::{MOST_NAMED, Named, attribute};
use super::bank::{Bank, Event};
use super::diffuse::Diffuse;
use super::history::{History, Moment};

/// Naming costs about members times named; beyond this it is not done in every tick.
const COSTLY: usize = 1 << 15;
/// But in every so many.
const SPARED_TICKS: u64 = 16;

/// A standing episode.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Episode {
    /// When the first run that raised a flag began, seconds.
    pub(in crate::detect) since_seconds: f64,
    /// Counts at the beginning of what is judged.
    pub(in crate::detect) base: Moment,
    /// The members that depart, the most conspicuous first. Empty when only the pool as a whole does.
    pub(in crate::detect) named: Vec<Named>,
    /// Evidence, nats.
    #[serde(with = "crate::detect::exact")]
    pub(in crate::detect) nats: f64,
    /// Whether so many are off that it is the pool's spread, and by how much (coefficient of variation).
    pub(in crate::detect) diffuse: Option<f64>,
}

impl Episode {
    /// Whether it is of so many members.
    pub(in crate::detect) fn is_whole(&self, members: usize) -> bool {
        self.base.counts.len() == members && self.named.iter().all(|named| named.member < members)
    }

    fn is_costly(&self) -> bool {
        self.named.len() * self.base.counts.len() > COSTLY
    }

    /// Other members beside those with a share, or the same in other places: `from` tells where each was.
    pub(in crate::detect) fn rearrange(&mut self, from: &[Option<usize>]) {
        let moved = |from: &Option<usize>| from.and_then(|from| self.base.counts.get(from).copied());
        self.base.counts = from.iter().map(|from| moved(from).unwrap_or(0.0)).collect();
        self.named.retain_mut(|named| {
            let place = from.iter().position(|from| *from == Some(named.member));
            named.member = place.unwrap_or_default();
            place.is_some()
        });
    }
}

/// What an episode is judged with.
pub(in crate::detect) struct Grounds<'a> {
    /// The tests after this tick.
    pub(in crate::detect) bank: &'a Bank,
    /// The counts after this tick.
    pub(in crate::detect) history: &'a History,
    /// Expected shares; 0 for who is left out.
    pub(in crate::detect) shares: &'a [f64],
    /// Standing finding on the whole pool.
    pub(in crate::detect) diffuse: Option<Diffuse>,
    /// Margin in force.
    pub(in crate::detect) margin: f64,
}

/// What became of an episode.
pub(in crate::detect) enum Outcome {
    /// There is none.
    None,
    /// It stands.
    Stands(Episode),
    /// The members it was about are well again.
    Ended,
}

/// Carries an episode on by one tick. detector.md §5, §8.
pub(in crate::detect) fn judge(standing: Option<Episode>, grounds: &Grounds) -> Outcome {
    let Grounds { bank, history, diffuse, .. } = grounds;
    let cleared = |event: &Event| match (event, &standing) {
        (Event::Cleared { member, .. }, Some(episode)) => {
            episode.named.iter().any(|named| named.member == *member)
        }
        _ => false,
    };
    let strongest = bank.strongest_flagged();
    if diffuse.is_none() {
        let named_flagged = standing
            .as_ref()
            .is_some_and(|episode| episode.named.iter().any(|named| bank.flag(named.member).is_some()));
        if strongest.is_none() || (bank.events().iter().any(cleared) && !named_flagged) {
            return if standing.is_some() { Outcome::Ended } else { Outcome::None };
        }
    }
    let raised = bank.events().iter().filter_map(|event| match event {
        Event::Raised { member, .. } => Some(*member),
        Event::Cleared { .. } => None,
    });
    let mut episode = standing;
    for member in raised {
        let Some(onset) = bank.flag(member).map(|flag| flag.onset_seconds) else { continue };
        let stale = episode.as_ref().is_none_or(|episode| {
            onset > episode.base.seconds && episode.named.iter().all(|named| named.member != member)
        });
        if stale && let Some(base) = history.since(onset) {
            let since_seconds = episode.as_ref().map_or(onset, |episode| episode.since_seconds);
            episode = Some(grounds.seen_from(base.clone(), since_seconds));
        }
    }
    let onset = diffuse.map_or(f64::NEG_INFINITY, |diffuse| diffuse.since_seconds);
    let episode = match episode {
        Some(episode) if episode.is_costly() && !history.ticks().is_multiple_of(SPARED_TICKS) => {
            Some(episode)
        }
        Some(mut episode) => {
            let fresh = grounds.seen_from(std::mem::take(&mut episode.base), episode.since_seconds);
            Some(fresh)
        }
        // A flag from before the shares changed, or the pool as a whole.
        None => history.since(onset).map(|base| grounds.seen_from(base.clone(), base.seconds)),
    };
    episode.map_or(Outcome::None, Outcome::Stands)
}

impl Grounds<'_> {
    /// Judges what came since `base`.
    fn seen_from(&self, base: Moment, since_seconds: f64) -> Episode {
        let counts: Vec<f64> =
            self.history.now().iter().zip(&base.counts).map(|(now, then)| now - then).collect();
        let ticks = self.history.ticks().saturating_sub(base.ticks);
        let dispersion = self.bank.dispersion().over(ticks);
        let mut named = attribute(&counts, self.shares, dispersion, self.margin);
        let strongest = self.bank.strongest_flagged();
        if named.is_empty()
            && self.diffuse.is_none()
            && let Some((member, nats)) = strongest
        {
            named.push(self.alone(member, nats, &counts));
        }
        let members = self.bank.eligible() as f64;
        let many = named.len() == MOST_NAMED || (named.len() as f64 > 0.3 * members && named.len() > 2);
        let diffuse = match self.diffuse {
            Some(diffuse) if many || named.is_empty() => Some(diffuse.variation),
            None if many => Some(variation(&counts, self.shares, dispersion)),
            _ => None,
        };
        let nats = named
            .iter()
            .map(|named| named.nats)
            .chain(strongest.map(|(_, nats)| nats))
            .chain(self.diffuse.map(|diffuse| diffuse.nats))
            .fold(0.0, f64::max);
        Episode { since_seconds, base, named, nats, diffuse }
    }

    /// A flagged member that the window does not show clearly enough (yet, or any more).
    fn alone(&self, member: usize, nats: f64, counts: &[f64]) -> Named {
        let above = self.bank.flag(member).is_some_and(|flag| flag.alternative < super::odds::ABOVE.len());
        let rest: f64 = (0..counts.len())
            .filter(|&index| index != member && self.shares[index] > 0.0)
            .map(|index| counts[index])
            .sum();
        let rest_due: f64 = self.shares.iter().sum::<f64>() - self.shares[member];
        let ratio = (counts[member] / self.shares[member]) / (rest / rest_due);
        let ratio = match (above, ratio.is_finite()) {
            (true, true) => ratio.max(self.margin),
            (true, false) => f64::INFINITY,
            (false, true) => ratio.min(1.0 / self.margin),
            (false, false) => 0.0,
        };
        Named { member, ratio, interval: [0.0, f64::INFINITY], nats }
    }
}

/// How much true shares scatter around the expected ones, as a coefficient of variation. detector-study.md §4.9.
fn variation(counts: &[f64], shares: &[f64], dispersion: f64) -> f64 {
    let total: f64 =
        counts.iter().zip(shares).filter(|(_, share)| **share > 0.0).map(|(count, _)| count).sum();
    let due: f64 = shares.iter().sum();
    if total <= 0.0 || due <= 0.0 {
        return 0.0;
    }
    let (mut distance, mut members) = (0.0, 0.0);
    for (&count, &share) in counts.iter().zip(shares).filter(|(_, share)| **share > 0.0) {
        let expected = total * share / due;
        distance += (count - expected) * (count - expected) / expected;
        members += 1.0;
    }
    ((distance - dispersion * (members - 1.0)) / total).max(0.0).sqrt()
}
