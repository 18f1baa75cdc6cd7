//! Skew that is no fault of the balancer: a load-aware one gives less to who holds connections for longer, and more to
//! who is done with them sooner. detector.md §7.

use super::judge::PoolJudge;
use super::live::Holder;
use super::spread::{Named, Spread, divergence, tilt};
use super::standing::Window;
use crate::pools::{ExpectedSource, Method, PoolIdentity, PoolSample};

/// How fast what was seen is forgotten, seconds (e-folding).
const MEMORY_SECONDS: f64 = 30.0;
/// Closed connections of the pool before lifetimes are known.
const LEAST_CLOSED: f64 = 5.0;
/// Times as long as the rest from which on a member is slow.
const SLOW: f64 = 1.5;
/// Times by which a share may lie outside what lifetimes explain. detector.md §7.
const WIDENED: f64 = 1.15;
/// Part of a threshold that a share outside of that must show to count as outside. detector.md §7.
const OUTSIDE: f64 = 0.5;
/// Part of the others' lifetime, and of their bytes per connection, below which a member that attracts traffic is likely
/// to answer with errors. Own choice: an error page is a few hundred bytes.
const HOLLOW: f64 = 0.25;

/// What a member's lifetime is computed from (Little's law), and what it answers.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Lifetime {
    /// Live connections, summed over time.
    live_seconds: f64,
    /// Connections that closed in that time: not those that opened, or one that is drained would look slow.
    closed: f64,
    /// Bytes received in that time.
    received_bytes: f64,
}

/// Why shares are uneven.
pub(super) struct Explanation {
    /// The member whose lifetime departs most.
    pub(super) member: usize,
    /// How many times longer than the others it holds its connections; below 1: for less long.
    pub(super) times_longer: f64,
    /// Its bytes per connection, in those of the others; `None` where they have none.
    pub(super) bytes: Option<f64>,
    /// What it explains.
    pub(super) window: Window,
}

impl Explanation {
    /// Whether it gets more because it answers sooner, with next to nothing.
    pub(super) fn is_hollow(&self) -> bool {
        self.times_longer <= HOLLOW && self.bytes.is_some_and(|bytes| bytes <= HOLLOW)
    }
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
            lifetime.received_bytes = lifetime.received_bytes * kept + seen.delta.received_bytes as f64;
        }
    }

    /// Why an episode is none of the balancer's: every member that is named lies where its lifetime puts it.
    pub(super) fn explanation(&self, spread: &Spread, pool: &PoolIdentity) -> Option<Explanation> {
        // A method that nobody declared may be any.
        let may_be =
            pool.method == Method::LeastConnections || pool.expected_source == ExpectedSource::Assumed;
        let episode = spread.episode().filter(|_| may_be)?;
        let window = spread.window_from(Some(&episode.base), self.roster.shares(), self.now_seconds?);
        let fair = self.fair_shares()?;
        let outside = OUTSIDE * spread.bank().threshold_in_force();
        let explains = |named: &Named| {
            let (due, fair) = (self.roster.shares()[named.member], fair[named.member]);
            let Some(share) = window.observed_of_pool(named.member) else { return false };
            let above = named.ratio > 1.0;
            let edge = if above { tilt(due.max(fair), WIDENED) } else { tilt(due.min(fair), 1.0 / WIDENED) };
            let inside = if above { share <= edge } else { share >= edge };
            let nats = window.pool * divergence(share.min(1.0), edge) / window.dispersion();
            (if above { fair > due } else { fair < due }) && (inside || nats < outside)
        };
        if episode.named.is_empty() || !episode.named.iter().all(explains) {
            return None;
        }
        let departs = |member: &usize| self.times_longer(*member).map(|ratio| (*member, ratio));
        let members: Vec<(usize, f64)> =
            (0..self.members.len()).filter_map(|member| departs(&member)).collect();
        let (member, times_longer) = members
            .into_iter()
            .max_by(|a, b| a.1.ln().abs().total_cmp(&b.1.ln().abs()).then(b.0.cmp(&a.0)))?;
        Some(Explanation { member, times_longer, bytes: self.bytes(member), window })
    }

    /// Shares in proportion to weight and to connections closed per connection held: what least connections tends to.
    fn fair_shares(&self) -> Option<Vec<f64>> {
        let shares = self.roster.shares();
        let closed: f64 = self.members.iter().map(|member| member.lifetime.closed).sum();
        let speed = |member: usize| {
            let Lifetime { live_seconds, closed, .. } = self.members[member].lifetime;
            shares[member] * closed / live_seconds.max(f64::MIN_POSITIVE)
        };
        let sum: f64 = (0..shares.len()).map(speed).sum();
        let known = closed >= LEAST_CLOSED && sum > 0.0 && sum.is_finite();
        known.then(|| (0..shares.len()).map(|member| speed(member) / sum).collect())
    }

    /// The others with an expected share, as if they were one.
    fn others(&self, member: usize) -> Lifetime {
        let mut rest = Lifetime::default();
        for (index, other) in self.members.iter().enumerate() {
            if index != member && self.roster.shares()[index] > 0.0 {
                rest.live_seconds += other.lifetime.live_seconds;
                rest.closed += other.lifetime.closed;
                rest.received_bytes += other.lifetime.received_bytes;
            }
        }
        rest
    }

    /// How many times longer than the others a member holds its connections.
    fn times_longer(&self, member: usize) -> Option<f64> {
        let (own, rest) = (self.members[member].lifetime, self.others(member));
        // One that closes nothing at all holds its connections at least so long.
        let ratio = (own.live_seconds / own.closed.max(1.0)) / (rest.live_seconds / rest.closed);
        (self.roster.shares()[member] > 0.0
            && rest.closed >= LEAST_CLOSED
            && ratio.is_finite()
            && ratio > 0.0)
            .then_some(ratio)
    }

    /// Bytes that a member answers per connection, in those of the others.
    fn bytes(&self, member: usize) -> Option<f64> {
        let (own, rest) = (self.members[member].lifetime, self.others(member));
        let ratio = (own.received_bytes / own.closed) / (rest.received_bytes / rest.closed);
        (own.closed >= LEAST_CLOSED && ratio.is_finite()).then_some(ratio)
    }

    /// Whether a member that holds too many live connections does not simply hold each for longer than the others.
    pub(super) fn holds_for_no_reason(&self, holder: &Holder) -> bool {
        self.times_longer(holder.member).is_none_or(|ratio| ratio < SLOW)
    }
}
