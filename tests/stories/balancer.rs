//! How the balancer of a story chooses.

use fastrand::Rng;
use tracer::pools::Method;

/// One process of the balancer: what it knows of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Worker {
    /// Smooth weighted round robin, as nginx does it.
    turn: Vec<f64>,
    /// Attempts that wait for an answer, by member.
    pub(crate) pending: Vec<u32>,
    /// Connections or, where these are kept, requests under way.
    pub(crate) busy: Vec<u32>,
    /// Until when members are left out, microseconds.
    pub(crate) ejected_until: Vec<u64>,
    /// Connections that wait to be used again: requests left, the member's epoch they are of, and when they were
    /// opened.
    pub(crate) idle: Vec<Vec<(u32, u32, Option<u64>)>>,
}

impl Worker {
    pub(crate) fn new(members: usize) -> Self {
        Self {
            turn: vec![0.0; members],
            pending: vec![0; members],
            busy: vec![0; members],
            ejected_until: vec![0; members],
            idle: vec![Vec::new(); members],
        }
    }

    /// One of the members with a weight; `None` when none has.
    pub(crate) fn choose(
        &mut self,
        method: Method,
        weights: &[f64],
        client: u64,
        chance: &mut Rng,
    ) -> Option<usize> {
        if !weights.iter().any(|weight| *weight > 0.0) {
            return None;
        }
        match method {
            Method::RoundRobin => self.in_turn(weights),
            Method::Random => {
                let mut left = chance.f64() * weights.iter().sum::<f64>();
                let hit = weights.iter().position(|weight| {
                    left -= weight;
                    left < 0.0
                });
                hit.or_else(|| weights.iter().rposition(|weight| *weight > 0.0))
            }
            Method::LeastConnections => {
                let load = |member: usize| {
                    (f64::from(self.pending[member]) + f64::from(self.busy[member])) / weights[member]
                };
                let usable = (0..weights.len()).filter(|&member| weights[member] > 0.0);
                let least = usable.map(load).fold(f64::INFINITY, f64::min);
                let tied: Vec<f64> =
                    (0..weights.len())
                        .map(|member| {
                            if weights[member] > 0.0 && load(member) <= least { weights[member] } else { 0.0 }
                        })
                        .collect();
                self.in_turn(&tied)
            }
            // Rendezvous hashing (Thaler and Ravishankar 1998), with weights.
            Method::Hash => {
                let score = |member: usize| {
                    let share =
                        Rng::with_seed(client.wrapping_mul(0x9e37_79b9) ^ ((member as u64) << 40)).f64();
                    -(1.0 - share).ln() / weights[member]
                };
                let usable = (0..weights.len()).filter(|&member| weights[member] > 0.0);
                usable.min_by(|&a, &b| score(a).total_cmp(&score(b)))
            }
        }
    }

    fn in_turn(&mut self, weights: &[f64]) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (member, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            self.turn[member] += weight;
            if best.is_none_or(|best| self.turn[member] > self.turn[best]) {
                best = Some(member);
            }
        }
        let best = best?;
        self.turn[best] -= weights.iter().sum::<f64>();
        Some(best)
    }
}
