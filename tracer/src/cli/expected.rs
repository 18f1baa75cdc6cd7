//! What is expected, from the files that say so: read by their importers, host names resolved, put together.

use super::options::Files;
use super::running::Running;
use crate::imports::{HostSurroundings, Imported, Problem, Severity, SourceFile, Unreadable};
use crate::imports::{envoy, haproxy, nginx};
use crate::input::{InputError, Place, read_file};
use crate::pools::{
    DeclaredPool, MemberAddress, Names, WrittenPools, combine, parse_pools_file, system_resolver,
};
use crate::runtime::{self, ServerState};
use nix::unistd::geteuid;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the resolver may take, for all names together: whoever asks wants to know what happens now.
const RESOLVER_PATIENCE: Duration = Duration::from_secs(5);

/// A pools file, or one balancer's configuration.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// What it is: `nginx`, `haproxy`, `envoy`, `pools file`.
    pub(super) kind: &'static str,
    /// The files as they were named, or found.
    pub(super) named: Vec<PathBuf>,
    /// What is in them.
    pub(super) outcome: Result<Imported, Unreadable>,
    /// Whose configuration it is, when it was found with a running balancer.
    pub(super) running: Option<Box<Running>>,
    /// What the running balancer says of its present state, where it can be asked.
    present: Option<Present>,
}

/// Pools as they are now, whatever the files say.
#[derive(Clone, Debug)]
struct Present {
    /// What it said, so that the same again is no news.
    states: Vec<ServerState>,
    pools: WrittenPools,
    /// What differs from the files, a line each.
    differences: Vec<String>,
    /// Why it could not be asked the last time.
    problem: Option<String>,
}

/// What the kind of a pools file is called.
const POOLS_FILE: &str = "pools file";

impl Origin {
    pub(super) fn of(
        kind: &'static str,
        named: Vec<PathBuf>,
        outcome: Result<Imported, Unreadable>,
        running: Option<Box<Running>>,
    ) -> Self {
        Self { kind, named, outcome, running, present: None }
    }

    /// Reads every file that was named.
    pub(super) fn read(options: &Files) -> Vec<Self> {
        let mut origins = Vec::new();
        let mut add = |kind, named: &[PathBuf], outcome| {
            origins.push(Self::of(kind, named.to_vec(), outcome, None));
        };
        if let Some(path) = &options.pools {
            add(POOLS_FILE, std::slice::from_ref(path), pools_file(path));
        }
        if let Some(main) = &options.nginx {
            add("nginx", std::slice::from_ref(main), nginx::import(main, &mut HostSurroundings));
        }
        if !options.haproxy.is_empty() {
            add("haproxy", &options.haproxy, haproxy::import(&options.haproxy, &mut HostSurroundings));
        }
        if let Some(bootstrap) = &options.envoy {
            add("envoy", std::slice::from_ref(bootstrap), envoy::import(bootstrap, &mut HostSurroundings));
        }
        origins
    }

    /// The pools, as the running balancer has them if it could be asked; none when they could not be read.
    pub(super) fn pools(&self) -> Option<&WrittenPools> {
        let written = self.outcome.as_ref().ok().map(|imported| &imported.pools);
        self.present.as_ref().map(|present| &present.pools).or(written)
    }

    /// Whether there is a balancer that can be asked for its present state.
    pub(super) fn can_be_asked(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|imported| imported.runtime.is_some())
    }

    /// Asks the running balancer for its present state, and gives whether there is news. When it does not answer, what it
    /// said last stands.
    pub(super) fn ask(&mut self) -> bool {
        let Ok(imported) = &self.outcome else { return false };
        let Some(path) = &imported.runtime else { return false };
        let socket = match &self.running {
            Some(running) => running.surroundings.socket(path),
            None => runtime::open(path),
        };
        let is_believed = |user| match &self.running {
            Some(running) => running.found.can_listen_as(user),
            None => user == 0 || user == geteuid().as_raw(),
        };
        let answer = socket.and_then(|socket| runtime::server_states(socket, runtime::PATIENCE, is_believed));
        let (states, problem) = match answer {
            Ok(states) => (states, None),
            Err(problem) => {
                let before = self.present.as_ref().map(|present| present.states.clone());
                let unknown = "drains and weights that were changed at run time are not known";
                (before.unwrap_or_default(), Some(format!("{}: {problem}; {unknown}", path.display())))
            }
        };
        if self.present.as_ref().is_some_and(|now| now.states == states && now.problem == problem) {
            return false;
        }
        let mut pools = imported.pools.clone();
        let differences = if states.is_empty() { Vec::new() } else { runtime::apply(&mut pools, &states) };
        self.present = Some(Present { states, pools, differences, problem });
        true
    }

    /// What the running balancer has otherwise than its files say, why it could not be asked, and why the files may not be
    /// what runs.
    pub(super) fn run_time_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let place =
            || Place::of_file(&self.named.first().map(|path| path.display().to_string()).unwrap_or_default());
        if let Some(present) = &self.present {
            let differs =
                |difference: &String| Problem::note("changed-at-run-time", place(), difference.clone());
            problems.extend(present.differences.iter().map(differs));
            let silent = |problem: &String| Problem::note("run-time-state-unknown", place(), problem.clone());
            problems.extend(present.problem.iter().map(silent));
        }
        problems.extend(self.running.as_ref().and_then(|running| running.not_reloaded.clone()));
        problems
    }

    /// Why it could not be asked for its present state.
    fn not_asked(&self) -> Option<&String> {
        self.present.as_ref()?.problem.as_ref()
    }

    /// Everything that was found about it.
    pub(super) fn problems(&self) -> &[Problem] {
        match &self.outcome {
            Ok(imported) => &imported.problems,
            Err(unreadable) => &unreadable.problems,
        }
    }

    /// Everything that was read of it.
    pub(super) fn files(&self) -> &[SourceFile] {
        match &self.outcome {
            Ok(imported) => &imported.files,
            Err(unreadable) => &unreadable.files,
        }
    }

    /// What has to be looked at to see whether it changes: the files that were named, read, or could not be read, and the
    /// directories that were listed.
    pub(super) fn watched(&self) -> impl Iterator<Item = &Path> {
        let (directories, missing) = match &self.outcome {
            Ok(imported) => (&imported.directories, &imported.missing),
            Err(unreadable) => (&unreadable.directories, &unreadable.missing),
        };
        let read = self.files().iter().map(|file| &file.path);
        self.named.iter().chain(read).chain(missing).chain(directories).map(PathBuf::as_path)
    }

    /// Why it could not be read, a line for each problem; empty when it could.
    fn refusal(&self) -> impl Iterator<Item = String> {
        let problems = self.outcome.as_ref().err().map(|unreadable| &unreadable.problems);
        let errors = problems.into_iter().flatten().filter(|problem| problem.severity == Severity::Error);
        errors.map(ToString::to_string)
    }
}

