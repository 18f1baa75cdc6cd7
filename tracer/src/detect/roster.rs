//! The members of a pool from tick to tick, in an order of their own: that of their addresses.

use crate::pools::{MemberSample, PoolSample};
use std::net::SocketAddr;

/// Who is in the pool, and what each is due.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Roster {
    addresses: Vec<SocketAddr>,
    #[serde(with = "super::exact")]
    weights: Vec<Option<f64>>,
    /// Place of each member in the sample.
    places: Vec<usize>,
    /// Expected shares: of those with a weight they sum to one, the others have 0.
    shares: Vec<f64>,
}

/// What is different from the tick before.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Where each member was before.
    pub(super) from: Vec<Option<usize>>,
    /// Whether each member's own weight, next to the others', is what it was.
    pub(super) kept: Vec<bool>,
    /// Whether every expected share is what it was.
    pub(super) same_shares: bool,
    /// Whether each member had a weight and has none now.
    pub(super) lost_weight: Vec<bool>,
}

impl Roster {
    /// Reads the sample's members; says what changed, if anything did.
    pub(super) fn update(&mut self, sample: &PoolSample) -> Option<Change> {
        let same = self.places.len() == sample.members.len()
            && self.places.iter().zip(&self.addresses).zip(&self.weights).all(
                |((&place, address), weight)| {
                    sample.members.get(place).is_some_and(|member| {
                        member.backend == *address
                            && member.weight.map(f64::to_bits) == weight.map(f64::to_bits)
                    })
                },
            );
        if same {
            return None;
        }
        let mut places: Vec<usize> = (0..sample.members.len()).collect();
        places.sort_by_key(|&place| sample.members[place].backend);
        let members = || places.iter().map(|&place| &sample.members[place]);
        let new = Self {
            addresses: members().map(|member| member.backend).collect(),
            weights: members().map(|member| member.weight).collect(),
            shares: shares(members()),
            places,
        };
        let change = new.change_from(self);
        let renamed = change.from.iter().enumerate().any(|(index, from)| *from != Some(index));
        let another_unit = !renamed && self.len() == new.len() && change.same_shares;
        let shares = if another_unit { std::mem::take(&mut self.shares) } else { new.shares };
        *self = Self { shares, ..new };
        (!another_unit).then_some(change)
    }

    fn change_from(&self, old: &Self) -> Change {
        let from: Vec<Option<usize>> =
            self.addresses.iter().map(|address| old.addresses.binary_search(address).ok()).collect();
        let before = |index: usize| from[index].map_or(0.0, |from| old.shares[from]);
        // Most members' weights change by the same factor (1, or a new unit); those that do not are the changed ones.
        let factor = |index: usize| self.shares[index] / before(index);
        let mut factors: Vec<f64> =
            (0..self.shares.len()).map(factor).filter(|factor| factor.is_finite() && *factor > 0.0).collect();
        factors.sort_by(f64::total_cmp);
        let common = factors.get(factors.len() / 2).copied().unwrap_or(1.0);
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
        let indices = || 0..self.shares.len();
        let gone: f64 = old.shares.iter().sum::<f64>() - indices().map(before).sum::<f64>();
        Change {
            kept: indices()
                .map(|index| {
                    (self.shares[index] <= 0.0 && before(index) <= 0.0) || near(factor(index), common)
                })
                .collect(),
            same_shares: gone.abs() < 1e-12
                && indices().all(|index| {
                    near(self.shares[index], before(index)) || self.shares[index] == before(index)
                }),
            lost_weight: indices().map(|index| before(index) > 0.0 && self.shares[index] <= 0.0).collect(),
            from,
        }
    }

    /// Whether there is one of everything for every member, and each has a place of its own.
    pub(super) fn is_whole(&self) -> bool {
        let members = self.places.len();
        let mut places = self.places.clone();
        places.sort_unstable();
        [self.addresses.len(), self.weights.len(), self.shares.len()] == [members; 3]
            && places.into_iter().eq(0..members)
    }

    /// How many members.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Expected shares by member.
    pub(super) fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// A member's address.
    pub(super) fn address(&self, member: usize) -> SocketAddr {
        self.addresses[member]
    }

    /// A member's weight as it was given.
    pub(super) fn weight(&self, member: usize) -> Option<f64> {
        self.weights[member]
    }

    /// A member's place in the sample.
    pub(super) fn place(&self, member: usize) -> usize {
        self.places[member]
    }

    /// Members with an expected share.
    pub(super) fn expected(&self) -> usize {
        self.shares.iter().filter(|&&share| share > 0.0).count()
    }

    /// Whether all of them are due the same.
    pub(super) fn is_equal(&self) -> bool {
        let mut due = self.shares.iter().filter(|&&share| share > 0.0);
        due.next().is_none_or(|first| due.all(|share| (share / first - 1.0).abs() < 1e-9))
    }
}

/// Weights to shares; what is not a positive number is no weight.
fn shares<'a>(members: impl Iterator<Item = &'a MemberSample>) -> Vec<f64> {
    let usable =
        |weight: Option<f64>| weight.filter(|weight| weight.is_finite() && *weight > 0.0).unwrap_or(0.0);
    let mut shares: Vec<f64> = members.map(|member| usable(member.weight)).collect();
    let largest = shares.iter().copied().fold(0.0, f64::max);
    if largest > 0.0 {
        shares.iter_mut().for_each(|share| *share /= largest);
        let sum: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= sum);
    }
    shares
}
