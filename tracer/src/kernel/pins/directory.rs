//! The directory that pins lie in: nobody but root can write to it, and one agent at a time uses it.
//!
//! The root of a BPF file system is usually open to everybody, as `/tmp` is: what has our name there may be somebody
//! else's.

use super::error::PinError;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::statfs::{BPF_FS_MAGIC, fstatfs, statfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::geteuid;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Root alone.
const MODE: u32 = 0o700;

/// A directory of pins that this process alone uses, as long as it has this.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Directory {
    /// Takes the directory; makes it where there is none.
    ///
    /// # Errors
    /// When it cannot be had, is not safe, or another agent has it.
    pub(super) fn take(path: &Path) -> Result<Self, PinError> {
        if let Err(error) = fs::symlink_metadata(path) {
            match error.kind() {
                io::ErrorKind::NotFound => make(path)?,
                _ => return Err(refused(path, "look at it", error)),
            }
        }
        let directory = open(path)?;
        check_owner(path, &directory)?;
        Self::lock(path, directory)
    }

    /// Takes the directory if there is one, to remove what is in it: of that nothing is used, so it may be anybody's.
    ///
    /// # Errors
    /// As [`take`](Self::take), but for the owner.
    pub(super) fn take_to_remove(path: &Path) -> Result<Option<Self>, PinError> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(refused(path, "look at it", error)),
            Ok(_) => Self::lock(path, open(path)?).map(Some),
        }
    }

    fn lock(path: &Path, directory: File) -> Result<Self, PinError> {
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err((_, nix::Error::EWOULDBLOCK)) => Err(PinError::InUse(path.to_owned())),
            Err((_, error)) => Err(refused(path, "lock it", error.into())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Names in the directory, or in one below it, in their order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn names(&self, below: &Path) -> Result<Vec<String>, PinError> {
        let path = self.path.join(below);
        let read = || -> io::Result<Vec<String>> {
            let names =
                fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            names.collect()
        };
        let mut names = read().map_err(|error| refused(&path, "read it", error))?;
        names.sort();
        Ok(names)
    }
}

/// Makes the directory in one that is there.
fn make(path: &Path) -> Result<(), PinError> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !above.is_dir() {
        return Err(PinError::Directory {
            path: above.to_owned(),
            problem: "there is no such directory: make it, or give --pin-dir another one".into(),
        });
    }
    if statfs(above).map(|found| found.filesystem_type()) != Ok(BPF_FS_MAGIC) {
        return Err(PinError::NoFileSystem(above.to_owned()));
    }
    DirBuilder::new().mode(MODE).create(path).map_err(|error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => PinError::ReadOnly(path.to_owned()),
        _ => refused(path, "make it", error),
    })
}

/// Opens the directory itself, and checks what was opened.
fn open(path: &Path) -> Result<File, PinError> {
    let wrong = |problem: String| PinError::Directory { path: path.to_owned(), problem };
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let directory = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP | libc::ENOTDIR) => wrong(
            "this is no directory, and no symbolic link is followed: take it away, or give --pin-dir another one"
                .into(),
        ),
        _ => refused(path, "open it", error),
    })?;
    let on = fstatvfs(&directory).map_err(|error| refused(path, "look at its file system", error.into()))?;
    if fstatfs(&directory).map(|found| found.filesystem_type()) != Ok(BPF_FS_MAGIC) {
        return Err(PinError::NoFileSystem(path.to_owned()));
    }
    if on.flags().contains(FsFlags::ST_RDONLY) {
        return Err(PinError::ReadOnly(path.to_owned()));
    }
    let found = directory.metadata().map_err(|error| refused(path, "look at it", error))?;
    let mode = found.mode() & 0o7777;
    if mode != MODE {
        return Err(wrong(format!(
            "others than root may enter it (mode {mode:04o}): give --pin-dir a directory of its own, or chmod 0700 this one if nobody else uses it"
        )));
    }
    Ok(directory)
}

/// Who is not root has all its files by capabilities; nobody else may write here.
fn check_owner(path: &Path, directory: &File) -> Result<(), PinError> {
    let found = directory.metadata().map_err(|error| refused(path, "look at it", error))?;
    let owner = found.uid();
    if owner == 0 || owner == geteuid().as_raw() {
        return Ok(());
    }
    Err(PinError::Directory {
        path: path.to_owned(),
        problem: format!(
            "it belongs to user {owner} and not to root, who could have put anything there: remove it, or give --pin-dir \
             another one"
        ),
    })
}

pub(super) fn refused(path: &Path, what: &'static str, source: io::Error) -> PinError {
    PinError::Refused { path: path.to_owned(), what, source }
}
