//! What is compared, and how each is run.

use nix::sys::signal::Signal;
use serde::Serialize;

use super::{
    counted::{self, Told},
    empty::{HOOKS, HOOKS_OF_EXCHANGES, Hook},
    lab::Connections,
};

/// One of the things that are compared.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) runs: Runs,
    /// The case whose empty programs are on all the hooks that this one's are on, for new and for kept connections.
    floor: Option<[&'static str; 2]>,
}

/// What runs while requests are answered.
pub(super) enum Runs {
    Nothing,
    /// Empty programs on these hooks.
    Empty(&'static [&'static [Hook]]),
    Tool(Tool),
}

/// A program that is run as it is installed.
pub(super) struct Tool {
    pub(super) program: Program,
    pub(super) arguments: &'static [&'static str],
    /// What ends it, so that it says all it knows.
    pub(super) signal: Signal,
    /// Connections that a line of its output tells of; `None`: it does not count connections.
    pub(super) counts: Option<fn(&str) -> Told>,
}

/// Where it is found.
pub(super) enum Program {
    /// As it was built now.
    Tracer,
    /// On the search path.
    Installed(&'static str),
}

pub(super) const NOTHING: &str = "nothing";
pub(super) const EMPTY: &str = "empty programs";
const EMPTY_WITH_EXCHANGES: &str = "empty programs, exchanges too";
pub(super) const TCPLIFE: &str = "tcplife";

/// Attempts and established connections of each destination: the least that tells how traffic is spread.
pub(super) const BPFTRACE: &str = "tracepoint:sock:inet_sock_set_state /args->protocol == 6/ {
  if (args->newstate == 2) { @attempts[ntop(args->daddr), args->dport] = count(); }
  if (args->oldstate == 2 && args->newstate == 1) { @established[ntop(args->daddr), args->dport] = count(); }
}";

pub(super) const CASES: &[Case] = &[
    Case { name: NOTHING, runs: Runs::Nothing, floor: None },
    Case { name: EMPTY, runs: Runs::Empty(&[HOOKS]), floor: None },
    Case { name: EMPTY_WITH_EXCHANGES, runs: Runs::Empty(&[HOOKS_OF_EXCHANGES, HOOKS]), floor: None },
    Case {
        name: "tracer watch",
        runs: tracer(&["watch", "--json"]),
        // It sees that connections are kept, and begins to measure exchanges.
        floor: Some([EMPTY, EMPTY_WITH_EXCHANGES]),
    },
    Case {
        name: "tracer watch --exchanges on",
        runs: tracer(&["watch", "--json", "--exchanges", "on"]),
        floor: Some([EMPTY_WITH_EXCHANGES, EMPTY_WITH_EXCHANGES]),
    },
    Case {
        name: "bpftrace, counts in maps",
        runs: peer("bpftrace", &["-f", "json", "-e", BPFTRACE], Some(counted::by_bpftrace)),
        floor: None,
    },
    Case { name: TCPLIFE, runs: peer("tcplife", &[], Some(counted::by_tcplife)), floor: None },
    Case { name: "tcpstates", runs: peer("tcpstates", &[], Some(counted::by_tcpstates)), floor: None },
    Case { name: "tcpconnect", runs: peer("tcpconnect", &[], Some(counted::by_tcpconnect)), floor: None },
    // It adds up bytes, and shows the screen's twenty busiest connections.
    Case { name: "tcptop", runs: peer("tcptop", &["1"], None), floor: None },
];

const fn tracer(arguments: &'static [&'static str]) -> Runs {
    let counts = Some(counted::by_tracer as fn(&str) -> Told);
    Runs::Tool(Tool { program: Program::Tracer, arguments, signal: Signal::SIGTERM, counts })
}

const fn peer(
    name: &'static str,
    arguments: &'static [&'static str],
    counts: Option<fn(&str) -> Told>,
) -> Runs {
    Runs::Tool(Tool { program: Program::Installed(name), arguments, signal: Signal::SIGINT, counts })
}

impl Case {
    pub(super) fn floor(&self, connections: Connections) -> Option<&'static str> {
        self.floor.map(|[new, kept]| match connections {
            Connections::New => new,
            Connections::Kept => kept,
        })
    }
}

/// Why a case has no figures.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Refused {
    pub(super) case: &'static str,
    /// Its own words, or the kernel's.
    pub(super) reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_case_is_compared_with_is_a_case() {
        let is_case = |name| CASES.iter().any(|case| case.name == name);
        for case in CASES {
            let floors = Connections::ALL.iter().filter_map(|&connections| case.floor(connections));
            assert!(floors.into_iter().all(is_case), "{}", case.name);
        }
        assert!(is_case(NOTHING) && is_case(TCPLIFE));
    }
}
