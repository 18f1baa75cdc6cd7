//! From the lines that the tests leave to Markdown. Pure.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// What begins a line; there may be something of the test harness before it.
const LINE: &str = "measured: ";

/// One run.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(super) enum Measured {
    /// Of a fault.
    Fault {
        fault: String,
        /// Whether the right verdict on the right member came in time.
        right: bool,
        /// From the fault to that verdict; `None`: it did not come.
        seconds: Option<f64>,
        /// What was told before and is not right.
        wrong: Vec<String>,
    },
    /// Of a set-up that is right.
    Quiet {
        quiet: String,
        seconds: f64,
        requests: u64,
        /// What was found of it.
        wrong: Vec<String>,
    },
}

/// What a line says, if it is one of these.
pub(super) fn measured(line: &str) -> Result<Option<Measured>> {
    let Some((_, object)) = line.split_once(LINE) else { return Ok(None) };
    serde_json::from_str(object).map(Some).with_context(|| format!("the tests print `{line}`"))
}

/// A row for each fault, and for each set-up that is right.
pub(super) fn table(all: &[Measured]) -> String {
    let mut text = String::from(
        "| fault | right verdict and member | seconds to it, median | worst | runs with a wrong verdict before |\n\
         |---|---|---|---|---|\n",
    );
    for name in names(all, |one| match one {
        Measured::Fault { fault, .. } => Some(fault),
        Measured::Quiet { .. } => None,
    }) {
        let _ = writeln!(text, "{}", fault_row(name, all));
    }
    text.push_str(
        "\n| set-up that is right | minutes | requests | verdicts that found something |\n|---|---|---|---|\n",
    );
    for one in all {
        if let Measured::Quiet { quiet, seconds, requests, wrong } = one {
            let _ = writeln!(text, "| {quiet} | {:.1} | {requests} | {} |", seconds / 60.0, wrong.len());
        }
    }
    text
}

/// Each name once, in the order in which they come.
fn names<'a>(all: &'a [Measured], name: impl Fn(&'a Measured) -> Option<&'a String>) -> Vec<&'a str> {
    all.iter().filter_map(name).fold(Vec::new(), |mut names, name| {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
        names
    })
}

fn fault_row(name: &str, all: &[Measured]) -> String {
    let (mut runs, mut in_time, mut misled, mut took) = (0_usize, 0_usize, 0_usize, Vec::new());
    for one in all {
        if let Measured::Fault { fault, right, seconds, wrong } = one
            && fault == name
        {
            runs += 1;
            in_time += usize::from(*right);
            misled += usize::from(!wrong.is_empty());
            took.extend(seconds);
        }
    }
    took.sort_by(f64::total_cmp);
    let shown = |seconds: Option<&f64>| seconds.map_or("–".to_owned(), |seconds| format!("{seconds:.1}"));
    let median = shown(took.get(took.len() / 2));
    format!("| {name} | {in_time} of {runs} | {median} | {} | {misled} |", shown(took.last()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_tests_are_read_wherever_they_begin() {
        let line = r#"test a ... measured: {"fault":"a","right":true,"seconds":4.5,"wrong":[]}"#;
        let fault = Measured::Fault { fault: "a".into(), right: true, seconds: Some(4.5), wrong: Vec::new() };
        assert_eq!(measured(line).unwrap(), Some(fault));
        let line = r#"measured: {"quiet":"b","requests":7,"seconds":60.0,"wrong":["skewed: x"]}"#;
        let wrong = vec!["skewed: x".to_owned()];
        let quiet = Measured::Quiet { quiet: "b".into(), seconds: 60.0, requests: 7, wrong };
        assert_eq!(measured(line).unwrap(), Some(quiet));
        assert_eq!(measured("test a ... ok").unwrap(), None);
        assert!(measured("measured: {}").is_err(), "a line that is not understood is said");
    }

    #[test]
    fn a_fault_has_its_median_and_worst_time_and_what_never_came_is_not_right() {
        let run = |seconds: Option<f64>, wrong: &[&str]| Measured::Fault {
            fault: "typo".into(),
            right: seconds.is_some(),
            seconds,
            wrong: wrong.iter().map(|&wrong| wrong.to_owned()).collect(),
        };
        let runs = [run(Some(5.0), &[]), run(None, &["balanced"]), run(Some(4.0), &[]), run(Some(9.0), &[])];
        assert_eq!(fault_row("typo", &runs), "| typo | 3 of 4 | 5.0 | 9.0 | 1 |");
        assert_eq!(fault_row("typo", &[run(None, &[])]), "| typo | 0 of 1 | – | – | 0 |");
        assert!(table(&runs).contains("| typo | 3 of 4 |"));
    }
}
