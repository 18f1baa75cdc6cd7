//! Connection by connection: methods that look at how many each member holds, and members that are slow, refuse or
//! hang. A failed attempt is tried once more, on another member.

use super::Chance;
use super::turn::Turn;
use super::{PATIENCE_SECONDS, Tick};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How long a member that failed is left out, where it is: nginx's `fail_timeout`.
const LEFT_OUT_SECONDS: f64 = 10.0;

/// How members are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    RoundRobin,
    Random,
    /// The better of two that are drawn by weight.
    TwoChoices,
    LeastConnections,
}

/// What a member does with a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Serves,
    /// Refuses this part of them at once.
    Refuses(f64),
    /// Never answers; the balancer gives up.
    Hangs,
}

/// One member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// Mean time that a connection lasts, seconds; with measured exchanges it is the response time.
    pub(crate) lifetime_seconds: f64,
    pub(crate) fate: Fate,
    /// Connections and attempts that wait: what the balancer counts.
    active: u64,
    live: u64,
    left_out_until: u64,
}

impl Server {
    pub(crate) fn new(lifetime_seconds: f64) -> Self {
        Self { lifetime_seconds, fate: Fate::Serves, active: 0, live: 0, left_out_until: 0 }
    }
}

/// What is to come: when (nanoseconds), of whom, begun when, and whether it is a connection (else an attempt).
type Event = Reverse<(u64, u32, u64, bool)>;

/// Members, and a balancer that knows what each holds.
#[derive(Clone, Debug)]
pub(crate) struct Farm {
    policy: Policy,
    pub(crate) servers: Vec<Server>,
    /// Whether a member that failed is left out for a while.
    pub(crate) leaves_out: bool,
    /// Whether every connection is seen to carry one exchange.
    exchanges: bool,
    weights: Vec<u32>,
    cumulative: Vec<f64>,
    turn: Turn,
    place: usize,
    events: BinaryHeap<Event>,
    now: u64,
}

impl Farm {
    pub(crate) fn new(policy: Policy, servers: Vec<Server>, exchanges: bool) -> Self {
        Self {
            policy,
            servers,
            leaves_out: false,
            exchanges,
            weights: Vec::new(),
            cumulative: Vec::new(),
            turn: Turn::new(&[1]),
            place: 0,
            events: BinaryHeap::new(),
            now: 0,
        }
    }

    /// Members that come with it are as the first.
    pub(super) fn reweigh(&mut self, weights: &[u32]) {
        let first = self.servers.first().map_or(1.0, |first| first.lifetime_seconds);
        self.servers.resize(weights.len(), Server::new(first));
        let mut below = 0.0;
        self.cumulative = weights
            .iter()
            .map(|&weight| {
                below += f64::from(weight);
                below
            })
            .collect();
        self.turn = Turn::new(weights);
        self.weights = weights.to_vec();
    }

    pub(super) fn tick(&mut self, due: f64, tick: &mut Tick, chance: &mut Chance) {
        let end = self.now + nanoseconds(1.0);
        let mut at = self.now;
        loop {
            at += nanoseconds(chance.exponential() / due.max(1e-9));
            if at >= end {
                break;
            }
            self.settle(at, tick, chance);
            self.connect(at, None, tick, chance);
        }
        self.settle(end, tick, chance);
        self.now = end;
        for (member, server) in tick.members.iter_mut().zip(&self.servers) {
            member.live = server.live;
            member.pending = server.active - server.live;
        }
    }

    /// Everything that happens until `until`.
    fn settle(&mut self, until: u64, tick: &mut Tick, chance: &mut Chance) {
        while let Some(&Reverse((at, member, began, connected))) =
            self.events.peek().filter(|event| event.0.0 <= until)
        {
            self.events.pop();
            let member = member as usize;
            self.servers[member].active -= 1;
            if connected {
                self.servers[member].live -= 1;
                tick.close(member, seconds(at - began));
                if self.exchanges {
                    tick.respond(member, seconds(at - began));
                }
            } else {
                tick.members[member].cancelled += 1;
                self.fail(member, at);
                self.connect(at, Some(member), tick, chance);
            }
        }
    }

    /// One connection at `at`, or the second try of one that `failed` had.
    fn connect(&mut self, at: u64, failed: Option<usize>, tick: &mut Tick, chance: &mut Chance) {
        let Some(member) = self.choose(at, failed, chance) else { return };
        let counts = &mut tick.members[member];
        counts.attempts += 1;
        let server = &mut self.servers[member];
        let code = u32::try_from(member).unwrap_or(u32::MAX);
        match server.fate {
            Fate::Hangs => {
                server.active += 1;
                self.events.push(Reverse((at + nanoseconds(PATIENCE_SECONDS), code, at, false)));
            }
            Fate::Refuses(part) if chance.share() < part => {
                counts.refused += 1;
                self.fail(member, at);
                if failed.is_none() {
                    self.connect(at, Some(member), tick, chance);
                }
            }
            Fate::Serves | Fate::Refuses(_) => {
                counts.established += 1;
                server.active += 1;
                server.live += 1;
                let end = at + nanoseconds(chance.lifetime(server.lifetime_seconds));
                self.events.push(Reverse((end, code, at, true)));
            }
        }
    }

    fn fail(&mut self, member: usize, at: u64) {
        if self.leaves_out {
            self.servers[member].left_out_until = at + nanoseconds(LEFT_OUT_SECONDS);
        }
    }

    fn choose(&mut self, at: u64, failed: Option<usize>, chance: &mut Chance) -> Option<usize> {
        let (weights, servers) = (&self.weights, &self.servers);
        let may = |member: usize| weights[member] > 0 && failed != Some(member);
        let fit = |member: usize| may(member) && servers[member].left_out_until <= at;
        if !(0..weights.len()).any(may) {
            return None;
        }
        // Where all are left out, none is.
        let all_out = self.leaves_out && !(0..weights.len()).any(fit);
        let allowed = |member: usize| if all_out { may(member) } else { fit(member) };
        let drawn = |chance: &mut Chance| loop {
            let point = chance.share() * self.cumulative.last().copied().unwrap_or(0.0);
            let member = self.cumulative.partition_point(|&below| below <= point);
            if member < weights.len() && allowed(member) {
                return member;
            }
        };
        let lighter = |a: usize, b: usize| {
            servers[a].active * u64::from(weights[b]) < servers[b].active * u64::from(weights[a])
        };
        match self.policy {
            Policy::RoundRobin => loop {
                let member = self.turn.at(self.place);
                self.place = (self.place + 1) % self.turn.len();
                if allowed(member) {
                    return Some(member);
                }
            },
            Policy::Random => Some(drawn(chance)),
            Policy::TwoChoices => {
                let (one, other) = (drawn(chance), drawn(chance));
                Some(if lighter(other, one) { other } else { one })
            }
            Policy::LeastConnections => {
                let mut best: Option<usize> = None;
                // Equals take turns.
                for member in
                    (self.place..weights.len()).chain(0..self.place).filter(|&member| allowed(member))
                {
                    if best.is_none_or(|best| lighter(member, best)) {
                        best = Some(member);
                    }
                }
                self.place = best.map_or(0, |best| (best + 1) % weights.len());
                best
            }
        }
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a saturating cast is meant")]
    let nanoseconds = (seconds * 1e9) as u64;
    nanoseconds
}

#[expect(clippy::cast_precision_loss, reason = "times far below 2^53")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
