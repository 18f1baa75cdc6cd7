//! Reads a recording, line by line.

use super::line::SampleLine;
use super::sums::Sums;
use super::{Interval, LONGEST_LINE, SAMPLE, STATE, StateLine};
use crate::agent::{AgentState, DETECTOR_VERSION};
use crate::pools::PoolSample;
use serde::Deserialize;
use serde_json::error::Category;
use std::io::{self, BufRead, Read as _};

/// Latest time that a line may have, seconds: beyond it the clock of a double stands still.
const LATEST_SECONDS: f64 = 1e12;

/// What a recording says next.
#[derive(Clone, Debug)]
pub enum Event {
    /// A tracer began to write here, or the file was cut here: who judges goes on from this state.
    Begin {
        /// The host it was written on.
        host: Option<String>,
        /// What the detector remembered; empty where it cannot be restored.
        state: AgentState,
    },
    /// An interval, with totals since the start of the recording.
    Interval(Box<Interval<PoolSample>>),
    /// Something that the reader should know, and the number of the line it is about.
    Warning(u64, String),
}

/// Why a recording cannot be read further.
#[derive(Debug, thiserror::Error)]
#[error("{line}: {message}")]
pub struct RecordingError {
    /// Number of the line, from 1.
    pub line: u64,
    /// What is wrong, and the remedy.
    pub message: String,
}

/// A recording that is read: what it says, one thing after the other, until its end or the first error.
///
/// Takes no more memory than its longest line does, which [`LONGEST_LINE`] bounds.
pub struct Replay<R> {
    input: R,
    line: u64,
    bytes: Vec<u8>,
    sums: Sums,
    previous_seconds: Option<f64>,
    begun: bool,
    ended: bool,
    /// What comes after the event that was just given.
    next: Option<Event>,
}

/// Every line.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
struct Head {
    schema: Option<String>,
}

/// A line with a state, whatever the version of what it holds.
#[derive(Deserialize)]
struct StateHead {
    #[serde(default)]
    start: bool,
    #[serde(default)]
    continues: bool,
    #[serde(default)]
    host: Option<String>,
    state: StateVersion,
}

#[derive(Deserialize)]
struct StateVersion {
    detector: u64,
}

/// What is wrong with a line.
enum Wrong {
    /// It is no JSON; at the end of a file that was cut off, that is to be expected.
    Form(String),
    /// It says something that cannot be.
    Content(String),
}

impl Wrong {
    fn message(self) -> String {
        let (Self::Form(message) | Self::Content(message)) = self;
        message
    }
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self::Content(message)
    }
}

impl From<serde_json::Error> for Wrong {
    fn from(error: serde_json::Error) -> Self {
        let full = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let what = full.strip_suffix(&place).unwrap_or(&full);
        let message = format!("column {}: {what}", error.column());
        if error.classify() == Category::Data { Self::Content(message) } else { Self::Form(message) }
    }
}

impl<R: BufRead> Replay<R> {
    /// Of what `input` gives.
    pub fn new(input: R) -> Self {
        Self {
            input,
            line: 0,
            bytes: Vec::new(),
            sums: Sums::default(),
            previous_seconds: None,
            begun: false,
            ended: false,
            next: None,
        }
    }

    /// Reads the next line; `false` at the end.
    fn read_line(&mut self) -> Result<bool, String> {
        self.bytes.clear();
        self.line += 1;
        let most = LONGEST_LINE as u64 + 1;
        let read = self.input.by_ref().take(most).read_until(b'\n', &mut self.bytes);
        let read = read.map_err(|error: io::Error| format!("cannot be read: {error}"))?;
        if self.bytes.len() > LONGEST_LINE && !self.is_whole() {
            return Err(format!("the line is longer than {} MiB: is this a recording?", LONGEST_LINE >> 20));
        }
        Ok(read > 0)
    }

    /// Whether the line that was read has its end.
    fn is_whole(&self) -> bool {
        self.bytes.last() == Some(&b'\n')
    }

