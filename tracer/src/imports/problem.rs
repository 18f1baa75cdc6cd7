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

/// Problems of one configuration: more than anybody reads, and a bound for who has us read nonsense.
pub const MOST_PROBLEMS: usize = 1_000;

/// Problems in their order, of which no more than [`MOST_PROBLEMS`] are kept: errors before all others.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    kept: Vec<Problem>,
    /// How many of those are errors.
    errors: usize,
    left_out: usize,
}

impl Problems {
    /// Takes in one more. An error takes the place of the last that is none.
    pub fn push(&mut self, problem: Problem) {
        let is_error = problem.severity == Severity::Error;
        if self.kept.len() >= MOST_PROBLEMS {
            self.left_out += 1;
            if !is_error || self.errors == self.kept.len() {
                return;
            }
            let last = self.kept.iter().rposition(|kept| kept.severity != Severity::Error);
            last.map(|last| self.kept.remove(last));
        }
        self.errors += usize::from(is_error);
        self.kept.push(problem);
    }

    /// All that are kept, and a note how many are not.
    #[must_use]
    pub fn finish(mut self) -> Vec<Problem> {
        if let (1.., Some(last)) = (self.left_out, self.kept.last()) {
            let message = format!("{} more problems are not listed: mend these first", self.left_out);
            self.kept.push(Problem::note("more-problems", last.at.clone(), message));
        }
        self.kept
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        let mut kept = Self::default();
        problems.into_iter().for_each(|problem| kept.push(problem));
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_is_lost_among_more_problems_than_are_kept() {
        let place = || Place::of_file("a");
        let notes = (0..3_000).map(|n| Problem::note("note", place(), n.to_string()));
        let errors = (0..3).map(|n| Problem::error("error", place(), n.to_string()));
        let kept = notes.chain(errors).collect::<Problems>().finish();
        assert_eq!(kept.len(), MOST_PROBLEMS + 1);
        assert_eq!(kept.iter().filter(|one| one.severity == Severity::Error).count(), 3);
        assert_eq!((kept[996].message.as_str(), kept[997].message.as_str()), ("996", "0"));
        assert!(kept[1_000].message.starts_with("2003 more"));
    }

    #[test]
    fn errors_are_bounded_too() {
        let errors = (0..200_000).map(|_| Problem::error("error", Place::of_file("a"), ""));
        let kept = errors.collect::<Problems>().finish();
        assert!(kept.len() == MOST_PROBLEMS + 1 && kept[MOST_PROBLEMS].message.starts_with("199000 more"));
        let few = (0..1_000).map(|_| Problem::error("error", Place::of_file("a"), ""));
        assert_eq!(few.collect::<Problems>().finish().len(), MOST_PROBLEMS, "nothing is left out");
    }
}
