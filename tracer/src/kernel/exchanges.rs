//! The programs that measure exchanges: loaded first, attached when they are wanted.

use super::object::program;
use super::pins::Pins;
use super::refusal::refusal;
use super::report::{Outcome, ProgramReport};
use aya::Ebpf;
use aya::programs::links::FdLink;
use aya::programs::{BtfTracePoint, FEntry};
use tracer_ebpf::programs;

/// Whether exchanges are measured, and at what risk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exchanges {
    /// They are not: they are unknown.
    Off,
    /// Not yet, but from [`Tracer::measure_exchanges`](super::Tracer::measure_exchanges) on, where tracepoints can do it.
    Prepared,
    /// From the start, where tracepoints can do it.
    #[default]
    Measured,
    /// From the start; where a tracepoint is missing, at the kernel's functions. Detaching from these can deadlock on
    /// kernels before 6.9.
    MeasuredAtRisk,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Measuring {
    /// Not measured, and not to be.
    #[default]
    No,
    /// The programs of [`BY_TRACEPOINTS`] are loaded.
    Prepared,
    /// Measured.
    Yes,
}

/// The receive edge first: a send that is seen before it awaits a read that is not.
pub(super) const BY_TRACEPOINTS: [&str; 2] = [programs::RECEIVE, programs::SEND];

/// Where a program is attached.
enum Hook {
    Tracepoint(&'static str),
    Function(&'static str),
}

/// Every program, those that are better first.
const HOOKS: [(&str, Hook); 4] = [
    (programs::RECEIVE, Hook::Tracepoint("tcp_rcv_space_adjust")),
    (programs::SEND, Hook::Tracepoint("sock_send_length")),
    (programs::SEND_ENTRY, Hook::Function("tcp_sendmsg_locked")),
    (programs::SEND_PAGE, Hook::Function("tcp_sendpage")),
];

const RISK: &str = "exchanges are measured at functions of the kernel, since it has not the tracepoint sock_send_length \
                    (Linux 6.3): when tracer ends, taking the programs out again can deadlock kernels before 6.9";

/// Whether a program is one of these.
pub(super) fn are_seen_by(name: &str) -> bool {
    HOOKS.iter().any(|(program, _)| *program == name)
}

/// Loads what measures exchanges, notes what the kernel says of each program, and attaches them if that is asked for
/// at once. The functions are loaded only where the tracepoint is missing: to know, and to use them when told so.
pub(super) fn prepare(
    ebpf: &mut Ebpf,
    btf: &aya::Btf,
    wanted: Exchanges,
    reports: &mut [ProgramReport],
    pins: Option<&Pins>,
) -> Measuring {
    if wanted == Exchanges::Off {
        return Measuring::No;
    }
    let mut usable = Vec::new();
    for (name, hook) in &HOOKS {
        let is_needed = matches!(hook, Hook::Tracepoint(_)) || !usable.contains(&programs::SEND);
        let Some(report) = reports.iter_mut().find(|report| report.name == *name) else { continue };
        if is_needed && report.outcome == Outcome::NotTried {
            match load(ebpf, name, hook, btf) {
                Ok(()) => report.works_in(ebpf),
                Err(reason) => report.outcome = Outcome::Refused(reason),
            }
        }
        if report.outcome.works() {
            usable.push(*name);
        }
    }
    let without_risk = usable == BY_TRACEPOINTS;
    let both_edges = usable.contains(&programs::RECEIVE)
        && (usable.contains(&programs::SEND) || usable.contains(&programs::SEND_ENTRY));
    match wanted {
        Exchanges::Prepared if without_risk => return Measuring::Prepared,
        Exchanges::Measured if without_risk => {}
        Exchanges::MeasuredAtRisk if both_edges => {}
        _ => return Measuring::No,
    }
    match attach(ebpf, &usable, pins) {
        Ok(()) => Measuring::Yes,
        Err(reason) => {
            for report in reports.iter_mut().filter(|report| usable.contains(&report.name)) {
                report.outcome = Outcome::Refused(reason.clone());
            }
            Measuring::No
        }
    }
}

/// Loads a program, and attaches nothing.
fn load(ebpf: &mut Ebpf, name: &str, hook: &Hook, btf: &aya::Btf) -> Result<(), String> {
    let loaded = match hook {
        Hook::Tracepoint(tracepoint) => program::<BtfTracePoint>(ebpf, name)?.load(tracepoint, btf),
        Hook::Function(function) => program::<FEntry>(ebpf, name)?.load(function, btf),
    };
    loaded.map_err(|error| refusal(&error))
}

/// Attaches programs that are loaded, so that they outlive this process if there are pins. Where one fails, those before
/// it stay until the end: alone they count nothing.
///
/// # Errors
/// What the kernel says, in one line.
pub(super) fn attach(ebpf: &mut Ebpf, names: &[&str], pins: Option<&Pins>) -> Result<(), String> {
    for (name, hook) in HOOKS.iter().filter(|(name, _)| names.contains(name)) {
        let failed = |error| format!("attaching `{name}`: {}", refusal(&error));
        let link: Option<FdLink> = match hook {
            Hook::Tracepoint(_) => {
                let program = program::<BtfTracePoint>(ebpf, name)?;
                let link = program.attach().map_err(failed)?;
                pins.map(|_| program.take_link(link)).transpose().map_err(failed)?.map(Into::into)
            }
            Hook::Function(_) => {
                let program = program::<FEntry>(ebpf, name)?;
                let link = program.attach().map_err(failed)?;
                pins.map(|_| program.take_link(link)).transpose().map_err(failed)?.map(Into::into)
            }
        };
        if let (Some(pins), Some(link)) = (pins, link) {
            pins.attached(name, link).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

impl Exchanges {
    /// What the user should know of it before the first figures: that they are not measured although they were asked
    /// for, or at what risk they are.
    pub(super) fn notice(self, reports: &[ProgramReport]) -> Option<String> {
        let works = |name| reports.iter().any(|report| report.name == name && report.outcome.works());
        let (received, sent, entered) =
            (works(programs::RECEIVE), works(programs::SEND), works(programs::SEND_ENTRY));
        match self {
            Self::Off => None,
            _ if received && sent => None,
            Self::MeasuredAtRisk if received && entered => Some(format!("warning: {RISK}")),
            _ if received && entered => Some(
                "notice: exchanges and response times are not measured: this kernel has not the tracepoint \
                 sock_send_length (Linux 6.3); `--exchanges on` measures them in another way, and names its risk"
                    .into(),
            ),
            _ => Some(format!(
                "notice: exchanges and response times are not measured: {}; `tracer doctor` tells more",
                refused(reports)
            )),
        }
    }
}

/// The first program that measuring cannot do without, and what the kernel says of it.
fn refused(reports: &[ProgramReport]) -> String {
    let mut needed = reports.iter().filter(|report| BY_TRACEPOINTS.contains(&report.name));
    let refused = needed.find(|report| !report.outcome.works());
    refused.map_or_else(String::new, |report| format!("`{}`: {}", report.name, report.outcome))
}
