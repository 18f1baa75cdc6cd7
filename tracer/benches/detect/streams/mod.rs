//! What load balancers do, second by second, made up: every stream is a source of counts for one pool. Written from
//! the methods' own descriptions, and sharing nothing with the detector.

mod arrivals;
mod farm;
pub(crate) mod hash;
mod independent;
mod keepalive;
pub(crate) mod turn;

pub(crate) use farm::{Farm, Fate, Policy, Server};
pub(crate) use hash::Hash;
pub(crate) use independent::{Independent, Order};
pub(crate) use keepalive::KeepAlive;

use super::chance::Chance;
use arrivals::Arrivals;
use tracer_ebpf::histogram::bucket_of;

/// One second of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Connections that the balancer tried to open.
    pub(crate) attempts: u64,
    /// Those that were answered with RST.
    pub(crate) refused: u64,
    /// Those of this or an earlier second that the balancer gave up after [`PATIENCE_SECONDS`].
    pub(crate) cancelled: u64,
    /// Attempts that became connections.
    pub(crate) established: u64,
    /// Connections that ended.
    pub(crate) closed: u64,
    /// Connections at the end of the second.
    pub(crate) live: u64,
    /// Attempts that wait for an answer at the end of the second.
    pub(crate) pending: u64,
    /// Requests that were answered.
    pub(crate) exchanges: u64,
}

/// How long a balancer waits for a backend that is silent, seconds.
pub(crate) const PATIENCE_SECONDS: f64 = 1.0;

/// One second of one pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tick {
    pub(crate) members: Vec<Tally>,
    /// Response times: member and bucket of [`tracer_ebpf::histogram`]; empty where exchanges are not measured.
    pub(crate) responses: Vec<(u32, u32)>,
    /// How long connections were held that ended, likewise; empty where that is not thought of.
    pub(crate) lifetimes: Vec<(u32, u32)>,
}

impl Tick {
    pub(crate) fn new(members: usize) -> Self {
        Self { members: vec![Tally::default(); members], ..Self::default() }
    }

    /// A response of a member after so many seconds.
    fn respond(&mut self, member: usize, seconds: f64) {
        self.members[member].exchanges += 1;
        self.responses.push((u32::try_from(member).unwrap_or(u32::MAX), bucket(seconds)));
    }

    /// A connection of a member ends after so many seconds.
    fn close(&mut self, member: usize, seconds: f64) {
        self.members[member].closed += 1;
        self.lifetimes.push((u32::try_from(member).unwrap_or(u32::MAX), bucket(seconds)));
    }

    /// Forgets what happened but for what is there at present.
    fn clear(&mut self) {
        for member in &mut self.members {
            *member = Tally { live: member.live, ..Tally::default() };
        }
        self.responses.clear();
        self.lifetimes.clear();
    }
}

/// The bucket of a duration.
pub(crate) fn bucket(seconds: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a saturating cast is meant")]
    bucket_of((seconds * 1e9) as u64)
}

/// How a balancer chooses.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    Independent(Independent),
    Farm(Box<Farm>),
    Hash(Hash),
    KeepAlive(KeepAlive),
}

/// A balancer at work on one pool.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    arrivals: Arrivals,
    chance: Chance,
    way: Way,
    weights: Vec<u32>,
    tick: Tick,
}

impl Stream {
    /// `rate` arrivals a second on average, connections or, with keep-alive, requests; `weights` are those that the
    /// balancer really works with.
    pub(crate) fn new(rate: f64, bursts: bool, weights: Vec<u32>, way: Way, chance: Chance) -> Self {
        let tick = Tick::new(weights.len());
        let mut stream =
            Self { arrivals: Arrivals::new(rate, bursts), chance, way, weights: Vec::new(), tick };
        stream.reweigh(weights);
        stream
    }

    /// Goes on under another seed.
    pub(crate) fn reseed(&mut self, chance: Chance) {
        self.chance = chance;
    }

    /// From now on the balancer works with these weights; there may be more members than before.
    pub(crate) fn reweigh(&mut self, weights: Vec<u32>) {
        self.tick.members.resize(weights.len(), Tally::default());
        match &mut self.way {
            Way::Independent(way) => way.reweigh(&weights),
            Way::Farm(way) => way.reweigh(&weights),
            Way::Hash(way) => way.reweigh(&weights, &mut self.chance),
            Way::KeepAlive(way) => way.reweigh(&weights),
        }
        self.weights = weights;
    }

    pub(crate) fn weights(&self) -> &[u32] {
        &self.weights
    }

    pub(crate) fn way(&mut self) -> &mut Way {
        &mut self.way
    }

    /// The next second.
    pub(crate) fn next(&mut self) -> &Tick {
        let due = self.arrivals.next(&mut self.chance);
        self.tick.clear();
        match &mut self.way {
            Way::Independent(way) => way.tick(due, &mut self.tick, &mut self.chance),
            Way::Farm(way) => way.tick(due, &mut self.tick, &mut self.chance),
            Way::Hash(way) => way.tick(due, &mut self.tick, &mut self.chance),
            Way::KeepAlive(way) => way.tick(due, &mut self.tick, &mut self.chance),
        }
        &self.tick
    }
}

/// Every connection lives until the end of the next second: what is known of lifetimes where the method does not look
/// at them.
fn pass_through(tick: &mut Tick) {
    for member in &mut tick.members {
        member.established = member.attempts;
        member.closed = member.live;
        member.live = member.attempts;
    }
}
