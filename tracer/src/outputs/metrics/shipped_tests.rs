//! What is shipped for Prometheus and Grafana names metrics and labels that there are.

use super::tests::{latest, pool};
use super::*;
use crate::pools::Exchanges;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const RECORDING: &str = include_str!("../../../dist/prometheus/tracer-recording.yml");
const ALERTING: &str = include_str!("../../../dist/prometheus/tracer-alerting.yml");
const DASHBOARD: &str = include_str!("../../../dist/grafana/tracer.json");

/// What Prometheus adds to every series.
const OF_PROMETHEUS: [&str; 2] = ["job", "instance"];

/// Words of the language that stand where a metric could.
const WORDS: [&str; 33] = [
    "sum",
    "by",
    "on",
    "and",
    "or",
    "unless",
    "group_left",
    "rate",
    "increase",
    "max",
    "min",
    "count",
    "quantile",
    "bool",
    "sqrt",
    "abs",
    "histogram_quantile",
    "without",
    "ignoring",
    "group_right",
    "avg",
    "clamp_min",
    "clamp_max",
    "absent",
    "offset",
    "topk",
    "bottomk",
    "m",
    "s",
    "h",
    "x",
    "label_replace",
    "time",
];

/// Names with the labels of their series.
type Known = BTreeMap<String, BTreeSet<String>>;

/// Every metric, as it is told.
fn metrics() -> Known {
    let mut measured = pool("app", "nginx", &[(1, 3)]);
    let times = measured.sample.members[0].delta.connect_time.clone();
    measured.sample.members[0].exchanges = Exchanges { count: Some(3), response_time: Some(times) };
    let text = render(Arc::new(latest(vec![measured])), Form::OpenMetrics).unwrap();
    let mut metrics = Known::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).unwrap();
        let labels = metrics.entry(line[..end].to_owned()).or_default();
        labels.extend(OF_PROMETHEUS.map(str::to_owned));
        labels.extend(line[end..].split('"').step_by(2).filter_map(|part| {
            let name = part.trim_matches(['{', '}', ',', '=', ' ']);
            line[end..].starts_with('{').then(|| name.to_owned()).filter(|name| is_name(name))
        }));
    }
    // Of Prometheus itself.
    metrics.insert("up".into(), OF_PROMETHEUS.map(str::to_owned).into());
    let of_alerts = ["alertname", "alertstate"].map(str::to_owned);
    metrics.insert("ALERTS".into(), of_alerts.into());
    metrics
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Names of a query: each with what stands between braces behind it; and the labels in lists (`by (…)`).
fn names(query: &str) -> (Vec<(String, Vec<String>)>, Vec<String>) {
    let (mut metrics, mut lists) = (Vec::new(), Vec::new());
    let mut rest = query;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '"') {
        if let Some(text) = rest[start..].strip_prefix('"') {
            rest = text.split_once('"').unwrap().1;
            continue;
        }
        // `5m` is no name.
        let is_unit = rest[..start].ends_with(|c: char| c.is_ascii_digit());
        let text = &rest[start..];
        let end =
            text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
        let (name, after) = text.split_at(end);
        rest = after;
        if matches!(name, "by" | "on" | "group_left") {
            let (list, after) = after.split_once('(').unwrap().1.split_once(')').unwrap();
            lists.extend(
                list.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()),
            );
            rest = after;
        } else if !is_unit && !WORDS.contains(&name) {
            let mut labels = Vec::new();
            if let Some(matchers) = after.strip_prefix('{') {
                let (inside, after) = matchers.split_once('}').unwrap();
                let matchers =
                    inside.split('"').step_by(2).map(|part| part.trim_matches([',', ' ', '=', '~', '!']));
                labels.extend(matchers.filter(|label| !label.is_empty()).map(str::to_owned));
                rest = after;
            }
            metrics.push((name.to_owned(), labels));
        }
    }
    (metrics, lists)
}

/// What is told or recorded, and every query with where it is.
fn queries() -> (Known, Vec<(String, String)>) {
    let mut known = metrics();
    let every: BTreeSet<String> = known.values().flatten().cloned().collect();
    let mut queries = Vec::new();
    for (file, text) in [("recording", RECORDING), ("alerting", ALERTING)] {
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        for rule in code.join("\n").split("\n  - ").skip(1) {
            let name = rule.lines().next().unwrap().split_once(": ").unwrap().1;
            let expression = rule.split_once("expr: ").unwrap().1;
            let expression = expression.split("\n    for: ").next().unwrap().trim_start_matches('>');
            // The next group.
            let expression = expression.split("\n- name: ").next().unwrap();
            queries.push((format!("{file}: {name}"), expression.to_owned()));
            if rule.starts_with("record: ") {
                // Its labels follow from what it is made of, which is checked itself.
                known.insert(name.to_owned(), every.clone());
            }
        }
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            queries.push((format!("dashboard: {}", panel["title"]), query));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["definition"].as_str() {
            let inside = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
            let (metric, label) = inside.split_once(", ").unwrap();
            queries.push((format!("dashboard: ${}", variable["name"]), format!("{metric}{{{label}=\"\"}}")));
        }
    }
    (known, queries)
}

#[test]
fn rules_and_dashboard_name_metrics_and_labels_that_there_are() {
    let (known, queries) = queries();
    assert!(queries.len() > 40, "{}", queries.len());
    let every: BTreeSet<&str> = known.values().flatten().map(String::as_str).chain(["le"]).collect();
    for (place, query) in &queries {
        let (metrics, lists) = names(query);
        assert!(!metrics.is_empty(), "{place}: {query}");
        for (metric, labels) in metrics {
            let of = known.get(&metric).unwrap_or_else(|| panic!("{place}: there is no {metric}"));
            for label in labels {
                assert!(of.contains(&label), "{place}: {metric} has no label {label}: {of:?}");
            }
        }
        for label in lists {
            assert!(
                every.contains(label.as_str()) || label == "alertname",
                "{place}: nothing has a label {label}"
            );
        }
    }
}

#[test]
fn names_in_queries_are_found() {
    let (metrics, lists) =
        names("sum by (pool, le) (rate(a_total{x=\"y z\",b!~\"c\"}[5m]) > 2 * on (job) group_left () up)");
    assert_eq!(metrics, [("a_total".into(), vec!["x".into(), "b".into()]), ("up".into(), vec![])]);
    assert_eq!(lists, ["pool", "le", "job"]);
    let metrics = metrics_of("tracer_response_duration_seconds_bucket");
    assert!(metrics.contains("le") && metrics.contains("pool") && metrics.contains("backend"), "{metrics:?}");
    assert!(metrics_of("tracer_pool_info").contains("expected_source"));
}

fn metrics_of(name: &str) -> BTreeSet<String> {
    metrics()[name].clone()
}
