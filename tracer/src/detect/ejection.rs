//! Members that the balancer leaves out for a while because they failed.
//!
//! Passive ejection (nginx `max_fails`) looks like skew: who failed lately and is passed over is masked until it is
//! tried again with success. detector.md §6.

use super::Settings;

/// Connections without a failure in one tick that count as success where establishment is not measured.
const WITHOUT_FAILURE: f64 = 3.0;

/// Whether a member is ejected.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Ejection {
    last_failure_seconds: Option<f64>,
    since_seconds: Option<f64>,
}

/// What a member did in a tick, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    /// Connections it was chosen for.
    pub(super) decisions: f64,
    /// Attempts that were established.
    pub(super) established: f64,
    /// Attempts that failed.
    pub(super) failures: f64,
    /// Connections it was due since its last one.
    pub(super) missed: f64,
}

impl Ejection {
    /// Takes in one tick.
    pub(super) fn tick(&mut self, tried: Tried, now_seconds: f64, settings: &Settings) {
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
    pub(super) fn failed_since(&self, seconds: f64) -> bool {
        self.last_failure_seconds.is_some_and(|failed| failed >= seconds)
    }

    /// Whether it is left out at present.
    pub(super) fn is_ejected(&self) -> bool {
        self.since_seconds.is_some()
    }

    /// Whether it has been left out for so long that it is missing.
    pub(super) fn lasts(&self, now_seconds: f64, settings: &Settings) -> bool {
        self.since_seconds.is_some_and(|since| now_seconds - since >= settings.ejection_limit_seconds)
    }
}
