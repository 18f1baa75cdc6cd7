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
}

impl Ticker {
    /// Begins counting from here on. With `length`, the last sample is taken exactly then.
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn new(tracer: Tracer, length: Option<Duration>) -> Self {
        let started = Instant::now();
        let epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let mut interval = interval_at((started + TICK).into(), TICK);
        // A tick that came late is not made up for: the next sample covers its time.
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            tracer,
            collector: Collector::new(started, epoch.as_secs_f64()),
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
