//! Methods that look at nobody's load: at random, and round robin in one or many workers. Counts of whole seconds are
//! drawn at once, so that years of them can be had.

use super::Chance;
use super::turn::Turn;
use super::{Tick, pass_through};

/// In which order members are chosen.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// At random. Every choice opens so many connections on average, all to the same member, geometrically spread.
    Random { connections: f64 },
    /// In turn, each worker for itself.
    RoundRobin(Workers),
}

/// Workers of a balancer that take unequal parts of the connections.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    /// Part of the connections, and place in the turn, of every worker.
    parts: Vec<(f64, usize)>,
    turn: Turn,
    /// Ticks between two reloads, after which every worker begins with the first member.
    reload: u64,
    tick: u64,
}

impl Order {
    /// `workers` of them: an nginx under light load gives most connections to few of its workers.
    pub(crate) fn round_robin(workers: usize, chance: &mut Chance) -> Self {
        let parts = worker_parts(workers);
        let parts = parts.into_iter().map(|part| (part, chance.below(1 << 16))).collect();
        Self::RoundRobin(Workers { parts, turn: Turn::new(&[1]), reload: 7200, tick: 0 })
    }
}

/// Parts of the connections that the workers take; they sum to 1.
pub(crate) fn worker_parts(workers: usize) -> Vec<f64> {
    // As 1, 1/2, 1/3 …: the largest of 8 takes 37 %, the smallest 5 %.
    #[expect(clippy::cast_precision_loss, reason = "few workers")]
    let parts: Vec<f64> = (1..=workers).map(|worker| 1.0 / worker as f64).collect();
    let sum: f64 = parts.iter().sum();
    parts.into_iter().map(|part| part / sum).collect()
}

/// Members chosen independently of what they do.
#[derive(Clone, Debug)]
pub(crate) struct Independent {
    order: Order,
    shares: Vec<f64>,
}

impl Independent {
    pub(crate) fn new(order: Order) -> Self {
        Self { order, shares: Vec::new() }
    }

    pub(super) fn reweigh(&mut self, weights: &[u32]) {
        let sum: u32 = weights.iter().sum();
        self.shares = weights.iter().map(|&weight| f64::from(weight) / f64::from(sum)).collect();
        if let Order::RoundRobin(workers) = &mut self.order {
            workers.turn = Turn::new(weights);
        }
    }

    pub(super) fn tick(&mut self, due: f64, tick: &mut Tick, chance: &mut Chance) {
        match &mut self.order {
            // Parts of a Poisson number of independent choices are independent Poisson numbers.
            Order::Random { connections } => {
                for (member, &share) in tick.members.iter_mut().zip(&self.shares) {
                    let chosen = chance.poisson(due * share / *connections);
                    member.attempts = if *connections > 1.0 {
                        (0..chosen).map(|_| chance.geometric(*connections)).sum()
                    } else {
                        chosen
                    };
                }
            }
            Order::RoundRobin(workers) => workers.tick(due, tick, chance),
        }
        pass_through(tick);
    }
}

impl Workers {
    fn tick(&mut self, due: f64, tick: &mut Tick, chance: &mut Chance) {
        self.tick += 1;
        let reloaded = self.tick.is_multiple_of(self.reload);
        let length = self.turn.len();
        for (part, place) in &mut self.parts {
            if reloaded {
                *place = 0;
            }
            let chosen = chance.poisson(due * *part);
            let whole = chosen / length as u64;
            if whole > 0 {
                (0..length).for_each(|place| tick.members[self.turn.at(place)].attempts += whole);
            }
            for _ in 0..chosen % length as u64 {
                tick.members[self.turn.at(*place)].attempts += 1;
                *place = (*place + 1) % length;
            }
        }
    }
}
