//! What is known now: the noun that metrics, the API and the page are made from.

use super::check::CheckReport;
use super::metrics::Ledger;
use crate::alerts::Figures;
use crate::history::Health;
use crate::kernel::ProgramReport;

/// The end of the last interval.
#[derive(Clone, Debug)]
pub struct Latest {
    /// When it was, seconds since the epoch.
    pub time_seconds: f64,
    /// Every pool, and what is said about it.
    pub report: CheckReport,
    /// What was counted so far, with names.
    pub ledger: Ledger,
    /// What the tracer knows of itself.
    pub own: Own,
}

/// What the tracer knows of itself.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// What became of each program in the kernel.
    pub programs: Vec<ProgramReport>,
    /// How long programs have run, seconds, where that is measured.
    pub run_seconds: Vec<(&'static str, f64)>,
    /// How late the last tick came, seconds.
    pub tick_lag_seconds: f64,
    /// How its history is doing; `None`: none is written.
    pub history: Option<Health>,
    /// What became of alerts, for each Alertmanager.
    pub alerts: Vec<Figures>,
}