fn pools_file(path: &Path) -> Result<Imported, Unreadable> {
    let problem = |error: InputError| {
        let at = Place { file: error.file.into(), line: error.line, column: error.column };
        Problem::error("invalid-pools-file", at, error.message)
    };
    let bytes = read_file(path, POOLS_FILE)
        .map_err(|error| Unreadable { problems: vec![problem(error)], ..Unreadable::default() })?;
    let files = vec![SourceFile { path: path.to_owned(), bytes: bytes.as_slice().into() }];
    match parse_pools_file(&path.display().to_string(), &bytes) {
        Ok(pools) => Ok(Imported { pools, files, ..Imported::default() }),
        Err(errors) => {
            let problems = errors.into_iter().map(problem).collect();
            Err(Unreadable { problems, files, ..Unreadable::default() })
        }
    }
}

/// Why files could not be read, a line for each problem; empty when all could.
pub(super) fn refusals(origins: &[Origin]) -> Vec<String> {
    origins.iter().flat_map(Origin::refusal).collect()
}

/// The host names that are to be resolved.
pub(super) fn host_names(origins: &[Origin]) -> BTreeSet<String> {
    origins.iter().filter_map(Origin::pools).flat_map(WrittenPools::host_names).collect()
}

/// Asks the resolver for names that are not known yet; with `again` for all of them.
pub(super) fn look_up(names: &mut Names, wanted: BTreeSet<String>, again: bool) {
    names.keep(&wanted);
    let asked = if again { wanted } else { names.unknown(wanted) };
    if !asked.is_empty() {
        names.take(system_resolver(asked, RESOLVER_PATIENCE));
    }
}

/// Pools, and what could not be found out.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolved {
    /// The pools of all origins.
    pub(super) pools: Vec<DeclaredPool>,
    /// Names in a pools file that have no address: whoever wrote it wants to know. A line each.
    pub(super) errors: Vec<String>,
    /// Names that have the addresses they had, or of which a pool is not judged for that; and balancers that could not be
    /// asked for their present state. A line each.
    pub(super) warnings: Vec<String>,
}

/// The pools of all origins, with the addresses that are known.
pub(super) fn resolve(origins: &[Origin], names: &Names) -> Resolved {
    let mut resolved = Resolved::default();
    let (mut of_file, mut imported) = (Vec::new(), Vec::new());
    for origin in origins {
        let Some(written) = origin.pools() else { continue };
        resolved.warnings.extend(origin.not_asked().cloned());
        let mut found = written.resolve(names, origin.running.is_none());
        let older = origin.running.as_ref().and_then(|running| running.not_reloaded.as_ref());
        if let Some(older) = older {
            let remark = format!("{} {}", older.at, older.message);
            found.pools.iter_mut().for_each(|pool| pool.remark = Some(remark.clone()));
        }
        let lines = found.problems.iter().map(|(place, problem)| format!("{place}: {problem}"));
        if origin.kind == POOLS_FILE {
            let known = |address: &MemberAddress| match address {
                MemberAddress::Host { name, .. } => names.addresses(name).next().is_some(),
                MemberAddress::Ip(_) => true,
            };
            let members = written.pools.iter().flat_map(|pool| &pool.members);
            let unknown: BTreeSet<&Place> =
                members.filter(|member| !known(&member.address)).map(|member| &member.at).collect();
            for ((place, _), line) in found.problems.iter().zip(lines) {
                let list =
                    if unknown.contains(place) { &mut resolved.errors } else { &mut resolved.warnings };
                list.push(line);
            }
            of_file.extend(found.pools);
        } else {
            resolved.warnings.extend(lines);
            imported.push(found.pools);
        }
    }
    resolved.pools = combine(of_file, imported);
    resolved
}
