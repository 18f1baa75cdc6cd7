//! Problems as they are found, and where.

use super::words::Word;
use crate::imports::{Problem, Problems};
use crate::input::Place;
use std::sync::Arc;

/// The line that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    pub(super) file: &'a Arc<str>,
    /// From 1.
    pub(super) number: usize,
    pub(super) bytes: &'a [u8],
}

impl Spot<'_> {
    /// The place of a byte of the line.
    pub(super) fn at(&self, byte: usize) -> Place {
        let before = self.bytes.get(..byte).unwrap_or(self.bytes);
        let column = String::from_utf8_lossy(before).chars().count() + 1;
        Place { file: Arc::clone(self.file), line: self.number, column }
    }

    /// The place of a word, of the line when there is none.
    pub(super) fn of(&self, word: Option<&Word>) -> Place {
        match word {
            Some(word) => self.at(word.at),
            None => Place { file: Arc::clone(self.file), line: self.number, column: 0 },
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Problems,
    /// How often HAProxy would refuse the text.
    pub(super) errors: usize,
}

impl Report {
    /// HAProxy would refuse this.
    pub(super) fn refuse(&mut self, code: &'static str, at: Place, message: impl Into<String>) {
        self.errors += 1;
        self.push(Problem::error(code, at, message));
    }

    /// Takes in one more.
    pub(super) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// All of them, and how many there is no place for.
    pub(super) fn finish(self) -> Vec<Problem> {
        self.problems.finish()
    }
}
