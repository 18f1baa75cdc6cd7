//! What is shipped for Prometheus and Grafana, as promtool sees it.

use crate::promtool::{directory, promtool, rules};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

#[test]
fn rules_are_as_they_have_to_be_and_their_tests_hold() {
    let [recording, alerting] = rules();
    promtool(&["check", "rules", "--lint-fatal", recording.to_str().unwrap(), alerting.to_str().unwrap()]);
    let mut tests = 0;
    for entry in std::fs::read_dir(directory().join("tests")).unwrap() {
        promtool(&["test", "rules", entry.unwrap().path().to_str().unwrap()]);
        tests += 1;
    }
    assert!(tests > 0, "there are some");
}

#[test]
fn every_query_of_the_dashboard_is_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/grafana/tracer.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            // What Grafana fills in.
            let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            let query = serde_json::to_string(&query).unwrap();
            writeln!(rules, "  - record: query_{queries}\n    expr: {query}").unwrap();
            queries += 1;
        }
    }
    assert!(queries > 5, "there are some");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dashboard.yml");
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}
