//! What each member got before, during and after.

use super::material::{Point, Series, Span};
use super::stamp::Time;
use crate::collect::Failures;
use crate::detect::Signal;
use serde::{Serialize, Serializer};

/// A part of the time that the report is of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase {
    /// `before`, `during`, `after` or `whole`.
    pub name: &'static str,
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// How much of it was counted, seconds; less than its length where there is a gap.
    pub counted_seconds: f64,
}

impl Phase {
    /// From `from` to `to`, seconds since the epoch, of which `counted` was counted. `None` when it has no length.
    pub(super) fn new(name: &'static str, from: f64, to: f64, counted: &[Span]) -> Option<Self> {
        let overlap = |span: &Span| (span.to_seconds.min(to) - span.from_seconds.max(from)).max(0.0);
        let counted_seconds: f64 = counted.iter().map(overlap).sum();
        (to > from).then(|| Self {
            name,
            from: Time(from),
            to: Time(to),
            counted_seconds: (counted_seconds * 1e3).round() / 1e3,
        })
    }

    /// Whether a point ends in it; what reaches over the end of the report's time, `until_seconds`, ends with that.
    fn holds(&self, point: &Point, until_seconds: f64) -> bool {
        let end_seconds = point.end_seconds.min(until_seconds);
        end_seconds > self.from.0 && end_seconds <= self.to.0
    }
}

/// What a member got in a phase. What was not measured is `null`, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Its share of the pool's signal, 0 to 1.
    pub share: Option<f64>,
    /// The share that it should have got, at the phase's end.
    pub expected_share: Option<f64>,
    /// Sockets that entered SYN_SENT.
    pub attempts: Option<u64>,
    /// Of these, without health checks.
    pub decisions: Option<u64>,
    /// Attempts that were established.
    pub established: Option<u64>,
    /// Attempts that failed, by cause.
    #[serde(serialize_with = "by_cause")]
    pub failed: Option<Failures>,
    /// Present connections: the mean over the time.
    pub live: Option<f64>,
    /// Connections that ended.
    pub closed: Option<u64>,
    /// Closed by an RST from the backend.
    pub resets: Option<u64>,
    /// Closed by an RST from the backend before it had sent a byte.
    pub resets_without_data: Option<u64>,
    /// Connections that ended without payload.
    pub probes: Option<u64>,
    /// Payload bytes to the backend.
    pub sent_bytes: Option<u64>,
    /// Payload bytes from it.
    pub received_bytes: Option<u64>,
    /// Segments sent again.
    pub retransmits: Option<u64>,
    /// Requests with their responses.
    pub exchanges: Option<u64>,
    /// Response times below which half of them, and 99 of 100, lie; seconds.
    pub response_seconds: Option<[f64; 2]>,
    /// What its share is computed from.
    #[serde(skip)]
    amount: Option<f64>,
}

fn by_cause<S: Serializer>(failed: &Option<Failures>, serializer: S) -> Result<S::Ok, S::Error> {
    match failed {
        Some(failed) => serializer.collect_map(failed.by_cause()),
        None => serializer.serialize_none(),
    }
}

/// The figures of every series of a pool in a phase, in their order; shares are of `signal`. The report's time ends at
/// `until_seconds`.
pub(super) fn figures(series: &[&Series], phase: &Phase, signal: Signal, until_seconds: f64) -> Vec<Figures> {
    let of_member = |series: &&Series| of_member(series, phase, signal, until_seconds);
    let mut all: Vec<Figures> = series.iter().map(of_member).collect();
    let sum = all.iter().try_fold(0.0, |sum, one| Some(sum + one.amount?));
    if let Some(sum) = sum.filter(|sum| *sum > 0.0) {
        for one in &mut all {
            one.share = one.amount.map(|amount| rounded(amount / sum));
        }
    }
    all
}

