//! Reports of material that is made up: gaps, several pools, names that somebody hostile chose.

use super::super::episodes::tests::change;
use super::super::{
    Change, Counts, Gatherer, Gone, Made, Material, MemberInForce, Point, PoolInForce, Range, Report, Run,
    html, json, markdown,
};
use crate::chronicle::PoolName;
use crate::collect::{Failures, Uncounted};
use crate::detect::Verdict;
use crate::pools::{ExpectedSource, Method};
use proptest::prelude::*;
use std::net::SocketAddr;

/// 2026-01-01T00:00:00Z
const BEGIN: f64 = 1_767_225_600.0;

fn backend(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 80))
}

fn pool(name: &str, balancer: &str) -> PoolName {
    PoolName { pool: name.into(), balancer: Some(balancer.into()) }
}

/// Twenty minutes of one pool: from the 5th to the 15th minute one of two members gets three of four connections; from the
/// 10th to the 12th nobody counted.
fn material(name: &str, balancer: &str, told: &str) -> Material {
    let range = Range { from_seconds: BEGIN, to_seconds: BEGIN + 1200.0 };
    let app = pool(name, balancer);
    let mut gatherer = Gatherer::new(range);
    for second in (1..=600).chain(721..=1200_u32) {
        let end_seconds = BEGIN + f64::from(second);
        gatherer.counted(end_seconds, 1.0);
        let wrong = (301..=900).contains(&second);
        for (number, got) in [(1, if wrong { 30 } else { 20 }), (2, if wrong { 10 } else { 20 })] {
            let counts = Counts {
                attempts: Some(got),
                decisions: Some(got),
                established: Some(got),
                failed: Some(Failures::default()),
                ..Counts::default()
            };
            let point = Point {
                end_seconds,
                length_seconds: 1.0,
                counts,
                live: None,
                expected_share: Some(0.5),
                response: None,
            };
            gatherer.add(&app, backend(number), point);
        }
    }
    let of_app = |mut change: Change| {
        change.pool = app.clone();
        change.summary = told.to_owned();
        change.check = serde_json::json!({
            "signal": "connections",
            "members": [{"backend": backend(1).to_string(), "finding": "over"}],
        });
        change
    };
    let (series, counted, intervals) = gatherer.finish();
    Material {
        made: Made::Then,
        host: Some(name.to_owned()),
        range,
        runs: vec![
            Run {
                start_seconds: BEGIN - 50.0,
                stop_seconds: Some(BEGIN + 600.5),
                reason: Some("SIGTERM".into()),
                version: Some("0.1.0".into()),
            },
            Run {
                start_seconds: BEGIN + 720.0,
                stop_seconds: None,
                reason: None,
                version: Some("0.1.0".into()),
            },
        ],
        changes: vec![
            of_app(change(name, BEGIN - 40.0, Verdict::Balanced, None)),
            of_app(change(name, BEGIN + 310.0, Verdict::Skewed, Some(BEGIN + 300.0))),
            of_app(change(name, BEGIN + 930.0, Verdict::Balanced, None)),
        ],
        pools: vec![PoolInForce {
            time_seconds: BEGIN - 50.0,
            pool: app.clone(),
            source: format!("{name}.conf:1"),
            expected_source: ExpectedSource::Declared,
            method: Method::RoundRobin,
            members: [1, 2]
                .map(|number| MemberInForce {
                    backend: backend(number),
                    weight: Some(1.0),
                    at: Some(format!("{name}.conf:{number}")),
                })
                .to_vec(),
        }],
        gone: Vec::new(),
        series,
        counted,
        intervals,
        uncounted: Some(Uncounted::default()),
        remarks: vec![told.to_owned()],
    }
}

