//! What is asked for and expected: the arguments, and the files they name. Reading them waits for files and resolvers.

use super::super::config::{self, Typed};
use super::super::declared::{Resolved, Written, located, look_up};
use super::super::options::lines;
use super::Arguments;
use crate::input::read_file;
use crate::pools::{DeclaredPool, Names, Pools};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Everything that was read.
#[derive(Clone, Debug)]
pub(super) struct Declarations {
    /// What was typed, and for what was not, what the configuration file says.
    pub(super) arguments: Arguments,
    /// The declared pools, host names resolved.
    pub(super) pools: Vec<DeclaredPool>,
    /// Names that could not be resolved, and whose pools keep what is known of them: a line each.
    pub(super) name_problems: Vec<String>,
    written: Written,
    names: Names,
    watched: Watched,
}

impl Declarations {
    /// Reads the configuration file and the pools file, and resolves every host name.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn read(typed: &Typed<Arguments>) -> Result<Self, Vec<String>> {
        // clap's own first line, without its prefix; the rest is usage.
        let said = |error: clap::Error| {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            vec![line.strip_prefix("error: ").unwrap_or(line).to_owned()]
        };
        let mut arguments = typed.alone().map_err(said)?;
        if let Some(path) = &arguments.config {
            let bytes = read_file(path, "configuration file").map_err(|problem| lines(&[problem]))?;
            let given = config::parse::<Arguments>(&path.display().to_string(), &bytes);
            let given = given.map_err(|problems| lines(&problems))?;
            let beside = |problem: &String| format!("{}, with what is typed: {problem}", path.display());
            arguments = typed
                .over(&given)
                .map_err(said)
                .map_err(|problems| problems.iter().map(beside).collect::<Vec<_>>())?;
        }
        Self::of(arguments, Names::default())
    }

    /// Reads the files again. Names that are known keep their addresses, so that a drain is not kept waiting by a
    /// resolver.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn read_files_again(&self) -> Result<Self, Vec<String>> {
        Self::of(self.arguments.clone(), self.names.clone())
    }

    /// Resolves every host name again.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn resolve_again(mut self) -> Result<Self, Vec<String>> {
        look_up(&mut self.names, self.written.host_names(), true);
        self.resolved()
    }

    fn of(arguments: Arguments, names: Names) -> Result<Self, Vec<String>> {
        arguments.pools.check()?;
        let written = Written::read(&arguments.pools).map_err(|refused| refused.lines)?;
        let sources = written.sources().map(|source| &source.path).chain(written.directories());
        let watched = Watched::of(sources.chain(&arguments.pools.pools).cloned());
        let mut declarations =
            Self { arguments, pools: Vec::new(), name_problems: Vec::new(), written, names, watched };
        look_up(&mut declarations.names, declarations.written.host_names(), false);
        declarations.resolved()
    }

    fn resolved(mut self) -> Result<Self, Vec<String>> {
        let Resolved { pools, errors, warnings } = self.written.resolve(&self.names);
        if !errors.is_empty() {
            return Err(located(&errors));
        }
        self.pools = pools;
        self.name_problems = located(&warnings);
        Ok(self)
    }

    /// What sorts samples into these pools.
    pub(super) fn sorted(&self) -> Pools {
        self.arguments.pools.pools_of(self.pools.clone())
    }

    /// Whether resolving again can change anything.
    pub(super) fn has_host_names(&self) -> bool {
        !self.written.host_names().is_empty()
    }

    /// The files as they were when they were read.
    pub(super) fn watched(&self) -> &Watched {
        &self.watched
    }

    /// The files as they are now.
    pub(super) fn watched_now(&self) -> Watched {
        self.watched.now()
    }
}

/// Files and directories that declare pools, each with what changes when it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
}

impl Watched {
    fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let stamps = paths.into_iter().map(|path| {
            let stamp = Stamp::of(&path);
            (path, stamp)
        });
        Self { stamps: stamps.collect() }
    }

    /// The same files as they are now.
    fn now(&self) -> Self {
        Self::of(self.stamps.keys().cloned())
    }
}

/// What changes when a file does, whether it is written to or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            file: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}
