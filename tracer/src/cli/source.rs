//! Where intervals come from: the kernel, tick by tick, or a recording, as fast as it can be read. What is done with
//! them does not know which.

use super::exit::{Failure, host_name, say};
use crate::agent::{Agent, AgentState, Judged};
use crate::collect::{Sample, Ticker};
use crate::detect::Settings;
use crate::kernel::Tracer;
use crate::outputs::Own;
use crate::pools::{DeclaredPool, Pools, Remembered, Reuse};
use crate::recording::{Event, Interval, RecordingError, Replay, Selection};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc::{self, Receiver};

/// Intervals, judged.
pub(super) struct Source {
    agent: Agent,
    feed: Feed,
}

enum Feed {
    Kernel {
        ticker: Box<Ticker>,
        /// When this process began, and when counting did, perhaps for another one.
        started_seconds: f64,
        began_seconds: f64,
        reuse: Reuse,
    },
    Recording(Box<Recording>),
}

/// A recording that a thread of its own reads, so that who waits for a pipe can be told to stop.
struct Recording {
    name: String,
    events: Receiver<Result<Event, RecordingError>>,
    selection: Selection,
    length_seconds: Option<f64>,
    host: Option<String>,
    started_seconds: Option<f64>,
    previous_seconds: f64,
    elapsed_seconds: f64,
}

/// What is known of a source when it has ended.
pub(super) struct End {
    /// The host that was traced.
    pub(super) host: Option<String>,
    /// When counting began, seconds since the epoch.
    pub(super) started_seconds: Option<f64>,
    /// How long it counted.
    pub(super) duration_seconds: f64,
    /// What was asked for and not seen, a line each.
    pub(super) unmatched: Vec<String>,
}

/// After so many intervals a command that goes on for good says what was asked for and has not been seen: a name that is
/// mistyped matches nothing.
pub(super) const PATIENCE_INTERVALS: u32 = 15;
/// Lines that are read ahead.
const AHEAD: usize = 4;
/// A tick is not exact.
const MOMENT_SECONDS: f64 = 1e-6;

impl Source {
    /// The kernel, from now on; for `length` if that is given. Must be called within a tokio runtime.
    pub(super) fn kernel(tracer: Tracer, agent: Agent, length: Option<Duration>) -> Self {
        let started = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let ticker = Box::new(Ticker::new(tracer, length));
        let started_seconds = started.as_secs_f64();
        let began_seconds = started_seconds - ticker.counts_since().as_secs_f64();
        Self { agent, feed: Feed::Kernel { ticker, started_seconds, began_seconds, reuse: Reuse::default() } }
    }

    /// The recording in a file (`-`: standard input), the part that `selection` lets through; the first `length` of its
    /// own time if that is given.
    pub(super) fn recording(
        file: &Path,
        agent: Agent,
        selection: Selection,
        length: Option<Duration>,
    ) -> Result<Self, Failure> {
        let (name, input): (String, Box<dyn BufRead + Send>) = if file == Path::new("-") {
            ("standard input".into(), Box::new(BufReader::new(io::stdin())))
        } else {
            let name = file.display().to_string();
            let opened = File::open(file).map_err(|error| {
                Failure::Input(vec![format!("--replay {name}: {error}; give a recording")])
            })?;
            (name, Box::new(BufReader::new(opened)))
        };
        let (sender, events) = mpsc::channel(AHEAD);
        std::thread::spawn(move || {
            // Nobody waits for the rest any more: the end.
            Replay::new(input).try_for_each(|event| sender.blocking_send(event)).ok()
        });
        let recording = Recording {
            name,
            events,
            selection,
            length_seconds: length.map(|length| length.as_secs_f64()),
            host: None,
            started_seconds: None,
            previous_seconds: 0.0,
            elapsed_seconds: 0.0,
        };
        Ok(Self { agent, feed: Feed::Recording(Box::new(recording)) })
    }

    /// Waits for the next interval and judges it; `None` at the end. Safe to drop while it waits.
    pub(super) async fn next(&mut self) -> Result<Option<Interval<Judged>>, Failure> {
        match &mut self.feed {
            Feed::Kernel { ticker, reuse, .. } => {
                let Some(sample) = ticker.next().await else { return Ok(None) };
                let interval = judged(&mut self.agent, &sample);
                if ticker.can_measure_exchanges() {
                    measure_exchanges(ticker, reuse, &interval);
                }
                Ok(Some(interval))
            }
            Feed::Recording(recording) => recording.next(&mut self.agent).await,
        }
    }

    /// What happened up to now, when one is told to stop in between: nothing that is recorded.
    pub(super) fn now(&mut self) -> Option<Interval<Judged>> {
        match &mut self.feed {
            Feed::Kernel { ticker, .. } => Some(judged(&mut self.agent, &ticker.read())),
            Feed::Recording(_) => None,
        }
    }

    /// All that an agent before has told, sorted into these pools and not judged; `None`: there was none.
    pub(super) fn before(&mut self, mut pools: Pools) -> Option<Interval<Judged>> {
        let Feed::Kernel { ticker, .. } = &mut self.feed else { return None };
        let sample = ticker.take_before()?;
        let told = pools.group(&sample).into_iter().map(|sample| Judged { sample, assessment: None });
        Some(Interval {
            time_seconds: sample.time_seconds,
            interval_seconds: sample.interval_seconds,
            pools: told.collect(),
            other: Some(sample.other),
            uncounted: Some(sample.uncounted),
        })
    }

