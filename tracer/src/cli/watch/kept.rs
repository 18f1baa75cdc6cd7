//! The history that `--history` writes.

use super::super::exit::{Failure, host_name, say};
use super::Arguments;
use crate::agent::{DETECTOR_VERSION, Judged};
use crate::chronicle::Event;
use crate::history::{Describer, Health, Limits, Run, Scribe};
use crate::recording::Interval;
use std::time::{Duration, SystemTime};

/// How long the last lines of a history may take: a disk that is stuck keeps nobody from ending.
const PATIENCE: Duration = Duration::from_secs(5);

/// A history, if one is written.
pub(super) struct Kept(Option<Open>);

struct Open {
    name: String,
    scribe: Scribe,
    describer: Describer,
    /// End of the last interval.
    last_seconds: f64,
}

impl Kept {
    /// Opens the file, or makes it.
    pub(super) fn begin(arguments: &Arguments) -> Result<Self, Failure> {
        let Some(file) = &arguments.history else { return Ok(Self(None)) };
        let name = file.display().to_string();
        let limits = Limits { bytes: arguments.history_size.0, age: arguments.history_age };
        let started_seconds = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
        let run = Run {
            started_seconds,
            host: host_name(),
            version: env!("CARGO_PKG_VERSION"),
            detector: DETECTOR_VERSION,
        };
        let scribe = Scribe::start(file, limits, run, say)
            .map_err(|error| Failure::Input(vec![format!("--history {name}: {error}")]))?;
        Ok(Self(Some(Open { name, scribe, describer: Describer::default(), last_seconds: started_seconds })))
    }

    /// Hands over an interval that was judged, with what was told of it.
    pub(super) fn take(&mut self, interval: &Interval<Judged>, events: &[Event]) -> Result<(), Failure> {
        let Some(open) = &mut self.0 else { return Ok(()) };
        let tick = open.describer.tick(interval, events).map_err(|error| Failure::Internal(error.into()))?;
        open.last_seconds = interval.time_seconds;
        if !open.scribe.take(tick) {
            open.describer.forget();
        }
        Ok(())
    }

    /// How it is doing; `None`: none is written.
    pub(super) fn health(&self) -> Option<Health> {
        self.0.as_ref().map(|open| open.scribe.health())
    }

    /// Writes the rest, and why it ended.
    pub(super) fn finish(mut self, reason: &str) {
        self.end(reason);
    }

    fn end(&mut self, reason: &str) {
        let Some(Open { name, scribe, last_seconds, .. }) = self.0.take() else { return };
        if !scribe.finish(last_seconds, reason, PATIENCE) {
            say(&format!("error: history {name}: it could not be written to its end within {PATIENCE:?}"));
        }
    }
}

impl Drop for Kept {
    /// However it ends: what was counted is written.
    fn drop(&mut self) {
        self.end("output closed, or an error");
    }
}
