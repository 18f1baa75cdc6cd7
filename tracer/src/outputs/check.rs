//! What a check found, as data: the noun that both its outputs are made from.

use crate::agent::Judged;
use crate::collect::{Other, Uncounted};
use crate::detect::Verdict;

/// The end of a check.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// Name of the host; `None` when the recording does not say.
    pub host: Option<String>,
    /// When counting began, seconds since the epoch; `None` when there was nothing to count.
    pub started_seconds: Option<f64>,
    /// How long it counted.
    pub duration_seconds: f64,
    /// Every pool, judged or not.
    pub pools: Vec<Judged>,
    /// What was asked for and not seen, a line each.
    pub unmatched: Vec<String>,
    /// What is nobody's; `None` where it was not recorded.
    pub other: Option<Other>,
    /// What could not be counted where it belongs; `None` when the recording does not say.
    pub uncounted: Option<Uncounted>,
}

impl CheckReport {
    /// The most severe verdict of all pools that are judged.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let verdicts = self.pools.iter().filter_map(|pool| Some(pool.assessment.as_ref()?.verdict));
        verdicts.min().unwrap_or(Verdict::InsufficientEvidence)
    }
}
