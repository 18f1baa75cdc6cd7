//! Scenarios that `cargo xtask bench servers` repeats and makes a table of: each run leaves a line that it reads.

use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// A verdict comes within this time at this rate; a machine that does not reach the rate has as many requests for it.
const IN_TIME: Duration = Duration::from_secs(10);
pub(crate) const PER_SECOND: u32 = 200;

/// What came of a fault.
#[derive(Debug)]
pub(crate) struct Told {
    /// From the fault to the right verdict on the right member; `None`: it did not come.
    pub(crate) after: Option<Duration>,
    /// Requests that were sent in that time.
    pub(crate) requests: u64,
    /// Findings that were told before and are not right.
    pub(crate) wrong: Vec<String>,
}

impl Told {
    fn is_right(&self) -> bool {
        let enough = IN_TIME.as_secs() * u64::from(PER_SECOND);
        self.after.is_some_and(|after| after <= IN_TIME || self.requests <= enough)
    }
}

/// What begins a line; there may be something of the test harness before it.
const LINE: &str = "measured: ";

fn line(object: &Value) {
    println!("{LINE}{object}");
}

/// Tries a fault as often as `TRACER_RUNS` says, once without: every time the right verdict has to come in time.
#[track_caller]
pub(crate) fn fault(name: &str, run: impl Fn() -> Told) {
    let mut failed = Vec::new();
    let mut panicked = None;
    for _ in 0..number("TRACER_RUNS").unwrap_or(1) {
        let told = catch_unwind(AssertUnwindSafe(&run)).unwrap_or_else(|panic| {
            panicked = Some(panic);
            Told { after: None, requests: 0, wrong: Vec::new() }
        });
        let seconds = told.after.map(|after| after.as_secs_f64());
        line(&json!({"fault": name, "right": told.is_right(), "seconds": seconds, "wrong": told.wrong}));
        if !told.is_right() {
            failed.push(told);
        }
    }
    if let Some(panic) = panicked {
        resume_unwind(panic);
    }
    assert!(failed.is_empty(), "{name}: not the right verdict and member in time: {failed:?}");
}

/// How long a set-up that is right is watched: `TRACER_QUIET_MINUTES`, or 20 s.
pub(crate) fn quiet_for() -> Duration {
    Duration::from_secs(number("TRACER_QUIET_MINUTES").map_or(20, |minutes| minutes * 60))
}

/// Nothing may have been found of a set-up that is right.
#[track_caller]
pub(crate) fn quiet(name: &str, watched: Duration, requests: u64, wrong: &[String]) {
    line(&json!({"quiet": name, "seconds": watched.as_secs_f64(), "requests": requests, "wrong": wrong}));
    assert!(wrong.is_empty(), "{name}: found where nothing is: {wrong:?}");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

/// What a verdict says, when it is a finding: the verdict and its sentence.
pub(crate) fn finding(pool: &Value) -> Option<String> {
    let verdict = pool["verdict"].as_str().unwrap_or_default();
    let is_finding = !["balanced", "insufficient-evidence"].contains(&verdict);
    is_finding.then(|| format!("{verdict}: {}", pool["summary"].as_str().unwrap_or_default()))
}
