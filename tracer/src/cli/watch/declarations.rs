//! What is asked for and expected: the arguments, and the files they name. Reading them waits for files and resolvers.

use super::super::config::{self, Typed};
use super::super::options::lines;
use super::Arguments;
use crate::input::read_file;
use crate::pools::{DeclaredPool, Pools, PoolsFile, system_resolver};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Host name and port to addresses.
type Addresses = HashMap<(String, u16), Vec<SocketAddr>>;

/// Everything that was read.
#[derive(Clone, Debug)]
pub(super) struct Declarations {
    /// What was typed, and for what was not, what the configuration file says.
    pub(super) arguments: Arguments,
    /// The declared pools, host names resolved.
    pub(super) pools: Vec<DeclaredPool>,
    file: Option<PoolsFile>,
    stamp: Option<Stamp>,
    addresses: Addresses,
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
        Self::of(arguments, &Addresses::new())
    }

    /// Reads the pools file again. Names that are known keep their addresses, so that a drain is not kept waiting by a
    /// resolver.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn read_pools_again(&self) -> Result<Self, Vec<String>> {
        Self::of(self.arguments.clone(), &self.addresses)
    }

    /// Resolves every host name again.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn resolve_again(self) -> Result<Self, Vec<String>> {
        let (pools, addresses) = resolved(self.file.as_ref(), &Addresses::new())?;
        Ok(Self { pools, addresses, ..self })
    }

    fn of(arguments: Arguments, known: &Addresses) -> Result<Self, Vec<String>> {
        // Before it is read: a change in between is a change.
        let stamp = stamp_of(&arguments);
        let file = arguments.pools.file()?;
        let (pools, addresses) = resolved(file.as_ref(), known)?;
        Ok(Self { arguments, pools, file, stamp, addresses })
    }

    /// What sorts samples into these pools.
    pub(super) fn sorted(&self) -> Pools {
        self.arguments.pools.pools_of(self.pools.clone())
    }

    /// Whether resolving again can change anything.
    pub(super) fn has_host_names(&self) -> bool {
        self.file.as_ref().is_some_and(PoolsFile::has_host_names)
    }

    /// The pools file's stamp when it was read.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// The pools file's stamp now.
    pub(super) fn stamp_now(&self) -> Option<Stamp> {
        stamp_of(&self.arguments)
    }
}

fn stamp_of(arguments: &Arguments) -> Option<Stamp> {
    arguments.pools.pools.as_deref().and_then(Stamp::of)
}

fn resolved(
    file: Option<&PoolsFile>,
    known: &Addresses,
) -> Result<(Vec<DeclaredPool>, Addresses), Vec<String>> {
    let mut addresses = Addresses::new();
    let Some(file) = file else { return Ok((Vec::new(), addresses)) };
    let pools = file.resolve(|host, port| {
        let name = (host.to_owned(), port);
        let found = match known.get(&name) {
            Some(found) => found.clone(),
            None => system_resolver(host, port)?,
        };
        addresses.insert(name, found.clone());
        Ok(found)
    });
    Ok((pools.map_err(|problems| lines(&problems))?, addresses))
}

/// What changes when a file does, whether it is written to or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
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
