//! Files whose change is to be seen.

use super::super::expected::Origin;
use crate::discovery::ProcessSurroundings;
use crate::input::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Files and directories that declare pools, each with what changes when it does.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    /// By the process whose root they are seen through, if any.
    stamps: BTreeMap<(Option<u32>, PathBuf), Option<Stamp>>,
    processes: BTreeMap<u32, ProcessSurroundings>,
    /// One of them changed while they were being read, or so shortly before that the next change may leave the same stamp.
    unsettled: bool,
}

/// Clocks of file systems go in steps of at most this.
pub(super) const STEP: Duration = Duration::from_millis(20);

impl Watched {
    /// The files of what somebody began to read at `began`.
    pub(super) fn of(origins: &[Origin], began: SystemTime) -> Self {
        let mut watched = Self::default();
        for origin in origins {
            match &origin.running {
                Some(running) => {
                    let pid = running.found.pid;
                    let stamps = running.surroundings.stamps().into_iter();
                    watched.stamps.extend(stamps.map(|(path, stamp)| ((Some(pid), path), stamp)));
                    watched.processes.insert(pid, running.surroundings.clone());
                }
                None => {
                    let paths: BTreeSet<&Path> = origin.watched().collect();
                    let stamps = paths.into_iter().map(|path| ((None, path.to_owned()), Stamp::at(path)));
                    watched.stamps.extend(stamps);
                }
            }
        }
        let since = began.checked_sub(STEP).unwrap_or(SystemTime::UNIX_EPOCH);
        // What lies ahead was written before the clock was set back.
        let lately = since..=SystemTime::now();
        watched.unsettled =
            watched.stamps.values().flatten().any(|stamp| lately.contains(&stamp.changed_at()));
        watched
    }

    /// The same files as they are now.
    pub(super) fn now(&self) -> Self {
        let of_host = self.stamps.keys().filter(|(process, _)| process.is_none());
        let mut stamps: BTreeMap<_, _> = of_host.map(|key| (key.clone(), Stamp::at(&key.1))).collect();
        for (pid, surroundings) in &self.processes {
            let now = surroundings.stamps_now().into_iter();
            stamps.extend(now.map(|(path, stamp)| ((Some(*pid), path), stamp)));
        }
        Self { stamps, processes: self.processes.clone(), unsettled: false }
    }

    /// Whether these are the same files and nothing about them has changed since `earlier`.
    pub(super) fn is_as(&self, earlier: &Self) -> bool {
        self.unsettled == earlier.unsettled && self.stamps == earlier.stamps
    }

    /// Whether nothing but, perhaps, `path` has changed since `earlier`.
    pub(super) fn differs_at_most_at(&self, earlier: &Self, path: Option<&Path>) -> bool {
        let changed = self.stamps.iter().filter(|(key, stamp)| earlier.stamps.get(*key) != Some(*stamp));
        changed
            .map(|((process, changed), _)| (process, changed.as_path()))
            .all(|(process, changed)| process.is_none() && Some(changed) == path)
    }

    /// Looks at these files as well.
    pub(super) fn and(mut self, more: Self) -> Self {
        self.unsettled |= more.unsettled;
        self.stamps.extend(more.stamps);
        self.processes.extend(more.processes);
        self
    }
}
