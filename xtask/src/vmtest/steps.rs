//! What is run in a guest, and what each step has to come to.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The step whose JSON tells what became of each program.
pub(crate) const DOCTOR: &str = "doctor";
/// The step that is the whole suite.
pub(crate) const END_TO_END: &str = "end-to-end";

/// End-to-end tests that are not run in a guest, and why; a name that ends with `::` is that of all in a scenario. They are
/// named in every report.
///
/// The first by hand, on a machine with nothing else to do: `cargo xtask vmtest --two-processors --test steering`.
pub(crate) const LEFT_OUT: &[(&str, &str)] = &[
    (
        "scenarios::steering::connections_are_counted_while_softirqs_interrupt_the_counting",
        "steers packets between processors; the emulator keeps time independent of the host's load for one only",
    ),
    (
        "scenarios::million::a_million_connections_are_counted_to_the_last",
        "more connections than an emulated processor opens in the guest's half hour; other scenarios compare the same \
         counts on fewer",
    ),
    (
        "scenarios::adoption::no_connection_is_missed_or_doubled_around_fifty_starts_under_load",
        "hundreds of thousands of connections, likewise; other scenarios adopt connections in the guest",
    ),
    ("scenarios::page::", "needs a browser, and shows the same on every kernel"),
    ("scenarios::top::", "needs tmux and its terminals, and draws the same on every kernel"),
    ("scenarios::commands::", "what is typed and printed, in which no kernel has a part"),
    ("scenarios::auto::", "asks running balancers, which answer the same on every kernel"),
    ("scenarios::listen::", "answers over HTTP, in which no kernel differs"),
    (
        "scenarios::prometheus::",
        "Prometheus is a hundred megabytes more to boot with, and reads the same on every kernel",
    ),
    (
        "scenarios::alerts::",
        "Alertmanager is tens of megabytes more to boot with, and is told the same on every kernel",
    ),
    ("scenarios::fleet::", "needs Prometheus and Alertmanager, likewise"),
    (
        "scenarios::history::",
        "kills and begins agents by the dozen, and the file is the same on every kernel",
    ),
    (
        "scenarios::import_haproxy::",
        "whether an importer expects what HAProxy does, which does the same on every kernel; other scenarios count its \
         connections",
    ),
    ("scenarios::import_nginx::", "likewise of nginx"),
    ("scenarios::audit::", "reads configurations and traces nothing"),
    ("scenarios::replay::", "judges recordings and traces nothing"),
    ("scenarios::uneven::", "what declared weights look like, which no kernel has a part in"),
    (
        "scenarios::faults::",
        "what the detector makes of counts, which other scenarios compare on every kernel",
    ),
    ("scenarios::quiet::", "likewise"),
    ("scenarios::runtime::", "asks a running HAProxy, which answers the same on every kernel"),
    ("scenarios::listen_attacks::", "likewise, and attacks that"),
    (
        "scenarios::churn::",
        "thousands of backends come and go for minutes; on every kernel places are given to others in `bounds`, \
         `pins_repair` and `privileges`",
    ),
    (
        "scenarios::harness::every_fault_in_the_table_is_tried_by_a_test_that_is_there",
        "compares files of the repository",
    ),
    ("scenarios::report::", "tells of minutes that have to pass, and says the same on every kernel"),
    (
        "scenarios::disturbances::clocks_that_jump_change_no_count_and_no_verdict",
        "needs libfaketime, and a clock is set the same way on every kernel",
    ),
    (
        "scenarios::disturbances::where_the_kernel_refuses_it_says_what",
        "needs strace, which stands in for the kernel",
    ),
    (
        "scenarios::ends::counting_starts_within_half_a_second",
        "measures the processor's speed, and the emulated one has 10^9 instructions a second: on Linux 7.3, whose \
         verifier does more, the start takes 0.59 s of that time (0.43 s on 6.12)",
    ),
];

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
    /// Whether it may say nothing but the line with that.
    pub(crate) nothing_else: bool,
}

/// The binaries that are run.
pub(crate) struct Binaries<'a> {
    pub(crate) tracer: &'a Path,
    pub(crate) unit_tests: &'a Path,
    pub(crate) end_to_end: &'a Path,
}

/// On a kernel that has to be traced. `only`: of the end-to-end tests, those with this in their name;
/// `left_out`: without these.
pub(crate) fn tracing(binaries: &Binaries, only: Option<&str>, left_out: &[(&str, &str)]) -> Vec<Step> {
    // One after the other: the processor does what one scenario asks for, and no more. Passed tests show figures too.
    let mut end_to_end = vec!["--test-threads=1", "--show-output"];
    end_to_end.extend(only);
    for (test, _reason) in left_out {
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
    let refusal = |name: &str, arguments: &[&str], says: &str| Step {
        nothing_else: true,
        ..step(name, binaries.tracer, arguments, 4, says)
    };
    vec![
        refusal(DOCTOR, &["doctor", "--json"], r#""can_trace":false"#),
        refusal("check", &["check", "--for", "1s"], "Linux 6.1"),
        refusal("demo", &["demo"], "Linux 6.1"),
    ]
}

fn step(name: &str, program: &Path, arguments: &[&str], exit: i32, says: &str) -> Step {
    let program = program.to_string_lossy().into_owned();
    let command =
        std::iter::once(program).chain(arguments.iter().map(|&argument| argument.to_owned())).collect();
    Step { name: name.to_owned(), command, exit, says: says.to_owned(), nothing_else: false }
}
