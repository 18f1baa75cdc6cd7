//! What is asked for and expected: the arguments, and the files they name. Reading them waits for files and resolvers.

use super::super::config::{self, Typed};
use super::super::expected::{Origin, Resolved, host_names, look_up, refusals, resolve};
use super::super::options::lines;
use super::super::running::{self, Identity};
use super::Arguments;
use super::watched::Watched;
use crate::discovery::discover;
use crate::imports::Problem;
use crate::input::read_file;
use crate::pools::{DeclaredPool, Names, Pools};
use std::path::Path;
use std::time::SystemTime;

/// Everything that was read.
#[derive(Clone, Debug)]
pub(super) struct Declarations {
    /// What was typed, and for what was not, what the configuration file says.
    pub(super) arguments: Arguments,
    /// The declared pools, host names resolved.
    pub(super) pools: Vec<DeclaredPool>,
    /// What could not be found out, though the files were read: names, and what running balancers say. A line each.
    pub(super) problems: Vec<String>,
    /// Of these, what was found out when the files were read.
    found_problems: Vec<String>,
    origins: Vec<Origin>,
    /// The running balancers whose configurations are among them.
    running: Vec<Identity>,
    names: Names,
    watched: Watched,
}

/// What could not be read.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Why, a line for each problem.
    pub(super) errors: Vec<String>,
    /// The files that were tried: one that changes may be right. `None`: it did not come to that.
    pub(super) watched: Option<Watched>,
}

impl From<Vec<String>> for Unread {
    fn from(errors: Vec<String>) -> Self {
        Self { errors, watched: None }
    }
}

impl Declarations {
    /// Reads the configuration file and what it names, and resolves every host name; `names` is what is known of them,
    /// and `before` what was read earlier.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn read(typed: &Typed<Arguments>, names: Names, before: &[Origin]) -> Result<Self, Unread> {
        Self::of(Self::arguments(typed)?, names, true, before)
    }

    /// What was typed, and for what was not, what the configuration file says.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn arguments(typed: &Typed<Arguments>) -> Result<Arguments, Vec<String>> {
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
        Ok(arguments)
    }

    /// Reads the files again. Names that are known keep their addresses, so that a drain is not kept waiting by a
    /// resolver.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn read_files_again(&self) -> Result<Self, Unread> {
        Self::of(self.arguments.clone(), self.names.clone(), false, &self.origins)
    }

    /// Resolves every host name again. One that does not resolve keeps its addresses.
    pub(super) fn resolve_again(mut self) -> Self {
        look_up(&mut self.names, host_names(&self.origins), true);
        self.resolved()
    }

    /// Asks running balancers for their present state; `None`: it is as it was.
    pub(super) fn ask_again(mut self) -> Option<Self> {
        // Every one is asked, whatever the one before said.
        let news: Vec<bool> = self.origins.iter_mut().map(Origin::ask).collect();
        if !news.contains(&true) {
            return None;
        }
        look_up(&mut self.names, host_names(&self.origins), false);
        Some(self.resolved())
    }

    /// Looks whether other balancers run, or one has read its configuration again, and reads everything again if so; `None`:
    /// neither.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn look_again(&self) -> Result<Option<Self>, Unread> {
        let discovery = discover();
        let same = running::identities(&discovery.found) == self.running;
        if same { Ok(None) } else { self.read_files_again().map(Some) }
    }

    fn of(arguments: Arguments, names: Names, ask_again: bool, before: &[Origin]) -> Result<Self, Unread> {
        arguments.pools.check(arguments.auto)?;
        let began = SystemTime::now();
        let mut origins = Origin::read(&arguments.pools.files);
        let mut declarations = Self {
            arguments,
            pools: Vec::new(),
            problems: Vec::new(),
            found_problems: Vec::new(),
            origins: Vec::new(),
            running: Vec::new(),
            names,
            watched: Watched::default(),
        };
        let mut found_problems = Vec::new();
        if declarations.arguments.auto && !declarations.arguments.pools.files.are_named() {
            let discovery = discover();
            declarations.running = running::identities(&discovery.found);
            let (found, problems) = running::read(discovery, before);
            origins.extend(found);
            found_problems = problems;
        }
        declarations.watched = Watched::of(&origins, began);
        let mut errors = refusals(&origins);
        // One that was found and cannot be read is no reason not to look at the others, unless it could be read before.
        let was_read = |origin: &Origin| {
            before.iter().any(|one| one.outcome.is_ok() && one.running.is_some() && one.named == origin.named)
        };
        origins.retain(|origin| origin.outcome.is_ok() || origin.running.is_none() || was_read(origin));
        if origins.iter().any(|origin| origin.outcome.is_err()) {
            return Err(Unread { errors, watched: Some(declarations.watched) });
        }
        errors.extend(found_problems.iter().map(Problem::to_string));
        declarations.found_problems = errors;
        for origin in &mut origins {
            origin.ask();
        }
        look_up(&mut declarations.names, host_names(&origins), ask_again);
        declarations.origins = origins;
        let unknown = resolve(&declarations.origins, &declarations.names).errors;
        if !unknown.is_empty() {
            return Err(Unread { errors: unknown, watched: Some(declarations.watched) });
        }
        Ok(declarations.resolved())
    }

    fn resolved(mut self) -> Self {
        let Resolved { pools, errors, warnings } = resolve(&self.origins, &self.names);
        self.pools = pools;
        self.problems = self.found_problems.iter().cloned().chain(errors).chain(warnings).collect();
        self
    }

    /// What sorts samples into these pools.
    pub(super) fn sorted(&self) -> Pools {
        self.arguments.pools.pools_of(self.pools.clone())
    }

    /// Whether resolving again can change anything.
    pub(super) fn has_host_names(&self) -> bool {
        !host_names(&self.origins).is_empty()
    }

    /// What was read.
    pub(super) fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// Whether a running balancer can be asked for its present state.
    pub(super) fn can_ask(&self) -> bool {
        self.origins.iter().any(Origin::can_be_asked)
    }

    /// Whether a running balancer may have read its files before they were what they are: it will read them soon.
    pub(super) fn may_be_older(&self) -> bool {
        let mut running = self.origins.iter().filter_map(|origin| origin.running.as_ref());
        running.any(|running| running.not_reloaded.is_some())
    }

    /// The pools file, if there is one.
    pub(super) fn pools_file(&self) -> Option<&Path> {
        self.arguments.pools.files.pools.as_deref()
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
