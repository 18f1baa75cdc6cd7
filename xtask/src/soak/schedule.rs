//! When which fault is made, how long it lasts, how often the load changes: pure, from how long the soak is.

use std::time::Duration;

/// What is done to the agent and around it, in this order, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The agent is killed, and the next one started a little later.
    Killed,
    /// The disk of its history is full for a while. Soon after a start: a log that was once longer has room of its own.
    HistoryFull,
    /// It is stopped, and goes on.
    Suspended,
    /// Nobody listens at one backend for a while.
    Refusing,
    /// A client of its listener sends half a request.
    HangingScraper,
    /// Its pools file is broken and it is told to read it; then the right one.
    BrokenPools,
    /// The agent is told to end, and the next one started a little later.
    Terminated,
    /// The directory of its state can only be read while it ends and the next one starts.
    StateReadOnly,
}

impl Fault {
    pub(super) const ALL: [Self; 8] = [
        Self::Killed,
        Self::HistoryFull,
        Self::Suspended,
        Self::Refusing,
        Self::HangingScraper,
        Self::BrokenPools,
        Self::Terminated,
        Self::StateReadOnly,
    ];

    /// As the report names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Killed => "agent killed, the next one started",
            Self::HistoryFull => "disk of the history full",
            Self::Suspended => "agent stopped (SIGSTOP), goes on (SIGCONT)",
            Self::Refusing => "a backend refuses",
            Self::HangingScraper => "a scraper sends half a request",
            Self::BrokenPools => "SIGHUP with a broken pools file, then with the right one",
            Self::Terminated => "agent ends (SIGTERM), the next one started",
            Self::StateReadOnly => "directory of the state read-only over an end and a start",
        }
    }
}

/// Times of a soak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// From one fault to the next.
    pub(super) every: Duration,
    /// How long a fault lasts whose length we choose.
    pub(super) hold: Duration,
    /// How long no agent runs when it is started anew.
    pub(super) gap: Duration,
    /// How long the load stays as it is.
    pub(super) phase: Duration,
    /// From one look at the agent to the next.
    pub(super) look: Duration,
}

/// Faults are so far apart where there is time for it, and where there is little.
const FAR: Duration = Duration::from_secs(300);
const NEAR: Duration = Duration::from_secs(20);

impl Schedule {
    /// Every fault once in this length if it can be, again and again where it is long.
    pub(super) fn of(length: Duration) -> Self {
        let each = u32::try_from(Fault::ALL.len()).unwrap_or(u32::MAX) + 1;
        let every = (length / each).clamp(NEAR, FAR);
        Self {
            every,
            hold: (every / 3).min(Duration::from_secs(20)),
            gap: (every / 6).min(Duration::from_secs(5)),
            phase: (length / 12).min(Duration::from_secs(60)),
            look: (length / 150).clamp(Duration::from_secs(1), Duration::from_secs(5)),
        }
    }

    /// Every fault of a soak of this length, and when it is due. After the last there is as much time as before the first.
    pub(super) fn faults(&self, length: Duration) -> Vec<(Duration, Fault)> {
        let times = (1..).map(|number| self.every * number).take_while(|at| *at + self.every <= length);
        times.zip(Fault::ALL.into_iter().cycle()).collect()
    }
}

/// Those that a soak was too short for.
pub(super) fn left_out(tried: impl Iterator<Item = Fault>) -> Vec<Fault> {
    let tried: Vec<Fault> = tried.collect();
    Fault::ALL.into_iter().filter(|fault| !tried.contains(fault)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn five_minutes_have_every_fault_once() {
        let schedule = Schedule::of(minutes(5));
        let faults = schedule.faults(minutes(5));
        assert_eq!(faults.iter().map(|(_, fault)| *fault).collect::<Vec<_>>(), Fault::ALL);
        assert!(left_out(faults.iter().map(|(_, fault)| *fault)).is_empty());
        assert!(schedule.hold < schedule.every / 2 && schedule.gap < schedule.hold);
    }

    #[test]
    fn hours_have_them_five_minutes_apart_and_again() {
        let schedule = Schedule::of(minutes(120));
        let faults = schedule.faults(minutes(120));
        assert_eq!(faults.len(), 23);
        assert_eq!(faults[0], (minutes(5), Fault::Killed));
        assert_eq!(faults[8], (minutes(45), Fault::Killed));
        assert_eq!((schedule.hold, schedule.phase), (Duration::from_secs(20), minutes(1)));
    }

    #[test]
    fn what_a_minute_is_too_short_for_is_known() {
        let faults = Schedule::of(minutes(1)).faults(minutes(1));
        assert_eq!(faults.len(), 2);
        assert_eq!(left_out(faults.into_iter().map(|(_, fault)| fault)), Fault::ALL[2..]);
    }
}
