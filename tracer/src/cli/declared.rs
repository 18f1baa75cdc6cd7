//! What is expected, from the files that say so: read, then resolved.

use super::options::PoolOptions;
use crate::imports::{HostSurroundings, Imported, Problem, Severity, SourceFile, Unreadable};
use crate::imports::{envoy, haproxy, nginx};
use crate::input::{Place, read_file};
use crate::pools::{DeclaredPool, Names, WrittenPools, combine, parse_pools_file, system_resolver};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// How long the resolver may take, for all names together: whoever asks wants to know what happens now.
pub(super) const RESOLVER_PATIENCE: Duration = Duration::from_secs(5);

/// What the files say.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// The pools file; a name in it that does not resolve is an error.
    pub(super) pools_file: Option<WrittenPools>,
    /// Balancers' configurations.
    pub(super) imported: Vec<Imported>,
}

/// What files could not be read, and why.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// A line for each problem.
    pub(super) lines: Vec<String>,
}

/// Pools, and what could not be found out.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolved {
    pub(super) pools: Vec<DeclaredPool>,
    /// Of the pools file: names that have no address.
    pub(super) errors: Vec<(Place, String)>,
    /// Of balancers' configurations.
    pub(super) warnings: Vec<(Place, String)>,
}

impl Written {
    /// Reads every file that was named.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn read(options: &PoolOptions) -> Result<Self, Refused> {
        let mut written = Self::default();
        let mut refused = Refused::default();
        if let Some(path) = &options.pools {
            let read = read_file(path, "pools file").map_err(|problem| vec![problem]);
            match read.and_then(|bytes| parse_pools_file(&path.display().to_string(), &bytes)) {
                Ok(pools) => written.pools_file = Some(pools),
                Err(problems) => refused.lines.extend(problems.iter().map(ToString::to_string)),
            }
        }
        let mut take = |imported: Result<Imported, Unreadable>| match imported {
            Ok(imported) => written.imported.push(imported),
            Err(unreadable) => refused.lines.extend(errors(&unreadable.problems)),
        };
        if let Some(main) = &options.nginx {
            take(nginx::import(main, &mut HostSurroundings));
        }
        if !options.haproxy.is_empty() {
            take(haproxy::import(&options.haproxy, &mut HostSurroundings));
        }
        if let Some(bootstrap) = &options.envoy {
            take(envoy::import(bootstrap, &mut HostSurroundings));
        }
        if refused.lines.is_empty() { Ok(written) } else { Err(refused) }
    }

    /// The host names that are to be resolved.
    pub(super) fn host_names(&self) -> BTreeSet<String> {
        self.all().flat_map(WrittenPools::host_names).collect()
    }

    /// The pools with the addresses that are known.
    pub(super) fn resolve(&self, names: &Names) -> Resolved {
        let mut resolved = Resolved::default();
        let mut of_file = Vec::new();
        if let Some(pools) = &self.pools_file {
            let found = pools.resolve(names, true);
            // Those that are known from earlier keep their addresses.
            let unknown = |(place, problem): (Place, String)| (place, problem);
            resolved.errors.extend(found.problems.into_iter().map(unknown));
            of_file = found.pools;
        }
        let mut imported = Vec::new();
        for import in &self.imported {
            let found = import.pools.resolve(names, true);
            resolved.warnings.extend(found.problems);
            imported.push(found.pools);
        }
        resolved.pools = combine(of_file, imported);
        resolved
    }

    /// What was read of balancers' configurations.
    pub(super) fn sources(&self) -> impl Iterator<Item = &SourceFile> {
        self.imported.iter().flat_map(|imported| &imported.files)
    }

    /// Directories that were listed.
    pub(super) fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.imported.iter().flat_map(|imported| &imported.directories)
    }

    fn all(&self) -> impl Iterator<Item = &WrittenPools> {
        self.pools_file.iter().chain(self.imported.iter().map(|imported| &imported.pools))
    }
}

/// Asks for names that are not known yet, or for all of them again.
pub(super) fn look_up(names: &mut Names, wanted: BTreeSet<String>, again: bool) {
    names.keep(&wanted);
    let asked = if again { wanted } else { names.unknown(wanted) };
    if !asked.is_empty() {
        names.take(system_resolver(asked, RESOLVER_PATIENCE));
    }
}

/// A line for each.
pub(super) fn located(problems: &[(Place, String)]) -> Vec<String> {
    problems.iter().map(|(place, problem)| format!("{place}: {problem}")).collect()
}

fn errors(problems: &[Problem]) -> impl Iterator<Item = String> {
    problems.iter().filter(|problem| problem.severity == Severity::Error).map(ToString::to_string)
}
