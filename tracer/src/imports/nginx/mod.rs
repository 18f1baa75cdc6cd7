//! nginx: `upstream` blocks of `http` and `stream`, and what is passed to an address directly.
//!
//! ```text
//!  lexer (lua) ─► walk ─► upstream, server, pass ─► found ─► assemble
//!  bytes → items  files,   a directive each          what is    references resolved,
//!                 blocks   (target: addresses)       written    pools and notes
//! ```
//!
//! What decides nothing about who gets what is skipped without a word: everything outside `upstream` but the directives
//! that pass to somebody, `resolver`, `health_check` and `worker_processes`. Requests that others cause (`mirror`, `auth_request`,
//! `error_page`) pass through a `location` of their own, and are spread as its other requests are; retries
//! (`proxy_next_upstream`) only follow failures, which are counted as such; `split_clients`, `map` and `set` only make
//! variables, and whatever is passed to a variable is a note. Inside `upstream` every word is in [`DIRECTIVES`] or a note.
//!
//! Facts are those of nginx's source, 1.22 and newer: where versions differ, what any of them takes is taken.
//!
//! Two crates were looked at, and neither was taken. `nginx-config` 0.13 has a grammar of some directives, of which neither
//! `upstream` nor `stream` is one, and refuses a file at the first other one. `nginx-discovery` 0.4 reads a file as a
//! `str`, takes a list of characters for words, refuses quotes over several lines, and knows no block of Lua: it would
//! refuse what nginx takes. nginx's own lexer is a page of code, and to differ from it is to be wrong; so it is written
//! here.

mod assemble;
mod elsewhere;
mod found;
mod lexer;
mod lua;
mod pass;
mod resolver;
mod server;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod time;
mod upstream;
mod walk;

pub use table::DIRECTIVES;

use super::{Imported, Reading, Surroundings, Unreadable};
use found::Found;
use std::path::Path;
use walk::Walk;

/// Reads nginx's configuration from its main file on.
///
/// # Errors
/// When nginx would refuse it.
pub fn import(main: &Path, surroundings: &mut dyn Surroundings) -> Result<Imported, Unreadable> {
    let mut reading = Reading::new(surroundings);
    let mut found = Found::default();
    let read = Walk::new(&mut reading, &mut found, main).main(main);
    let mut problems = std::mem::take(&mut found.problems);
    let pools = read.and_then(|()| assemble::pools(&found, &mut problems));
    let Reading { files, directories, missing, .. } = reading;
    match pools {
        Ok(pools) => {
            Ok(Imported { pools, problems: problems.finish(), files, directories, missing, runtime: None })
        }
        Err(error) => {
            problems.push(error);
            Err(Unreadable { problems: problems.finish(), files, directories, missing })
        }
    }
}
