//! Present connections as a stock: who holds them, where hardly any come and go.
//!
//! Uneven live connections under even arrivals are lifetime (Little's law) while connections end; where they do not,
//! the stock is what was distributed long ago, and new connections tell nothing of it. A stock is tested as it is,
//! never added up over time: the same sockets would count again with every tick. detector.md §9.

use super::Settings;
use super::roster::Change;
use super::spread::{Parts, divergence, tilt};
use crate::pools::Method;

/// How far back connections that ended are counted, seconds (e-folding).
const MEMORY_SECONDS: f64 = 300.0;
/// Of the stock, so much may have ended in that time for it still to be a stock.
const OLD: f64 = 0.5;
/// Times its due that a member must hold: short of it, a deploy some time ago explains it.
const MARGIN: f64 = 1.5;
/// Times the present stock that must have ended until nobody is younger than it.
const TURNED_OVER: f64 = 3.0;
/// Successive ticks that must show it: one alone may lie between the death of a worker and the next one's birth.
const LEAST_TICKS: u64 = 4;

/// A member that holds too many live connections.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub(super) struct Holder {
    /// Which.
    pub(super) member: usize,
    /// Evidence, nats.
    pub(super) nats: f64,
    /// Since when it was seen, seconds.
    pub(super) since_seconds: f64,
}

/// The stock of a pool.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Live {
    /// Connections that ended lately, of all members.
    closed: f64,
    /// By member, at the last tick; empty when it is not known.
    counts: Vec<f64>,
    /// Whether each member is younger than the pool's connections, or its share is: it has fewer of them, or more, and
    /// rightly so.
    young: Vec<bool>,
    /// Connections that ended since somebody last was.
    ended: f64,
    /// Whether there was a tick.
    begun: bool,
    suspect: Option<Holder>,
    /// Ticks in a row that showed the suspect.
    shown: u64,
}

impl Live {
    /// Members joined or left, or are due something else. Who joins a pool that was seen before is younger than its
    /// connections, and so are new shares.
    pub(super) fn rearrange(&mut self, change: &Change) {
        let young = |from: &Option<usize>| {
            (self.begun && !change.same_shares)
                || from.map_or(self.begun, |from| self.young.get(from) == Some(&true))
        };
        self.young = change.from.iter().map(young).collect();
        self.counts.clear();
        self.ended = 0.0;
        (self.suspect, self.shown) = (None, 0);
    }

    /// Takes in one tick: live connections and ended ones by member, where known.
    pub(super) fn tick(
        &mut self,
        stocks: impl Iterator<Item = (Option<f64>, Option<f64>)>,
        parts: Parts,
        method: Method,
        seconds: f64,
        now: f64,
        settings: &Settings,
    ) {
        self.counts.clear();
        self.closed *= (-seconds.max(0.0) / MEMORY_SECONDS).exp();
        let mut known = true;
        for (live, closed) in stocks {
            self.closed += closed.unwrap_or(0.0);
            self.ended += closed.unwrap_or(0.0);
            known &= live.is_some() && closed.is_some();
            self.counts.push(live.unwrap_or(0.0));
        }
        for (young, eligible) in self.young.iter_mut().zip(parts.eligible) {
            // Who was out of service has lost its connections.
            if self.begun && !eligible && !*young {
                (*young, self.ended) = (true, 0.0);
            }
        }
        if self.ended > TURNED_OVER * self.counts.iter().sum::<f64>().max(1.0) {
            self.young.fill(false);
            self.ended = 0.0;
        }
        self.begun = true;
        if !known {
            self.counts.clear();
        }
        // Clients decide under hashing, and stay.
        let holder = (known && method != Method::Hash).then(|| self.holder(parts, settings)).flatten();
        let before =
            self.suspect.take().filter(|before| holder.is_some_and(|(member, _)| member == before.member));
        self.shown =
            if before.is_some() { self.shown.saturating_add(1) } else { u64::from(holder.is_some()) };
        let since_seconds = before.map_or(now, |before| before.since_seconds);
        self.suspect = holder.map(|(member, nats)| Holder { member, nats, since_seconds });
    }

    /// The member that holds most above its due, when that is beyond chance.
    fn holder(&self, parts: Parts, settings: &Settings) -> Option<(usize, f64)> {
        let old = |member: &usize| parts.eligible[*member] && !self.young[*member];
        let members = (0..self.counts.len().min(self.young.len())).filter(old);
        let (total, due) = members.clone().fold((0.0, 0.0), |(total, due), member| {
            (total + self.counts[member], due + parts.shares[member])
        });
        if total <= 0.0 || due <= 0.0 || self.closed > OLD * total {
            return None;
        }
        let margin = MARGIN.max(parts.margin);
        let nats = |member: usize| {
            let (share, observed) = (parts.shares[member] / due, self.counts[member] / total);
            let edge = tilt(share, margin);
            if observed > edge { total * divergence(observed.min(1.0), edge) } else { 0.0 }
        };
        let most = members
            .map(|member| (member, nats(member)))
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
        (most.1 >= settings.threshold(self.counts.len() as f64)).then_some(most)
    }

    /// The member found to hold too many, once enough ticks have shown it.
    pub(super) fn found(&self) -> Option<&Holder> {
        self.suspect.as_ref().filter(|_| self.shown >= LEAST_TICKS)
    }

    /// Live connections by member; empty when they are not known.
    pub(super) fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// Whether it is of so many members.
    pub(super) fn is_whole(&self, members: usize) -> bool {
        (self.counts.is_empty() || self.counts.len() == members)
            && self.young.len() == members
            && self.suspect.is_none_or(|suspect| suspect.member < members)
    }
}
