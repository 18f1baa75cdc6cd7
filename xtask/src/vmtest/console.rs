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
    /// Why not; `None` when it works or was not needed.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// `None` when the kernel does not say.
    pub(crate) verified_instructions: Option<u32>,
}

impl Verdict {
    /// Whether everything is as it has to be.
    pub(crate) fn passed(&self) -> bool {
        self.complaints.is_empty()
            && self.steps.iter().all(|(_, outcome)| matches!(outcome, Outcome::Passed(_)))
    }
}

/// Judges a guest that was to do `expected` on the kernel `release`.
pub(crate) fn judge(expected: &[Step], release: &str, steps: &str, kernel: &str, ended: Ended) -> Verdict {
    let said = Said::read(steps);
    let outcomes = expected.iter().map(|step| (step.name.clone(), outcome(step, &said))).collect();
    let mut complaints = complaints(kernel);
    complaints.extend(said.broken.clone());
    match ended {
        Ended::TimedOut(limit) => complaints.push(format!("stopped after {} s", limit.as_secs())),
        Ended::Failed(Some(code)) => complaints.push(format!("the emulator failed (exit code {code})")),
        Ended::Failed(None) => complaints.push("the emulator failed (by a signal)".to_owned()),
        Ended::Off if said.release.is_none() => complaints.push("its first process did not begin".to_owned()),
        Ended::Off if !said.done && said.broken.is_none() => complaints.push("it ended early".to_owned()),
        Ended::Off => {}
    }
    if let Some(booted) = said.release.as_deref().filter(|booted| *booted != release) {
        complaints.push(format!("it booted {booted}, not {release}"));
    }
    let doctor =
        said.of(DOCTOR).and_then(|step| step.lines.iter().find_map(|line| serde_json::from_str(line).ok()));
    let test_results = said.test_results();
    Verdict { steps: outcomes, complaints, doctor, test_results }
}

fn outcome(step: &Step, said: &Said) -> Outcome {
    let Some(found) = said.of(&step.name) else { return Outcome::NotReached };
    let Some((ending, seconds)) = found.end else { return Outcome::Failed("it did not end".to_owned()) };
    let wrong = if ending != Ending::Exit(step.exit) {
        format!("{ending} instead of exit code {}", step.exit)
    } else if !found.lines.iter().any(|line| line.contains(&step.says)) {
        format!("it does not say `{}`", step.says)
    } else if step.nothing_else && found.lines.iter().filter(|line| !line.is_empty()).count() > 1 {
        format!("it says more than the line with `{}`", step.says)
    } else if found.lines.iter().any(|line| line.starts_with("test result: ok. 0 passed")) {
        "it ran no test".to_owned()
    } else {
        return Outcome::Passed(seconds);
    };
    Outcome::Failed([wrong].into_iter().chain(failed_tests(&found.lines)).collect::<Vec<_>>().join("; "))
}

