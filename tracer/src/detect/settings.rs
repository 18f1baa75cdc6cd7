//! What the detector can be told, and what it assumes otherwise.

use crate::pools::Method;

/// Tuning of the judgement on one pool. The defaults are those of detector-study.md §4.11 unless a field says
/// otherwise; they were chosen by simulation.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Settings {
    /// A member that gets between `1 / margin` and `margin` times its due (as odds) is fine. A ratio; detector.md §1.
    pub margin: f64,
    /// The same for pools with unequal weights under least connections, which truly delivers 0.73 to 1.33 times of
    /// them at low concurrency. A ratio; detector.md §9.
    pub margin_weighted_load_aware: f64,
    /// Mean time between false flags, in ticks with traffic: one year of seconds. detector.md §2.
    pub false_alarm_ticks: f64,
    /// How long a pool is new from its first traffic on and thresholds are doubled, seconds; longer where its dispersion
    /// is not known by then, since that takes counts. Who is slow is learned in as many seconds with traffic.
    /// detector.md §2.
    pub learning_seconds: f64,
    /// A flag takes at least so many ticks, however much each tells. Ticks; detector.md §2.
    pub least_ticks: f64,
    /// The same while learning, when the threshold is twice as high: that stands for the dispersion, which is not known
    /// yet when the first flag is raised. The study used six, which misses the target of five seconds for a fresh start;
    /// with four, thousands of simulated starts of healthy pools raised no more flags than with five. Ticks.
    pub least_ticks_learning: f64,
    /// Half of what was learned about the height of harmless excursions is forgotten in this time, seconds.
    /// detector-study.md §4.4.
    #[serde(with = "super::exact")]
    pub calibration_half_life_seconds: f64,
    /// Evidence that a flagged member is well again, nats. detector.md §5.
    pub clearing_nats: f64,
    /// A flag stands at least so long, ticks with traffic. detector.md §5.
    pub clearing_least_ticks: u64,
    /// Failures older than this do not explain an absence as an ejection, seconds. detector.md §6.
    pub ejection_failure_seconds: f64,
    /// Connections a member must have been due and missed to count as ejected. detector.md §6.
    pub ejection_missed: f64,
    /// An ejection that lasts longer is a missing member, seconds. detector.md §6.
    pub ejection_limit_seconds: f64,
    /// A missing member that is served again is no longer reported after this time, seconds. As a flag's clearing.
    pub missing_clears_seconds: f64,
    /// Under client hashing, how long gaps must have been recorded before they are a rule, seconds. detector.md §9.
    pub hash_record_seconds: f64,
    /// Under client hashing, how many times its longest gap a member must be without. A ratio; detector.md §9.
    pub hash_gap_ratio: f64,
    /// Connections to an undeclared or drained address before it is reported. detector-study.md §4.7.
    pub unexpected_decisions: f64,
    /// Time after a member's weight went to zero, or it left the declaration, in which what it still gets is the
    /// reload, seconds. detector-study.md §4.7.
    pub unexpected_grace_seconds: f64,
    /// While it is not known how fast a pool's backends answer: attempts that were given up earlier than this are clients
    /// that went away, not a silent backend, seconds. Balancers' own timeouts are seconds; a handshake on one network
    /// takes milliseconds.
    pub cancelled_boundary_seconds: f64,
    /// Least failures in a window before anything is said. detector.md §10.
    pub failing_least: f64,
    /// A failure rate below this is never a finding, 0 to 1. detector.md §10.
    pub failing_floor: f64,
    /// A failure rate clearly above this is one whatever the others do, 0 to 1. detector.md §10.
    pub failing_ceiling: f64,
    /// Share of the members that must fail at once for the pool to be the one that fails, 0 to 1. Own choice.
    pub pool_failing_share: f64,
    /// Over how long shares are shown while nothing is flagged, seconds.
    pub window_seconds: f64,
    /// How fast what was seen stops counting for "balanced", seconds (e-folding). detector-study.md §4.10.
    pub memory_seconds: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            margin: 1.1,
            margin_weighted_load_aware: 2.0,
            false_alarm_ticks: 3.156e7,
            learning_seconds: 3600.0,
            least_ticks: 3.0,
            least_ticks_learning: 4.0,
            calibration_half_life_seconds: 604_800.0,
            clearing_nats: 7.0,
            clearing_least_ticks: 30,
            ejection_failure_seconds: 30.0,
            ejection_missed: 4.0,
            ejection_limit_seconds: 60.0,
            missing_clears_seconds: 30.0,
            hash_record_seconds: 86_400.0,
            hash_gap_ratio: 3.0,
            unexpected_decisions: 3.0,
            unexpected_grace_seconds: 30.0,
            cancelled_boundary_seconds: 0.25,
            failing_least: 5.0,
            failing_floor: 0.05,
            failing_ceiling: 0.30,
            pool_failing_share: 0.75,
            window_seconds: 300.0,
            memory_seconds: 86_400.0,
        }
    }
}

impl Settings {
    /// Whether they do not contradict each other: those of a state that was written down may have been changed since.
    pub(super) fn are_sound(&self) -> bool {
        (0.0..=self.failing_ceiling).contains(&self.failing_floor) && self.failing_ceiling <= 1.0
    }

    /// The margin for a pool that chooses by `method` and whose weights are or are not all equal.
    pub(super) fn margin_for(&self, method: Method, equal_weights: bool) -> f64 {
        if method == Method::LeastConnections && !equal_weights {
            self.margin_weighted_load_aware.max(self.margin)
        } else {
            self.margin
        }
    }

    /// Height at which a flag is raised, nats: `log(ARL · K · 8) − 3`. detector.md §2; the 3 was fitted.
    pub(super) fn threshold(&self, members: f64) -> f64 {
        ((self.false_alarm_ticks * members.max(1.0) * super::spread::ALTERNATIVES as f64).ln() - 3.0).max(1.0)
    }
}
