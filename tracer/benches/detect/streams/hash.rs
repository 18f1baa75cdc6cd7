//! By the client's address: clients of very different weight that come and go, each bound to one member.

use super::Chance;
use super::{Tick, pass_through};

/// A client is there for so many seconds on average …
const HERE_SECONDS: f64 = 600.0;
/// … and away for so many.
const AWAY_SECONDS: f64 = 1800.0;
/// A page opens so many connections on average.
const PAGE_CONNECTIONS: f64 = 3.0;
/// Part of the visits that begin under a new address.
const NEW_ADDRESS: f64 = 0.3;

/// One client.
#[derive(Clone, Debug)]
struct Client {
    member: u32,
    here: bool,
    /// When it comes or goes, seconds.
    until: f64,
}

/// A pool of clients and their members.
#[derive(Clone, Debug)]
pub(crate) struct Hash {
    clients: Vec<Client>,
    /// For drawing clients by their weight: Walker's alias method, as (share kept, else who).
    alias: Vec<(f64, u32)>,
    cumulative: Vec<f64>,
    /// Everybody comes from one address, such as that of a proxy: then all go to this member.
    collapsed: Option<usize>,
    now: f64,
}

impl Hash {
    /// `clients` of them, the weight of the i-th being i^−`exponent` (Zipf).
    pub(crate) fn new(clients: u32, exponent: f64, chance: &mut Chance) -> Self {
        let weights: Vec<f64> = (1..=clients).map(|rank| f64::from(rank).powf(-exponent)).collect();
        let clients = weights
            .iter()
            .map(|_| {
                let here = chance.share() < HERE_SECONDS / (HERE_SECONDS + AWAY_SECONDS);
                Client { member: 0, here, until: stay(here, chance) }
            })
            .collect();
        Self { clients, alias: alias(&weights), cumulative: Vec::new(), collapsed: None, now: 0.0 }
    }

    pub(crate) fn collapse(&mut self, member: Option<usize>) {
        self.collapsed = member;
    }

    /// All clients are dealt anew.
    pub(super) fn reweigh(&mut self, weights: &[u32], chance: &mut Chance) {
        let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let mut below = 0.0;
        self.cumulative.clear();
        for &weight in weights {
            below += f64::from(weight) / sum;
            self.cumulative.push(below);
        }
        for client in &mut self.clients {
            client.member = draw(&self.cumulative, chance);
        }
    }

    pub(super) fn tick(&mut self, due: f64, tick: &mut Tick, chance: &mut Chance) {
        // Pages of everybody as if all were here; those of clients that are away do not happen.
        let everybody = due / PAGE_CONNECTIONS * (HERE_SECONDS + AWAY_SECONDS) / HERE_SECONDS;
        for _ in 0..chance.poisson(everybody) {
            let place = chance.below(self.alias.len());
            let (kept, other) = self.alias[place];
            let client = if chance.share() < kept { place } else { other as usize };
            let client = &mut self.clients[client];
            while client.until <= self.now {
                client.here = !client.here;
                client.until += stay(client.here, chance);
                if client.here && chance.share() < NEW_ADDRESS {
                    client.member = draw(&self.cumulative, chance);
                }
            }
            if client.here {
                let member = self.collapsed.unwrap_or(client.member as usize);
                tick.members[member].attempts += chance.geometric(PAGE_CONNECTIONS);
            }
        }
        self.now += 1.0;
        pass_through(tick);
    }
}

/// How long a client stays as it is, seconds.
fn stay(here: bool, chance: &mut Chance) -> f64 {
    chance.exponential() * if here { HERE_SECONDS } else { AWAY_SECONDS }
}

/// A member by its share, of which the running sums are given.
fn draw(cumulative: &[f64], chance: &mut Chance) -> u32 {
    let at = chance.share();
    let member = cumulative.partition_point(|&below| below <= at).min(cumulative.len().saturating_sub(1));
    u32::try_from(member).unwrap_or(u32::MAX)
}

/// Walker's table (Vose 1991): a draw takes one uniform place and one uniform share.
pub(crate) fn alias(weights: &[f64]) -> Vec<(f64, u32)> {
    let sum: f64 = weights.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "thousands of clients")]
    let mut scaled: Vec<f64> = weights.iter().map(|weight| weight * weights.len() as f64 / sum).collect();
    let mut table: Vec<(f64, u32)> =
        (0..weights.len()).map(|place| (1.0, u32::try_from(place).unwrap_or(u32::MAX))).collect();
    let (mut poor, mut rich): (Vec<usize>, Vec<usize>) =
        (0..scaled.len()).partition(|&place| scaled[place] < 1.0);
    while let (Some(less), Some(&more)) = (poor.pop(), rich.last()) {
        table[less] = (scaled[less], u32::try_from(more).unwrap_or(u32::MAX));
        scaled[more] -= 1.0 - scaled[less];
        if scaled[more] < 1.0 {
            rich.pop();
            poor.push(more);
        }
    }
    table
}
