use super::{check_json, event_json, event_text};
use crate::agent::Judged;
use crate::chronicle::{Cause, Event, PoolName, PoolsChanged, What};
use crate::collect::{Counters, Histogram, Uncounted};
use crate::detect::{Assessment, Finding, MemberAssessment, Signal, Verdict};
use crate::outputs::{CheckReport, check_text};
use crate::pools::{
    Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample, Recorded,
};
use serde_json::{Value, json};

fn skewed(name: &str) -> Judged {
    let backend = "10.0.0.11:8080".parse().unwrap();
    let total = Counters { attempts: 10, established: 9, closed: 8, ..Counters::default() };
    Judged {
        sample: PoolSample {
            pool: PoolIdentity {
                name: name.into(),
                balancer: Some("nginx".into()),
                source: "pools.toml:1".into(),
                expected_source: ExpectedSource::Declared,
                method: Method::RoundRobin,
                vouched: true,
                asked: true,
            },
            interval_seconds: 1.0,
            members: vec![MemberSample {
                backend,
                weight: Some(1.0),
                decisions: 1,
                requests: None,
                delta: Counters::default(),
                total,
                stock: None,
                exchanges: Exchanges::default(),
                total_exchanges: Exchanges::default(),
                recorded: Recorded::default(),
                origin: Origin::Unknown,
            }],
            judged: true,
            note: None,
        },
        assessment: Some(Assessment {
            verdict: Verdict::Skewed,
            findings: vec![Verdict::Skewed],
            summary: "10.0.0.11:8080 gets 76.9 % of new connections, declared 25.0 %".into(),
            since_seconds: Some(1_767_225_603.0),
            since_start: false,
            evidence: 41.7,
            needed: None,
            signal: Signal::Connections,
            members: vec![MemberAssessment {
                backend,
                finding: Some(Finding::Over),
                expected_share: Some(0.25),
                observed_share: Some(0.769),
                share_interval: Some([0.751, 0.786]),
            }],
        }),
    }
}

fn verdict(name: &str, previous: Option<Verdict>) -> Event {
    let Judged { sample, assessment } = skewed(name);
    at(What::Verdict { sample: Box::new(sample), assessment: Box::new(assessment.unwrap()), previous })
}

fn at(what: What) -> Event {
    Event { time_seconds: 1_767_225_607.9, what }
}

fn parsed(event: &Event) -> Value {
    let line = event_json(event).unwrap();
    assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?}");
    serde_json::from_str(&line).unwrap()
}

#[test]
fn a_verdict_holds_the_pool_as_check_gives_it() {
    let event = parsed(&verdict("app", Some(Verdict::Balanced)));
    let report = CheckReport {
        host: Some("lb1".into()),
        started_seconds: Some(0.0),
        duration_seconds: 1.0,
        pools: vec![skewed("app")],
        unmatched: Vec::new(),
        other: None,
        uncounted: Some(Uncounted::default()),
    };
    let check: Value = serde_json::from_str(&check_json(&report).unwrap()).unwrap();
    let expected = json!({
        "schema": "tracer.event/1", "time": "2026-01-01T00:00:07Z", "event": "verdict", "pool": "app",
        "balancer": "nginx", "verdict": "skewed", "previous": "balanced",
        "summary": "10.0.0.11:8080 gets 76.9 % of new connections, declared 25.0 %", "check": check["pools"][0],
    });
    assert_eq!(event, expected);
    assert!(parsed(&verdict("app", None))["previous"].is_null());
}

#[test]
fn every_event_has_its_fields() {
    let tracing = at(What::Tracing { host: "lb1".into(), declared_pools: 2 });
    let version = env!("CARGO_PKG_VERSION");
    let event = parsed(&tracing);
    assert_eq!(
        event,
        json!({"schema": "tracer.event/1", "time": "2026-01-01T00:00:07Z", "event": "tracing", "host": "lb1",
            "version": version, "declared_pools": 2})
    );
    let name = PoolName { pool: "app".into(), balancer: None };
    let change = PoolsChanged { added: vec![name], ..PoolsChanged::by(Cause::PoolsFile) };
    let event = parsed(&at(What::PoolsChanged(change)));
    assert_eq!((&event["event"], &event["cause"]), (&json!("pools-changed"), &json!("pools-file")));
    assert_eq!(event["added"], json!([{"pool": "app", "balancer": null}]));
    assert_eq!([&event["removed"], &event["changed"], &event["needs_restart"]], [&json!([]); 3]);
    assert!(event["error"].is_null() && event["selection_changed"] == false);
    let uncounted = Uncounted { recursion_misses: 7, ..Uncounted::default() };
    let event = parsed(&at(What::Uncounted { total: uncounted, grew: vec!["recursion_misses"] }));
    assert_eq!((&event["event"], &event["grew"]), (&json!("uncounted"), &json!(["recursion_misses"])));
    assert_eq!(event["uncounted"], serde_json::to_value(uncounted).unwrap());
    let event = parsed(&stopping());
    assert_eq!((&event["event"], &event["reason"]), (&json!("stopping"), &json!("SIGTERM")));
    assert_eq!(event["totals"], json!({"attempts": 20, "established": 18, "failed": 0, "closed": 16}));
    assert_eq!((&event["duration_seconds"], event["pools"].as_array().unwrap().len()), (&json!(12.346), 1));
}

