//! What agents of other layouts have left in the same directory: sets of maps that still count, or that have ended and hold
//! totals only.

use super::super::bpf;
use super::described::{Described, Shape};
use super::directory::refused;
use super::{KEPT, MAKING, NEW, PinError, Pins, open, remove, rename, shapes, unusable};
use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use tracer_ebpf::maps;

const ENDED: &str = "-ended-";

/// A set of another layout, or one that has ended, of whatever layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Set {
    /// `v6`, `v6-ended-1`
    pub(in super::super) name: String,
    path: PathBuf,
    /// The layout's number.
    pub(in super::super) layout: u16,
    /// Nothing counts in it any more.
    pub(in super::super) has_ended: bool,
}

impl Set {
    pub(super) fn of(directory: &Path, name: String) -> Option<Self> {
        let digits = name.strip_prefix('v')?;
        let (digits, ended) =
            digits.split_once(ENDED).map_or((digits, None), |(digits, n)| (digits, Some(n)));
        let number =
            |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok());
        let (layout, has_ended) = (number(digits)??, ended.is_some());
        if let Some(ended) = ended {
            number(ended)??;
        }
        Some(Self { path: directory.join(&name), name, layout, has_ended })
    }

    /// Where one of its maps is pinned.
    pub(in super::super) fn pin(&self, map: &str) -> PathBuf {
        self.path.join(map)
    }

    /// One of its maps, and what that looks like.
    ///
    /// # Errors
    /// When there is none.
    pub(in super::super) fn open(&self, map: &str) -> Result<(OwnedFd, Shape), PinError> {
        let path = self.pin(map);
        match open(&path)? {
            (descriptor, Described::Map { shape, .. }) => Ok((descriptor, shape)),
            (_, other) => Err(unusable(&path, &format!("it is {}, and not a map", other.name()))),
        }
    }

    /// Pins another map in the place of one of its maps: at any moment one of the two is there.
    ///
    /// # Errors
    /// What the kernel says.
    pub(in super::super) fn replace(&self, map: &str, by: BorrowedFd<'_>) -> Result<(), PinError> {
        let new = self.pin(&format!("{map}{NEW}"));
        bpf::pin(by, &new).map_err(|error| refused(&new, "pin it", error))?;
        rename(&new, &self.pin(map))
    }

    /// The storage of its sockets.
    ///
    /// # Errors
    /// When there is none.
    pub(in super::super) fn sockets(&self) -> Result<OwnedFd, PinError> {
        match self.open(maps::CONNECTIONS)? {
            (sockets, shape) if shape.kind == shapes::SK_STORAGE => Ok(sockets),
            _ => Err(unusable(&self.pin(maps::CONNECTIONS), "it is no storage of sockets")),
        }
    }
}

impl Pins {
    /// Every set but the one that this layout's agents count in.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(in super::super) fn others(&self) -> Result<Vec<Set>, PinError> {
        let names = self.directory.names(Path::new(""))?;
        let sets = names.into_iter().filter_map(|name| Set::of(self.directory.path(), name));
        // What is behind a symbolic link is nobody's here.
        let is_directory = |set: &Set| fs::symlink_metadata(&set.path).is_ok_and(|found| found.is_dir());
        Ok(sets.filter(|set| (set.has_ended || set.layout != self.layout) && is_directory(set)).collect())
    }

    /// Nothing counts in a set any more: its programs are detached, its totals stay. Gives it under its new name.
    ///
    /// # Errors
    /// What the file system says.
    pub(in super::super) fn end(&self, set: &Set) -> Result<Set, PinError> {
        let directory = self.directory.path();
        let names = self.directory.names(Path::new(""))?;
        let mut ended = (1_u32..).filter_map(|n| Set::of(directory, format!("v{}{ENDED}{n}", set.layout)));
        let free = ended.find(|ended| !names.contains(&ended.name));
        let free = free.ok_or_else(|| unusable(&set.path, "there are too many that have ended"))?;
        rename(&set.path, &free.path)?;
        // What cannot be taken away now the next start takes away.
        let _ = self.tidy(&free);
        Ok(free)
    }

    /// Takes away what a set that has ended needs no more.
    ///
    /// # Errors
    /// What the file system says.
    pub(in super::super) fn tidy(&self, set: &Set) -> Result<(), PinError> {
        let name = Path::new(&set.name);
        let is_ours = |pin: &str| {
            let name = pin.strip_suffix(NEW).unwrap_or(pin);
            maps::KEPT.contains(&name) || KEPT.iter().any(|(program, _)| *program == name)
        };
        for pin in self.directory.names(name)? {
            if is_ours(&pin) && !maps::TOTALS.contains(&pin.as_str()) {
                remove(&set.path.join(pin))?;
            }
        }
        Ok(())
    }

    /// Removes a set, with what it had counted.
    ///
    /// # Errors
    /// What the file system says.
    pub(in super::super) fn discard(&self, set: &Set) -> Result<(), PinError> {
        self.remove_set(&set.path, set.layout)
    }

    /// Removes a set: all of it or, for who looks at its name, nothing.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn remove_set(&self, set: &Path, layout: u16) -> Result<(), PinError> {
        let making = self.directory.path().join(format!("v{layout}{MAKING}"));
        remove(&making)?;
        rename(set, &making)?;
        remove(&making)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_told_by_their_names() {
        let set = |name: &str| Set::of(Path::new("/pins"), name.to_owned());
        let found = set("v6").unwrap();
        assert_eq!((found.layout, found.has_ended, found.pin("CELLS")), (6, false, "/pins/v6/CELLS".into()));
        let found = set("v12-ended-3").unwrap();
        assert_eq!((found.layout, found.has_ended), (12, true));
        for name in
            ["v", "v6-making", "v-ended-1", "v6-ended-", "v6-ended-x", "switch", "v99999999", "V6", "v6-1"]
        {
            assert_eq!(set(name), None, "{name}");
        }
    }
}
