//! Who opens connections: command, cgroup by its path, network namespace.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracer_ebpf::CellKey;

/// What opens connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Balancer {
    /// Command of the thread-group leader. Untrusted text: any process can choose its name.
    pub command: String,
    /// Path of its cgroup below the root of the cgroup file system, such as `/system.slice/nginx.service`; `None` when
    /// the cgroup is gone and nobody remembers its name.
    pub cgroup: Option<String>,
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Process id of its last attempt when it was first seen.
    pub first_pid: u32,
    /// Whether that process held a listening socket; `None` when it could not be looked at.
    pub listens: Option<bool>,
}

/// What the kernel's key says of a balancer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct KernelIdentity {
    cgroup_id: u64,
    command: [u8; 16],
    netns: u32,
}

/// Every balancer seen. A unit that is restarted gets a new cgroup of the same path, and stays the same balancer.
#[derive(Default)]
pub(super) struct Balancers {
    by_identity: HashMap<KernelIdentity, Arc<Balancer>>,
    by_name: HashMap<(String, Option<String>, u32), Arc<Balancer>>,
    cgroup_root: Option<PathBuf>,
    /// Paths of all cgroups by id, as of the last look.
    cgroups: HashMap<u64, String>,
    looked: Option<Instant>,
}

/// A look through the cgroup file system takes milliseconds per thousand cgroups, so a tick takes one now and then only:
/// who came and went in between stays nameless.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);
/// Cgroups looked at; a host has hundreds, rarely thousands.
const MOST_CGROUPS: usize = 50_000;

impl Balancers {
    /// Looks for the cgroup file system (v2), wherever it is mounted.
    pub(super) fn new() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self { cgroup_root: cgroup_root(&mounts), ..Self::default() }
    }

    /// The balancer of a cell; looks at the host when it is new.
    pub(super) fn resolve(&mut self, key: &CellKey, last_pid: u32) -> Arc<Balancer> {
        let identity = KernelIdentity { cgroup_id: key.cgroup_id, command: key.command, netns: key.netns };
        if let Some(known) = self.by_identity.get(&identity) {
            return Arc::clone(known);
        }
        let command = command(&key.command);
        let cgroup = self.cgroup_path(key.cgroup_id, last_pid);
        let named = self.by_name.entry((command, cgroup, key.netns)).or_insert_with_key(
            |(command, cgroup, netns)| {
                Arc::new(Balancer {
                    command: command.clone(),
                    cgroup: cgroup.clone(),
                    netns: *netns,
                    first_pid: last_pid,
                    listens: listens(last_pid),
                })
            },
        );
        self.by_identity.insert(identity, Arc::clone(named));
        Arc::clone(named)
    }

    /// Forgets everybody but those in use.
    pub(super) fn keep<'a>(&mut self, keys: impl Iterator<Item = &'a CellKey>) {
        let used: BTreeSet<_> = keys.map(|key| (key.cgroup_id, key.command, key.netns)).collect();
        self.by_identity.retain(|one, _| used.contains(&(one.cgroup_id, one.command, one.netns)));
        // Held by an identity, and by this table.
        self.by_name.retain(|_, balancer| Arc::strong_count(balancer) > 1);
    }

    /// Path of a cgroup: from the process that connected, else by looking through the cgroup file system. A cgroup's
    /// id is the inode number of its directory.
    fn cgroup_path(&mut self, id: u64, pid: u32) -> Option<String> {
        let root = self.cgroup_root.as_ref()?;
        let of_process = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
        let named = of_process.as_deref().and_then(unified_path);
        if let Some(path) = named
            && fs::metadata(root.join(path.trim_start_matches('/'))).is_ok_and(|found| found.ino() == id)
        {
            return Some(path.to_owned());
        }
        if !self.cgroups.contains_key(&id)
            && self.looked.is_none_or(|looked| looked.elapsed() > BETWEEN_LOOKS)
        {
            self.cgroups = cgroup_paths(root);
            self.looked = Some(Instant::now());
        }
        self.cgroups.get(&id).cloned()
    }
}

