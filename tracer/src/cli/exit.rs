//! Exit codes with a meaning, and the failures that lead to them.

use crate::kernel::{KernelError, PinError};
use crate::outputs::escape::for_terminal;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

/// Exit codes; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Balanced, or done.
    Fine = 0,
    /// A finding.
    Finding = 1,
    /// Wrong usage, configuration or input.
    Usage = 2,
    /// Not enough evidence.
    InsufficientEvidence = 3,
    /// This host cannot be traced.
    CannotTrace = 4,
    /// Our own fault.
    Internal = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The user's input is wrong; each line names a place and a remedy.
    Input(Vec<String>),
    /// The host cannot be traced.
    Host(KernelError),
    /// What was found cannot be written.
    Output(io::Error),
    /// Our own fault, or something that should not happen.
    Internal(anyhow::Error),
}

impl Failure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Input(_) => Exit::Usage,
            Self::Host(_) => Exit::CannotTrace,
            Self::Output(_) | Self::Internal(_) => Exit::Internal,
        }
    }
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Pins(error) => error.into(),
            error => Self::Host(error),
        }
    }
}

impl From<PinError> for Failure {
    fn from(error: PinError) -> Self {
        if error.is_of_host() {
            Self::Host(KernelError::Pins(error))
        } else {
            Self::Input(vec![error.to_string()])
        }
    }
}

/// Says what went wrong, on stderr.
pub(super) fn complain(failure: &Failure) {
    match failure {
        Failure::Input(lines) => lines.iter().for_each(|line| say(&format!("error: {line}"))),
        Failure::Host(error) => say(&format!("error: {error}")),
        Failure::Output(error) => say(&format!("error: cannot write to standard output: {error}")),
        Failure::Internal(error) => say(&format!("internal error: {error:#}; please report it")),
    }
}

/// Name of this host.
pub(super) fn host_name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "unknown".into(), |name| name.to_string_lossy().into_owned())
}

/// Takes lines in place of stderr.
pub(super) type Listener = Box<dyn Fn(&str) + Send>;

/// While a screen is on the terminal: who takes the lines, and the lines.
static DIVERTED: Mutex<Option<(Listener, Vec<String>)>> = Mutex::new(None);
/// Lines that are kept; the first of many say what began.
const MOST_KEPT: usize = 100;

/// Has lines go to a listener instead of stderr, which a screen must not be written over with, or to stderr again. Gives
/// those that went to the last listener, as far as they are kept.
pub(super) fn divert(to: Option<Listener>) -> Vec<String> {
    let mut diverted = DIVERTED.lock().unwrap_or_else(PoisonError::into_inner);
    let before = std::mem::replace(&mut *diverted, to.map(|listener| (listener, Vec::new())));
    before.map_or_else(Vec::new, |(_, lines)| lines)
}

/// A line on stderr. That nobody reads it is no failure.
pub(super) fn say(line: &str) {
    if let Some((listener, lines)) = &mut *DIVERTED.lock().unwrap_or_else(PoisonError::into_inner) {
        listener(line);
        if lines.len() < MOST_KEPT {
            lines.push(line.to_owned());
        }
        return;
    }
    let _ = writeln!(io::stderr(), "{}", for_terminal(line));
}

/// Writes to stdout, then exits so. A reader that has gone away has seen what it wanted: quiet success.
pub(super) fn print(text: &str, exit: Exit) -> Result<Exit, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(exit),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Fine),
        Err(error) => Err(Failure::Output(error)),
    }
}
