//! A cgroup with a memory limit, of whichever version has the controller.

use std::path::{Path, PathBuf};

/// Gone when dropped.
#[derive(Debug)]
pub(crate) struct MemoryCgroup {
    directory: PathBuf,
}

impl MemoryCgroup {
    #[track_caller]
    pub(crate) fn new(name: &str, bytes: u64) -> Self {
        let (root, file) = root();
        let directory = root.join(name);
        std::fs::create_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let cgroup = Self { directory };
        std::fs::write(cgroup.directory.join(file), bytes.to_string()).unwrap();
        cgroup
    }

    /// The file that takes the ids of its processes.
    pub(crate) fn processes(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.directory);
    }
}

/// Where the controller is, and the file of its limit.
fn root() -> (PathBuf, &'static str) {
    for unified in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        let unified = Path::new(unified);
        let controllers = std::fs::read_to_string(unified.join("cgroup.controllers")).unwrap_or_default();
        if controllers.split_whitespace().any(|one| one == "memory") {
            std::fs::write(unified.join("cgroup.subtree_control"), "+memory").unwrap();
            return (unified.to_owned(), "memory.max");
        }
    }
    let first = Path::new("/sys/fs/cgroup/memory");
    assert!(first.join("memory.limit_in_bytes").exists(), "a memory controller, version 1 or 2, is mounted");
    (first.to_owned(), "memory.limit_in_bytes")
}
