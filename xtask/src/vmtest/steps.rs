//! What is run in a guest, and what each step has to come to.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The step whose JSON tells what became of each program.
pub(crate) const DOCTOR: &str = "doctor";
/// The step that is the whole suite.
pub(crate) const END_TO_END: &str = "end-to-end";

/// End-to-end tests that are not run in a guest, and why. They are named in every report.
///
/// A guest's processor is emulated: what is left out measures the speed of the machine, which says nothing there.
pub(crate) const LEFT_OUT: &[(&str, &str)] = &[];

/// A command, and how it has to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// What it is called in markers and reports.
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// The exit code it has to end with.
    pub(crate) exit: i32,
    /// What it has to say, on either stream.
    pub(crate) says: String,
}

/// The binaries that are run.
pub(crate) struct Binaries<'a> {
    pub(crate) tracer: &'a Path,
    pub(crate) unit_tests: &'a Path,
    pub(crate) end_to_end: &'a Path,
}

/// On a kernel that has to be traced.
pub(crate) fn tracing(binaries: &Binaries) -> Vec<Step> {
    let mut end_to_end = vec!["--test-threads=3", "--exact"];
    for (test, _reason) in LEFT_OUT {
        end_to_end.extend(["--skip", test]);
    }
    vec![
        step(DOCTOR, binaries.tracer, &["doctor", "--json"], 0, r#""can_trace":true"#),
        step("demo", binaries.tracer, &["demo"], 0, "found what was planted"),
        // The room that reads the running kernel; the others do not know where they run.
        step("kernel tests", binaries.unit_tests, &["kernel::"], 0, "test result: ok."),
        step(END_TO_END, binaries.end_to_end, &end_to_end, 0, "test result: ok."),
    ]
}

/// On a kernel that is too old: a clear refusal.
pub(crate) fn refusing(binaries: &Binaries) -> Vec<Step> {
    vec![
        step(DOCTOR, binaries.tracer, &["doctor", "--json"], 4, r#""can_trace":false"#),
        step("check", binaries.tracer, &["check", "--for", "1s"], 4, "Linux 6.1"),
        step("demo", binaries.tracer, &["demo"], 4, "Linux 6.1"),
    ]
}

fn step(name: &str, program: &Path, arguments: &[&str], exit: i32, says: &str) -> Step {
    let program = program.to_string_lossy().into_owned();
    let command = std::iter::once(program).chain(arguments.iter().map(|&argument| argument.to_owned())).collect();
    Step { name: name.to_owned(), command, exit, says: says.to_owned() }
}
