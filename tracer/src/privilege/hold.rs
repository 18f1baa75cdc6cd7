//! Giving up what is not kept, by this thread.

use super::Keep;
use super::files::restrict;
use caps::{CapSet, Capability, CapsHashSet};
use std::fmt;

/// What a thread still has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Those of the kept ones that it had, in their order.
    capabilities: Vec<Capability>,
    /// Whether landlock restricts it as asked.
    pub(super) landlock: bool,
    /// What could not be given up, a line each.
    problems: Vec<String>,
}

impl Keep {
    /// This thread, and those that it starts from now on, keep this and no more, for good.
    pub fn hold(&self) -> Held {
        let mut problems = Vec::new();
        // First: without it landlock takes CAP_SYS_ADMIN.
        if let Err(error) = nix::sys::prctl::set_no_new_privs() {
            problems.push(format!("no_new_privs: {error}"));
        }
        let landlock = restrict(&self.files, self.connects).unwrap_or_else(|error| {
            problems.push(format!("landlock: {error}"));
            false
        });
        let mut held = CapsHashSet::new();
        match self.limit() {
            Ok(kept) => held = kept,
            Err(error) => problems.push(format!("capabilities: {error}")),
        }
        let capabilities = self.capabilities.iter().copied().filter(|one| held.contains(one)).collect();
        Held { capabilities, landlock, problems }
    }

    /// The capabilities of it that this thread had: it has no others any more.
    fn limit(&self) -> Result<CapsHashSet, caps::errors::CapsError> {
        let had = caps::read(None, CapSet::Permitted)?;
        let kept: CapsHashSet = self.capabilities.iter().copied().filter(|one| had.contains(one)).collect();
        // Only who has CAP_SETPCAP can lower the bounding set. It is of what exec adds, which no_new_privs rules out.
        let _ = caps::clear(None, CapSet::Bounding);
        // Kernels before 4.3 have none.
        let _ = caps::clear(None, CapSet::Ambient);
        caps::set(None, CapSet::Effective, &kept)?;
        caps::set(None, CapSet::Permitted, &kept)?;
        caps::clear(None, CapSet::Inheritable)?;
        Ok(kept)
    }
}

impl Held {
    /// Whether everything was given up that was not to be kept, as far as the kernel can.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.problems.is_empty()
    }

    /// What could not be given up, a line each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// The capabilities.
impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.capabilities.is_empty() {
            return f.write_str("no capability");
        }
        let names: Vec<String> = self.capabilities.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Files;
    use super::*;
    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;

    /// Gives up on a thread of its own, and looks around there.
    fn holding<T: Send>(keep: &Keep, look: impl FnOnce(&Held) -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let held = keep.hold();
                    assert_eq!(held.problems(), [""; 0]);
                    look(&held)
                })
                .join()
                .unwrap()
        })
    }

    fn status(field: &str) -> String {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap().trim().to_owned()
    }

    fn denied<T>(result: std::io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    #[test]
    fn capabilities_that_are_not_kept_are_gone_from_every_set() {
        let keep = Keep { capabilities: vec![Capability::CAP_SYS_PTRACE], files: Files::Any, connects: true };
        let had = caps::has_cap(None, CapSet::Permitted, Capability::CAP_SYS_PTRACE).unwrap();
        holding(&keep, |held| {
            let bit = if had { "0000000000080000" } else { "0000000000000000" };
            assert_eq!((status("CapEff"), status("CapPrm")), (bit.into(), bit.into()));
            for field in ["CapInh", "CapAmb"] {
                assert_eq!(status(field), "0000000000000000", "{field}");
            }
            assert_eq!(status("NoNewPrivs"), "1");
            assert_eq!(held.to_string(), if had { "CAP_SYS_PTRACE" } else { "no capability" });
        });
    }

    #[test]
    fn who_serves_cannot_open_connect_or_listen_and_keeps_what_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "text").unwrap();
        let open = File::open(&path).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let landlock = super::super::try_out().landlock;
        let ports = landlock::ABI::V4 <= landlock::ABI::from(supported());
        // Read before: what says it is a file, too.
        let keep = Keep::of_listener();
        std::thread::scope(|scope| {
            let tried = scope.spawn(|| {
                assert!(keep.hold().has_given_up());
                (
                    denied(File::open(&path)),
                    denied(File::create(directory.path().join("new"))),
                    denied(TcpListener::bind("127.0.0.1:0")),
                    denied(TcpStream::connect(address)),
                    std::io::read_to_string(&open).unwrap(),
                )
            });
            let (read, created, bound, connected, text) = tried.join().unwrap();
            assert_eq!((read, created, bound, connected), (landlock, landlock, ports, ports));
            assert_eq!(text, "text");
        });
    }

    /// What the kernel says of its landlock; 0: none.
    fn supported() -> i32 {
        const VERSION: libc::c_long = 1;
        let nothing = std::ptr::null::<u8>();
        // SAFETY: asked for its version, the call reads and writes nothing.
        let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) };
        i32::try_from(answer).unwrap_or(0).max(0)
    }

    #[test]
    fn who_reads_cannot_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "text").unwrap();
        let landlock = super::super::try_out().landlock;
        holding(&Keep::of_client(), |_| {
            assert_eq!(fs::read_to_string(&path).unwrap(), "text");
            assert_eq!(denied(fs::write(&path, "other")), landlock);
            assert_eq!(denied(fs::remove_file(&path)), landlock);
        });
    }

    #[test]
    fn who_keeps_a_history_writes_beside_it_and_nowhere_else() {
        // Not below a directory that SQLite may use.
        let root =
            ["/dev/shm", "/run", "/dev"].iter().find_map(|place| tempfile::tempdir_in(place).ok()).unwrap();
        let (inside, outside) = (root.path().join("inside"), root.path().join("outside"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        let landlock = super::super::try_out().landlock;
        holding(&Keep::of_history(&inside.join("history")), |_| {
            fs::write(inside.join("history-wal"), "text").unwrap();
            fs::remove_file(inside.join("history-wal")).unwrap();
            assert_eq!(denied(fs::write(outside.join("file"), "text")), landlock);
            assert_eq!(denied(File::open("/etc/passwd")), landlock);
            tempfile::tempfile_in("/tmp").unwrap();
            assert!(Path::new("/etc/passwd").exists(), "names are no secret");
        });
    }
}
