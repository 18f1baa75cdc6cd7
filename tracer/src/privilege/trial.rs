//! What the kernel lets a thread do that has nothing: tried on one that is begun for it, since what is given up does not
//! come back.

use super::Keep;
use super::files::Files;
use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, faccessat};
use std::path::Path;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trials {
    /// Whether bpf(2) refuses every command to who has no capability, also on what it holds. Linux 5.19 and newer refuse it
    /// only what makes something new.
    pub bpf_takes_capabilities: bool,
    /// Whether `/proc` hides other users' processes from who has no capability (`hidepid`).
    pub proc_is_hidden: bool,
    /// Whether landlock restricts anything.
    pub landlock: bool,
}

/// Finds out.
#[must_use]
pub fn try_out() -> Trials {
    let trial = with_nothing(Files::Read(Vec::new()), |landlock| Trials {
        bpf_takes_capabilities: bpf_refuses_everything(),
        // Of a process that has more than nothing.
        proc_is_hidden: std::fs::read("/proc/1/comm").is_err(),
        landlock,
    });
    // Where no thread could be begun: as if everything were needed.
    trial.unwrap_or(Trials { bpf_takes_capabilities: true, proc_is_hidden: true, landlock: false })
}

/// Whether a file, or a new one in its directory, can be written to by a capability only: they are another user's.
pub(super) fn takes_capabilities_to_write(directory: &Path, file: &Path) -> bool {
    let may =
        |path: &Path, access| faccessat(nix::fcntl::AT_FDCWD, path, access, AtFlags::AT_EACCESS).is_ok();
    with_nothing(Files::Any, |_| {
        let can = may(directory, AccessFlags::W_OK | AccessFlags::X_OK)
            && (!may(file, AccessFlags::F_OK) || may(file, AccessFlags::R_OK | AccessFlags::W_OK));
        !can
    })
    .unwrap_or(true)
}

/// Runs something on a thread that has no capability and these files, and tells it whether landlock works; `None` where there
/// is no such thread.
fn with_nothing<T: Send>(files: Files, trial: impl FnOnce(bool) -> T + Send) -> Option<T> {
    let keep = Keep { capabilities: Vec::new(), files, connects: false };
    std::thread::scope(|scope| {
        let tried = std::thread::Builder::new().spawn_scoped(scope, || {
            let held = keep.hold();
            (held.has_given_up()).then(|| trial(held.landlock))
        });
        tried.ok()?.join().ok()?
    })
}

/// Asks for something that is not there: who may not ask at all is told so first.
fn bpf_refuses_everything() -> bool {
    const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
    // As large as the part of `union bpf_attr` that the command looks at; its first field is the map's descriptor.
    let no_such_map = [u64::from(u32::MAX), 0, 0, 0];
    // SAFETY: the attributes are integers that outlive the call; as no descriptor has this number, nothing is written to.
    let answer = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_MAP_UPDATE_ELEM, no_such_map.as_ptr(), size_of_val(&no_such_map))
    };
    answer < 0 && nix::errno::Errno::last() == nix::errno::Errno::EPERM
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_leaves_this_thread_as_it_was() {
        let before = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let _ = try_out();
        let of = |status: &str| -> Vec<String> {
            let told =
                status.lines().filter(|line| line.starts_with("Cap") || line.starts_with("NoNewPrivs"));
            told.map(ToOwned::to_owned).collect()
        };
        let after = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert_eq!(of(&before), of(&after));
    }

    #[test]
    fn a_directory_of_somebody_else_takes_a_capability_and_ones_own_does_not() {
        let own = tempfile::tempdir().unwrap();
        assert!(!takes_capabilities_to_write(own.path(), &own.path().join("history")));
        if !nix::unistd::geteuid().is_root() {
            // Who is not root has no directory that only a capability opens.
            assert!(takes_capabilities_to_write(Path::new("/root"), Path::new("/root/history")));
            return;
        }
        let nobody = nix::unistd::Uid::from_raw(65_534);
        nix::unistd::chown(own.path(), Some(nobody), None).unwrap();
        assert!(takes_capabilities_to_write(own.path(), &own.path().join("history")));
    }
}
