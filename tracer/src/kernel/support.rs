//! What this host supports, found by trying.

use super::error::KernelError;
use super::object::{Settings, Tracer};
use std::fmt;
use tracer_ebpf::programs;

/// How much depends on a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing can be counted without it.
    Required,
    /// This is lost without it.
    Optional(&'static str),
}

/// Every program of the object, in the order in which they are attached.
pub(super) const PROGRAMS: &[(&str, Intent)] = &[
    (programs::TRANSITION, Intent::Required),
    (programs::CONNECT, Intent::Required),
    (
        programs::SWEEP,
        Intent::Optional("pending, live and closing connections, and bytes before a connection closes"),
    ),
];

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not tried yet.
    NotTried,
    /// Loaded and attached.
    Works,
    /// Not loaded or not attached, and why.
    Refused(String),
}

impl Outcome {
    /// Whether it is loaded and attached.
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

/// What this host supports.
#[derive(Debug)]
pub struct Support {
    /// Release of the running kernel.
    pub kernel: String,
    /// One for each program; empty when it did not come that far.
    pub programs: Vec<ProgramReport>,
    /// Why nothing can be traced, if so.
    pub refusal: Option<KernelError>,
}

impl Support {
    /// Whether the tracing commands work here.
    #[must_use]
    pub fn can_trace(&self) -> bool {
        self.refusal.is_none()
    }
}

/// Tries everything, and leaves nothing behind.
#[must_use]
pub fn survey() -> Support {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    match Tracer::load(Settings::default()) {
        Err(refusal) => Support { kernel, programs: Vec::new(), refusal: Some(refusal) },
        Ok(mut tracer) => {
            tracer.attach();
            let programs = tracer.reports().to_vec();
            let refused =
                programs.iter().find(|report| report.intent == Intent::Required && !report.outcome.works());
            let refusal = refused.map(|report| KernelError::Program {
                program: report.name,
                reason: report.outcome.to_string(),
            });
            Support { kernel, programs, refusal }
        }
    }
}