/// With a pool that is judged, and one that is not.
fn stopping() -> Event {
    let listed = Judged { assessment: None, ..skewed("curl") };
    at(What::Stopping {
        reason: "SIGTERM",
        duration_seconds: 12.345_6,
        pools: vec![skewed("app"), listed],
        other: None,
        uncounted: Some(Uncounted::default()),
    })
}

#[test]
fn a_finding_that_has_cleared_is_no_longer() {
    let mut cleared = verdict("app", Some(Verdict::Skewed));
    if let What::Verdict { assessment, .. } = &mut cleared.what {
        assessment.verdict = Verdict::InsufficientEvidence;
    }
    assert!(event_text(&cleared).contains("app by nginx: INSUFFICIENT-EVIDENCE (no longer skewed): "));
}

#[test]
fn lines_for_people() {
    let reload = |change: PoolsChanged| event_text(&at(What::PoolsChanged(change)));
    let name = |pool: &str| PoolName { pool: pool.into(), balancer: Some("nginx".into()) };
    let lines = [
        event_text(&at(What::Tracing { host: "lb1".into(), declared_pools: 1 })),
        event_text(&verdict("app", None)),
        event_text(&verdict("app", Some(Verdict::Balanced))),
        reload(PoolsChanged {
            added: vec![name("a"), name("b")],
            changed: vec![name("c")],
            needs_restart: vec!["json"],
            ..PoolsChanged::by(Cause::Reload)
        }),
        reload(PoolsChanged::by(Cause::Reload)),
        reload(PoolsChanged {
            errors: vec!["x:1:1: bad".into(), "x:2:1: bad".into()],
            ..PoolsChanged::by(Cause::Names)
        }),
        event_text(&stopping()),
    ];
    let sentence = "10.0.0.11:8080 gets 76.9 % of new connections, declared 25.0 %";
    let expected = [
        format!("tracing: tracer {} on lb1, 1 pool declared", env!("CARGO_PKG_VERSION")),
        format!("app by nginx: SKEWED: {sentence}"),
        format!("app by nginx: SKEWED (was balanced): {sentence}"),
        "configuration read again: added a by nginx, b by nginx; changed c by nginx; takes a restart: json"
            .into(),
        "configuration read again: no change".into(),
        "pools stay as they were: x:1:1: bad; x:2:1: bad".into(),
        "stopping: SIGTERM after 12 s; 20 connections in 2 pools, 18 established, 0 failed".into(),
    ];
    assert_eq!(lines, expected.map(|line| format!("2026-01-01T00:00:07Z {line}\n")));
}

#[test]
fn names_steer_no_terminal_and_break_no_line() {
    let name = "a\u{1b}[31m\n\u{202e}b\u{9b}";
    assert_eq!(parsed(&verdict(name, None))["pool"], name);
    for line in [event_json(&verdict(name, None)).unwrap(), event_text(&verdict(name, None))] {
        let body = line.strip_suffix('\n').unwrap();
        assert!(!body.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
    }
}

/// A found declaration has many pools that nobody uses now: a person sees their names, a program everything.
#[test]
fn pools_that_were_found_and_are_idle_take_one_line_of_text() {
    let idle = |number: usize| {
        let mut pool = skewed(&format!("idle{number}"));
        pool.sample.pool.asked = false;
        pool.sample.members[0].total = Counters::default();
        pool
    };
    let report = |pools: Vec<Judged>| CheckReport {
        host: None,
        started_seconds: None,
        duration_seconds: 1.0,
        pools,
        unmatched: Vec::new(),
        other: None,
        uncounted: None,
    };
    let mut busy = skewed("busy");
    busy.sample.pool.asked = false;
    let mixed = report(vec![idle(1), busy, idle(2)]);
    let text = check_text(&mixed);
    assert!(text.starts_with("busy by nginx"), "{text}");
    assert!(text.ends_with("\n\ndeclared, without traffic: idle1, idle2\n"), "{text}");
    let json: Value = serde_json::from_str(&check_json(&mixed).unwrap()).unwrap();
    assert_eq!(json["pools"].as_array().map(Vec::len), Some(3));
    let many = check_text(&report((0..12).map(idle).collect()));
    assert!(many.starts_with("none of the declared pools gets traffic\n"), "{many}");
    assert!(many.ends_with("idle8, idle9 and 2 more (--json has all)\n"), "{many}");
}

/// What was measured is shown, with what it means; nothing stands for what was not.
#[test]
fn exchanges_are_columns_where_they_were_measured() {
    let report = |pools: Vec<Judged>| CheckReport {
        host: None,
        started_seconds: None,
        duration_seconds: 1.0,
        pools,
        unmatched: Vec::new(),
        other: None,
        uncounted: None,
    };
    let text = check_text(&report(vec![skewed("app")]));
    assert!(!text.contains("exchanges") && !text.contains("response"), "{text}");
    let mut measured = skewed("app");
    let mut times = Histogram::default();
    times.counts_mut()[tracer_ebpf::histogram::bucket_of(51_000_000) as usize] = 600;
    measured.sample.members[0].total_exchanges = Exchanges { count: Some(600), response_time: Some(times) };
    let text = check_text(&report(vec![measured, skewed("other")]));
    let lines: Vec<&str> = text.lines().collect();
    let header = lines.iter().find(|line| line.contains("backend")).unwrap();
    assert!(header.ends_with("exchanges  response p50/p99"), "{text}");
    assert!(text.contains("600       55 ms/59 ms\n"), "{text}");
    assert_eq!(text.matches("response p50/p99").count(), 1, "the other pool's were not: {text}");
    assert_eq!(text.matches("several at once on a connection").count(), 1, "{text}");
}
