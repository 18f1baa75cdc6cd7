//! Traffic to addresses that should get none. detector.md §6, detector-study.md §4.7.

use super::Settings;

/// Silence after which what came before is forgotten, seconds.
const FORGOTTEN_SECONDS: f64 = 300.0;
/// Least silence after which the finding is cleared, seconds.
const CLEARED_SECONDS: f64 = 30.0;
/// Silence that clears, in mean distances of the connections that came.
const CLEARED_DISTANCES: f64 = 5.0;

/// Connections to one address that should get none.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Stray {
    got: f64,
    first_seconds: f64,
    last_seconds: f64,
    grace_until_seconds: Option<f64>,
    found: bool,
}

impl Stray {
    /// The address lost its weight just now: for a while the old configuration may still send to it.
    pub(super) fn lost_weight(&mut self, now_seconds: f64, settings: &Settings) {
        *self = Self::default();
        self.grace_until_seconds = Some(now_seconds + settings.unexpected_grace_seconds);
    }

    /// Takes in one tick of an address that should get nothing.
    pub(super) fn tick(&mut self, own: f64, began_seconds: f64, now_seconds: f64, settings: &Settings) {
        if self.grace_until_seconds.is_some_and(|until| now_seconds < until) {
            return;
        }
        self.grace_until_seconds = None;
        let silent = now_seconds - self.last_seconds;
        if own > 0.0 {
            if self.got <= 0.0 || silent > FORGOTTEN_SECONDS {
                (self.got, self.first_seconds) = (0.0, began_seconds);
            }
            self.got += own;
            self.last_seconds = now_seconds;
            self.found |= self.got >= settings.unexpected_decisions;
        } else if self.found {
            let distance = (self.last_seconds - self.first_seconds) / self.got.max(1.0);
            if silent >= (CLEARED_DISTANCES * distance).max(CLEARED_SECONDS) {
                *self = Self::default();
            }
        }
    }

    /// Connections it got and since when, once they are a finding.
    pub(super) fn found(&self) -> Option<(f64, f64)> {
        self.found.then_some((self.got, self.first_seconds))
    }
}
