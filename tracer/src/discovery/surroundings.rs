//! A running balancer's files, as it sees them itself, and its environment.

use super::process::Process;
use crate::imports::{MOST_NAMES, Surroundings, too_many_names};
use crate::input::Stamp;
use crate::input::{MAX_BYTES, explain, refuse_other_than_file};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The kernel gives a process no more than this for arguments and environment together.
const MOST_ENVIRONMENT: u64 = 8 * 1024 * 1024;
/// A lookup that races with a rename anywhere on the system is to be made again.
const ATTEMPTS: usize = 64;

/// The files of a process through its own root, so that a container's configuration is the container's; and nothing but
/// regular files of root that nobody else can write: whoever can write one of them could have us read any other.
///
/// It stays usable for files when the process ends.
#[derive(Clone, Debug)]
pub struct ProcessSurroundings {
    process: Arc<Process>,
    root: Arc<OwnedFd>,
    working_directory: Option<PathBuf>,
    /// What was opened, and what it was then.
    opened: BTreeMap<PathBuf, Opened>,
    /// Only those that were asked for.
    variables: HashMap<String, Option<String>>,
}

#[derive(Clone, Copy, Debug)]
struct Opened {
    is_directory: bool,
    /// `None`: it could not be opened.
    stamp: Option<Stamp>,
}

impl ProcessSurroundings {
    pub(super) fn new(process: Arc<Process>, root: Arc<OwnedFd>, working_directory: Option<PathBuf>) -> Self {
        Self { process, root, working_directory, opened: BTreeMap::new(), variables: HashMap::new() }
    }

    /// The files that were read, as they were then, for [`super::not_reloaded`].
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Stamp)> {
        let files = self.opened.iter().filter(|(_, opened)| !opened.is_directory);
        files.filter_map(|(path, opened)| Some((path.clone(), opened.stamp?))).collect()
    }

    /// Every file that was asked for and every directory that was listed, as they were then; `None`: could not be opened.
    #[must_use]
    pub fn stamps(&self) -> BTreeMap<PathBuf, Option<Stamp>> {
        self.opened.iter().map(|(path, opened)| (path.clone(), opened.stamp)).collect()
    }

    /// The same as they are now: unlike [`Self::stamps`] when something has changed, come or gone.
    #[must_use]
    pub fn stamps_now(&self) -> BTreeMap<PathBuf, Option<Stamp>> {
        let now = |path: &Path| {
            let metadata = self.hold(path).and_then(|held| held.metadata());
            metadata.ok().map(|metadata| Stamp::of(&metadata))
        };
        self.opened.keys().map(|path| (path.clone(), now(path))).collect()
    }

    /// Holds a UNIX socket, to be connected to, such as HAProxy's `stats socket`.
    ///
    /// # Errors
    /// Why not, and the remedy, to stand behind its name.
    pub fn socket(&self, path: &Path) -> Result<OwnedFd, String> {
        self.hold(path).map(OwnedFd::from).map_err(|error| explain(&error))
    }

    /// Holds what a path names in the process's root, without opening it: a device may do something when it is opened.
    fn hold(&self, path: &Path) -> io::Result<File> {
        let absolute;
        let path = match &self.working_directory {
            Some(directory) if path.is_relative() => {
                absolute = directory.join(path);
                &absolute
            }
            _ => path,
        };
        hold(&self.root, path)
    }

    fn open(&self, path: &Path, stamp: &mut Option<Stamp>) -> Result<File, String> {
        let held = self.hold(path).map_err(|error| explain(&error))?;
        let metadata = held.metadata().map_err(|error| explain(&error))?;
        *stamp = Some(Stamp::of(&metadata));
        refuse_other_than_file(&metadata, "configuration file")?;
        refuse_others(&metadata)?;
        if metadata.len() > MAX_BYTES {
            return Err(too_large());
        }
        reopen(&held, OFlag::O_NONBLOCK | OFlag::O_NOCTTY).map_err(|error| explain(&error))
    }
}

impl Surroundings for ProcessSurroundings {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        // As of before it is read: what changes meanwhile is a change.
        let mut stamp = None;
        let opened = self.open(path, &mut stamp);
        self.opened.insert(path.to_owned(), Opened { is_directory: false, stamp });
        let mut bytes = Vec::new();
        opened?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| explain(&error))?;
        if bytes.len() as u64 > MAX_BYTES { Err(too_large()) } else { Ok(bytes) }
    }

    fn list(&mut self, directory: &Path) -> io::Result<Vec<OsString>> {
        let held = self.hold(directory);
        let metadata = held.as_ref().ok().and_then(|held| held.metadata().ok());
        let stamp = metadata.as_ref().map(Stamp::of);
        self.opened.insert(directory.to_owned(), Opened { is_directory: true, stamp });
        let held = held?;
        let names = std::fs::read_dir(own_path(&held))?.take(MOST_NAMES + 1);
        let names = names.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        if names.len() > MOST_NAMES { Err(too_many_names()) } else { Ok(names) }
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        if let Some(known) = self.variables.get(name) {
            return known.clone();
        }
        let environment = self.process.read("environ", MOST_ENVIRONMENT).unwrap_or_default();
        let value = variable(&environment, name);
        self.variables.insert(name.to_owned(), value.clone());
        value
    }
}

/// Holds what a path names below `root`, wherever its links and dots lead.
pub(super) fn hold(root: impl AsFd, path: &Path) -> io::Result<File> {
    for _ in 0..ATTEMPTS {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        match openat2(root.as_fd(), path, how) {
            Ok(held) => return Ok(held.into()),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::EAGAIN.into())
}

/// Opens for reading what is held: the same file, whatever its path names by now.
fn reopen(held: &File, flags: OFlag) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(own_path(held))
}

fn own_path(held: &File) -> PathBuf {
    format!("/proc/self/fd/{}", held.as_raw_fd()).into()
}

fn refuse_others(metadata: &Metadata) -> Result<(), String> {
    let (owner, mode) = (metadata.uid(), Mode::from_bits_truncate(metadata.mode()));
    if owner != 0 {
        return Err(format!(
            "belongs to user {owner}, not to root, and could have anything read: chown it to root, or name it on our command line"
        ));
    }
    let by_group = mode.contains(Mode::S_IWGRP) && metadata.gid() != 0;
    if by_group || mode.contains(Mode::S_IWOTH) {
        return Err(
            "can be written by others than root, who could have anything read: chmod go-w it, or name it \
                    on our command line"
                .into(),
        );
    }
    Ok(())
}

fn too_large() -> String {
    format!("is larger than {} MiB, which no configuration file is: check its name", MAX_BYTES >> 20)
}

/// The value of one variable in the text of `/proc/PID/environ`; the first, as getenv(3) finds it.
fn variable(environment: &[u8], name: &str) -> Option<String> {
    let mut entries = environment.split(|&byte| byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
#[path = "surroundings_tests.rs"]
mod tests;
