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
    states_left_out: u64,
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
            states_left_out: 0,
        };
        recorder.write_state(time_seconds, Start::Run, agent)?;
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
            self.write_state(interval.time_seconds, Start::No, agent)
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
        let written = self.write_state(time_seconds, Start::Continued, agent);
        self.failed = written.is_err();
        written
    }

    /// States that were too long for a line: a replay from there begins with nothing remembered.
    #[must_use]
    pub fn states_left_out(&self) -> u64 {
        self.states_left_out
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
        let line = line(&SampleLine::of(interval.time_seconds, interval.interval_seconds, pools, uncounted))?;
        if line.len() > LONGEST_LINE {
            return Err(io::Error::other(format!(
                "the line would have {} MiB, and no reader takes more than {}",
                line.len() >> 20,
                LONGEST_LINE >> 20
            )));
        }
        self.write(&line)
    }

    /// A state that is too long for a line is left out, and counted.
    fn write_state(&mut self, time_seconds: f64, start: Start, agent: &Agent) -> io::Result<()> {
        let line = line(&StateLine {
            schema: STATE.to_owned(),
            time: time_seconds,
            start: start != Start::No,
            continues: start == Start::Continued,
            host: self.host.clone(),
            state: agent.state(),
        })?;
        if line.len() > LONGEST_LINE {
            self.states_left_out += 1;
            return Ok(());
        }
        self.write(&line)
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.output.write_all(line.as_bytes())?;
        self.output.flush()
    }
}

/// Why a state is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// The hour is over.
    No,
    /// A tracer begins.
    Run,
    /// It was told to look at other pools.
    Continued,
}

fn line(value: &impl Serialize) -> io::Result<String> {
    let mut line = escape::json(&serde_json::to_string(value)?);
    line.push('\n');
    Ok(line)
}
