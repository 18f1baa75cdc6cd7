use super::*;
use crate::agent::Judged;
use crate::alerts::Figures;
use crate::collect::{Counters, Other, Stock, Uncounted};
use crate::detect::{Assessment, MemberAssessment, Signal, Verdict};
use crate::kernel::{Intent, Outcome, ProgramReport};
use crate::outputs::escape::for_terminal;
use crate::outputs::{CheckReport, Latest, Own};
use crate::pools::{
    Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample, Recorded,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) fn backend(number: u8) -> SocketAddr {
    ([10, 0, 0, number], 80).into()
}

fn member(number: u8, attempts: u64) -> MemberSample {
    let mut delta = Counters { attempts, established: attempts, closed: attempts, ..Counters::default() };
    delta.connect_time.counts_mut()[5] = attempts;
    MemberSample {
        backend: backend(number),
        weight: Some(1.0),
        decisions: attempts,
        requests: None,
        total: delta.clone(),
        delta,
        stock: Some(Stock { live: 2, ..Stock::default() }),
        exchanges: Exchanges::default(),
        total_exchanges: Exchanges::default(),
        recorded: Recorded::default(),
        origin: Origin::Unknown,
    }
}

/// A pool with these members, each with its attempts in the interval.
pub(crate) fn pool(name: &str, balancer: &str, members: &[(u8, u64)]) -> Judged {
    let members: Vec<_> = members.iter().map(|(number, attempts)| member(*number, *attempts)).collect();
    let found = members.iter().map(|member| MemberAssessment {
        backend: member.backend,
        finding: None,
        expected_share: Some(0.5),
        observed_share: Some(0.25),
        share_interval: Some([0.2, 0.3]),
    });
    let assessment = Assessment {
        verdict: Verdict::Skewed,
        findings: vec![Verdict::Skewed],
        summary: "uneven".into(),
        since_seconds: None,
        since_start: false,
        evidence: 41.5,
        needed: None,
        signal: Signal::Connections,
        members: found.collect(),
    };
    let pool = PoolIdentity {
        name: name.into(),
        balancer: Some(balancer.into()),
        source: "pools.toml:1".into(),
        expected_source: ExpectedSource::Declared,
        method: Method::RoundRobin,
        vouched: true,
        asked: true,
    };
    let sample = PoolSample { pool, interval_seconds: 1.0, members, judged: true, note: None };
    Judged { sample, assessment: Some(assessment) }
}

/// What is latest after one interval with these pools.
pub(crate) fn latest(pools: Vec<Judged>) -> Latest {
    let mut ledger = Ledger::new(100);
    ledger.take(&pools, None);
    let uncounted = Uncounted { backends: 1, connections: 9, memory: 2, limit: 3, ..Uncounted::default() };
    let works = ProgramReport {
        name: "lifecycle",
        intent: Intent::Required,
        outcome: Outcome::Works,
        notes: Vec::new(),
        verified_instructions: None,
    };
    Latest {
        time_seconds: 1_767_225_600.0,
        report: CheckReport {
            host: Some("lb1".into()),
            started_seconds: Some(1_767_225_599.0),
            duration_seconds: 1.0,
            pools,
            unmatched: Vec::new(),
            other: None,
            uncounted: Some(uncounted),
        },
        ledger,
        own: Own {
            programs: vec![works],
            run_seconds: vec![("lifecycle", 0.25)],
            tick_lag_seconds: 0.001,
            history: None,
            alerts: vec![Figures {
                alertmanager: "http://am:9093".into(),
                sent: 5,
                failed: 2,
                dropped: 1,
                waiting: 3,
            }],
        },
    }
}

/// Every sample: its name with labels, and its value. Fails on what is none.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let before = samples.insert(series.to_owned(), value.parse().unwrap());
        assert_eq!(before, None, "one series of a kind: {series}");
    }
    samples
}

fn text(latest: Latest) -> String {
    render(Arc::new(latest), Form::OpenMetrics).unwrap()
}

