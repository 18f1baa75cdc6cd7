//! Whose configuration may be read: any local user can start a process named `nginx -c /secret`. Pure.

use super::process::Identity;
use nix::sys::stat::{Mode, SFlag};

/// Why a process is not trusted to say which files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistrust {
    /// It runs, in part, as this user.
    User(u32),
    /// Its executable could be somebody else's work; what is wrong with it, and the remedy.
    Executable(&'static str, &'static str),
}

impl Mistrust {
    /// What is wrong, whoever's process it is.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::User(_) => "is not root's",
            Self::Executable(what, _) => what,
        }
    }
}

/// Whether a process is root's in every respect, and runs what only root can have written.
pub(super) fn mistrust(identity: &Identity) -> Option<Mistrust> {
    if let Some(&user) = identity.uids.iter().find(|&&uid| uid != 0) {
        return Some(Mistrust::User(user));
    }
    let mode = Mode::from_bits_truncate(identity.executable.mode);
    let kind = SFlag::from_bits_truncate(identity.executable.mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFREG {
        return Some(Mistrust::Executable("is not a regular file", "start it from one"));
    }
    if identity.executable.owner != 0 {
        return Some(Mistrust::Executable("does not belong to root", "chown it to root"));
    }
    if mode.intersects(Mode::S_IWGRP | Mode::S_IWOTH) {
        return Some(Mistrust::Executable("can be written by others than root", "chmod go-w it"));
    }
    // One that gives its user root's rights would make anybody's command line root's.
    if mode.intersects(Mode::S_ISUID | Mode::S_ISGID) {
        return Some(Mistrust::Executable("is set-user-id or set-group-id", "chmod ug-s it"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::process::Process;

    #[test]
    fn only_roots_process_of_roots_executable_is_trusted() {
        let mut child = std::process::Command::new("/bin/sleep").arg("600").spawn().unwrap();
        let mut trusted = Process::open(child.id()).unwrap().look().unwrap().identity;
        child.kill().unwrap();
        child.wait().unwrap();
        (trusted.uids, trusted.executable.owner, trusted.executable.mode) = ([0; 4], 0, 0o100_755);
        assert_eq!(mistrust(&trusted), None);
        for place in 0..4 {
            let mut other = trusted.clone();
            other.uids[place] = 1000;
            assert_eq!(mistrust(&other), Some(Mistrust::User(1000)));
        }
        for (owner, mode) in [
            (1000, 0o100_755),
            (0, 0o100_775),
            (0, 0o100_757),
            (0, 0o104_755),
            (0, 0o102_755),
            (0, 0o060_755),
            (0, 0o010_755),
        ] {
            let mut other = trusted.clone();
            (other.executable.owner, other.executable.mode) = (owner, mode);
            assert!(matches!(mistrust(&other), Some(Mistrust::Executable(..))), "{owner} {mode:o}");
        }
    }
}
