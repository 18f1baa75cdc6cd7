//! The recording that `--samples` writes.

use super::super::exit::{Failure, host_name, say};
use crate::agent::{Agent, Judged};
use crate::recording::{Interval, Recorder, open_for_append};
use std::fs::File;
use std::io;
use std::path::Path;

/// An open recording.
pub(super) struct Samples {
    name: String,
    recorder: Recorder<File>,
}

impl Samples {
    /// Appends to a file, beginning with what the agent remembers.
    ///
    /// # Errors
    /// When it cannot be written to, or is no recording.
    pub(super) fn begin(file: &Path, time_seconds: f64, agent: &Agent) -> Result<Self, Failure> {
        let name = file.display().to_string();
        let wrong = |what: String| Failure::Input(vec![format!("--samples {name}: {what}")]);
        let (output, cut_off) = open_for_append(file).map_err(|error| wrong(error.to_string()))?;
        if cut_off > 0 {
            say(&format!("warning: {name}: its last line was unfinished; {cut_off} bytes were cut off"));
        }
        let recorder = Recorder::begin(output, Some(host_name()), time_seconds, agent)
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self { name, recorder })
    }

    /// Writes an interval that was judged.
    pub(super) fn record(&mut self, interval: &Interval<Judged>, agent: &Agent) {
        let written = self.recorder.record(interval, agent);
        self.complain(written);
    }

    /// The agent was told of other pools: a replay has to begin anew with it here.
    pub(super) fn begin_again(&mut self, time_seconds: f64, agent: &Agent) {
        let written = self.recorder.begin_again(time_seconds, agent);
        self.complain(written);
    }

    /// Says what was lost.
    pub(super) fn finish(self) {
        if self.recorder.lost() > 0 {
            say(&format!("error: {}: {} intervals were not recorded", self.name, self.recorder.lost()));
        }
        if self.recorder.states_left_out() > 0 {
            say(&format!(
                "warning: {}: {} states of the detector were too long to be recorded; replay it from its start",
                self.name,
                self.recorder.states_left_out()
            ));
        }
    }

    fn complain(&self, written: io::Result<()>) {
        if let Err(error) = written {
            say(&format!("error: --samples {}: {error}; it ends here, counting goes on", self.name));
        }
    }
}
