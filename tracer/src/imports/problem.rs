//! What is wrong with a configuration, as a compiler would say it.

use crate::input::Place;
use std::fmt;

/// How bad it is. A legitimate configuration has no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot be as somebody meant it.
    Error,
    /// It is likely not as somebody meant it.
    Warning,
    /// Worth knowing, such as what was not taken into account.
    Note,
}

impl Severity {
    /// The name in text and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A problem in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}{}", .hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default())]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of problem it is, for programs: words in lower case with hyphens. A contract.
    pub code: &'static str,
    /// Where it is.
    pub at: Place,
    /// What is wrong. Quotes nothing of the file but what [`crate::imports`] allows.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// An error.
    #[must_use]
    pub fn error(code: &'static str, at: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, at, message: message.into(), hint: None }
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: &'static str, at: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, message) }
    }

    /// A note.
    #[must_use]
    pub fn note(code: &'static str, at: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(code, at, message) }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
