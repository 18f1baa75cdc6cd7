//! What each thread of the agent keeps once everything is loaded, attached and open. A thread gives the rest up for good:
//! capabilities (all five sets), new ones by exec (`no_new_privs`), and by landlock files and ports.
//!
//! | thread | capabilities | files | ports |
//! |---|---|---|---|
//! | the tick, and whoever reads files for it | `CAP_DAC_READ_SEARCH`; where it looks at other processes `CAP_SYS_PTRACE`; where it may ask HAProxy `CAP_DAC_OVERRIDE`; where the kernel wants them for every bpf(2) `CAP_BPF` and `CAP_PERFMON` | read any, write what `--pin` keeps; where it looks at other processes without landlock | opens no listener |
//! | `listener` | none | none | neither listens anew nor connects |
//! | `history` | none; where the directory is another user's `CAP_DAC_OVERRIDE` | its directory, and SQLite's temporary files | as above |
//! | `alerts`, and those that resolve host names | none | read any (resolver, certificates), write none | opens no listener |
//!
//! Capabilities and landlock belong to a thread and go to the threads that it starts, so each thread gives up its own
//! when it begins, and the one that ticks when it has opened what it needs: before that nobody has started a thread that does
//! not. Under landlock a process may not look at others (`/proc/PID/{fd,exe,root,environ}`), whatever capabilities it has: so
//! a thread that has to is not under it, and systemd's `ProtectSystem=strict` keeps it from writing instead.
//!
//! There is no filter of system calls here: which ones the C library, SQLite and TLS make changes with their versions, and
//! who is killed for a new one is the agent. The systemd unit has a coarse one, by groups that systemd keeps up to date.

mod files;
mod hold;
mod trial;

pub use files::Files;
pub use hold::Held;
pub use trial::{Trials, try_out};

use caps::Capability;
use std::path::{Path, PathBuf};

/// What a thread keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// In the order in which they are told.
    capabilities: Vec<Capability>,
    files: Files,
    connects: bool,
}

/// What the thread that ticks is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// It looks at what other processes are: whether they listen, or which balancers run.
    pub other_processes: bool,
    /// It may ask a HAProxy for its present state, whose socket may belong to anybody.
    pub haproxy: bool,
}

impl Keep {
    /// For the thread that ticks, and those that it starts from then on, which write below `writes`.
    #[must_use]
    pub fn of_agent(needs: Needs, trials: Trials, writes: Vec<PathBuf>) -> Self {
        let looks = needs.other_processes || trials.proc_is_hidden;
        let wanted = [
            // Files are read again when they change: nginx's of root, a pools file of whoever deploys.
            (Capability::CAP_DAC_READ_SEARCH, true),
            (Capability::CAP_DAC_OVERRIDE, needs.haproxy),
            (Capability::CAP_SYS_PTRACE, looks),
            (Capability::CAP_BPF, trials.bpf_takes_capabilities),
            (Capability::CAP_PERFMON, trials.bpf_takes_capabilities),
        ];
        let capabilities = wanted.into_iter().filter_map(|(capability, wanted)| wanted.then_some(capability));
        let files = if looks { Files::Any } else { Files::Read(writes) };
        Self { capabilities: capabilities.collect(), files, connects: true }
    }

    /// For a thread that only serves what it is given on a socket that listens already.
    #[must_use]
    pub fn of_listener() -> Self {
        Self { capabilities: Vec::new(), files: Files::None, connects: false }
    }

    /// For a thread that keeps a history in this file: also a new one, when it is gone.
    #[must_use]
    pub fn of_history(file: &Path) -> Self {
        // Where links lead, as SQLite sees it: what belongs to the file lies beside it.
        let file =
            file.canonicalize().or_else(|_| std::path::absolute(file)).unwrap_or_else(|_| file.to_owned());
        let directory = file.parent().unwrap_or(&file).to_owned();
        let wanted = trial::takes_capabilities_to_write(&directory, &file);
        let capabilities = if wanted { vec![Capability::CAP_DAC_OVERRIDE] } else { Vec::new() };
        Self { capabilities, files: Files::Below(directory), connects: false }
    }

    /// For a thread that asks other hosts.
    #[must_use]
    pub fn of_client() -> Self {
        Self { capabilities: Vec::new(), files: Files::Read(Vec::new()), connects: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: Trials = Trials { bpf_takes_capabilities: false, proc_is_hidden: false, landlock: true };

    #[test]
    fn the_agent_keeps_what_it_is_asked_to_do() {
        let keeps = |needs, trials| {
            let keep = Keep::of_agent(needs, trials, Vec::new());
            (keep.capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), keep.files)
        };
        let declared_only = Needs { other_processes: false, haproxy: false };
        assert_eq!(keeps(declared_only, KERNEL), ("CAP_DAC_READ_SEARCH".into(), Files::Read(Vec::new())));
        let hidden = Trials { proc_is_hidden: true, ..KERNEL };
        assert_eq!(keeps(declared_only, hidden), ("CAP_DAC_READ_SEARCH CAP_SYS_PTRACE".into(), Files::Any));
        let seen = Needs { other_processes: true, ..declared_only };
        assert_eq!(keeps(seen, KERNEL), ("CAP_DAC_READ_SEARCH CAP_SYS_PTRACE".into(), Files::Any));
        let auto = Needs { haproxy: true, ..seen };
        let before_5_19 = Trials { bpf_takes_capabilities: true, ..KERNEL };
        let all = "CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_SYS_PTRACE CAP_BPF CAP_PERFMON";
        assert_eq!(keeps(auto, before_5_19).0, all);
    }

    #[test]
    fn who_serves_or_asks_others_has_no_capability() {
        assert_eq!(Keep::of_listener().capabilities, []);
        assert_eq!(Keep::of_client().capabilities, []);
        assert!(!Keep::of_listener().connects && Keep::of_client().connects);
    }

    #[test]
    fn a_history_is_kept_in_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let keep = Keep::of_history(&directory.path().join("history"));
        assert_eq!(
            keep,
            Keep { capabilities: vec![], files: Files::Below(directory.path().into()), connects: false }
        );
        let elsewhere = directory.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::write(elsewhere.join("history"), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.join("history"), directory.path().join("link")).unwrap();
        assert_eq!(Keep::of_history(&directory.path().join("link")).files, Files::Below(elsewhere));
        let here = std::env::current_dir().unwrap();
        assert_eq!(Keep::of_history(Path::new("not-there")).files, Files::Below(here));
    }
}
