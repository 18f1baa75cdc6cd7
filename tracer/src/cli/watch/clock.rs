//! The host's clock against the one that intervals are told by, which begins with it and then only goes forwards: lengths,
//! and the order of what happened, do not depend on who sets the clock meanwhile.

use super::super::exit::say;
use std::time::{Duration, Instant, SystemTime};

/// NTP slews what is less, and nobody looks for that in a log. Seconds.
const WORTH_TELLING: f64 = 5.0;

/// The clock, as it was at the start.
pub(super) struct Clock {
    began: Instant,
    epoch: Duration,
    /// How far ahead of ours it was when that was told last, seconds.
    told: f64,
}

impl Clock {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now(), epoch: since_epoch(), told: 0.0 }
    }

    /// Says it when the clock was set.
    pub(super) fn tick(&mut self) {
        if let Some(line) = self.compare(self.began.elapsed(), since_epoch()) {
            say(&line);
        }
    }

    /// So long after the start the clock is at `now`, since the epoch.
    fn compare(&mut self, after: Duration, now: Duration) -> Option<String> {
        let ahead = now.as_secs_f64() - (self.epoch + after).as_secs_f64();
        if (ahead - self.told).abs() < WORTH_TELLING {
            return None;
        }
        self.told = ahead;
        let way = if ahead < 0.0 { "behind" } else { "ahead of" };
        Some(format!(
            "warning: the clock was set, or this host slept: it is {:.0} s {way} the times that are told here, which go on as \
             they began; nothing is counted otherwise, and a restart takes the clock as it is",
            ahead.abs()
        ))
    }
}

fn since_epoch() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_told_once_and_what_is_slewed_is_not() {
        let at = Duration::from_secs;
        let mut clock = Clock { began: Instant::now(), epoch: at(1_000_000), told: 0.0 };
        assert_eq!(clock.compare(at(10), at(1_000_010)), None);
        assert_eq!(clock.compare(at(20), at(1_000_024)), None);
        let line = clock.compare(at(30), at(996_430)).unwrap();
        assert!(line.contains("3600 s behind the times"), "{line}");
        assert_eq!(clock.compare(at(40), at(996_440)), None);
        let line = clock.compare(at(50), at(1_000_150)).unwrap();
        assert!(line.contains("100 s ahead of the times"), "{line}");
    }
}
