//! The last minutes by the second, and which of them are wanted: those around changes of a verdict.

use super::columns::Figures;
use super::tick::Tick;
use crate::chronicle::PoolName;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

/// What led to a change is kept so far back, seconds.
const BEFORE_SECONDS: f64 = 180.0;
/// What came of it is kept so long, seconds.
const AFTER_SECONDS: f64 = 120.0;
/// More rows are not remembered; of a host with thousands of busy backends the ring goes less far back.
const MOST_ROWS: usize = 50_000;
/// Times of intervals are not exact.
const MOMENT_SECONDS: f64 = 1e-6;

/// A pool's members in one interval.
#[derive(Clone, Debug)]
pub(super) struct Second {
    pub(super) time_seconds: f64,
    pub(super) interval_seconds: f64,
    pub(super) pool: PoolName,
    /// Whether exchanges were measured.
    pub(super) exchanges: bool,
    pub(super) members: Vec<(SocketAddr, Figures)>,
}

impl Second {
    /// How many rows it takes.
    pub(super) fn rows(&self) -> usize {
        1 + self.members.len()
    }
}

/// The last minutes.
#[derive(Debug, Default)]
pub(super) struct Ring {
    seconds: VecDeque<Second>,
    rows: usize,
    /// Until when each pool is followed by the second.
    followed: HashMap<PoolName, f64>,
}

impl Ring {
    /// Takes an interval. Gives what of it, and of what was before, is wanted by the second.
    pub(super) fn take(&mut self, tick: &mut Tick) -> Vec<Second> {
        let now = tick.time_seconds;
        let mut wanted = Vec::new();
        for told in tick.verdicts.iter().filter(|told| told.is_change()) {
            // What is given leaves the ring, so that it is given once.
            let (given, left) = std::mem::take(&mut self.seconds)
                .into_iter()
                .partition(|second| second.pool == told.pool && second.time_seconds > now - BEFORE_SECONDS);
            self.seconds = left;
            wanted.extend::<VecDeque<Second>>(given);
            self.followed.insert(told.pool.clone(), now + AFTER_SECONDS);
        }
        self.rows = self.seconds.iter().map(Second::rows).sum();
        self.followed.retain(|_, until| now <= *until + MOMENT_SECONDS);
        for pool in &mut tick.pools {
            let second = Second {
                time_seconds: now,
                interval_seconds: tick.interval_seconds,
                pool: pool.name.clone(),
                exchanges: pool.exchanges,
                members: std::mem::take(&mut pool.members),
            };
            if self.followed.contains_key(&second.pool) {
                wanted.push(second);
            } else {
                self.rows += second.rows();
                self.seconds.push_back(second);
            }
        }
        while self
            .seconds
            .front()
            .is_some_and(|second| self.rows > MOST_ROWS || second.time_seconds <= now - BEFORE_SECONDS)
        {
            self.rows -= self.seconds.pop_front().map_or(0, |second| second.rows());
        }
        wanted
    }
}