#[test]
fn an_incident_ends_with_its_pool_and_the_timeline_says_so() {
    let mut material = material("app", "nginx", "10.0.0.1:80 gets too much");
    material.changes.truncate(2);
    let app = material.changes[0].pool.clone();
    material.gone = vec![Gone { time_seconds: BEGIN + 500.0, pool: app }];
    let again = PoolInForce { time_seconds: BEGIN + 800.0, ..material.pools[0].clone() };
    material.pools.push(again);
    let report = Report::of(material.clone()).unwrap();
    let incident = &report.incidents[0];
    assert_eq!((incident.cleared.map(|time| time.0), incident.pool_gone), (Some(BEGIN + 500.0), true));
    assert!((incident.seconds_lasted - 200.0).abs() < 1e-6);
    let expected: Vec<_> = incident
        .expected_changes
        .iter()
        .map(|change| (change.time.0 - BEGIN, change.text.as_str()))
        .collect();
    assert_eq!(expected, [(500.0, "the pool is gone"), (800.0, "the pool is there again (app.conf:1)")]);
    assert_eq!(incident.expected.as_ref().unwrap().since.0, BEGIN - 50.0);
    let text = markdown(&report);
    assert!(text.contains("The pool was gone at") && !text.contains("had not cleared at the end"), "{text}");
    // A pool whose balancer is seen for the first time is not gone under its name without one.
    material.gone[0].pool.balancer = None;
    material.gone[0].time_seconds = BEGIN + 799.5;
    let named = Report::of(material).unwrap();
    assert_eq!((named.incidents[0].cleared, named.incidents[0].expected_changes.len()), (None, 0));
}

#[test]
fn what_was_not_counted_is_a_gap_and_no_zero() {
    let report = Report::of(material("app", "nginx", "10.0.0.1:80 gets too much")).unwrap();
    let [gap] = report.gaps.as_slice() else { panic!("{:?}", report.gaps) };
    assert_eq!((gap.from.0, gap.to.0), (BEGIN + 600.0, BEGIN + 720.0));
    assert_eq!(gap.reason, "the tracer had ended: SIGTERM");
    let incident = &report.incidents[0];
    let during = &incident.phases[1];
    assert!((during.to.0 - during.from.0 - 630.0).abs() < 1e-6);
    assert!((during.counted_seconds - 510.0).abs() < 1e-6, "{during:?}");
    assert_eq!(incident.members[0].phases[1].attempts, Some(480 * 30 + 30 * 20));
    let times = incident.over_time.times.iter();
    assert!(times.clone().all(|time| time.0 <= gap.from.0 || time.0 >= gap.to.0), "no step in the gap");
    let text = markdown(&report);
    for words in [
        "10 min 30 s, of which 8 min 30 s was counted",
        "For 2 min of this time nothing was counted, and nothing is known of it:",
        "| 00:10:00 | not counted | for 2 min nothing was counted: the tracer had ended: SIGTERM |",
        "| 00:12:00 | tracer started | tracer 0.1.0 began to count |",
        "as they were told then",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(html(&report).contains("class=\"gap\""), "it is drawn");
}

#[test]
fn of_a_time_in_which_nobody_counted_there_is_no_report() {
    let mut nothing = material("app", "nginx", "");
    nothing.range = Range { from_seconds: BEGIN + 610.0, to_seconds: BEGIN + 700.0 };
    (nothing.intervals, nothing.counted, nothing.series) = (0, Vec::new(), Vec::new());
    let error = Report::of(nothing).unwrap_err();
    assert!(error.starts_with("nothing was counted between 2026-01-01 00:10:10 and 2026-01-01 00:11:40 UTC"));
}

#[test]
fn what_was_not_measured_is_a_dash_and_null() {
    let mut unmeasured = material("app", "nginx", "10.0.0.1:80 gets too much");
    for point in unmeasured.series.iter_mut().flat_map(|series| &mut series.points) {
        point.counts.failed = None;
    }
    unmeasured.uncounted = None;
    let report = Report::of(unmeasured).unwrap();
    let text = markdown(&report);
    assert!(text.contains("| `10.0.0.1:80` | **OVER** | — | — | — | — |"), "{text}");
    assert!(text.contains("Meanwhile there were 20400 connection attempts."), "{text}");
    assert!(text.contains("How much could not be counted where it belongs is not recorded."), "{text}");
    let json: serde_json::Value = serde_json::from_str(&json(&report).unwrap()).unwrap();
    let figures = &json["incidents"][0]["members"][0]["phases"][1];
    assert!(
        figures["failed"].is_null() && figures["response_seconds"].is_null() && json["uncounted"].is_null()
    );
}

#[test]
fn an_incident_that_has_not_cleared_and_one_that_began_before_say_so() {
    let mut open = material("app", "nginx", "10.0.0.1:80 gets too much");
    open.changes.pop();
    let text = markdown(&Report::of(open).unwrap());
    assert!(text.contains("| Cleared | not within this time |"), "{text}");
    assert!(text.contains("and still was at the end of this time"), "{text}");
    assert!(text.contains("at least 15 min"), "{text}");
    let mut earlier = material("app", "nginx", "10.0.0.1:80 gets too much");
    earlier.changes[1].since_start = true;
    let text = markdown(&Report::of(earlier).unwrap());
    assert!(text.contains("| Onset | before 2026-01-01 00:05:00 |"), "{text}");
}

#[test]
fn the_most_severe_of_several_pools_comes_first_and_each_has_its_own() {
    let mut two = material("app", "nginx", "10.0.0.1:80 gets too much");
    let db = pool("db", "haproxy");
    for (time, verdict, since) in
        [(400.0, Verdict::PoolFailing, Some(390.0)), (500.0, Verdict::Balanced, None)]
    {
        let mut change = change("db", BEGIN + time, verdict, since.map(|since| BEGIN + since));
        change.pool = db.clone();
        two.changes.push(change);
    }
    let report = Report::of(two).unwrap();
    let names: Vec<_> = report.incidents.iter().map(|incident| incident.pool.pool.as_str()).collect();
    assert_eq!(names, ["db", "app"]);
    let mut both = material("app", "nginx", "10.0.0.1:80 gets too much");
    both.changes[1].findings = vec![Verdict::Skewed, Verdict::BackendSlow];
    assert!(markdown(&Report::of(both).unwrap()).contains("\nAlso found: backend-slow.\n"));
    let text = markdown(&report);
    assert!(
        text.starts_with("# Post-mortem: `db` by `haproxy` POOL-FAILING and 1 more, 2026-01-01\n"),
        "{text}"
    );
    assert_eq!(text.matches("### `app` by `nginx`\n").count(), 5, "in every section: {text}");
}

#[test]
fn a_pool_whose_balancer_is_seen_later_is_one_pool() {
    let mut later = material("app", "nginx", "10.0.0.1:80 gets too much");
    let (mut unnamed, attempts) = (later.series.clone(), 300 * 20);
    for (series, unnamed) in later.series.iter_mut().zip(&mut unnamed) {
        unnamed.pool.balancer = None;
        unnamed.points.retain(|point| point.end_seconds <= BEGIN + 300.0);
        series.points.retain(|point| point.end_seconds > BEGIN + 300.0);
    }
    later.series.extend(unnamed);
    later.pools[0].pool.balancer = None;
    let report = Report::of(later).unwrap();
    assert_eq!((report.incidents.len(), report.other_pools.len()), (1, 0));
    let incident = &report.incidents[0];
    assert_eq!(incident.members[0].phases[0].attempts, Some(attempts), "before its balancer was seen");
    assert!(incident.expected.is_some());
}

/// The tags of a page, in order, with their attributes.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).filter_map(|part| part.split_once('>')).map(|(tag, _)| tag).collect()
}

