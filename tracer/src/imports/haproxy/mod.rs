//! HAProxy: `backend` and `listen` sections, as HAProxy 2.6 to 3.x reads them.
//!
//! # What is a pool
//!
//! Every `backend` and `listen` section that has servers. One without servers spreads nothing (it shows statistics, or
//! keeps a table), and nothing is said of it. `frontend` sections only tell which backends are used. Of `global`, the
//! environment variables and the `stats socket` matter. What each word is taken for is in [`DIRECTIVES`]; a word in
//! `defaults`, `backend` or `listen` or behind a server that is not there is a note, since a newer HAProxy may know it.
//!
//! # What only HAProxy knows
//!
//! A condition such as `version_atleast(2.8)` or `feature(OPENSSL)` depends on the program, not on the text. Both its
//! branches are read, neither is believed: pools that they change are not judged. The same goes for variables that
//! HAProxy sets itself (`HAPROXY_…`).
//!
//! # Why no crate
//!
//! `haproxy-config` 0.4 is the only one there is. It knows neither `default-server`, `server-template`, `balance`, named
//! `defaults`, `.if`, variables nor quotes as HAProxy has them, stops at what it does not know, and keeps of a server
//! a name, an address and its parameters as text: all that decides shares would have to be made here all the same.

mod address;
mod balance;
mod checks;
mod conditions;
mod environment;
mod expression;
mod global;
mod numbers;
mod pools;
mod proxy;
mod report;
mod server;
mod tables;
#[cfg(test)]
mod tests;
mod truth;
mod walk;
mod words;

use super::{Directive, Imported, Problem, Reading, Surroundings, Unreadable};
use crate::input::Place;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walk::Walk;

/// What is known of the language, by where it stands.
pub const DIRECTIVES: &[&[Directive]] = &[
    tables::SECTION,
    tables::GLOBAL,
    tables::MACRO,
    tables::PREDICATE,
    tables::PROXY,
    tables::OPTION,
    tables::BALANCE,
    tables::SERVER,
];

/// Reads HAProxy's configuration: its files and directories (`-f`), in their order. A directory stands for its files
/// `*.cfg`, sorted by name.
///
/// # Errors
/// When HAProxy would refuse it.
pub fn import(files: &[PathBuf], surroundings: &mut dyn Surroundings) -> Result<Imported, Unreadable> {
    let mut walk = Walk::new(Reading::new(surroundings));
    for path in files {
        match walk.reading.read(path) {
            Ok(bytes) => walk.file(path, &bytes),
            Err(message) => match list(&mut walk.reading, path) {
                Some(names) => names.iter().for_each(|name| part(&mut walk, &path.join(name))),
                None => unreadable(&mut walk, path, message),
            },
        }
    }
    walk.finish()
}

/// A file of a directory; a directory in it is none.
fn part(walk: &mut Walk<'_>, path: &Path) {
    match walk.reading.read(path) {
        Ok(bytes) => walk.file(path, &bytes),
        Err(message) => {
            if list(&mut walk.reading, path).is_none() {
                unreadable(walk, path, message);
            }
        }
    }
}

/// The configuration files in what may be a directory.
fn list(reading: &mut Reading<'_>, path: &Path) -> Option<Vec<PathBuf>> {
    let Ok(names) = reading.list(path) else {
        reading.directories.retain(|directory| directory != path);
        return None;
    };
    let names = names.into_iter().map(PathBuf::from);
    let is_part = |name: &PathBuf| {
        // A name of an extension alone is hidden, and has none.
        name.extension().is_some_and(|extension| extension == "cfg")
            && !name.as_os_str().as_encoded_bytes().starts_with(b".")
    };
    Some(names.filter(is_part).collect())
}

fn unreadable(walk: &mut Walk<'_>, path: &Path, message: String) {
    let file: Arc<str> = path.display().to_string().into();
    walk.report.errors += 1;
    walk.report.push(Problem::error("unreadable", Place { file, line: 0, column: 0 }, message));
}
