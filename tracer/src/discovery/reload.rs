//! Whether a balancer may run something older than its files say, by their times. Who sees the files over time compares
//! their contents instead.

use super::Found;
use crate::imports::Problem;
use crate::input::Place;
use crate::input::Stamp;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Start times are known to a hundredth of a second, those of files to a tick, and a clock may have been slewed between.
const MARGIN: Duration = Duration::from_secs(1);

/// A file that changed after the balancer read it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReloaded {
    /// Which one; the last to change when there are several.
    pub file: PathBuf,
    /// How long after.
    pub after: Duration,
}

/// Whether one of the files that were read for a balancer changed after its newest worker started. `None` too where the
/// balancer's age says nothing of its configuration's: nginx in a single process, which reads it again as it is.
#[must_use]
pub fn not_reloaded(found: &Found, files: &[(PathBuf, Stamp)]) -> Option<NotReloaded> {
    let times = files.iter().map(|(path, stamp)| (path.as_path(), stamp.changed_at()));
    changed_after(found.read_at()?, times)
}

fn changed_after<'a>(
    read: SystemTime,
    files: impl Iterator<Item = (&'a Path, SystemTime)>,
) -> Option<NotReloaded> {
    let (file, changed) = files.max_by_key(|(_, changed)| *changed)?;
    let after = changed.duration_since(read).ok().filter(|after| *after > MARGIN)?;
    Some(NotReloaded { file: file.to_owned(), after })
}

impl NotReloaded {
    /// As a problem of that file. Worded with care: a file that was only touched or given away has changed too.
    #[must_use]
    pub fn problem(&self, found: &Found) -> Problem {
        let since = if found.newest_worker.is_some() { "the newest worker of " } else { "" };
        let message = format!(
            "changed {} after {since}{} started: what is read here may not be what runs",
            in_words(self.after),
            found.label()
        );
        Problem::warning("not-reloaded", Place::of_file(&self.file.display().to_string()), message)
            .hint("reload the balancer")
    }
}

fn in_words(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        0..MINUTE => (seconds, "second"),
        MINUTE..HOUR => (seconds / MINUTE, "minute"),
        HOUR..DAY => (seconds / HOUR, "hour"),
        _ => (seconds / DAY, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs_f64(1_000_000.0 + seconds)
    }

    #[test]
    fn a_file_that_changed_after_the_start_is_not_what_runs() {
        let check = |files: &[(&str, f64)]| {
            let found =
                changed_after(at(0.0), files.iter().map(|(name, time)| (Path::new(*name), at(*time))));
            found.map(|found| (found.file.display().to_string(), found.after.as_secs()))
        };
        assert_eq!(check(&[]), None);
        assert_eq!(check(&[("a", -3600.0), ("b", 0.0)]), None);
        assert_eq!(check(&[("a", 0.99)]), None, "within what the clocks can tell");
        assert_eq!(check(&[("a", 5.0), ("b", 720.0), ("c", -1.0)]), Some(("b".into(), 720)));
    }

    #[test]
    fn durations_are_in_the_unit_that_people_would_use() {
        for (seconds, words) in
            [(1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (7300, "2 hours"), (172_800, "2 days")]
        {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
