//! What each endpoint of a cluster gets, from priorities, localities, weights and the health that is written: as Envoy
//! computes it. Pure.
//!
//! Endpoints of a priority get traffic until too few of them are healthy; then a part of it spills into the next. When all
//! priorities together have too few, health is no longer looked at (Envoy calls that panic). A drained endpoint counts neither
//! as healthy nor as ill.

use super::endpoints::{Endpoint, Health, Locality};
use super::policy::Policy;
use crate::pools::Role;

/// What a cluster says of the spread beside its endpoints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rules {
    /// Endpoints' weights count.
    pub(super) weighs: bool,
    /// Localities are chosen first, by their weights.
    pub(super) by_locality: bool,
    /// In percent: below so many healthy endpoints, health is not looked at.
    pub(super) panic_threshold: f64,
    /// In percent: a priority is whole with fewer healthy endpoints than it has, by this factor.
    pub(super) overprovisioning: u64,
    /// A priority's health is by weights instead of endpoints.
    pub(super) weighted_health: bool,
}

impl Rules {
    /// Envoy's own.
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            weighs: policy.weighs,
            by_locality: policy.by_locality,
            panic_threshold: 50.0,
            overprovisioning: 140,
            weighted_health: false,
        }
    }
}

/// What is expected, in the order of the endpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Spread {
    pub(super) members: Vec<(f64, Role)>,
    /// Weights are not those that are written on the endpoints.
    pub(super) computed: bool,
    /// Several priorities get a part.
    pub(super) spills: bool,
    /// Too few are healthy: those that are not get their share all the same.
    pub(super) panics: bool,
}

/// Endpoints that are chosen among together, and what of all traffic they get, in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tier {
    priority: u64,
    health: Health,
    load: u64,
}

/// Computes what each endpoint gets.
pub(super) fn spread(localities: &[Locality], rules: &Rules) -> Spread {
    let tallies = tallies(localities, rules);
    let (tiers, panicking) = loads(&tallies, rules);
    let mut loaded: Vec<Tier> = tiers.into_iter().filter(|tier| tier.load > 0).collect();
    loaded.sort_by_key(|tier| tier.priority);
    let mut members = Vec::new();
    let mut rooms: Vec<Room> = Vec::new();
    for tier in &loaded {
        let panics = panicking.contains(&tier.priority);
        match rooms.last_mut().filter(|room| panics && room.tier.priority == tier.priority) {
            // In panic the healthy and the degraded are one.
            Some(room) => room.tier.load += tier.load,
            None => rooms.push(Room::of(*tier, localities, rules, panics)),
        }
    }
    for (index, locality) in localities.iter().enumerate() {
        for endpoint in &locality.endpoints {
            let found = rooms.iter().find(|room| room.holds(locality, endpoint));
            members.push(match found {
                Some(room) => (room.weight(index, endpoint, rules, rooms.len() > 1), Role::Active),
                None => {
                    let idle = matches!(endpoint.health, Health::Bad | Health::Drained);
                    (weight(endpoint, rules), if idle { Role::Down } else { Role::Backup })
                }
            });
        }
    }
    let panics = localities.iter().any(|locality| {
        panicking.contains(&locality.priority)
            && locality.endpoints.iter().any(|endpoint| endpoint.health != Health::Good)
    });
    let computed = rooms.len() > 1 || rooms.iter().any(|room| room.localities.is_some());
    Spread { members, computed, spills: rooms.len() > 1, panics }
}

#[expect(clippy::cast_precision_loss, reason = "32 bits")]
fn weight(endpoint: &Endpoint, rules: &Rules) -> f64 {
    if rules.weighs { endpoint.weight as f64 } else { 1.0 }
}

/// How many endpoints of a priority there are.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    priority: u64,
    endpoints: u64,
    /// Those whose health is looked at, and of these those that can be used.
    looked_at: u64,
    usable: u64,
    /// The same by endpoints or by weights.
    all: u64,
    good: u64,
    degraded: u64,
}

/// Of every priority, the highest first.
fn tallies(localities: &[Locality], rules: &Rules) -> Vec<Tally> {
    let mut tallies: Vec<Tally> = Vec::new();
    for locality in localities {
        let index = tallies.binary_search_by_key(&locality.priority, |tally| tally.priority);
        let index = index.unwrap_or_else(|index| {
            tallies.insert(index, Tally { priority: locality.priority, ..Tally::default() });
            index
        });
        let Some(tally) = tallies.get_mut(index) else { continue };
        for endpoint in &locality.endpoints {
            tally.endpoints += 1;
            if endpoint.health == Health::Drained {
                continue;
            }
            let counts = if rules.weighted_health { endpoint.weight } else { 1 };
            tally.looked_at += 1;
            tally.usable += u64::from(endpoint.health != Health::Bad);
            tally.all += counts;
            match endpoint.health {
                Health::Good => tally.good += counts,
                Health::Degraded => tally.degraded += counts,
                Health::Bad | Health::Drained => {}
            }
        }
    }
    tallies
}

