//! A host whose backends are all busy: what its pools do in an interval.

use std::net::{Ipv4Addr, SocketAddr};
use tracer::agent::Judged;
use tracer::chronicle::{Event, What};
use tracer::collect::{Counters, Histogram, Stock};
use tracer::detect::{Assessment, MemberAssessment, Signal, Verdict};
use tracer::pools::{
    Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample, Recorded,
};
use tracer::recording::Interval;

/// Members of a pool.
const MEMBERS: u16 = 50;
/// Connections of a backend in an interval, about.
const CONNECTIONS: u64 = 130;
/// Intervals that are unlike; then they come again.
const KINDS: u64 = 32;
/// A pool's verdict changes so often, intervals: three times a day.
const CHANGES: u64 = 2_880;

/// What it does, made once.
pub(super) struct Host {
    kinds: Vec<Vec<Judged>>,
}

impl Host {
    pub(super) fn with(backends: u16) -> Self {
        let pools =
            |kind| (0..backends).step_by(MEMBERS.into()).map(move |first| pool(kind, first, backends));
        Self { kinds: (0..KINDS).map(|kind| pools(kind).collect()).collect() }
    }

    /// An interval by its number, and what is told of it.
    pub(super) fn interval(
        &self,
        number: u64,
        time_seconds: f64,
        interval_seconds: f64,
    ) -> (Interval<Judged>, Vec<Event>) {
        let pools = self.kinds[usize::try_from(number % KINDS).unwrap_or(0)].clone();
        let told = pools.first().filter(|_| number.is_multiple_of(CHANGES)).and_then(|pool| {
            let (sample, assessment) = (Box::new(pool.sample.clone()), Box::new(pool.assessment.clone()?));
            let what = What::Verdict { sample, assessment, previous: Some(Verdict::Balanced) };
            Some(Event { time_seconds, what })
        });
        let interval = Interval { time_seconds, interval_seconds, pools, other: None, uncounted: None };
        (interval, told.into_iter().collect())
    }
}

fn pool(kind: u64, first: u16, backends: u16) -> Judged {
    let numbers = first..(first + MEMBERS).min(backends);
    let count = f64::from(u16::try_from(numbers.len()).unwrap_or(1));
    let members: Vec<MemberSample> = numbers.map(|number| member(kind, number)).collect();
    let found = members.iter().map(|member| MemberAssessment {
        backend: member.backend,
        finding: None,
        expected_share: Some(1.0 / count),
        observed_share: Some(1.1 / count),
        share_interval: Some([0.9 / count, 1.3 / count]),
    });
    let assessment = Assessment {
        verdict: Verdict::Skewed,
        findings: vec![Verdict::Skewed],
        summary: "10.0.0.1:8080 gets 3.0 % of new connections, declared 2.0 %".into(),
        since_seconds: None,
        since_start: false,
        evidence: 41.5,
        needed: None,
        signal: Signal::Connections,
        members: found.collect(),
    };
    let pool = PoolIdentity {
        name: format!("pool-{}", first / MEMBERS),
        balancer: Some("nginx".into()),
        source: "nginx.conf:12".into(),
        expected_source: ExpectedSource::Declared,
        method: Method::RoundRobin,
        vouched: true,
        asked: true,
    };
    let sample = PoolSample { pool, interval_seconds: 10.0, members, judged: true, note: None };
    Judged { sample, assessment: Some(assessment) }
}

fn member(kind: u64, number: u16) -> MemberSample {
    // Somewhat different each time, and the same in every run.
    let attempts = CONNECTIONS + (kind * 7 + u64::from(number) * 13) % 40;
    let delta = Counters {
        attempts,
        established: attempts,
        closed: attempts - kind % 3,
        sent_bytes: attempts * 411,
        received_bytes: attempts * 12_345,
        segments_sent: attempts * 6,
        segments_received: attempts * 7,
        exchanges: attempts,
        connect_time: durations(attempts, 8, &[10, 60, 25, 5]),
        response_time: durations(attempts, 24, &[2, 8, 30, 35, 15, 6, 3, 1]),
        lifetime: durations(attempts, 25, &[2, 8, 30, 35, 15, 6, 3, 1]),
        ..Counters::default()
    };
    let exchanges = Exchanges { count: Some(attempts), response_time: Some(delta.response_time.clone()) };
    let [high, low] = number.to_be_bytes();
    MemberSample {
        backend: SocketAddr::from((Ipv4Addr::new(10, 0, high, low), 8_080)),
        weight: Some(1.0),
        decisions: attempts,
        requests: Some(attempts),
        total: delta.clone(),
        delta,
        stock: Some(Stock { live: 3 + kind % 5, pending: 0, closing: 0, rtt_sum_us: 900 }),
        total_exchanges: exchanges.clone(),
        exchanges,
        recorded: Recorded::default(),
        origin: Origin::Written("nginx.conf:13".into()),
    }
}

/// So many durations, spread in parts of a hundred over buckets from the first on.
fn durations(count: u64, first: usize, parts: &[u64]) -> Histogram {
    let mut histogram = Histogram::default();
    for (place, part) in parts.iter().enumerate() {
        histogram.counts_mut()[first + place] = count * part / 100;
    }
    histogram
}
