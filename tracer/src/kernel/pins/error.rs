//! Why pins cannot be made, or those that are there cannot be used.

use std::io;
use std::path::PathBuf;

/// Why pins cannot be made, or those that are there cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Pins need a file system of their own kind.
    #[error(
        "{} is not on a BPF file system, which pins need: mount one (mount -t bpf bpf /sys/fs/bpf), or give --pin-dir a \
         directory on one",
        .0.display()
    )]
    NoFileSystem(PathBuf),
    /// Nothing can be pinned there.
    #[error(
        "{}: this BPF file system is mounted read-only: remount it (mount -o remount,rw), and where a systemd unit makes it so, \
         name it in ReadWritePaths=",
        .0.display()
    )]
    ReadOnly(PathBuf),
    /// The directory is not one that nobody else can write to.
    #[error("{}: {problem}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
    /// Another agent has the directory.
    #[error(
        "{}: another tracer uses these pins: stop it, or give this one a directory and a state file of its own (--pin-dir, --state)",
        .0.display()
    )]
    InUse(PathBuf),
    /// What lies there is not what an agent of this version has made.
    #[error(
        "{}: {problem}; nothing of it is used: `tracer watch --unpin` removes every pin, and with them what was counted",
        .path.display()
    )]
    Unusable {
        /// The pin, or the directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The kernel refuses.
    #[error("{}: cannot {what}: {source}", .path.display())]
    Refused {
        /// What it is about.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
}

impl PinError {
    /// Whether this host cannot have pins; else the user can do something about it.
    #[must_use]
    pub fn is_of_host(&self) -> bool {
        matches!(self, Self::NoFileSystem(_) | Self::ReadOnly(_) | Self::Refused { .. })
    }
}