/// The names under the test runner's last heading `failures:`.
fn failed_tests(lines: &[String]) -> impl Iterator<Item = String> {
    let heading = lines.iter().rposition(|line| line == "failures:");
    let listed = heading.map_or(&[] as &[_], |at| &lines[at + 1..]);
    listed.iter().map_while(|line| line.strip_prefix("    ").map(str::to_owned))
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
const FAULTS: &[&str] = &["Kernel panic", "BUG: ", "Oops: ", "general protection fault", "kernel BUG at "];

/// What the kernel complained about: faults, and warnings that have to do with bpf.
fn complaints(kernel: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = kernel.lines().map(without_time).peekable();
    while let Some(line) = lines.next() {
        if FAULTS.iter().any(|fault| line.contains(fault)) && !line.starts_with("---[") {
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

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;
    use crate::vmtest::steps::{Binaries, LEFT_OUT, refusing, tracing};

    /// Consoles as guests left them: the steps' line and the kernel's.
    macro_rules! console {
        ($name:literal) => {
            (
                include_str!(concat!("../../tests/fixtures/consoles/", $name, ".log")),
                include_str!(concat!("../../tests/fixtures/consoles/", $name, ".kernel.log")),
            )
        };
    }

    const RELEASE_5: &str = "5.10.0-32-cloud-amd64";
    const RELEASE_6: &str = "6.1.0-50-cloud-amd64";
    const RELEASE_GOOD: &str = "6.12.107+deb13-cloud-amd64";

    fn steps(traced: bool) -> Vec<Step> {
        let [tracer, unit_tests, end_to_end] = ["tracer", "unit", "e2e"].map(Path::new);
        let binaries = Binaries { tracer, unit_tests, end_to_end };
        if traced { tracing(&binaries, None, LEFT_OUT) } else { refusing(&binaries) }
    }

    fn outcomes(verdict: &Verdict) -> Vec<(&str, &Outcome)> {
        verdict.steps.iter().map(|(name, outcome)| (name.as_str(), outcome)).collect()
    }

    #[test]
    fn a_guest_that_passes() {
        let (said, kernel) = console!("good");
        let verdict = judge(&steps(true), RELEASE_GOOD, said, kernel, Ended::Off);
        assert!(verdict.passed(), "{verdict:?}");
        let doctor = verdict.doctor.unwrap();
        assert_eq!(doctor.refusal, None);
        assert_eq!(doctor.programs[0].name, "lifecycle");
        assert!(
            doctor
                .programs
                .iter()
                .all(|program| program.works && program.verified_instructions > Some(1_000))
        );
        let results: Vec<_> =
            verdict.test_results.iter().map(|(step, line)| (step.as_str(), &line[..15])).collect();
        assert_eq!(results, [("kernel tests", "test result: ok"), ("end-to-end", "test result: ok")]);
    }

    #[test]
    fn the_same_guest_with_another_kernel_does_not_pass() {
        let (said, kernel) = console!("good");
        let verdict = judge(&steps(true), "6.13.0-cloud-amd64", said, kernel, Ended::Off);
        assert_eq!(verdict.complaints, ["it booted 6.12.107+deb13-cloud-amd64, not 6.13.0-cloud-amd64"]);
    }

    #[test]
    fn a_guest_whose_emulator_fails_or_is_stopped_does_not_pass() {
        let (said, kernel) = console!("good");
        let judged = |ended| judge(&steps(true), RELEASE_GOOD, said, kernel, ended);
        assert_eq!(judged(Ended::TimedOut(Duration::from_secs(9))).complaints, ["stopped after 9 s"]);
        assert_eq!(judged(Ended::Failed(Some(1))).complaints, ["the emulator failed (exit code 1)"]);
        assert_eq!(judged(Ended::Failed(None)).complaints, ["the emulator failed (by a signal)"]);
    }

    #[test]
    fn a_kernel_that_is_too_old_refuses_and_that_is_right() {
        let (said, kernel) = console!("refusal");
        let verdict = judge(&steps(false), RELEASE_5, said, kernel, Ended::Off);
        assert!(verdict.passed(), "{verdict:?}");
        assert!(
            verdict.doctor.unwrap().refusal.unwrap().contains("the kernel refuses the program `lifecycle`")
        );
    }

    #[test]
    fn a_refusal_where_tracing_is_expected_is_wrong() {
        let (said, kernel) = console!("refusal");
        let verdict = judge(&steps(true), RELEASE_5, said, kernel, Ended::Off);
        let failed = |why: &str| Outcome::Failed(why.to_owned());
        let expected = [
            ("doctor", &failed("exit code 4 instead of exit code 0")),
            ("demo", &failed("exit code 4 instead of exit code 0")),
            ("kernel tests", &Outcome::NotReached),
            ("end-to-end", &Outcome::NotReached),
        ];
        assert_eq!(outcomes(&verdict), expected);
    }

    #[test]
    fn a_refusal_with_more_than_a_message_is_wrong() {
        let (said, kernel) = console!("refusal");
        let said = said.replace("error: the kernel", "and more\nerror: the kernel");
        let verdict = judge(&steps(false), RELEASE_5, &said, kernel, Ended::Off);
        let wrong = Outcome::Failed("it says more than the line with `Linux 6.1`".to_owned());
        assert_eq!(outcomes(&verdict)[1..], [("check", &wrong), ("demo", &wrong)]);
    }

    #[test]
    fn a_test_that_fails_is_named() {
        let (said, kernel) = console!("test-failure");
        let verdict = judge(&steps(true), RELEASE_6, said, kernel, Ended::Off);
        let Some((_, Outcome::Failed(why))) = verdict.steps.last() else { panic!("{verdict:?}") };
        let tests: Vec<_> = why.split("; ").collect();
        assert_eq!(tests[0], "exit code 101 instead of exit code 0");
        assert_eq!(
            tests[1..],
            ["scenarios::steering::connections_are_counted_while_softirqs_interrupt_the_counting"]
        );
        assert!(verdict.complaints.is_empty(), "{verdict:?}");
    }

    #[test]
    fn no_test_is_no_success() {
        let (said, kernel) = console!("good");
        let said = said.replace("test result: ok. 14 passed", "test result: ok. 0 passed");
        let verdict = judge(&steps(true), RELEASE_GOOD, &said, kernel, Ended::Off);
        let none = Outcome::Failed("it ran no test".to_owned());
        assert_eq!(outcomes(&verdict)[2], ("kernel tests", &none));
    }

    #[test]
    fn a_guest_that_is_stopped_says_which_step_did_not_end() {
        let (said, kernel) = console!("timeout");
        let verdict = judge(&steps(true), RELEASE_6, said, kernel, Ended::TimedOut(Duration::from_secs(30)));
        assert_eq!(verdict.complaints, ["stopped after 30 s"]);
        let unfinished = Outcome::Failed("it did not end".to_owned());
        assert_eq!(outcomes(&verdict)[3], ("end-to-end", &unfinished));
    }

    #[test]
    fn a_panic_is_a_complaint() {
        let (said, kernel) = console!("panic");
        let verdict = judge(&steps(true), RELEASE_6, said, kernel, Ended::Off);
        assert!(verdict.steps.iter().all(|(_, outcome)| *outcome == Outcome::NotReached));
        assert!(verdict.complaints[0].starts_with("Kernel panic - not syncing: "), "{verdict:?}");
        assert_eq!(verdict.complaints[1..], ["its first process did not begin"]);
    }

    #[test]
    fn a_guest_that_ends_between_two_steps_does_not_pass() {
        let (said, kernel) = console!("good");
        let without_end = said.replace(&Marker::Done.to_string(), "");
        let verdict = judge(&steps(true), RELEASE_GOOD, &without_end, kernel, Ended::Off);
        assert_eq!(verdict.complaints, ["it ended early"]);
        let broken = Marker::Broken("cannot start ip".to_owned());
        let broken = said.replace(&Marker::Done.to_string(), &broken.to_string());
        let verdict = judge(&steps(true), RELEASE_GOOD, &broken, kernel, Ended::Off);
        assert_eq!(verdict.complaints, ["cannot start ip"]);
    }

    #[test]
    fn faults_count_and_warnings_count_where_bpf_is_in_their_trace() {
        let warning = |frame: &str| {
            format!(
                "[    1.0] WARNING: CPU: 0 PID: 9 at kernel/events/core.c:1 x+0x1/0x2\n[    1.0]  {frame}\n\
                 [    1.0] ---[ end trace 0000000000000000 ]---\n[    1.1] bpf: later\n"
            )
        };
        assert!(complaints(&warning("do_syscall_64+0x5b/0xc0")).is_empty());
        assert_eq!(
            complaints(&warning("bpf_prog_load+0x1/0x2")),
            ["WARNING: CPU: 0 PID: 9 at kernel/events/core.c:1 x+0x1/0x2"]
        );
        let bug = "[   12.3] BUG: kernel NULL pointer dereference, address: 0000000000000000\r";
        assert_eq!(complaints(bug), ["BUG: kernel NULL pointer dereference, address: 0000000000000000"]);
        assert!(complaints("[    0.1] Spectre V2 : Mitigation: Retpolines\n").is_empty());
    }
}
