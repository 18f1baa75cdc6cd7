//! What is written, before anything of it is put together.

use super::table;
use crate::imports::Problems;
use crate::input::Place;
use crate::pools::{Family, Method, WrittenMember};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Which of nginx's two halves; each has upstreams of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Half {
    Http,
    Stream,
}

impl Half {
    /// Where the words of its blocks stand in the table.
    pub(super) const fn contexts(self) -> &'static [&'static str] {
        match self {
            Self::Http => &[table::BELOW, table::HTTP, table::ANYWHERE],
            Self::Stream => &[table::BELOW, table::STREAM, table::ANYWHERE],
        }
    }
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) upstreams: Vec<Upstream>,
    /// Where each is, by its name in lower case.
    pub(super) by_name: HashMap<(Half, Vec<u8>), usize>,
    pub(super) references: Vec<Reference>,
    pub(super) health_checks: Vec<HealthCheck>,
    /// Blocks of `stream` that listen for UDP.
    pub(super) udp: HashSet<usize>,
    /// Lines with a comment that vouches for what is on them.
    pub(super) vouched: BTreeSet<(Arc<str>, usize)>,
    /// Something is passed to a variable, which may be the name of any upstream of that half.
    pub(super) any_upstream: [bool; 2],
    /// Which addresses the resolver asks for that stands in `http` or `stream` itself.
    pub(super) families: [Family; 2],
    /// `worker_processes`, `None` for `auto`.
    pub(super) workers: Option<u64>,
    pub(super) problems: Problems,
}

/// An `upstream` block.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) half: Half,
    /// As it is written.
    pub(super) name: String,
    pub(super) lines: Lines,
    pub(super) method: Method,
    /// It is chosen by the place on a ring of hashes, on which all addresses of a name have one place.
    pub(super) consistent: bool,
    /// A cookie or route binds clients, whatever the method.
    pub(super) sticky: bool,
    /// The method that was written last refuses `backup`.
    pub(super) no_backup: bool,
    /// A method was written.
    pub(super) chosen: bool,
    pub(super) zone: bool,
    /// `state`: its servers are in another file.
    pub(super) elsewhere: bool,
    pub(super) members: Vec<Member>,
    /// Servers that are no backups, those without an address included.
    pub(super) active: usize,
    /// A server has to be in shared memory, because its name is resolved at run time.
    pub(super) resolves: Option<Place>,
    /// Which addresses its own resolver asks for; `None`: it has none of its own.
    pub(super) family: Option<Family>,
    /// Servers on sockets of the file system.
    pub(super) unix: usize,
    pub(super) doubt: Option<String>,
    pub(super) check: Option<Duration>,
}

/// A server of an upstream.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) written: WrittenMember,
    pub(super) lines: Lines,
    /// Its name is resolved at run time, by nginx's own resolver.
    pub(super) resolves: bool,
}

/// Where a directive is, from its first line to its last.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) at: Place,
    pub(super) last: usize,
}

/// Something is passed to a host.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) half: Half,
    /// In lower case.
    pub(super) host: Vec<u8>,
    /// As it is written.
    pub(super) port: Option<u16>,
    /// What the directive takes when none is written.
    pub(super) default_port: Option<u16>,
    pub(super) certainty: Certainty,
    pub(super) at: Place,
    /// The block it is in.
    pub(super) block: usize,
}

/// What is known of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// nginx knows it as it reads its configuration, and refuses what cannot be.
    Written,
    /// nginx looks for it with each request, and refuses nothing before.
    AtRunTime,
    /// Of a module that is not known: to an upstream, if there is one of that name.
    Guessed,
}

/// `health_check` in a block that passes to an upstream.
#[derive(Debug)]
pub(super) struct HealthCheck {
    pub(super) block: usize,
    pub(super) interval: Duration,
}

impl Found {
    /// Whether somebody vouches for what is on these lines.
    pub(super) fn vouches(&self, lines: &Lines) -> bool {
        let line = |line: usize| (Arc::clone(&lines.at.file), line);
        self.vouched.range(line(lines.at.line)..=line(lines.last)).next().is_some()
    }
}
