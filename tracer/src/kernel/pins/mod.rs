//! Maps and programs that outlive the agent, below a directory of the BPF file system:
//!
//! ```text
//! /sys/fs/bpf/tracer/             root's alone, and locked by the agent that uses it
//!   switch                        a map: which layout's programs count new attempts
//!   v7/                           what agents of one layout share (`ABI_VERSION`)
//!     CELLS, SLOTS, …             every map of `maps::KEPT`
//!     lifecycle, relief, …        links: as long as they are there, these programs count
//!     lifecycle-new, …            links of an agent that is about to take over
//!   v7-making/                    maps that are not whole yet
//!   v6/                           another layout's, which still has connections to follow to their end
//!   v6-ended-1/                   another layout's, which has none any more: totals
//! ```
//!
//! An end at any moment leaves what the next start puts right, since every step is one `rename(2)` or can be told:
//!
//! * Maps are made and filled elsewhere, and get their place at once. What is in `-making` is thrown away.
//! * New programs are attached beside the old ones and then take their names, one by one; whoever had the name is
//!   detached by that. A `-new` that never got its name goes, unless there is none of that name: then it counts, and gets it.
//! * While both are attached, [`Handover`](tracer_ebpf::Handover) says so.
//!
//! The programs of sweep and adoption run only when the agent has them run, so they are its own and not kept.
//!
//! Of what lies there nothing is believed: it is compared with what this version makes before it is used. aya takes over
//! any pin without a look.

mod described;
mod directory;
mod error;
mod others;
mod shapes;

use super::error::KernelError;
use super::{bpf, capabilities};
use aya::programs::links::{FdLink, PinnedLink};
use described::Described;
use directory::{Directory, refused};
pub use error::PinError;
pub(super) use others::Set;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use tracer_ebpf::{maps, programs};

/// Programs that count while no agent runs, and the tracepoint of each; `None`: a function of the kernel.
const KEPT: [(&str, Option<&str>); 7] = [
    (programs::LIFECYCLE, Some("inet_sock_set_state")),
    (programs::RELIEF, Some("inet_sock_set_state")),
    (programs::DESTROY, Some("tcp_destroy_sock")),
    (programs::RECEIVE, Some("tcp_rcv_space_adjust")),
    (programs::SEND, Some("sock_send_length")),
    (programs::SEND_ENTRY, None),
    (programs::SEND_PAGE, None),
];
/// Names in a BPF file system have no dots.
const MAKING: &str = "-making";
const NEW: &str = "-new";
const SWITCH: &str = "switch";

/// The pins of one layout in a directory that nobody else uses.
#[derive(Debug)]
pub struct Pins {
    directory: Directory,
    /// Number of the layout of this agent's maps.
    layout: u16,
    /// What this agent has attached: it counts on when somebody removes the pins under it.
    attached: RefCell<Vec<PinnedLink>>,
}

/// What an agent before this one has left.
#[derive(Debug)]
pub(super) struct Kept {
    /// How many backends have a place in its maps.
    pub(super) max_backends: u32,
    /// The kernel's ids of its maps, in the order of [`maps::KEPT`].
    pub(super) maps: Vec<u32>,
    /// Its programs that are attached.
    links: BTreeSet<&'static str>,
}

impl Kept {
    /// Whether each of these programs is attached.
    pub(super) fn are_attached(&self, programs: &[&str]) -> bool {
        programs.iter().all(|name| self.links.contains(name))
    }
}

impl Pins {
    /// Takes a directory for this process; makes it where there is none. Maps of another number than `layout`
    /// ([`ABI_VERSION`](tracer_ebpf::ABI_VERSION)) are another layout's: they are read, and not written by this agent's programs.
    ///
    /// # Errors
    /// When it cannot be had, is not safe, or another agent has it; and where nothing could be pinned in it.
    pub fn take(directory: &Path, layout: u16) -> Result<Self, KernelError> {
        // Anybody may make a directory in a BPF file system, and what it is called is then taken.
        let missing = capabilities::missing();
        if !missing.is_empty() {
            return Err(KernelError::Capabilities(missing));
        }
        Ok(Self { directory: Directory::take(directory)?, layout, attached: RefCell::default() })
    }

    /// Number of this agent's layout.
    pub(super) fn layout(&self) -> u16 {
        self.layout
    }

    /// Where the map is, or is to be, that agents of all layouts share.
    pub(super) fn switch(&self) -> PathBuf {
        self.directory.path().join(SWITCH)
    }

