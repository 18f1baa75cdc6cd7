//! What became of a guest, from what its two lines said and how it ended. Pure.

use serde::Deserialize;

use super::{
    marker::{Ending, Marker},
    qemu::Ended,
    steps::{DOCTOR, Step},
};

/// What became of a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// As it has to be, after so many seconds.
    Passed(f64),
    /// Not as it has to be, and why.
    Failed(String),
    /// It did not come to it.
    NotReached,
}

/// What became of a guest.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The kernel's release, once it has booted.
    pub(crate) release: Option<String>,
    /// Each step by name, in order.
    pub(crate) steps: Vec<(String, Outcome)>,
    /// What is wrong beside the steps: how it ended, what the kernel complained about.
    pub(crate) complaints: Vec<String>,
    /// What `tracer doctor --json` said.
    pub(crate) doctor: Option<Doctor>,
    /// The closing lines of the test runner, each with the step it is of.
    pub(crate) test_results: Vec<(String, String)>,
}

/// The part of schema `tracer.doctor/1` that is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Doctor {
    /// Why nothing can be traced, if so.
    pub(crate) refusal: Option<String>,
    /// One for each program.
    pub(crate) programs: Vec<Program>,
}

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) works: bool,
    /// `None` when the kernel does not say.
    pub(crate) verified_instructions: Option<u32>,
}

impl Verdict {
    /// Whether everything is as it has to be.
    pub(crate) fn passed(&self) -> bool {
        self.complaints.is_empty() && self.steps.iter().all(|(_, outcome)| matches!(outcome, Outcome::Passed(_)))
    }
}

/// Judges a guest that was to do `expected`.
pub(crate) fn judge(expected: &[Step], steps: &str, kernel: &str, ended: Ended) -> Verdict {
    let said = Said::read(steps);
    let outcomes = expected.iter().map(|step| (step.name.clone(), outcome(step, &said))).collect();
    let mut complaints = complaints(kernel);
    complaints.extend(said.broken.clone());
    match ended {
        Ended::TimedOut(limit) => complaints.push(format!("stopped after {} s", limit.as_secs())),
        Ended::Failed(code) => complaints.push(format!("the emulator failed (exit code {code:?})")),
        Ended::Off if said.release.is_none() => complaints.push("it did not boot".to_owned()),
        Ended::Off if !said.done && said.broken.is_none() => complaints.push("it ended early".to_owned()),
        Ended::Off => {}
    }
    let doctor = said.of(DOCTOR).and_then(|step| step.lines.iter().find_map(|line| serde_json::from_str(line).ok()));
    let test_results = said.test_results();
    Verdict { release: said.release, steps: outcomes, complaints, doctor, test_results }
}

fn outcome(step: &Step, said: &Said) -> Outcome {
    let Some(found) = said.of(&step.name) else { return Outcome::NotReached };
    let Some((ending, seconds)) = found.end else { return Outcome::Failed("it did not end".to_owned()) };
    let wrong = if ending != Ending::Exit(step.exit) {
        format!("{ending} instead of exit code {}", step.exit)
    } else if !found.lines.iter().any(|line| line.contains(&step.says)) {
        format!("it does not say `{}`", step.says)
    } else {
        return Outcome::Passed(seconds);
    };
    Outcome::Failed([wrong].into_iter().chain(failed_tests(&found.lines)).collect::<Vec<_>>().join("; "))
}

fn failed_tests(lines: &[String]) -> impl Iterator<Item = String> {
    let name = |line: &String| line.strip_prefix("test ")?.strip_suffix(" ... FAILED").map(str::to_owned);
    lines.iter().filter_map(name)
}

/// The first line's steps, by their markers.
#[derive(Default)]
struct Said {
    release: Option<String>,
    steps: Vec<SaidStep>,
    broken: Option<String>,
    done: bool,
}

struct SaidStep {
    name: String,
    lines: Vec<String>,
    end: Option<(Ending, f64)>,
}

impl Said {
    fn read(text: &str) -> Self {
        let mut said = Self::default();
        for line in text.lines() {
            match Marker::read(line) {
                Some(Marker::Booted(release)) => said.release = Some(release),
                Some(Marker::Begin(name)) => said.steps.push(SaidStep { name, lines: Vec::new(), end: None }),
                Some(Marker::End { step, ending, seconds }) => {
                    if let Some(last) = said.steps.last_mut().filter(|last| last.name == step) {
                        last.end = Some((ending, seconds));
                    }
                }
                Some(Marker::Broken(why)) => said.broken = Some(why),
                Some(Marker::Done) => said.done = true,
                None => {
                    if let Some(step) = said.steps.last_mut() {
                        step.lines.push(line.trim_end().to_owned());
                    }
                }
            }
        }
        said
    }

    fn of(&self, step: &str) -> Option<&SaidStep> {
        self.steps.iter().find(|found| found.name == step)
    }

    fn test_results(&self) -> Vec<(String, String)> {
        let of_step = |step: &SaidStep| -> Vec<_> {
            let results = step.lines.iter().filter(|line| line.starts_with("test result: "));
            results.map(|line| (step.name.clone(), line.clone())).collect()
        };
        self.steps.iter().flat_map(of_step).collect()
    }
}

/// What begins a complaint of the kernel's that is a fault whatever it is about.
const FAULTS: &[&str] = &["Kernel panic", "BUG: ", "Oops", "general protection fault", "kernel BUG at "];

/// What the kernel complained about: faults, and warnings that have to do with bpf.
fn complaints(kernel: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = kernel.lines().map(without_time).peekable();
    while let Some(line) = lines.next() {
        if FAULTS.iter().any(|fault| line.contains(fault)) {
            found.push(line.to_owned());
        } else if line.contains("WARNING: ") {
            // Up to its end mark: a function of bpf's among its callers counts.
            let mut about_bpf = line.contains("bpf");
            while let Some(line) = lines.next_if(|line| !line.contains("---[ end trace")) {
                about_bpf |= line.contains("bpf");
            }
            if about_bpf {
                found.push(line.to_owned());
            }
        } else if let Some(Marker::Broken(why)) = Marker::read(line) {
            found.push(why);
        }
    }
    found
}

/// A line of the kernel's without `[    1.234567] `.
fn without_time(line: &str) -> &str {
    let line = line.trim_end();
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((time, rest)) if time.trim().parse::<f64>().is_ok() => rest,
        _ => line,
    }
}