#[test]
fn names_and_labels_are_a_contract() {
    let text = text(latest(vec![pool("app", "nginx", &[(1, 3)])]));
    let shown: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("# HELP") && !line.contains("other") && !line.contains("_bucket"))
        .collect();
    let expected = "\
# TYPE tracer_connection_attempts counter
tracer_connection_attempts_total{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"} 3
# TYPE tracer_connections_established counter
tracer_connections_established_total{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"} 3
# TYPE tracer_connections_closed counter
tracer_connections_closed_total{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"} 3
# TYPE tracer_sent_bytes counter
# UNIT tracer_sent_bytes bytes
tracer_sent_bytes_total{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"} 0
# TYPE tracer_received_bytes counter
# UNIT tracer_received_bytes bytes
tracer_received_bytes_total{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"} 0
# TYPE tracer_retransmits counter
tracer_retransmits_total{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"} 0
# TYPE tracer_exchanges counter
# TYPE tracer_connection_failures counter
tracer_connection_failures_total{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\",cause=\"refused\"} 0
tracer_connection_failures_total{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\",cause=\"timed_out\"} 0
tracer_connection_failures_total{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\",cause=\"unreachable\"} 0
tracer_connection_failures_total{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\",cause=\"cancelled\"} 0
tracer_connection_failures_total{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\",cause=\"local\"} 0
# TYPE tracer_connections_live gauge
tracer_connections_live{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"} 2.0
# TYPE tracer_expected_share gauge
tracer_expected_share{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"} 0.5
# TYPE tracer_observed_share gauge
tracer_observed_share{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"} 0.25
# TYPE tracer_connect_duration_seconds histogram
# UNIT tracer_connect_duration_seconds seconds
tracer_connect_duration_seconds_sum{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"} 0.000221184
tracer_connect_duration_seconds_count{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"} 3
# TYPE tracer_response_duration_seconds histogram
# UNIT tracer_response_duration_seconds seconds
# TYPE tracer_pool_verdict gauge
tracer_pool_verdict{pool=\"app\",balancer=\"nginx\",verdict=\"pool-failing\"} 0.0
tracer_pool_verdict{pool=\"app\",balancer=\"nginx\",verdict=\"backend-failing\"} 0.0
tracer_pool_verdict{pool=\"app\",balancer=\"nginx\",verdict=\"member-missing\"} 0.0
tracer_pool_verdict{pool=\"app\",balancer=\"nginx\",verdict=\"unexpected-backend\"} 0.0
tracer_pool_verdict{pool=\"app\",balancer=\"nginx\",verdict=\"skewed\"} 1.0
tracer_pool_verdict{pool=\"app\",balancer=\"nginx\",verdict=\"pool-slow\"} 0.0
tracer_pool_verdict{pool=\"app\",balancer=\"nginx\",verdict=\"backend-slow\"} 0.0
tracer_pool_verdict{pool=\"app\",balancer=\"nginx\",verdict=\"uneven-weights\"} 0.0
tracer_pool_verdict{pool=\"app\",balancer=\"nginx\",verdict=\"balanced\"} 0.0
tracer_pool_verdict{pool=\"app\",balancer=\"nginx\",verdict=\"insufficient-evidence\"} 0.0
# TYPE tracer_pool_evidence gauge
tracer_pool_evidence{pool=\"app\",balancer=\"nginx\"} 41.5
# TYPE tracer_pool info
tracer_pool_info{expected_source=\"declared\",method=\"round-robin\",pool=\"app\",balancer=\"nginx\"} 1
# TYPE tracer_uncounted_connections counter
tracer_uncounted_connections_total{reason=\"backends\"} 1
tracer_uncounted_connections_total{reason=\"memory\"} 2
tracer_uncounted_connections_total{reason=\"limit\"} 3
tracer_uncounted_connections_total{reason=\"undecided\"} 0
tracer_uncounted_connections_total{reason=\"recursion_misses\"} 0
tracer_uncounted_connections_total{reason=\"outlived\"} 4
# TYPE tracer_program_run_seconds counter
# UNIT tracer_program_run_seconds seconds
tracer_program_run_seconds_total{program=\"lifecycle\"} 0.25
# TYPE tracer_programs gauge
tracer_programs{state=\"works\"} 1.0
tracer_programs{state=\"refused\"} 0.0
tracer_programs{state=\"not-tried\"} 0.0
# TYPE tracer_alerts_sent counter
tracer_alerts_sent_total{alertmanager=\"http://am:9093\"} 5
# TYPE tracer_alerts_failed counter
tracer_alerts_failed_total{alertmanager=\"http://am:9093\"} 2
# TYPE tracer_alerts_dropped counter
tracer_alerts_dropped_total{alertmanager=\"http://am:9093\"} 1
# TYPE tracer_alerts_waiting gauge
tracer_alerts_waiting{alertmanager=\"http://am:9093\"} 3.0
# TYPE tracer_tick_lag_seconds gauge
# UNIT tracer_tick_lag_seconds seconds
tracer_tick_lag_seconds 0.001
# TYPE tracer_build info
";
    assert_eq!(shown.join("\n").replace(env!("CARGO_PKG_VERSION"), "VERSION"), {
        expected.to_owned() + "tracer_build_info{version=\"VERSION\"} 1\n# EOF"
    });
}

#[test]
fn buckets_are_cumulative_and_end_with_all() {
    let mut slow = pool("app", "nginx", &[(1, 3)]);
    slow.sample.members[0].delta.connect_time.counts_mut()[80] = 4;
    let samples = samples(&text(latest(vec![slow])));
    let bucket = |le: &str| {
        let labels = format!("le=\"{le}\",pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"");
        samples[&format!("tracer_connect_duration_seconds_bucket{{{labels}}}")]
    };
    assert_eq!([bucket("0.000131072"), bucket("8.589934592"), bucket("34.359738368")], [3.0, 3.0, 7.0]);
    assert_eq!(bucket("+Inf"), 7.0);
}

#[test]
fn what_was_not_measured_is_absent_and_not_zero() {
    let mut unknown = pool("app", "nginx", &[(1, 3)]);
    unknown.sample.members[0].stock = None;
    unknown.assessment = None;
    let text = text(latest(vec![unknown.clone()]));
    for name in ["connections_live{", "exchanges_total{", "response_duration_seconds_", "share{", "verdict{"]
    {
        assert!(!text.contains(&format!("tracer_{name}")) && !text.contains(name), "{name}");
    }
    let mut measured = unknown;
    let times = measured.sample.members[0].delta.connect_time.clone();
    measured.sample.members[0].exchanges = Exchanges { count: Some(3), response_time: Some(times) };
    let samples = samples(&self::text(latest(vec![measured])));
    let labels = "{pool=\"app\",balancer=\"nginx\",backend=\"10.0.0.1:80\"}";
    assert_eq!(samples[&format!("tracer_exchanges_total{labels}")], 3.0);
    assert_eq!(samples[&format!("tracer_response_duration_seconds_count{labels}")], 3.0);
}

#[test]
fn a_backend_that_goes_and_comes_again_goes_on_where_it_was() {
    let mut ledger = Ledger::new(2);
    let attempts = |ledger: &Ledger| -> Vec<(Option<SocketAddr>, u64)> {
        ledger.rows().map(|row| (row.backend, row.row.counted.attempts)).collect()
    };
    ledger.take(&[pool("app", "nginx", &[(1, 5), (2, 1)])], None);
    ledger.take(&[pool("app", "nginx", &[(2, 1)])], None);
    let gone = ledger.rows().next().unwrap();
    assert_eq!((gone.row.counted.attempts, gone.row.live, gone.row.observed_share), (5, None, None));
    ledger.take(&[pool("app", "nginx", &[(1, 2), (2, 1)])], None);
    assert_eq!(attempts(&ledger), [(Some(backend(1)), 7), (Some(backend(2)), 3), (None, 0)]);
}

#[test]
fn who_has_no_room_counts_with_the_rest_and_who_is_gone_for_longest_makes_it() {
    let mut ledger = Ledger::new(2);
    let rows = |ledger: &Ledger| -> Vec<(Option<SocketAddr>, u64, Option<u64>)> {
        ledger.rows().map(|row| (row.backend, row.row.counted.attempts, row.row.live)).collect()
    };
    ledger.take(&[pool("app", "nginx", &[(1, 5), (2, 1), (3, 7), (4, 1)])], None);
    let others = [(Some(backend(1)), 5, Some(2)), (Some(backend(2)), 1, Some(2)), (None, 8, Some(4))];
    assert_eq!(rows(&ledger), others);
    ledger.take(&[pool("app", "nginx", &[(2, 1)])], None);
    ledger.take(&[pool("app", "nginx", &[(2, 1), (3, 1)])], None);
    let room = [(Some(backend(2)), 3, Some(2)), (Some(backend(3)), 1, Some(2)), (None, 13, None)];
    assert_eq!(rows(&ledger), room);
}

#[test]
fn what_the_table_of_backends_had_no_room_for_is_in_the_rest_once() {
    let mut ledger = Ledger::new(9);
    let moved = Counters { attempts: 100, ..Counters::default() };
    let other = Other {
        total: moved,
        delta: Counters { attempts: 2, ..Counters::default() },
        exchanges: false,
        stock: Some(Stock { live: 1, ..Stock::default() }),
    };
    ledger.take(&[pool("app", "nginx", &[(1, 5)])], Some(&other));
    ledger.take(&[pool("app", "nginx", &[(1, 5)])], Some(&other));
    let rest = ledger.rows().last().unwrap().row;
    assert_eq!((rest.counted.attempts, rest.live), (4, Some(1)), "what moved was counted by its row");
}

proptest! {
    #[test]
    fn sums_are_what_happened_whoever_comes_and_goes(
        most in 1..4_usize,
        intervals in prop::collection::vec(prop::collection::btree_map(1..8_u8, 0..9_u64, 0..8), 1..30),
    ) {
        let mut ledger = Ledger::new(most);
        let mut happened = 0;
        let mut rest = 0;
        for interval in intervals {
            let members: Vec<_> = interval.into_iter().collect();
            happened += members.iter().map(|(_, attempts)| attempts).sum::<u64>();
            ledger.take(&[pool("app", "nginx", &members)], None);
            let sum: u64 = ledger.rows().map(|row| row.row.counted.attempts).sum();
            prop_assert_eq!(sum, happened);
            prop_assert!(ledger.rows().count() <= most + 1);
            let now = ledger.rows().last().unwrap().row.counted.attempts;
            prop_assert!(now >= rest, "the rest only grows");
            rest = now;
        }
    }

    #[test]
    fn hostile_names_stay_within_their_quotes(name in any::<String>(), balancer in "[\"\\\\\n{}#=, a\u{1b}]*") {
        let latest = Arc::new(latest(vec![pool(&name, &balancer, &[(1, 3)])]));
        for form in [Form::OpenMetrics, Form::Older] {
            let text = render(Arc::clone(&latest), form).unwrap();
            prop_assert!(!text.chars().any(|character| character.is_control() && character != '\n'));
            let escaped = |text: &str| {
                for_terminal(text).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
            };
            let series = format!(
                "tracer_connection_attempts_total{{pool=\"{}\",balancer=\"{}\",backend=\"10.0.0.1:80\"}}",
                escaped(&name),
                escaped(&balancer),
            );
            prop_assert_eq!(samples(&text).get(&series).copied(), Some(3.0));
        }
    }
}

#[test]
fn pools_whose_names_are_shown_alike_are_one_series() {
    let raw = pool("a\u{1b}", "nginx", &[(1, 3)]);
    let literal = pool("a\\u{1b}", "nginx", &[(1, 4)]);
    let samples = samples(&text(latest(vec![raw, literal])));
    let labels = "{pool=\"a\\\\u{1b}\",balancer=\"nginx\",backend=\"10.0.0.1:80\"}";
    assert_eq!(samples[&format!("tracer_connection_attempts_total{labels}")], 7.0);
}