    /// What tells the kernel's counters from others since the host was booted; `None` of a recording.
    pub(super) fn began(&self) -> Option<Duration> {
        match &self.feed {
            Feed::Kernel { ticker, .. } => Some(ticker.began()),
            Feed::Recording(_) => None,
        }
    }

    /// Goes on judging from what an agent before remembered.
    pub(super) fn restore(&mut self, state: AgentState, remembered: Remembered) {
        self.agent.restore(state);
        self.agent.recall(remembered);
    }

    /// What the tracer knows of itself; `None` of a recording.
    pub(super) fn own(&self) -> Option<Own> {
        match &self.feed {
            Feed::Kernel { ticker, .. } => Some(Own {
                programs: ticker.reports().to_vec(),
                run_seconds: ticker.run_seconds(),
                tick_lag_seconds: ticker.lag().as_secs_f64(),
                history: None,
                alerts: Vec::new(),
            }),
            Feed::Recording(_) => None,
        }
    }

    /// The host that is traced, as far as it is known.
    pub(super) fn host(&self) -> Option<String> {
        match &self.feed {
            Feed::Kernel { .. } => Some(host_name()),
            Feed::Recording(recording) => recording.host.clone(),
        }
    }

    /// When counting began, seconds since the epoch.
    pub(super) fn started_seconds(&self) -> Option<f64> {
        match &self.feed {
            Feed::Kernel { began_seconds, .. } => Some(*began_seconds),
            Feed::Recording(recording) => recording.started_seconds,
        }
    }

    /// Who judges.
    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Takes other declared pools from the next interval on.
    pub(super) fn declare(&mut self, declared: Vec<DeclaredPool>) {
        self.agent.declare(declared);
    }

    /// Looks at something else from the next interval on. What was known of the pools is forgotten: it was of others,
    /// or of other members. The kernel's counters go on.
    pub(super) fn select(&mut self, pools: Pools) {
        self.agent = Agent::new(pools, Settings::default());
    }

    /// Seconds since the epoch, on the clock of the intervals; `None` before the first of a recording.
    pub(super) fn time_seconds(&self) -> Option<f64> {
        match &self.feed {
            Feed::Kernel { ticker, started_seconds, .. } => {
                Some(started_seconds + ticker.elapsed().as_secs_f64())
            }
            Feed::Recording(recording) => recording.started_seconds.map(|_| recording.previous_seconds),
        }
    }

    /// Lets go of the kernel, or of the file.
    pub(super) fn end(self) -> End {
        match self.feed {
            Feed::Kernel { ticker, began_seconds, .. } => End {
                host: Some(host_name()),
                started_seconds: Some(began_seconds),
                duration_seconds: ticker.elapsed().as_secs_f64(),
                unmatched: self.agent.unmatched(),
            },
            Feed::Recording(recording) => recording.end(),
        }
    }
}

/// Begins to measure exchanges once a pool is seen whose balancer reuses connections.
fn measure_exchanges(ticker: &mut Ticker, reuse: &mut Reuse, interval: &Interval<Judged>) {
    let Some(pool) = reuse.see(interval.pools.iter().map(|pool| &pool.sample)) else { return };
    match ticker.measure_exchanges() {
        Ok(()) => say(&format!("measuring exchanges from now on: {pool} reuses connections")),
        Err(reason) => say(&format!("warning: exchanges are not measured: {reason}")),
    }
}

fn judged(agent: &mut Agent, sample: &Sample) -> Interval<Judged> {
    Interval {
        time_seconds: sample.time_seconds,
        interval_seconds: sample.interval_seconds,
        pools: agent.step(sample),
        other: Some(sample.other.clone()),
        uncounted: Some(sample.uncounted),
    }
}

impl Recording {
    async fn next(&mut self, agent: &mut Agent) -> Result<Option<Interval<Judged>>, Failure> {
        while let Some(event) = self.events.recv().await {
            match event.map_err(|error| Failure::Input(vec![format!("{}:{error}", self.name)]))? {
                Event::Begin { host, state } => {
                    self.host = host.or(self.host.take());
                    agent.restore(state);
                }
                Event::Warning(line, message) => say(&format!("warning: {}:{line}: {message}", self.name)),
                Event::Interval(interval) => {
                    if !self.advance(interval.time_seconds, interval.interval_seconds) {
                        break;
                    }
                    return Ok(Some(Interval {
                        time_seconds: interval.time_seconds,
                        interval_seconds: interval.interval_seconds,
                        pools: agent.judge(self.selection.apply(interval.pools), interval.time_seconds),
                        other: None,
                        uncounted: interval.uncounted,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// Whether an interval lies within the length that is looked at. Where the time jumps back, with a tracer that
    /// was started anew, the interval counts.
    fn advance(&mut self, time_seconds: f64, interval_seconds: f64) -> bool {
        let since = time_seconds - self.previous_seconds;
        let first = self.started_seconds.is_none();
        let elapsed = self.elapsed_seconds + if first || since < 0.0 { interval_seconds } else { since };
        if self.length_seconds.is_some_and(|length| elapsed > length + MOMENT_SECONDS) {
            return false;
        }
        self.started_seconds.get_or_insert(time_seconds - interval_seconds);
        self.previous_seconds = time_seconds;
        self.elapsed_seconds = elapsed;
        true
    }

    fn end(self) -> End {
        let mut unmatched = self.selection.unmatched();
        if self.started_seconds.is_none() {
            let within = if self.length_seconds.is_some() { " within the time of --for" } else { "" };
            unmatched.push(format!("{}: the recording has no sample{within}", self.name));
        }
        End {
            host: self.host,
            started_seconds: self.started_seconds,
            duration_seconds: self.elapsed_seconds,
            unmatched,
        }
    }
}
