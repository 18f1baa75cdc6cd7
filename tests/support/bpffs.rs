//! A BPF file system of a test's own, and a directory for what goes with the pins.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Mounted while this is there; what is pinned in it goes with it.
pub(crate) struct Bpffs {
    mounted: TempDir,
    beside: TempDir,
}

impl Bpffs {
    #[track_caller]
    pub(crate) fn mount() -> Self {
        let directory = || tempfile::Builder::new().prefix("tracer-e2e-bpf-").tempdir().unwrap();
        let (mounted, beside) = (directory(), directory());
        let status =
            Command::new("mount").args(["-t", "bpf", "tracer-e2e"]).arg(mounted.path()).status().unwrap();
        assert!(status.success(), "mount -t bpf: {status}");
        Self { mounted, beside }
    }

    /// Mounts it again, with other options.
    #[track_caller]
    pub(crate) fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        let status = mount.args(["-o", &format!("remount,{options}")]).arg(self.root()).status().unwrap();
        assert!(status.success(), "mount -o remount,{options}: {status}");
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        self.mounted.path()
    }

    /// Where agents pin.
    pub(crate) fn pins(&self) -> PathBuf {
        self.root().join("pins")
    }

    /// What agents remember besides.
    pub(crate) fn state(&self) -> PathBuf {
        self.beside.path().join("state.json")
    }

    /// Where agents of this version do.
    pub(crate) fn set(&self) -> PathBuf {
        self.pins().join(format!("v{}", tracer_ebpf::ABI_VERSION))
    }

    /// Names of what is pinned by agents of this version.
    #[track_caller]
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.set())
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        // At once, also where an agent still has its directory open.
        let _ = Command::new("umount").arg("--lazy").arg(self.root()).status();
    }
}

/// Names in a directory, in their order.
#[track_caller]
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
