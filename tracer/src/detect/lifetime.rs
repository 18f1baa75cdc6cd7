//! How long members hold their connections: under least connections a slow backend gets less, and rightly so.
//! detector.md §7.

use super::judge::PoolJudge;
use super::live::Holder;
use super::spread::{Spread, tilt};
use super::standing::Window;
use crate::pools::{Method, PoolSample};

/// How fast what was seen is forgotten, seconds (e-folding).
const MEMORY_SECONDS: f64 = 30.0;
/// Closed connections of the rest before their lifetime is known.
const LEAST_CLOSED: f64 = 5.0;
/// Times as long as the rest from which on a member is slow.
const SLOW: f64 = 1.5;

/// What a member's lifetime is computed from (Little's law).
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Lifetime {
    /// Live connections, summed over time.
    live_seconds: f64,
    /// Connections that closed in that time.
    closed: f64,
}

impl PoolJudge {
    /// Takes in one interval. Without the stock of sockets, or without the closed ones, it says nothing.
    pub(super) fn note_lifetimes(&mut self, sample: &PoolSample, seconds: f64) {
        let kept = (-seconds / MEMORY_SECONDS).exp();
        for (index, member) in self.members.iter_mut().enumerate() {
            let seen = &sample.members[self.roster.place(index)];
            let Some(stock) = seen.stock.filter(|_| !seen.recorded.unmeasured.contains("closed")) else {
                continue;
            };
            let lifetime = &mut member.lifetime;
            lifetime.live_seconds = lifetime.live_seconds * kept + stock.live as f64 * seconds;
            lifetime.closed = lifetime.closed * kept + seen.delta.closed as f64;
        }
    }

    /// How many times longer than the rest a member holds its connections.
    fn slowness(&self, member: usize) -> Option<f64> {
        let mut rest = Lifetime::default();
        for (index, other) in self.members.iter().enumerate() {
            if index != member && self.roster.shares()[index] > 0.0 {
                rest.live_seconds += other.lifetime.live_seconds;
                rest.closed += other.lifetime.closed;
            }
        }
        let own = self.members[member].lifetime;
        // One that closes nothing at all holds its connections at least so long.
        let ratio = (own.live_seconds / own.closed.max(1.0)) / (rest.live_seconds / rest.closed);
        (rest.closed >= LEAST_CLOSED && ratio.is_finite()).then_some(ratio)
    }

    /// The slowest member that gets too little under least connections, and how many times longer it holds its
    /// connections, when that explains all of the standing skew: who is named gets less and is slow, or gets more
    /// because another is.
    pub(super) fn slow_gets_less(&self, spread: &Spread, method: Method) -> Option<(usize, f64, Window)> {
        let episode = spread.episode().filter(|_| method == Method::LeastConnections)?;
        let now_seconds = self.now_seconds?;
        let window = spread.window_from(Some(&episode.base), self.roster.shares(), now_seconds);
        let slow = |member: usize| {
            let below = tilt(self.roster.shares()[member], 1.0 / self.margin);
            let under = window.observed_of_pool(member).is_some_and(|share| share < below);
            self.slowness(member).filter(|&ratio| under && ratio >= SLOW)
        };
        if episode.named.iter().any(|named| named.ratio <= 1.0 && slow(named.member).is_none()) {
            return None;
        }
        let members = (0..self.members.len()).filter(|&member| self.roster.shares()[member] > 0.0);
        let slowest = members
            .filter_map(|member| slow(member).map(|ratio| (member, ratio)))
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        slowest.map(|(member, ratio)| (member, ratio, window))
    }

    /// Whether a member that holds too many live connections does not simply hold each for longer than the others.
    pub(super) fn holds_for_no_reason(&self, holder: &Holder) -> bool {
        self.slowness(holder.member).is_none_or(|ratio| ratio < SLOW)
    }
}