    /// The map that agents of all layouts share; `None`: there is none yet.
    ///
    /// # Errors
    /// When what is there is something else.
    pub(super) fn open_switch(&self) -> Result<Option<OwnedFd>, PinError> {
        let path = self.switch();
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => match open(&path)? {
                (switch, Described::Map { shape, .. }) if shape == shapes::SWITCH => Ok(Some(switch)),
                _ => Err(unusable(&path, "it is not what tells layouts apart")),
            },
        }
    }

    /// Removes every pin of every layout below a directory, and the directory, if nothing else is left. Gives a line for
    /// each thing that it has removed, or left.
    ///
    /// # Errors
    /// When an agent uses them, or something cannot be removed.
    pub fn remove(directory: &Path) -> Result<Vec<String>, PinError> {
        let Some(directory) = Directory::take_to_remove(directory)? else { return Ok(Vec::new()) };
        let mut lines = Vec::new();
        let mut is_empty = true;
        let mut names = directory.names(Path::new(""))?;
        // Last: what is left of sets when this is ended in the middle goes on as it was.
        names.sort_by_key(|name| name == SWITCH);
        for name in names {
            let path = directory.path().join(&name);
            if is_ours(&name) {
                remove(&path)?;
                lines.push(format!("removed {}", path.display()));
            } else {
                is_empty = false;
                lines.push(format!("warning: {} is none of tracer's and stays", path.display()));
            }
        }
        if is_empty {
            let path = directory.path();
            fs::remove_dir(path).map_err(|error| refused(path, "remove it", error))?;
            lines.push(format!("removed {}", path.display()));
        }
        Ok(lines)
    }

    /// What is there of this version, compared with what this version makes. What was never finished is thrown away.
    ///
    /// # Errors
    /// When anything is otherwise than an agent of this version leaves it.
    pub(super) fn kept(&self) -> Result<Option<Kept>, PinError> {
        for name in self.directory.names(Path::new(""))? {
            if name.ends_with(MAKING) && is_ours(&name) {
                remove(&self.directory.path().join(name))?;
            }
        }
        let set = self.set();
        match fs::symlink_metadata(&set) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(&set, "look at it", error)),
            Ok(found) if !found.is_dir() => return Err(unusable(&set, "it is no directory")),
            Ok(_) => {}
        }
        let names = self.directory.names(&self.relative())?;
        let max_backends = match self.described(maps::SLOTS)? {
            Described::Map { shape, .. } => shape.max_entries,
            other => {
                return Err(self.otherwise(maps::SLOTS, format!("it is {}, and not a map", other.name())));
            }
        };
        let mut kept = Kept { max_backends, maps: Vec::new(), links: BTreeSet::new() };
        for name in maps::KEPT {
            kept.maps.push(self.map(name, max_backends)?);
        }
        for name in &names {
            if maps::KEPT.contains(&name.as_str()) {
                continue;
            }
            let program = name.strip_suffix(NEW).unwrap_or(name);
            let Some(&(program, tracepoint)) = KEPT.iter().find(|(kept, _)| *kept == program) else {
                return Err(self.otherwise(name, "tracer pins nothing of this name".into()));
            };
            self.is_link(name, tracepoint)?;
            kept.links.insert(program);
        }
        self.finish_names(&names)?;
        Ok(Some(kept))
    }

    /// Where the maps are that are to be used.
    pub(super) fn set(&self) -> PathBuf {
        self.directory.path().join(self.relative())
    }

    /// Makes the place for maps that are not whole yet.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn begin(&self) -> Result<PathBuf, PinError> {
        let making = self.making();
        let made = DirBuilder::new().mode(0o700).create(&making);
        made.map_err(|error| refused(&making, "make it", error))?;
        Ok(making)
    }

    /// The kernel's ids of the maps that were made, in the order of [`maps::KEPT`].
    ///
    /// # Errors
    /// When one cannot be looked at.
    pub(super) fn made(&self) -> Result<Vec<u32>, PinError> {
        let id = |name| {
            let path = self.making().join(name);
            match open(&path)?.1 {
                Described::Map { id, .. } => Ok(id),
                other => Err(unusable(&path, &format!("it is {}, and not a map", other.name()))),
            }
        };
        maps::KEPT.into_iter().map(id).collect()
    }

    /// The maps are whole.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn finish(&self) -> Result<(), PinError> {
        rename(&self.making(), &self.set())
    }

    /// Throws away maps that were not finished.
    pub(super) fn give_up(&self) {
        // What stays is thrown away by the next start.
        let _ = remove(&self.making());
    }

    /// Pins a link beside the one that has its name.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn attached(&self, program: &str, link: FdLink) -> Result<(), PinError> {
        let path = self.set().join(format!("{program}{NEW}"));
        let pinned = link.pin(&path).map_err(|error| PinError::Refused {
            path,
            what: "pin it",
            source: std::io::Error::other(error),
        })?;
        self.attached.borrow_mut().push(pinned);
        Ok(())
    }

    /// Gives new links their names: whoever had one is detached. Without `others` nobody else stays.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn settle(&self, keeps_others: bool) -> Result<(), PinError> {
        let names = self.directory.names(&self.relative())?;
        let set = self.set();
        for (program, _) in KEPT {
            let new = format!("{program}{NEW}");
            if names.contains(&new) {
                rename(&set.join(new), &set.join(program))?;
            } else if !keeps_others && names.iter().any(|name| name == program) {
                remove(&set.join(program))?;
            }
        }
        Ok(())
    }

    /// Takes away new links that were not given their names; and everything, if nobody counted before.
    pub(super) fn withdraw(&self, counted_before: bool) {
        // What stays is taken away by the next start.
        if !counted_before {
            let _ = self.remove_set(&self.set(), self.layout);
            return;
        }
        for (program, _) in KEPT {
            let _ = fs::remove_file(self.set().join(format!("{program}{NEW}")));
        }
    }

    fn relative(&self) -> PathBuf {
        PathBuf::from(format!("v{}", self.layout))
    }

    fn making(&self) -> PathBuf {
        self.directory.path().join(format!("v{}{MAKING}", self.layout))
    }

    /// Every link under one name: a new one gets the name that nobody has.
    fn finish_names(&self, names: &[String]) -> Result<(), PinError> {
        let set = self.set();
        for (program, _) in KEPT {
            let new = format!("{program}{NEW}");
            if !names.contains(&new) {
                continue;
            }
            if names.iter().any(|name| name == program) {
                remove(&set.join(new))?;
            } else {
                rename(&set.join(new), &set.join(program))?;
            }
        }
        Ok(())
    }

    fn described(&self, name: &str) -> Result<Described, PinError> {
        open(&self.set().join(name)).map(|(_, described)| described)
    }

    /// The id of a map that looks as it should.
    fn map(&self, name: &str, max_backends: u32) -> Result<u32, PinError> {
        let expected = shapes::of(name, max_backends);
        match self.described(name)? {
            Described::Map { shape, id } if Some(shape) == expected => Ok(id),
            Described::Map { .. } => {
                Err(self.otherwise(name, "this map is not as this version makes it".into()))
            }
            other => Err(self.otherwise(name, format!("it is {}, and not a map", other.name()))),
        }
    }

    fn is_link(&self, name: &str, tracepoint: Option<&str>) -> Result<(), PinError> {
        match self.described(name)? {
            Described::Link { tracepoint: found } if found.as_deref() == tracepoint => Ok(()),
            Described::Link { .. } => Err(self.otherwise(name, "this link is to something else".into())),
            other => Err(self.otherwise(name, format!("it is {}, and not a link", other.name()))),
        }
    }

    /// What lies under this name is not as it should be.
    pub(super) fn otherwise(&self, name: &str, problem: String) -> PinError {
        PinError::Unusable { path: self.set().join(name), problem }
    }
}

