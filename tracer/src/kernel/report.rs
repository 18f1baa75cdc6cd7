//! The programs of the object, and what became of each.

use aya::Ebpf;
use std::fmt;
use tracer_ebpf::programs;

/// How much depends on a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing can be counted without it.
    Required,
    /// This is lost without it.
    Optional(&'static str),
    /// It is used where this program does not work.
    Fallback(&'static str),
}

/// Every program of the object, in the order in which they are told of.
pub(super) const PROGRAMS: &[(&str, Intent)] = &[
    (programs::LIFECYCLE, Intent::Required),
    (
        programs::RELIEF,
        Intent::Optional("events during which a softirq interrupts the counting itself: some are missed"),
    ),
    (programs::DESTROY, Intent::Optional("ends that the kernel hides from the other programs")),
    (
        programs::SWEEP,
        Intent::Optional("pending, live and closing connections, and bytes before a connection closes"),
    ),
    (
        programs::LISTENERS,
        Intent::Optional("connections from before the tracer: they are not shown, nor their end"),
    ),
    (
        programs::ADOPT,
        Intent::Optional("connections from before the tracer: they are not shown, nor their end"),
    ),
    (programs::RECEIVE, Intent::Optional(EXCHANGES)),
    (programs::SEND, Intent::Optional(EXCHANGES)),
    (programs::SEND_ENTRY, Intent::Fallback(programs::SEND)),
    (programs::SEND_PAGE, Intent::Fallback(programs::SEND)),
];

const EXCHANGES: &str = "exchanges and response times";

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not tried yet.
    NotTried,
    /// Loaded and attached; of what measures exchanges: loaded, and attached when they are to be measured.
    Works,
    /// Not loaded or not attached, and why.
    Refused(String),
}

impl Outcome {
    /// Whether it works.
    #[must_use]
    pub fn works(&self) -> bool {
        *self == Self::Works
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTried => f.write_str("not tried"),
            Self::Works => f.write_str("ok"),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

/// What is known of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramReport {
    /// Its name.
    pub name: &'static str,
    /// How much depends on it.
    pub intent: Intent,
    /// What became of it.
    pub outcome: Outcome,
    /// What it works without.
    pub notes: Vec<String>,
    /// Instructions that the verifier looked at; `None` when the kernel does not say.
    pub verified_instructions: Option<u32>,
}

impl ProgramReport {
    /// Notes that the kernel took it.
    pub(super) fn works_in(&mut self, ebpf: &Ebpf) {
        self.outcome = Outcome::Works;
        let info = ebpf.program(self.name).and_then(|program| program.info().ok());
        self.verified_instructions = info.and_then(|info| info.verified_instruction_count());
    }
}
