//! What went wrong, in one line.

use aya::programs::ProgramError;

/// How the lines begin with which the verifier's log ends, whatever it says before.
const VERIFIER_STATISTICS: &[&str] = &["processed ", "verification time ", "stack depth "];

/// What the kernel says of a program, in one line: of the verifier's log the last sentence, which gives the reason.
pub(super) fn refusal(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let reason = log.lines().rev().map(str::trim).find(|line| {
                !line.is_empty() && !VERIFIER_STATISTICS.iter().any(|prefix| line.starts_with(prefix))
            });
            match reason {
                Some(reason) => format!("{io_error}: {reason}"),
                None => io_error.to_string(),
            }
        }
        other => chain(other),
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
