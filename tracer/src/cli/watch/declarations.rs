//! What is asked for and expected: the arguments, and the files they name. Reading them waits for files and resolvers.

use super::super::config::{self, Typed};
use super::super::expected::{Origin, Resolved, host_names, look_up, refusals, resolve};
use super::super::options::lines;
use super::Arguments;
use crate::input::read_file;
use crate::pools::{DeclaredPool, Names, Pools};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Everything that was read.
#[derive(Clone, Debug)]
pub(super) struct Declarations {
    /// What was typed, and for what was not, what the configuration file says.
    pub(super) arguments: Arguments,
    /// The declared pools, host names resolved.
    pub(super) pools: Vec<DeclaredPool>,
    /// Names that could not be resolved: a line each.
    pub(super) name_problems: Vec<String>,
    origins: Vec<Origin>,
    names: Names,
    watched: Watched,
}

/// What could not be read.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Why, a line for each problem.
    pub(super) errors: Vec<String>,
    /// The files that were tried: one that changes may be right.
    pub(super) watched: Watched,
}

impl From<Vec<String>> for Unread {
    fn from(errors: Vec<String>) -> Self {
        Self { errors, watched: Watched::default() }
    }
}

impl Declarations {
    /// Reads the configuration file and what it names, and resolves every host name; `names` is what is known of them.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn read(typed: &Typed<Arguments>, names: Names) -> Result<Self, Unread> {
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
        Self::of(arguments, names, true)
    }

    /// Reads the files again. Names that are known keep their addresses, so that a drain is not kept waiting by a
    /// resolver.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn read_files_again(&self) -> Result<Self, Unread> {
        Self::of(self.arguments.clone(), self.names.clone(), false)
    }

    /// Resolves every host name again. One that does not resolve keeps its addresses.
    pub(super) fn resolve_again(mut self) -> Self {
        look_up(&mut self.names, host_names(&self.origins), true);
        let Resolved { pools, errors, warnings } = resolve(&self.origins, &self.names);
        self.pools = pools;
        self.name_problems = errors.into_iter().chain(warnings).collect();
        self
    }

    fn of(arguments: Arguments, mut names: Names, ask_again: bool) -> Result<Self, Unread> {
        arguments.pools.check()?;
        let began = SystemTime::now();
        let origins = Origin::read(&arguments.pools);
        let watched = Watched::of(origins.iter().flat_map(Origin::watched), began);
        let refused = refusals(&origins);
        if !refused.is_empty() {
            return Err(Unread { errors: refused, watched });
        }
        look_up(&mut names, host_names(&origins), ask_again);
        let Resolved { pools, errors, warnings } = resolve(&origins, &names);
        if !errors.is_empty() {
            return Err(Unread { errors, watched });
        }
        Ok(Self { arguments, pools, name_problems: warnings, origins, names, watched })
    }

    /// What sorts samples into these pools.
    pub(super) fn sorted(&self) -> Pools {
        self.arguments.pools.pools_of(self.pools.clone())
    }

    /// Whether resolving again can change anything.
    pub(super) fn has_host_names(&self) -> bool {
        !host_names(&self.origins).is_empty()
    }

    /// The pools file, if there is one.
    pub(super) fn pools_file(&self) -> Option<&Path> {
        self.arguments.pools.pools.as_deref()
    }

    /// What is known of host names.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The files as they were when they were read.
    pub(super) fn watched(&self) -> &Watched {
        &self.watched
    }
}

/// Files and directories that declare pools, each with what changes when it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    /// One of them changed while they were being read, or so shortly before that the next change may leave the same stamp.
    unsettled: bool,
}

/// Clocks of file systems go in steps of at most this.
pub(super) const STEP: Duration = Duration::from_millis(20);

impl Watched {
    /// The files that somebody began to read at `began`.
    pub(super) fn of<'a>(paths: impl Iterator<Item = &'a Path>, began: SystemTime) -> Self {
        let paths: BTreeSet<&Path> = paths.collect();
        let stamps: BTreeMap<PathBuf, Option<Stamp>> =
            paths.into_iter().map(|path| (path.to_owned(), Stamp::of(path))).collect();
        let began = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(STEP);
        let since = (i64::try_from(began.as_secs()).unwrap_or(i64::MAX), i64::from(began.subsec_nanos()));
        let unsettled = stamps.values().flatten().any(|stamp| stamp.changed >= since);
        Self { stamps, unsettled }
    }

    /// The same files as they are now.
    pub(super) fn now(&self) -> Self {
        let stamps = self.stamps.keys().map(|path| (path.clone(), Stamp::of(path))).collect();
        Self { stamps, unsettled: false }
    }

    /// Whether nothing differs but, perhaps, `path`.
    pub(super) fn differs_at(&self, other: &Self, path: Option<&Path>) -> bool {
        let differs = |(one, stamp): (&PathBuf, &Option<Stamp>)| other.stamps.get(one) != Some(stamp);
        let mut changed = self.stamps.iter().filter(|&(one, stamp)| differs((one, stamp)));
        changed.all(|(one, _)| Some(one.as_path()) == path)
    }

    /// Looks at these files as well.
    pub(super) fn and(mut self, more: Self) -> Self {
        self.unsettled |= more.unsettled;
        self.stamps.extend(more.stamps);
        self
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