/// `comm` up to its first NUL. Whatever is not UTF-8 is replaced.
fn command(bytes: &[u8; 16]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Where cgroup v2 is mounted, from the text of `/proc/self/mountinfo`.
fn cgroup_root(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mount_point = mount.split(' ').nth(4)?;
        file_system.starts_with("cgroup2 ").then(|| PathBuf::from(mount_point))
    })
}

/// The v2 path in the text of `/proc/PID/cgroup`.
pub(crate) fn unified_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Path below `root` of every directory there, by inode number.
fn cgroup_paths(root: &Path) -> HashMap<u64, String> {
    let mut paths = HashMap::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        if let (Ok(found), Ok(below)) = (fs::metadata(&directory), directory.strip_prefix(root)) {
            paths.insert(found.ino(), format!("/{}", below.to_string_lossy()));
        }
        if paths.len() >= MOST_CGROUPS {
            break;
        }
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        waiting.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    paths
}

/// Whether a process holds a listening TCP socket; `None` when it is gone or may not be looked at.
fn listens(pid: u32) -> Option<bool> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let held: BTreeSet<u64> = descriptors
        .flatten()
        .filter_map(|entry| socket_inode(fs::read_link(entry.path()).ok()?.to_str()?))
        .collect();
    let listens = ["tcp", "tcp6"].iter().any(|table| {
        let Ok(file) = fs::File::open(format!("/proc/{pid}/net/{table}")) else { return false };
        // The kernel lists listening sockets before all others: a busy host has few of them.
        let lines = BufReader::new(file).lines().skip(1).map_while(Result::ok);
        lines.map_while(|line| listening_inode(&line)).any(|inode| held.contains(&inode))
    });
    Some(listens)
}

/// `socket:[12345]`
fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Inode number in a line of `/proc/net/tcp` that is in state LISTEN.
fn listening_inode(line: &str) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    (fields.nth(3)? == "0A").then(|| fields.nth(5)?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_end_at_nul_and_are_text_whatever_they_hold() {
        assert_eq!(command(b"nginx\0\0\0\0\0\0\0\0\0\0\0"), "nginx");
        assert_eq!(command(b"0123456789abcdef"), "0123456789abcdef");
        assert_eq!(command(b"a\"\n\x1b[31m\xff\0zzzzzz"), "a\"\n\u{1b}[31m\u{fffd}");
    }

    #[test]
    fn cgroup_v2_is_found_where_it_is_mounted() {
        let hybrid = "30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      31 30 0:27 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n\
                      32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        assert_eq!(cgroup_root(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(cgroup_root("30 24 0:26 / / rw - ext4 /dev/vda rw\n"), None);
    }

    #[test]
    fn the_path_of_a_process_is_its_v2_line() {
        assert_eq!(
            unified_path("4:memory:/x\n0::/system.slice/nginx.service\n"),
            Some("/system.slice/nginx.service")
        );
        assert_eq!(unified_path("4:memory:/x\n"), None);
    }

    #[test]
    fn cgroups_are_named_by_their_directory() {
        let root = tempfile::tempdir().unwrap();
        let unit = root.path().join("system.slice/nginx.service");
        fs::create_dir_all(&unit).unwrap();
        let paths = cgroup_paths(root.path());
        assert_eq!(paths.len(), 3);
        assert_eq!(paths[&fs::metadata(&unit).unwrap().ino()], "/system.slice/nginx.service");
        assert_eq!(paths[&fs::metadata(root.path()).unwrap().ino()], "/");
    }

    #[test]
    fn a_listening_line_gives_its_inode() {
        let listening = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0";
        let established = listening.replace(" 0A ", " 01 ");
        assert_eq!(listening_inode(listening), Some(4242));
        assert_eq!(listening_inode(&established), None);
        assert_eq!(socket_inode("socket:[4242]"), Some(4242));
        assert_eq!(socket_inode("/dev/null"), None);
    }

    #[test]
    fn this_process_listens_once_it_does() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listens(std::process::id()), Some(true));
        drop(listener);
        assert_eq!(listens(u32::MAX), None, "no such process");
    }
}