/// Opens a pin and looks what it is.
fn open(path: &Path) -> Result<(OwnedFd, Described), PinError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(unusable(path, "it is missing"));
        }
        Err(error) => return Err(refused(path, "look at it", error)),
        Ok(found) if !found.is_file() => return Err(unusable(path, "it is no pin")),
        Ok(_) => {}
    }
    let pin =
        bpf::open_pin(path).map_err(|error| unusable(path, &format!("it cannot be opened: {error}")))?;
    let described =
        Described::of(pin.as_fd()).map_err(|error| refused(path, "ask /proc what it is", error))?;
    Ok((pin, described))
}

/// What a pin is called in messages of which `/proc/PID/fdinfo` says this, and which of the maps that are kept it would be
/// taken for: for the fuzz target `pins`.
#[cfg(any(test, fuzzing))]
#[must_use]
pub fn taken_for(fdinfo: &str) -> (&'static str, Vec<&'static str>) {
    let described = Described::read(fdinfo);
    let Described::Map { shape, .. } = described else { return (described.name(), Vec::new()) };
    let backends = [shape.max_entries, shape.max_entries.saturating_sub(1)];
    let is_as = |name: &&str| backends.iter().any(|most| shapes::of(name, *most) == Some(shape));
    (described.name(), maps::KEPT.into_iter().filter(is_as).collect())
}

/// `v6`, `v6-making`, `v6-ended-1`, `switch`
fn is_ours(name: &str) -> bool {
    name == SWITCH || Set::of(Path::new(""), name.strip_suffix(MAKING).unwrap_or(name).to_owned()).is_some()
}

fn unusable(path: &Path, problem: &str) -> PinError {
    PinError::Unusable { path: path.to_owned(), problem: problem.into() }
}

fn rename(from: &Path, to: &Path) -> Result<(), PinError> {
    fs::rename(from, to).map_err(|error| refused(from, "rename it", error))
}

/// Removes whatever has this path; symbolic links are not followed.
fn remove(path: &Path) -> Result<(), PinError> {
    let removed = match fs::symlink_metadata(path) {
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(refused(path, "remove it", error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_are_ours() {
        for name in ["v6", "v6-making", "v12", "v6-ended-2", "switch"] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["v", "v6a", "6", "V6", "v-making", "vmlinux", "v6-new"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
