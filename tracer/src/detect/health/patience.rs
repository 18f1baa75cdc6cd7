//! From which age on an attempt that was given up says something about the backend.
//!
//! A client that goes away takes its attempt with it, however well the backend is. But a backend that usually answers in
//! a millisecond and has not answered for a hundred is silent, whoever lost patience first: the client, or the balancer.

use crate::collect::Histogram;

/// Times the usual longest connect time from which on an attempt should have been answered: one answer may be late.
const LATE: f64 = 4.0;
/// What counts as the usual longest.
const QUANTILE: f64 = 0.99;
/// Never less, seconds: balancers do not give up sooner, and clients may.
const LEAST_SECONDS: f64 = 0.1;
/// Never more, seconds: balancers' own timeouts are seconds.
const MOST_SECONDS: f64 = 1.0;
/// Connect times before they are known, and kept before old ones are given half the weight.
const KNOWN: u64 = 100;
const KEPT: u64 = 65_536;

/// The connect times of a pool, lately.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Patience {
    times: Histogram,
    count: u64,
    /// Whose turn it is: one member a tick is enough, and cheap.
    turn: usize,
}

impl Patience {
    /// The one of so many members that is looked at in this tick.
    pub(in crate::detect) fn next(&mut self, members: usize) -> usize {
        self.turn = self.turn.wrapping_add(1) % members.max(1);
        self.turn
    }

    /// Takes in what a member did in a tick.
    pub(in crate::detect) fn add(&mut self, times: &Histogram, established: u64) {
        if established == 0 {
            return;
        }
        if self.count > KEPT {
            self.times.counts_mut().iter_mut().for_each(|count| *count /= 2);
            self.count /= 2;
        }
        for (sum, count) in self.times.counts_mut().iter_mut().zip(times.counts().iter()) {
            *sum = sum.saturating_add((*count).min(established)).min(KEPT * 4);
        }
        self.count = self.count.saturating_add(established.min(KEPT));
    }

    /// The age from which on a given-up attempt is the backend's, seconds; `unknown` where nothing was seen of connect
    /// times.
    pub(in crate::detect) fn boundary_seconds(&self, unknown: f64) -> f64 {
        if self.count < KNOWN {
            return unknown;
        }
        self.times
            .quantile(QUANTILE)
            .map_or(unknown, |usual| (LATE * usual).clamp(LEAST_SECONDS, MOST_SECONDS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_ebpf::histogram::bucket_of;

    fn answered(nanoseconds: u64) -> Patience {
        let mut times = Histogram::default();
        times.counts_mut()[bucket_of(nanoseconds) as usize] = 1000;
        let mut patience = Patience::default();
        patience.add(&times, 1000);
        patience
    }

    #[test]
    fn a_backend_next_door_is_silent_after_a_moment_and_one_far_away_after_its_round_trip() {
        assert!((answered(300_000).boundary_seconds(0.25) - LEAST_SECONDS).abs() < 1e-9);
        let far = answered(80_000_000).boundary_seconds(0.25);
        assert!((0.3..0.45).contains(&far), "{far}");
        assert!((answered(900_000_000).boundary_seconds(0.25) - MOST_SECONDS).abs() < 1e-9);
    }

    #[test]
    fn where_nothing_was_answered_yet_it_is_not_known() {
        assert!((Patience::default().boundary_seconds(0.25) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn any_counts_are_borne() {
        let mut patience = Patience::default();
        let times = Histogram::from(&[u64::MAX; tracer_ebpf::histogram::BUCKETS]);
        (0..100).for_each(|_| patience.add(&times, u64::MAX));
        assert!(patience.boundary_seconds(0.25).is_finite());
    }
}