/// What of all traffic goes where, in percent and whole numbers as Envoy reckons, and the priorities in panic.
fn loads(tallies: &[Tally], rules: &Rules) -> (Vec<Tier>, Vec<u64>) {
    let part =
        |of: u64, all: u64| (rules.overprovisioning * of).checked_div(all).map_or(0, |part| part.min(100));
    let available = tallies.iter().map(|tally| part(tally.good, tally.all) + part(tally.degraded, tally.all));
    let total = available.sum::<u64>().min(100);
    let panics = |tally: &&Tally| total < 100 && in_panic(tally, rules);
    let panicking: Vec<u64> = tallies.iter().filter(panics).map(|tally| tally.priority).collect();
    if panicking.len() == tallies.len() {
        return (in_total_panic(tallies), panicking);
    }
    if total == 0 {
        // Nobody is healthy, and health is always looked at: everything fails.
        return (Vec::new(), panicking);
    }
    let mut left = 100;
    let mut tiers = Vec::new();
    for health in [Health::Good, Health::Degraded] {
        for tally in tallies {
            let of = if health == Health::Good { tally.good } else { tally.degraded };
            let load = (part(of, tally.all) * 100).checked_div(total).unwrap_or(0).min(left);
            left -= load;
            tiers.push(Tier { priority: tally.priority, health, load });
        }
    }
    give_the_rest(&mut tiers);
    (tiers, panicking)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer endpoints than that")]
fn in_panic(tally: &Tally, rules: &Rules) -> bool {
    let percent =
        if tally.looked_at == 0 { 0.0 } else { 100.0 * tally.usable as f64 / tally.looked_at as f64 };
    percent < rules.panic_threshold
}

/// By the number of endpoints.
fn in_total_panic(tallies: &[Tally]) -> Vec<Tier> {
    let total: u64 = tallies.iter().map(|tally| tally.endpoints).sum();
    let load = |tally: &Tally| (100 * tally.endpoints).checked_div(total).unwrap_or(0);
    let tier = |tally: &Tally| Tier { priority: tally.priority, health: Health::Good, load: load(tally) };
    let mut tiers: Vec<Tier> = tallies.iter().map(tier).collect();
    give_the_rest(&mut tiers);
    tiers
}

/// What rounding leaves goes to the first that gets something.
fn give_the_rest(tiers: &mut [Tier]) {
    let given: u64 = tiers.iter().map(|tier| tier.load).sum();
    if let Some(first) = tiers.iter_mut().find(|tier| tier.load > 0) {
        first.load += 100_u64.saturating_sub(given);
    }
}

/// A tier with what its members' weights are relative to.
struct Room {
    tier: Tier,
    /// Health is not looked at.
    panics: bool,
    /// Localities come first; the weights of each locality's endpoints together.
    localities: Option<Vec<(usize, f64, f64)>>,
    /// The weights of all members together, as they stand.
    total: f64,
}

impl Room {
    fn of(tier: Tier, localities: &[Locality], rules: &Rules, panics: bool) -> Self {
        let mut room = Self { tier, panics, localities: None, total: 0.0 };
        // By the locality's place in the list, in that order.
        let mut weighed = Vec::new();
        for (index, locality) in localities.iter().enumerate() {
            let members = locality.endpoints.iter().filter(|endpoint| room.holds(locality, endpoint));
            let (count, sum) = members
                .fold((0_usize, 0.0), |(count, sum), endpoint| (count + 1, sum + weight(endpoint, rules)));
            if count > 0 {
                weighed.push((index, effective(locality, count, rules), sum));
                room.total += sum;
            }
        }
        // Where no locality has a weight, or in panic, all endpoints are chosen among at once.
        let by_locality = rules.by_locality && !panics && weighed.iter().any(|(_, weight, _)| *weight > 0.0);
        if by_locality {
            room.total = weighed.iter().map(|(_, weight, _)| weight).sum();
            room.localities = Some(weighed);
        }
        room
    }

    fn holds(&self, locality: &Locality, endpoint: &Endpoint) -> bool {
        locality.priority == self.tier.priority && (self.panics || endpoint.health == self.tier.health)
    }

    /// As written where the tier is alone; else such that the tiers' sums are as their loads.
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    fn weight(&self, locality: usize, endpoint: &Endpoint, rules: &Rules, among_others: bool) -> f64 {
        let own = weight(endpoint, rules);
        let own = match &self.localities {
            None => own,
            Some(localities) => {
                let index = localities.binary_search_by_key(&locality, |(index, ..)| *index);
                let found = index.ok().and_then(|index| localities.get(index));
                found.map_or(0.0, |(_, weight, sum)| weight * own / sum)
            }
        };
        if among_others && self.total > 0.0 { own * self.tier.load as f64 / self.total } else { own }
    }
}

/// A locality's weight, less what its endpoints that cannot be used take from it.
#[expect(clippy::cast_precision_loss, reason = "32 bits")]
fn effective(locality: &Locality, eligible: usize, rules: &Rules) -> f64 {
    let looked_at = locality.endpoints.iter().filter(|endpoint| endpoint.health != Health::Drained).count();
    let ratio = eligible as f64 / looked_at.max(1) as f64;
    locality.weight as f64 * (rules.overprovisioning as f64 / 100.0 * ratio).min(1.0)
}
