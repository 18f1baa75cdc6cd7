//! Connections that are kept: requests are dealt in turn, and one opens a connection only when its worker holds none
//! that is idle.

use super::Chance;
use super::Tick;
use super::independent::worker_parts;
use super::turn::Turn;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

const WORKERS: usize = 4;
/// Idle connections that a worker keeps to one member: nginx's `keepalive`, shared out.
const MOST_IDLE: usize = 8;
const MOST_REQUESTS: u32 = 1000;
const IDLE_SECONDS: f64 = 60.0;
/// Mean response time.
const RESPONSE_SECONDS: f64 = 0.05;

/// An answer to come: when, by worker and member, asked when, and the connection's requests with it.
type Answer = Reverse<(Moment, usize, usize, Moment, u32)>;

/// Seconds, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moment(f64);

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Idle connections of one worker to one member: since when, and requests so far. The one used last is used next.
type Idle = VecDeque<(f64, u32)>;

/// Workers and the connections they keep.
#[derive(Clone, Debug)]
pub(crate) struct KeepAlive {
    parts: Vec<f64>,
    places: Vec<usize>,
    turn: Turn,
    idle: Vec<Vec<Idle>>,
    answers: BinaryHeap<Answer>,
    now: f64,
}

impl KeepAlive {
    pub(crate) fn new() -> Self {
        Self {
            parts: worker_parts(WORKERS),
            places: vec![0; WORKERS],
            turn: Turn::new(&[1]),
            idle: vec![Vec::new(); WORKERS],
            answers: BinaryHeap::new(),
            now: 0.0,
        }
    }

    pub(super) fn reweigh(&mut self, weights: &[u32]) {
        self.turn = Turn::new(weights);
        self.idle.iter_mut().for_each(|idle| idle.resize(weights.len(), Idle::new()));
    }

    pub(super) fn tick(&mut self, due: f64, tick: &mut Tick, chance: &mut Chance) {
        let end = self.now + 1.0;
        let mut at = self.now;
        loop {
            at += chance.exponential() / due.max(1e-9);
            if at >= end {
                break;
            }
            self.settle(at, tick);
            self.ask(at, tick, chance);
        }
        self.settle(end, tick);
        self.now = end;
        for idle in &mut self.idle {
            for (idle, member) in idle.iter_mut().zip(&mut tick.members) {
                while idle.front().is_some_and(|(since, _)| end - since > IDLE_SECONDS) {
                    idle.pop_front();
                    member.closed += 1;
                    member.live -= 1;
                }
            }
        }
    }

    fn ask(&mut self, at: f64, tick: &mut Tick, chance: &mut Chance) {
        let mut point = chance.share();
        let worker = self
            .parts
            .iter()
            .position(|part| {
                point -= part;
                point < 0.0
            })
            .unwrap_or(0);
        let place = &mut self.places[worker];
        let member = self.turn.at(*place);
        *place = (*place + 1) % self.turn.len();
        let requests = self.idle[worker][member].pop_back().map_or_else(
            || {
                let counts = &mut tick.members[member];
                counts.attempts += 1;
                counts.established += 1;
                counts.live += 1;
                0
            },
            |(_, requests)| requests,
        );
        let answered = at + chance.lifetime(RESPONSE_SECONDS);
        self.answers.push(Reverse((Moment(answered), worker, member, Moment(at), requests + 1)));
    }

    /// Every answer that comes until `until`.
    fn settle(&mut self, until: f64, tick: &mut Tick) {
        while let Some(&Reverse((Moment(at), worker, member, Moment(asked), requests))) =
            self.answers.peek().filter(|answer| answer.0.0.0 <= until)
        {
            self.answers.pop();
            tick.respond(member, at - asked);
            let idle = &mut self.idle[worker][member];
            if requests < MOST_REQUESTS && idle.len() < MOST_IDLE {
                idle.push_back((at, requests));
            } else {
                tick.members[member].closed += 1;
                tick.members[member].live -= 1;
            }
        }
    }
}
