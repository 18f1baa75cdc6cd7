//! The tick: reads the kernel at even intervals.

use super::{Collector, Sample};
use crate::kernel::{ProgramReport, Tracer};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::{Interval, MissedTickBehavior, interval_at};

/// Time between two samples.
pub const TICK: Duration = Duration::from_secs(1);

/// Owns the kernel objects; each call waits for its tick and gives the next sample.
pub struct Ticker {
    tracer: Tracer,
    collector: Collector,
    interval: Interval,
    started: Instant,
    deadline: Option<Instant>,
    lag: Duration,
    before: Option<Sample>,
}

impl Ticker {
    /// Begins counting from here on, or goes on from an agent before: then the first sample is of what happened since that
    /// told of it last. With `length`, the last sample is taken exactly then.
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn new(mut tracer: Tracer, length: Option<Duration>) -> Self {
        let started = Instant::now();
        let epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let mut interval = interval_at((started + TICK).into(), TICK);
        // A tick that came late is not made up for: the next sample covers its time.
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let epoch_seconds = epoch.as_secs_f64();
        let (collector, before) = match tracer.inheritance() {
            Some(left) => {
                let ago = started.saturating_duration_since(left.told.taken);
                let (collector, before) = Collector::resume(epoch_seconds - ago.as_secs_f64(), &left);
                (collector, Some(before))
            }
            None => (Collector::new(started, epoch_seconds), None),
        };
        Self {
            tracer,
            collector,
            before,
            interval,
            started,
            deadline: length.map(|length| started + length),
            lag: Duration::ZERO,
        }
    }

    /// Waits for the next tick and reads. `None`: the length is over, and the last sample was given before.
    ///
    /// Safe to drop while it waits.
    pub async fn next(&mut self) -> Option<Sample> {
        let Some(deadline) = self.deadline else {
            let due = self.interval.tick().await;
            self.lag = due.elapsed();
            return Some(self.read());
        };
        if Instant::now() >= deadline {
            return None;
        }
        tokio::select! {
            // At the deadline the tick that falls on it is not a sample of its own.
            biased;
            () = tokio::time::sleep_until(deadline.into()) => {}
            _ = self.interval.tick() => {}
        }
        Some(self.read())
    }

    /// All that an agent before has told; `None` when there was none, or this was asked before.
    pub fn take_before(&mut self) -> Option<Sample> {
        self.before.take()
    }

    /// What tells these counters from others: see [`Tracer::began`].
    #[must_use]
    pub fn began(&self) -> Duration {
        self.tracer.began()
    }

    /// How long connections have been counted, by whatever agent.
    #[must_use]
    pub fn counts_since(&self) -> Duration {
        self.tracer.counts_since()
    }

    /// Reads now, whatever the tick.
    pub fn read(&mut self) -> Sample {
        self.collector.sample(&self.tracer.read())
    }

    /// Whether exchanges are not measured, and could be: see [`Tracer::can_measure_exchanges`].
    #[must_use]
    pub fn can_measure_exchanges(&self) -> bool {
        self.tracer.can_measure_exchanges()
    }

    /// Measures exchanges from now on: see [`Tracer::measure_exchanges`].
    ///
    /// # Errors
    /// What the kernel says, in one line.
    pub fn measure_exchanges(&mut self) -> Result<(), String> {
        self.tracer.measure_exchanges()
    }

    /// How late the last tick came.
    #[must_use]
    pub fn lag(&self) -> Duration {
        self.lag
    }

    /// What became of each program.
    #[must_use]
    pub fn reports(&self) -> &[ProgramReport] {
        self.tracer.reports()
    }

    /// How long the programs have run: see [`Tracer::run_seconds`].
    #[must_use]
    pub fn run_seconds(&self) -> Vec<(&'static str, f64)> {
        self.tracer.run_seconds()
    }

    /// Time since counting began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
