//! A process, held by its directory in `/proc`: what is read there is of this process, never of one that was given its
//! number later.

use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Status files are far smaller.
const MOST_STATUS: u64 = 64 * 1024;
/// `USER_HZ`, in which the kernel gives start times whatever its own tick is.
pub(super) const TICKS_PER_SECOND: u64 = 100;

/// A process.
#[derive(Debug)]
pub(super) struct Process {
    directory: OwnedFd,
    pub(super) pid: u32,
}

/// What a process is, as of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) identity: Identity,
    pub(super) parent: u32,
}

/// What stays the same while a process is what it is: not across exec, nor when it becomes somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) command: Vec<u8>,
    /// In ticks since the system started.
    pub(super) started: u64,
    /// Real, effective, saved, and for files.
    pub(super) uids: [u32; 4],
    pub(super) executable: Executable,
}

/// The file that a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Executable {
    pub(super) name: Vec<u8>,
    device: u64,
    inode: u64,
    pub(super) owner: u32,
    pub(super) mode: u32,
}

impl Process {
    pub(super) fn open(pid: u32) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(format!("/proc/{pid}").as_str(), flags, Mode::empty())?;
        Ok(Self { directory, pid })
    }

    /// Opens one of its files.
    pub(super) fn file(&self, name: &str, flags: OFlag) -> io::Result<File> {
        Ok(openat(&self.directory, name, flags | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }

    /// The bytes of one of its files, no more than `most`.
    pub(super) fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(name, OFlag::O_RDONLY)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// What one of its links says.
    pub(super) fn link(&self, name: &str) -> io::Result<PathBuf> {
        Ok(readlinkat(&self.directory, name)?.into())
    }

    /// Looks at it.
    pub(super) fn look(&self) -> io::Result<Look> {
        let odd = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
        let stat = Stat::parse(&self.read("stat", MOST_STATUS)?).ok_or_else(|| odd("odd /proc/PID/stat"))?;
        let uids = uids(&self.read("status", MOST_STATUS)?).ok_or_else(|| odd("odd /proc/PID/status"))?;
        let executable = self.file("exe", OFlag::O_PATH)?.metadata()?;
        let path = self.link("exe")?;
        let bytes = path.as_os_str().as_bytes();
        let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
        let name = bytes.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
        Ok(Look {
            parent: stat.parent,
            identity: Identity {
                command: stat.command,
                started: stat.started,
                uids,
                executable: Executable {
                    name,
                    device: executable.dev(),
                    inode: executable.ino(),
                    owner: executable.uid(),
                    mode: executable.mode(),
                },
            },
        })
    }
}

/// What is taken from `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    command: Vec<u8>,
    parent: u32,
    started: u64,
}

impl Stat {
    /// The command may hold spaces and parentheses: it ends with the last one.
    fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|&byte| byte == b'(')?;
        let close = text.iter().rposition(|&byte| byte == b')')?;
        let command = text.get(open + 1..close)?.to_vec();
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        // Fields 4 and 22; the first one here is 3.
        let parent = fields.nth(1)?.parse().ok()?;
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self { command, parent, started })
    }
}

fn uids(status: &[u8]) -> Option<[u32; 4]> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?, next()?])
}

/// When something started that the kernel says started `ticks` after the system, by today's clock.
pub(super) fn wall_clock(ticks: u64, boot: SystemTime) -> SystemTime {
    boot.checked_add(Duration::from_millis(ticks.saturating_mul(1_000 / TICKS_PER_SECOND))).unwrap_or(boot)
}

/// When the system started, by today's clock. The kernel's own figure (`btime`) has whole seconds only.
pub(super) fn boot() -> io::Result<SystemTime> {
    let since = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
    Ok(SystemTime::now().checked_sub(since).unwrap_or(SystemTime::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIELDS: &str =
        " S 10755 10755 6953 0 -1 4194304 392 0 1 0 0 0 0 0 20 0 1 0 2379531 10485760 1520 0\n";

    #[test]
    fn a_command_may_look_like_the_rest_of_the_line() {
        for command in ["nginx", "a) b (c", ") S 1 1", "", "(((", "\u{fffd}"] {
            let stat = Stat::parse(format!("10909 ({command}){FIELDS}").as_bytes()).unwrap();
            assert_eq!(
                stat,
                Stat { command: command.into(), parent: 10755, started: 2_379_531 },
                "{command}"
            );
        }
        for odd in ["", "1 (a", "1 a)", ")(", "1 (a) S", "1 (a) S x"] {
            assert_eq!(Stat::parse(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn all_four_identities_are_read() {
        assert_eq!(uids(b"Name:\tnginx\nUid:\t1\t2\t3\t4\nGid:\t0\t0\t0\t0\n"), Some([1, 2, 3, 4]));
        assert_eq!(uids(b"Uid:\t1\t2\t3\n"), None);
        assert_eq!(uids(b"Name:\tUid:\n"), None);
    }

    #[test]
    fn this_process_is_what_it_is() {
        let this = Process::open(std::process::id()).unwrap();
        let look = this.look().unwrap();
        assert_eq!(look.parent, std::os::unix::process::parent_id());
        let exe = std::env::current_exe().unwrap();
        assert_eq!(look.identity.executable.name, exe.file_name().unwrap().as_bytes());
        let started = wall_clock(look.identity.started, boot().unwrap());
        assert!(started < SystemTime::now() + Duration::from_secs(1));
        assert_eq!(this.look().unwrap().identity, look.identity);
    }

    #[test]
    fn a_process_that_has_ended_is_not_taken_for_its_successor() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let held = Process::open(child.id()).unwrap();
        held.look().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(held.look().is_err());
        assert!(Process::open(u32::MAX).is_err());
    }

    #[test]
    fn start_times_are_hundredths_since_the_system_started() {
        let boot = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(wall_clock(250, boot), boot + Duration::from_millis(2_500));
        let _ = wall_clock(u64::MAX, boot);
    }

    proptest! {
        #[test]
        fn any_bytes_may_stand_in_proc(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Stat::parse(&bytes);
            let _ = uids(&bytes);
        }
    }
}