/// What gives a document of Markdown its form: how each line begins, and the cells that it has.
fn form(text: &str) -> Vec<(String, usize)> {
    let cells = |line: &str| {
        let mut behind_backslash = false;
        line.chars()
            .filter(|&character| {
                let is_bar = character == '|' && !behind_backslash;
                behind_backslash = character == '\\' && !behind_backslash;
                is_bar
            })
            .count()
    };
    text.lines()
        .map(|line| (line.chars().take(2).take_while(|c| "#|->".contains(*c)).collect(), cells(line)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn hostile_names_change_nothing_but_themselves(
        name in "\\PC{1,20}|<script>alert\\(1\\)</script>|\"><img src=x onerror=x>|a\\|b`c\n# d",
        balancer in any::<String>(),
        told in "x\\PC{0,40}|</style><b>|&lt;|--><svg onload=x>",
    ) {
        let plain = Report::of(material("app", "nginx", "x")).unwrap();
        let hostile = Report::of(material(&name, &balancer, &told)).unwrap();
        let (page, plain_page) = (html(&hostile), html(&plain));
        prop_assert_eq!(tags(&page), tags(&plain_page));
        prop_assert_eq!(form(&markdown(&hostile)), form(&markdown(&plain)));
        let json: serde_json::Value = serde_json::from_str(&json(&hostile).unwrap()).unwrap();
        prop_assert_eq!(&json["incidents"][0]["pool"], &serde_json::Value::from(name));
        prop_assert_eq!(&json["incidents"][0]["balancer"], &serde_json::Value::from(balancer));
    }
}
