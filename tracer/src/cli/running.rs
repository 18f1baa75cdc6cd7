//! Balancers that run here, and what their own configurations say.

use super::exit::say;
use super::expected::{Origin, refusals};
use crate::discovery::{Discovery, Found, Kind, ProcessSurroundings, balancer_names, discover, not_reloaded};
use crate::imports::{Imported, Problem, SourceFile, Unreadable, envoy, haproxy, nginx};
use std::path::PathBuf;

/// Whose configuration it is, and how its files are reached.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) found: Found,
    pub(super) surroundings: ProcessSurroundings,
    /// What was in the files when they were last known to be what runs.
    runs: Option<(u64, Vec<SourceFile>)>,
    /// Why what is read may not be what runs.
    pub(super) not_reloaded: Option<Problem>,
}

/// What makes a balancer another one, or one that has read its configuration again.
pub(super) type Identity = (u32, u64, Vec<PathBuf>);

/// What tells whether anything about the running balancers has changed.
pub(super) fn identities(found: &[Found]) -> Vec<Identity> {
    found.iter().map(|found| (found.pid, found.generation, found.files.clone())).collect()
}

/// Reads the configuration of each; `before` is what was read earlier. Gives problems that are of no file, too.
pub(super) fn read(discovery: Discovery, before: &[Origin]) -> (Vec<Origin>, Vec<Problem>) {
    let (names, alike) = balancer_names(&discovery.found);
    let mut problems = discovery.problems;
    problems.extend(alike);
    let origins = discovery.found.into_iter().zip(names).map(|(found, name)| {
        let mut earlier = before.iter().filter_map(|origin| origin.running.as_deref());
        let runs = earlier.find(|running| running.found.pid == found.pid).and_then(|one| one.runs.clone());
        origin(found, name, runs)
    });
    (origins.collect(), problems)
}

/// The configurations of the balancers that run now, those that can be read. Says which, and why not the others.
pub(super) fn found() -> Vec<Origin> {
    let (mut origins, problems) = read(discover(), &[]);
    for problem in &problems {
        say(&format!("{}: {problem}", problem.severity));
    }
    for line in refusals(&origins) {
        say(&format!("warning: {line}; equal shares are assumed of what it spreads over"));
    }
    origins.retain(|origin| origin.outcome.is_ok());
    for origin in &origins {
        let (Some(running), Some(pools)) = (&origin.running, origin.pools()) else { continue };
        let files: Vec<_> = origin.named.iter().map(|path| path.display().to_string()).collect();
        let count = pools.pools.len();
        say(&format!(
            "expecting what {} says ({}, {count} pool{}); --no-auto: equal shares",
            files.join(" "),
            running.label(),
            if count == 1 { "" } else { "s" },
        ));
    }
    origins
}

fn origin(found: Found, name: String, runs: Option<(u64, Vec<SourceFile>)>) -> Origin {
    let mut surroundings = found.surroundings();
    let outcome = import(&found, &mut surroundings).map(|mut imported| {
        imported.pools.pools.iter_mut().for_each(|pool| pool.balancer = Some(name.clone()));
        imported
    });
    let kind = match found.kind {
        Kind::Nginx => "nginx",
        Kind::Haproxy => "haproxy",
        Kind::Envoy => "envoy",
    };
    let named = found.files.clone();
    let mut running = Running { found, surroundings, runs, not_reloaded: None };
    if let Ok(imported) = &outcome {
        running.compare(&imported.files);
    }
    Origin::of(kind, named, outcome, Some(Box::new(running)))
}

fn import(found: &Found, surroundings: &mut ProcessSurroundings) -> Result<Imported, Unreadable> {
    match (found.kind, found.files.first()) {
        (Kind::Haproxy, _) => haproxy::import(&found.files, surroundings),
        (Kind::Nginx, Some(main)) => nginx::import(main, surroundings),
        (Kind::Envoy, Some(bootstrap)) => envoy::import(bootstrap, surroundings),
        (_, None) => Ok(Imported::default()),
    }
}

impl Running {
    /// What the balancer is called in a sentence.
    pub(super) fn label(&self) -> String {
        self.found.label()
    }

    /// Whether what was read is what runs: by the times, unless it is what was read when it was known to be.
    fn compare(&mut self, files: &[SourceFile]) {
        let older = not_reloaded(&self.found, &self.surroundings.files());
        let generation = self.found.generation;
        match older {
            None => self.runs = Some((generation, files.to_vec())),
            Some(older) => {
                let same = self.runs.as_ref().is_some_and(|(of, runs)| *of == generation && runs == files);
                self.not_reloaded = (!same).then(|| older.problem(&self.found));
            }
        }
    }
}
