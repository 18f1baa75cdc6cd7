//! Writes a recording.

use super::line::SampleLine;
use super::{Interval, LONGEST_LINE, STATE, StateLine};
use crate::agent::{Agent, Judged};
use crate::collect::Uncounted;
use crate::outputs::escape;
use serde::Serialize;
use std::io::{self, Write};

/// The state is written so often, seconds.
const BETWEEN_STATES_SECONDS: f64 = 3600.0;

/// Writes what is judged, each interval as soon as it is over.
pub struct Recorder<W> {
    output: W,
    host: Option<String>,
    next_state_seconds: f64,
    uncounted: Uncounted,
    failed: bool,
    lost: u64,
}

impl<W: Write> Recorder<W> {
    /// Begins with what `agent` remembers at `time_seconds`, before the first interval. `host` is the host's name.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn begin(output: W, host: Option<String>, time_seconds: f64, agent: &Agent) -> io::Result<Self> {
        let mut recorder = Self {
            output,
            host,
            next_state_seconds: time_seconds + BETWEEN_STATES_SECONDS,
            uncounted: Uncounted::default(),
            failed: false,
            lost: 0,
        };
        recorder.write_state(time_seconds, true, agent)?;
        Ok(recorder)
    }

    /// Writes an interval that `agent` has just judged, and every hour what the agent remembers after it.
    ///
    /// # Errors
    /// When it cannot be written: the first time only. From then on nothing is written, so that no line stands behind
    /// half a line, and the intervals are counted as [`lost`](Self::lost).
    pub fn record(&mut self, interval: &Interval<Judged>, agent: &Agent) -> io::Result<()> {
        if self.failed {
            self.lost += 1;
            return Ok(());
        }
        let written = self.write_interval(interval);
        self.lost += u64::from(written.is_err());
        let written = written.and_then(|()| {
            if interval.time_seconds < self.next_state_seconds {
                return Ok(());
            }
            self.next_state_seconds = interval.time_seconds + BETWEEN_STATES_SECONDS;
            self.write_state(interval.time_seconds, false, agent)
        });
        self.failed = written.is_err();
        written
    }

    /// Writes what `agent` remembers at `time_seconds`, to be restored: it is not what the intervals so far lead to.
    ///
    /// # Errors
    /// As of [`record`](Self::record).
    pub fn begin_again(&mut self, time_seconds: f64, agent: &Agent) -> io::Result<()> {
        if self.failed {
            return Ok(());
        }
        let written = self.write_state(time_seconds, true, agent);
        self.failed = written.is_err();
        written
    }

    /// Intervals that could not be written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn write_interval(&mut self, interval: &Interval<Judged>) -> io::Result<()> {
        let before = self.uncounted;
        let uncounted = interval.uncounted.map(|now| now.since(before));
        self.uncounted = interval.uncounted.unwrap_or(before);
        let pools = interval.pools.iter().map(|judged| &judged.sample);
        self.write(&SampleLine::of(interval.time_seconds, interval.interval_seconds, pools, uncounted))
    }

    fn write_state(&mut self, time_seconds: f64, start: bool, agent: &Agent) -> io::Result<()> {
        let (host, state) = (self.host.clone(), agent.state());
        self.write(&StateLine { schema: STATE.to_owned(), time: time_seconds, start, host, state })
    }

    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut line = escape::json(&serde_json::to_string(line)?);
        line.push('\n');
        if line.len() > LONGEST_LINE {
            return Err(io::Error::other(format!(
                "the line would have {} MiB, and no reader takes more than {}",
                line.len() >> 20,
                LONGEST_LINE >> 20
            )));
        }
        self.output.write_all(line.as_bytes())?;
        self.output.flush()
    }
}
