//! Members that the balancer leaves out for a while because they failed.
//!
//! Passive ejection (nginx `max_fails`) looks like skew: who failed lately and is passed over is masked until it is
//! tried again with success. detector.md §6.

use crate::detect::Settings;

/// Connections without a failure in one tick that count as success where establishment is not measured.
const WITHOUT_FAILURE: f64 = 3.0;

/// Whether a member is ejected.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Ejection {
    last_failure_seconds: Option<f64>,
    since_seconds: Option<f64>,
}

/// What a member did in a tick, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(in crate::detect) struct Tried {
    /// Connections it was chosen for.
    pub(in crate::detect) decisions: f64,
    /// Attempts that were established.
    pub(in crate::detect) established: f64,
    /// Attempts that failed.
    pub(in crate::detect) failures: f64,
    /// Connections it was due since its last one.
    pub(in crate::detect) missed: f64,
}

impl Ejection {
    /// Takes in one tick.
    pub(in crate::detect) fn tick(&mut self, tried: Tried, now_seconds: f64, settings: &Settings) {
        if tried.failures > 0.0 {
            self.last_failure_seconds = Some(now_seconds);
        }
        let well = tried.decisions > 0.0
            && (tried.established > 0.0 || (tried.failures <= 0.0 && tried.decisions >= WITHOUT_FAILURE));
        if well {
            self.since_seconds = None;
        } else if self.since_seconds.is_none()
            && tried.missed >= settings.ejection_missed
            && self.failed_since(now_seconds - settings.ejection_failure_seconds)
        {
            self.since_seconds = Some(now_seconds);
        }
    }

    /// Whether it failed at or after a moment.
    pub(in crate::detect) fn failed_since(&self, seconds: f64) -> bool {
        self.last_failure_seconds.is_some_and(|failed| failed >= seconds)
    }

    /// Whether it is left out at present.
    pub(in crate::detect) fn is_ejected(&self) -> bool {
        self.since_seconds.is_some()
    }

    /// Whether it has been left out for so long that it is missing.
    pub(in crate::detect) fn lasts(&self, now_seconds: f64, settings: &Settings) -> bool {
        self.since_seconds.is_some_and(|since| now_seconds - since >= settings.ejection_limit_seconds)
    }
}
