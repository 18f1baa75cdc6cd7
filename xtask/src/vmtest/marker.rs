//! What the guest says about itself, a line each, between what the steps say.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Begins every line that is a marker.
const SIGN: &str = "@vmtest ";

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// With this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

/// One line about the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Marker {
    /// The first process runs, on the kernel of this release.
    Booted(String),
    /// A step begins.
    Begin(String),
    /// A step has ended.
    End { step: String, ending: Ending, seconds: f64 },
    /// The guest cannot go on: no step is to blame.
    Broken(String),
    /// Every step has ended.
    Done,
}

impl Marker {
    /// The marker that a line of the console is, if it is one.
    pub(crate) fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line.trim_end().strip_prefix(SIGN)?).ok()
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        write!(f, "{SIGN}{json}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for marker in [
            Marker::Booted("6.1.0-50-cloud-amd64".to_owned()),
            Marker::Begin("demo".to_owned()),
            Marker::End { step: "demo".to_owned(), ending: Ending::Exit(0), seconds: 1.5 },
            Marker::End { step: "demo".to_owned(), ending: Ending::Signal(9), seconds: 0.0 },
            Marker::Broken("two\nlines".to_owned()),
            Marker::Done,
        ] {
            let line = marker.to_string();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(Marker::read(&format!("{line}\r")), Some(marker));
        }
    }

    #[test]
    fn what_programs_say_is_no_marker() {
        for line in ["", "test a ... ok", "@vmtest", "@vmtest {\"done", " @vmtest \"done\""] {
            assert_eq!(Marker::read(line), None, "{line}");
        }
    }
}