fn of_member(series: &Series, phase: &Phase, signal: Signal, until_seconds: f64) -> Figures {
    let mut points = series.points.iter().filter(|point| phase.holds(point, until_seconds));
    let Some(first) = points.next() else { return Figures::default() };
    let mut sum = first.clone();
    points.for_each(|point| sum.add(point));
    let quantile =
        |quantile| sum.response.as_ref()?.quantile(quantile).map(|time| (time * 1e6).round() / 1e6);
    let counts = &sum.counts;
    Figures {
        share: None,
        expected_share: sum.expected_share.map(rounded),
        attempts: counts.attempts,
        decisions: counts.decisions,
        established: counts.established,
        failed: counts.failed,
        live: sum.live.map(|live| (live * 10.0).round() / 10.0),
        closed: counts.closed,
        resets: counts.resets,
        resets_without_data: counts.resets_without_data,
        probes: counts.probes,
        sent_bytes: counts.sent_bytes,
        received_bytes: counts.received_bytes,
        retransmits: counts.retransmits,
        exchanges: counts.exchanges,
        response_seconds: quantile(0.5).zip(quantile(0.99)).map(|(half, most)| [half, most]),
        amount: amount(&sum, signal),
    }
}

/// What shares of the signal are computed from.
pub(super) fn amount(point: &Point, signal: Signal) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let float = |count: u64| count as f64;
    match signal {
        Signal::Connections => point.counts.decisions.map(float),
        Signal::Exchanges => point.counts.requests.map(float),
        Signal::Live => point.live,
    }
}

fn rounded(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::super::material::Counts;
    use super::*;
    use crate::chronicle::PoolName;

    fn series(backend: u8, points: &[(f64, Option<u64>)]) -> Series {
        let point = |&(end_seconds, decisions): &(f64, Option<u64>)| Point {
            end_seconds,
            length_seconds: 1.0,
            counts: Counts { decisions, attempts: decisions, ..Counts::default() },
            live: None,
            expected_share: Some(0.5),
            response: None,
        };
        Series {
            pool: PoolName { pool: "app".into(), balancer: None },
            backend: ([10, 0, 0, backend], 80).into(),
            points: points.iter().map(point).collect(),
        }
    }

    #[test]
    fn a_phase_takes_what_ends_in_it_and_shares_add_up() {
        let one = series(1, &[(1.0, Some(10)), (2.0, Some(30)), (3.0, Some(50))]);
        let other = series(2, &[(1.0, Some(10)), (2.0, Some(10)), (3.0, Some(10))]);
        let counted = [Span { from_seconds: 0.0, to_seconds: 2.5 }];
        let phase = Phase::new("during", 1.0, 3.0, &counted).unwrap();
        let found = figures(&[&one, &other], &phase, Signal::Connections, 9.0);
        assert_eq!((found[0].attempts, found[1].attempts), (Some(80), Some(20)));
        assert_eq!((found[0].share, found[1].share), (Some(0.8), Some(0.2)));
        assert!((phase.counted_seconds - 1.5).abs() < 1e-9, "half a second is a gap");
        assert_eq!(found[0].failed, None, "not measured");
        let last = figures(
            &[&one, &other],
            &Phase::new("after", 1.0, 2.6, &counted).unwrap(),
            Signal::Connections,
            2.6,
        );
        assert_eq!(
            last[0].attempts,
            Some(80),
            "what reaches over the end of the report is in its last phase"
        );
    }

    #[test]
    fn where_a_member_is_not_known_no_share_is() {
        let one = series(1, &[(1.0, Some(10))]);
        let other = series(2, &[(1.0, None)]);
        let phase = Phase::new("before", 0.0, 1.0, &[]).unwrap();
        let found = figures(&[&one, &other], &phase, Signal::Connections, 9.0);
        assert_eq!((found[0].share, found[1].share, found[1].attempts), (None, None, None));
        assert_eq!(Phase::new("after", 5.0, 5.0, &[]), None, "no time");
    }
}