    /// What the line that was read says; `None` when it says nothing new.
    fn event(&mut self) -> Result<Option<Event>, Wrong> {
        let text = str::from_utf8(&self.bytes)
            .map_err(|error| Wrong::Form(format!("column {}: not UTF-8", error.valid_up_to() + 1)))?;
        // Editors on Windows begin a file with it.
        let text = if self.line == 1 { text.trim_start_matches('\u{feff}') } else { text };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let Head { schema } = serde_json::from_str(text)?;
        let first = !std::mem::replace(&mut self.begun, true);
        match schema.as_deref() {
            Some(SAMPLE) => {
                let line = serde_json::from_str(text)?;
                self.interval(line)
                    .map(|interval| Some(Event::Interval(Box::new(interval))))
                    .map_err(Wrong::Content)
            }
            Some(STATE) => {
                let head: StateHead = serde_json::from_str(text)?;
                if !(first || head.start) {
                    return Ok(None);
                }
                let (state, warning) = restored(text, &head.state)?;
                self.next = warning.map(|warning| Event::Warning(self.line, warning));
                self.previous_seconds = None;
                if !head.continues {
                    // Another tracer: what was live for the one before is adopted by this one.
                    self.sums = Sums::default();
                }
                Ok(Some(Event::Begin { host: head.host, state }))
            }
            Some(other) => Err(Wrong::Content(format!(
                "the schema {other:?} is not known; known are {SAMPLE} and {STATE}"
            ))),
            None => Err(Wrong::Content(format!(
                "the line names no schema: one with samples begins {{\"schema\":{SAMPLE:?},"
            ))),
        }
    }

    fn interval(&mut self, line: SampleLine) -> Result<Interval<PoolSample>, String> {
        let time = line.time;
        if !(0.0..=LATEST_SECONDS).contains(&time) {
            return Err(format!(
                "time is in seconds since the epoch, from 0 to {LATEST_SECONDS:e}, not {time}"
            ));
        }
        let since = self.previous_seconds.map(|previous| time - previous);
        if let (Some(since), Some(previous)) = (since, self.previous_seconds)
            && since < 0.0
        {
            return Err(format!(
                "time runs backwards, from {previous} to {time}: sort the lines, or put a state with \"start\":true between"
            ));
        }
        let interval = match line.interval_seconds.or(since) {
            None => 1.0,
            Some(seconds) if line.interval_seconds.is_none() && seconds <= 0.0 => {
                return Err(format!(
                    "the line before has the same time, {time}, and interval_seconds is not given"
                ));
            }
            Some(seconds) if (0.0..=LATEST_SECONDS).contains(&seconds) => seconds,
            Some(seconds) => {
                return Err(format!("interval_seconds is from 0 to {LATEST_SECONDS:e}, not {seconds}"));
            }
        };
        let mut interval = line.interval(interval)?;
        self.previous_seconds = Some(time);
        self.sums.fill(&mut interval.pools);
        interval.uncounted = self.sums.uncounted(interval.uncounted);
        Ok(interval)
    }
}

/// The state in a line, or an empty one with the reason.
fn restored(text: &str, version: &StateVersion) -> Result<(AgentState, Option<String>), Wrong> {
    if version.detector == u64::from(DETECTOR_VERSION) {
        let line: StateLine = serde_json::from_str(text)?;
        return Ok((line.state, None));
    }
    let warning = format!(
        "the state is of detector version {}, this is {DETECTOR_VERSION}: it is not restored, and verdicts may differ \
         from those given live",
        version.detector
    );
    Ok((AgentState::default(), Some(warning)))
}

impl<R: BufRead> Iterator for Replay<R> {
    type Item = Result<Event, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(event) = self.next.take() {
            return Some(Ok(event));
        }
        while !self.ended {
            let found = match self.read_line() {
                Ok(true) => self.event(),
                Ok(false) => break,
                Err(message) => Err(Wrong::Content(message)),
            };
            match found {
                Ok(None) => {}
                Ok(Some(event)) => return Some(Ok(event)),
                Err(Wrong::Form(message)) if !self.is_whole() => {
                    self.ended = true;
                    let message = format!("the last line is cut off and left out ({message})");
                    return Some(Ok(Event::Warning(self.line, message)));
                }
                Err(wrong) => {
                    self.ended = true;
                    return Some(Err(RecordingError { line: self.line, message: wrong.message() }));
                }
            }
        }
        self.ended = true;
        None
    }
}
