//! Debian's promtool: what the rules say of a made-up fleet.

use crate::world::Fleet;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rules that are shipped.
pub(crate) fn rules() -> [PathBuf; 2] {
    ["tracer-recording.yml", "tracer-alerting.yml"].map(|name| directory().join(name))
}

/// Where they are.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/prometheus")
}

/// Runs it, and fails with what it says if it fails.
#[track_caller]
pub(crate) fn promtool(arguments: &[&str]) -> String {
    let output = Command::new("promtool").args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("promtool: {error} (apt-get install prometheus)"));
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let said: String = said.chars().take(4_000).collect();
    assert!(output.status.success(), "promtool {arguments:?}: {}\n{said}", output.status);
    said
}

/// Fails unless exactly these alerts fire at the end, and none before the middle. An alert is its name and its labels, in
/// the order of their names: `TracerDown instance=lb1:9477`.
#[track_caller]
pub(crate) fn fires(fleet: &Fleet, alerts: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("test.yml");
    std::fs::write(&file, written(fleet, alerts)).unwrap();
    promtool(&["test", "rules", file.to_str().unwrap()]);
}

fn written(fleet: &Fleet, alerts: &[&str]) -> String {
    let [recording, alerting] = rules();
    let mut text = format!(
        "rule_files: [{}, {}]\nevaluation_interval: {}s\ntests:\n- interval: {}s\n  input_series:\n",
        recording.display(),
        alerting.display(),
        fleet.step_seconds,
        fleet.step_seconds
    );
    for (series, values) in fleet.series() {
        let values: Vec<String> = values
            .iter()
            .map(|value| value.map_or_else(|| "_".to_owned(), |value| value.to_string()))
            .collect();
        writeln!(text, "  - {{ series: '{series}', values: '{}' }}", values.join(" ")).unwrap();
    }
    text += "  promql_expr_test:\n";
    let seconds = |step: usize| step * fleet.step_seconds as usize;
    let middle = seconds(fleet.steps / 2);
    for (at, expected) in
        [(seconds(fleet.steps / 4), &[][..]), (middle, &[][..]), (seconds(fleet.steps - 1), alerts)]
    {
        let by = "alertname, instance, pool, balancer, backend, verdict, alertmanager";
        writeln!(
            text,
            "  - expr: count by ({by}) (ALERTS{{alertstate=\"firing\"}})\n    eval_time: {at}s\n    exp_samples:"
        )
        .unwrap();
        let samples: BTreeSet<String> = expected.iter().map(|alert| sample(alert)).collect();
        samples.iter().for_each(|sample| text += sample);
        if expected.is_empty() {
            text.truncate(text.trim_end().len());
            text += " []\n";
        }
    }
    text
}

fn sample(alert: &str) -> String {
    let mut words = alert.split(' ');
    let mut labels = format!("alertname=\"{}\"", words.next().unwrap());
    for (name, value) in words.map(|word| word.split_once('=').unwrap()) {
        write!(labels, ",{name}=\"{value}\"").unwrap();
    }
    format!("    - {{ labels: '{{{labels}}}', value: 1 }}\n")
}
