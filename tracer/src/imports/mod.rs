//! A balancer's own configuration: text → pools as they are written, and located problems.
//!
//! One importer for each balancer ([`nginx`], [`haproxy`], [`envoy`]), all with the same contract. They are given the
//! names of files and [`Surroundings`] to read them in, and give [`Imported`], or [`Unreadable`] when the balancer itself
//! would refuse the text. What a balancer knows and an importer does not is a located note, never silence. They do no
//! other I/O, resolve no names, and end in bounded time and memory whatever the text is.
//!
//! The text may be a secret that somebody has us read: messages name directives that the importer knows, pools, servers
//! and addresses, and never quote anything else. The lines themselves are in [`Imported::files`], for who shows them on a
//! terminal.
#![forbid(unsafe_code)]

#[cfg(test)]
mod corpus_tests;
mod directive;
#[cfg(test)]
mod fixtures;
mod pattern;
mod problem;
mod reading;
mod surroundings;

pub mod envoy;
pub mod haproxy;
pub mod nginx;

pub use directive::{Directive, Effect};
pub use problem::{MOST_PROBLEMS, Problem, Problems, Severity};
pub use reading::{Reading, SourceFile};
pub use surroundings::{HostSurroundings, MOST_NAMES, Surroundings, too_many_names};

use crate::pools::WrittenPools;
use std::path::PathBuf;

/// What an importer found.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// The pools; names unlike each other.
    pub pools: WrittenPools,
    /// What is wrong, or could not be taken into account, in the order in which it was found.
    pub problems: Vec<Problem>,
    /// What was read, in that order.
    pub files: Vec<SourceFile>,
    /// Directories that were listed: a file that comes or goes there changes the configuration.
    pub directories: Vec<PathBuf>,
    /// Files that could not be read: one that comes changes the configuration.
    pub missing: Vec<PathBuf>,
    /// Where the running balancer can be asked for its present state: HAProxy's `stats socket`.
    pub runtime: Option<PathBuf>,
}

/// The balancer would refuse the text, or it cannot be read.
#[derive(Clone, Debug, Default)]
pub struct Unreadable {
    /// At least one error, and whatever else was found up to it.
    pub problems: Vec<Problem>,
    /// What was read.
    pub files: Vec<SourceFile>,
    /// Directories that were listed.
    pub directories: Vec<PathBuf>,
    /// Files that could not be read: one that comes, or can be read, may mend it.
    pub missing: Vec<PathBuf>,
}

/// The comment that vouches for the weights on its line.
pub const INTENDED: &str = "tracer: intended";

/// Whether a comment (without the `#`) vouches for the weights on its line.
#[must_use]
pub fn is_vouching(comment: &[u8]) -> bool {
    comment.trim_ascii().starts_with(INTENDED.as_bytes())
}
