//! Where answers are cut into slow and quick ones, and how likely each is.
//!
//! A test needs two shares: of answers above the cut where a member is as slow as the margin allows, and where it is
//! slow. Both come from the others' own spread, stretched: were all they answer `r` times slower, a share
//! `S(cut / r)` would lie above the cut, where `S(t)` is the share above `t` now. So nothing is assumed about the
//! spread's form: a wide one, or one of two humps, gives two shares that are near each other, and little evidence.

use super::run::Tally;
use super::spread::{Place, Spread, Tail};
use crate::detect::spread::divergence;

/// Shares are not trusted to be rarer, or more certain, than this. Own choice.
const SHARES: [f64; 2] = [0.05, 0.95];
/// A member is fine while no more than this part of its answers is slow: some outliers are no slowness. Own choice.
const OUTLIERS: f64 = 0.2;
/// The alternatives differ from a member that is fine by at least this share of the answers.
const APART: f64 = 0.03;
/// Alternatives tested.
pub(super) const TESTS: usize = 2;

/// A cut, and the places that tell how likely an answer above it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// The cut: a bucket's bound.
    pub(super) at: Place,
    /// The cut divided by the margin, and by the alternatives.
    fine: Place,
    slow: [Place; TESTS],
}

impl Cut {
    /// At `margin` times a quantile of the spread, but not below `floor_ns`; `None` for an empty spread.
    pub(super) fn of(
        spread: &Spread,
        quantile: f64,
        margin: f64,
        alternatives: [f64; TESTS],
        floor_ns: f64,
    ) -> Option<Self> {
        let wanted_ns = margin * spread.quantile(quantile)? * 1e9;
        let at = Place::bound_at_least(wanted_ns.max(floor_ns));
        let slow = alternatives.map(|ratio| Place::of(at.ns() / ratio));
        Some(Self { at, fine: Place::of(at.ns() / margin), slow })
    }

    /// Shares above the cut, given how the others' answers are spread.
    pub(super) fn shares(&self, others: &Tail) -> Shares {
        let mass = others.mass();
        let share = |place: Place| (others.above(place) / mass).clamp(SHARES[0], SHARES[1]);
        Shares { now: share(self.at), fine: share(self.fine), slow: self.slow.map(share) }.apart()
    }
}

/// Shares of answers above the cut: of the others, at the margin, and of the alternatives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    now: f64,
    fine: f64,
    slow: [f64; TESTS],
}

impl Shares {
    /// The same, where nothing is so rare that outliers tell, and the alternatives are some way off.
    fn apart(self) -> Self {
        let fine = self.fine.max(OUTLIERS);
        Self { fine, slow: self.slow.map(|slow| slow.max(fine + APART)), ..self }
    }

    /// What an answer on either side of the cut is worth.
    pub(super) fn odds(self) -> Odds {
        let near = self.fine;
        Odds {
            shares: self,
            above: self.slow.map(|far| (far / near).ln()),
            below: self.slow.map(|far| ((1.0 - far) / (1.0 - near)).ln()),
            power: divergence(self.slow[0], near),
        }
    }

    /// The same shares, were the others at `now`: both move as the others did, as odds.
    pub(super) fn moved_to(&self, now: f64) -> Self {
        let odds = |share: f64| share / (1.0 - share);
        let now = now.clamp(SHARES[0], SHARES[1]);
        let moved = odds(now) / odds(self.now);
        let moved = |share: f64| {
            let odds = odds(share) * moved;
            (odds / (1.0 + odds)).clamp(SHARES[0], SHARES[1])
        };
        Self { now, fine: moved(self.fine), slow: self.slow.map(moved) }.apart()
    }

    /// Share of the others above the cut.
    pub(super) fn now(&self) -> f64 {
        self.now
    }
}

/// What an answer tells, worked out once for all answers of a tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Odds {
    /// The shares they are of.
    pub(super) shares: Shares,
    /// Nats of an answer above the cut, and of one below, in each test.
    above: [f64; TESTS],
    below: [f64; TESTS],
    /// Nats per answer of a member that is as slow as the first alternative.
    pub(super) power: f64,
}

impl Odds {
    /// Nats that so many answers above the cut, of so many, add to a test.
    pub(super) fn gain(&self, test: usize, tally: Tally) -> f64 {
        tally.events * self.above[test] + (tally.exposure - tally.events) * self.below[test]
    }
}
