//! What the agent gives up once it counts and everything is open.

use super::super::exit::say;
use super::Arguments;
use crate::privilege::{Held, Keep, Needs, Trials, try_out};
use std::path::{Path, PathBuf};

/// Keeps what is still needed, on this thread and on those that it starts from now on, and says what that is.
pub(super) fn give_up(arguments: &Arguments) {
    let (needs, trials) = (arguments.needs(), try_out());
    let held = Keep::of_agent(needs, trials, arguments.written_below()).hold();
    say(&told(&held, needs, trials));
    held.problems().iter().for_each(|problem| {
        say(&format!("warning: a privilege stays that is not needed: {problem}; counting goes on"));
    });
}

impl Arguments {
    /// What is still to be done after the start, and after a change of files.
    pub(super) fn needs(&self) -> Needs {
        let files = &self.pools.files;
        let discovers = self.auto && !files.are_named();
        Needs {
            other_processes: discovers || !self.pools.is_declared_only(),
            haproxy: discovers || !files.haproxy.is_empty(),
        }
    }

    /// Where the thread that ticks writes after the start: links of programs that are attached later, and its state.
    fn written_below(&self) -> Vec<PathBuf> {
        if !self.pin {
            return Vec::new();
        }
        let beside = self.state.parent().filter(|directory| !directory.as_os_str().is_empty());
        vec![self.pin_dir.clone(), beside.unwrap_or(Path::new(".")).to_owned()]
    }
}

fn told(held: &Held, needs: Needs, trials: Trials) -> String {
    let files = match (trials.landlock, needs.other_processes || trials.proc_is_hidden) {
        (false, _) => "; this kernel has no landlock: files and ports are not restricted",
        (true, false) => "; no file is written but the history's, the state's and what is pinned",
        (true, true) => "; threads that need not look at other processes are under landlock",
    };
    format!("privileges: keeps {held}, and nothing else of root's{files}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, Command, FromArgMatches as _};

    fn needs(flags: &[&str]) -> Needs {
        let command = Arguments::augment_args(Command::new("watch").no_binary_name(true));
        Arguments::from_arg_matches(&command.try_get_matches_from(flags).unwrap()).unwrap().needs()
    }

    #[test]
    fn what_is_needed_follows_from_what_was_asked_for() {
        let needed = |other_processes, haproxy| Needs { other_processes, haproxy };
        assert_eq!(needs(&[]), needed(true, false));
        assert_eq!(needs(&["--auto"]), needed(true, true));
        assert_eq!(needs(&["--auto", "--declared-only"]), needed(true, true));
        assert_eq!(needs(&["--pools", "a", "--declared-only"]), needed(false, false));
        assert_eq!(needs(&["--pools", "a", "--declared-only", "--auto"]), needed(false, false));
        assert_eq!(needs(&["--haproxy", "a", "--declared-only"]), needed(false, true));
    }

    #[test]
    fn a_kernel_without_landlock_is_named() {
        let needs = Needs { other_processes: false, haproxy: false };
        let here = Trials { bpf_takes_capabilities: false, proc_is_hidden: false, landlock: true };
        let line = |trials| told(&Held::default(), needs, trials);
        let without = line(Trials { landlock: false, ..here });
        assert!(without.contains("this kernel has no landlock"), "{without}");
        assert_eq!(
            line(here),
            "privileges: keeps no capability, and nothing else of root's; no file is written but the history's, the state's and what is pinned"
        );
        let hidden = line(Trials { proc_is_hidden: true, ..here });
        assert!(hidden.contains("threads that need not look at other processes"), "{hidden}");
    }
}
