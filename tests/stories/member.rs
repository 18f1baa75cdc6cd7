//! A member of a world's pool.

use crate::story::{Acts, Cause};
use crate::world::microseconds;
use fastrand::Rng;
use std::net::{Ipv4Addr, SocketAddr};
use tracer::collect::{Counters, Histogram, Stock};
use tracer::pools::{Exchanges, MemberSample, Origin, Recorded};

/// A member of a world's pool, and what was counted of it since the last sample.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) backend: SocketAddr,
    /// Declared or assumed; `None`: not declared.
    pub(crate) weight: Option<f64>,
    /// Whether it belongs to what is sampled: declared, or seen.
    pub(crate) present: bool,
    pub(crate) acts: Acts,
    /// Counts up when all its connections end at once.
    pub(crate) epoch: u32,
    pub(crate) pending: u64,
    pub(crate) live: u64,
    pub(crate) delta: Counters,
    pub(crate) decisions: u64,
    pub(crate) exchanges: Exchanges,
    pub(crate) total: Counters,
    pub(crate) total_exchanges: Exchanges,
    pub(crate) checks_in_a_row: u32,
    pub(crate) marked_down: bool,
}

impl Member {
    /// The member at a place of the pool, declared or not.
    pub(crate) fn new(place: usize, name: &str, declared: bool) -> Self {
        let number = u32::try_from(place).unwrap_or(u32::MAX - 11) + 11;
        Self {
            name: name.to_owned(),
            backend: (Ipv4Addr::from_bits((10 << 24) | number), 8080).into(),
            weight: declared.then_some(1.0),
            present: declared,
            acts: Acts::default(),
            epoch: 0,
            pending: 0,
            live: 0,
            delta: Counters::default(),
            decisions: 0,
            exchanges: Exchanges::default(),
            total: Counters::default(),
            total_exchanges: Exchanges::default(),
            checks_in_a_row: 0,
            marked_down: false,
        }
    }

    /// What was counted since the last time.
    pub(crate) fn sample(&mut self, measured: bool) -> MemberSample {
        let delta = std::mem::take(&mut self.delta);
        self.total += &delta;
        let mut exchanges = Exchanges::default();
        if measured {
            let counted = std::mem::take(&mut self.exchanges);
            exchanges.count = Some(counted.count.unwrap_or(0));
            exchanges.response_time = Some(counted.response_time.unwrap_or_default());
            let total = &mut self.total_exchanges;
            total.count = Some(total.count.unwrap_or(0) + exchanges.count.unwrap_or(0));
            let times: &mut Histogram = total.response_time.get_or_insert_default();
            *times += exchanges.response_time.get_or_insert_default();
        }
        let decisions = std::mem::take(&mut self.decisions);
        let checks = delta.attempts.saturating_sub(decisions);
        MemberSample {
            backend: self.backend,
            weight: self.weight,
            decisions,
            delta,
            total: self.total.clone(),
            stock: Some(Stock {
                pending: self.pending,
                live: self.live,
                closing: 0,
                rtt_sum_us: 200 * self.live,
            }),
            requests: exchanges.count.map(|count| count.saturating_sub(checks)),
            exchanges,
            total_exchanges: self.total_exchanges.clone(),
            recorded: Recorded::default(),
            origin: Origin::Unknown,
        }
    }
}

/// Why and after how many microseconds an attempt fails, or `None` when it does not.
pub(crate) fn fate(acts: &Acts, chance: &mut Rng) -> Option<(Cause, u64)> {
    if acts.down {
        return Some((Cause::Refused, 0));
    }
    let cause = acts.fails?;
    let usual = match cause {
        Cause::Refused | Cause::Unreachable | Cause::Local | Cause::Other => 0.0,
        Cause::TimedOut => 127.0,
        Cause::Cancelled => 1.0,
    };
    let fails = chance.f64() < acts.rate.unwrap_or(1.0);
    fails.then(|| (cause, microseconds(acts.after_seconds.unwrap_or(usual))))
}
