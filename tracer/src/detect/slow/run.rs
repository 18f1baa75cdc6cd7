//! One sequential test, its flag, and what both are measured by: the bank's (detector.md §2, §5) with exposures.

use super::super::Settings;

/// A test never stands higher than this many thresholds, so that it can come down again. As in the bank.
const HIGHEST: f64 = 3.0;
/// One tick takes a flag down by at most this part of the clearing threshold. As in the bank.
const CLEARING_LEAST_TICKS: f64 = 5.0;

/// Events, and what they are of: answers above a bound of all answers, or closes of so many live-seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub(super) struct Tally {
    /// Answers above the bound; connections that ended.
    pub(super) events: f64,
    /// Answers; live connections, summed over seconds.
    pub(super) exposure: f64,
}

impl Tally {
    /// Whether nothing happened at all.
    pub(super) fn is_nothing(&self) -> bool {
        self.events.to_bits() | self.exposure.to_bits() == 0
    }

    /// Adds what more there was.
    pub(super) fn add(&mut self, more: Self) {
        self.events += more.events;
        self.exposure += more.exposure;
    }

    /// What is left without `part`.
    pub(super) fn without(self, part: Self) -> Self {
        let left = |all: f64, part: f64| (all - part).max(0.0);
        Self { events: left(self.events, part.events), exposure: left(self.exposure, part.exposure) }
    }
}

/// What holds for every test of a pool in one tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Height at which a flag is raised, nats.
    pub(super) raise: f64,
    /// The same of a pool that is not new: for evidence whose scatter need not be learned.
    pub(super) height: f64,
    /// A flag takes at least so many ticks.
    pub(super) least_ticks: f64,
    /// Evidence that takes a flag down, nats, and ticks it stands at least.
    pub(super) clearing_nats: f64,
    pub(super) clearing_least_ticks: u64,
    /// When the tick began and ended, seconds.
    pub(super) began_seconds: f64,
    pub(super) now_seconds: f64,
}

impl Rule {
    /// For a pool of so many members with `tests` tests each, which is new or not.
    pub(super) fn new(settings: &Settings, tests: f64, learning: bool, interval: (f64, f64)) -> Self {
        let height = ((settings.false_alarm_ticks * tests.max(1.0)).ln() - 3.0).max(1.0);
        Self {
            height,
            raise: if learning { 2.0 * height } else { height },
            least_ticks: if learning { settings.least_ticks_learning } else { settings.least_ticks }.max(1.0),
            clearing_nats: settings.clearing_nats,
            clearing_least_ticks: settings.clearing_least_ticks,
            began_seconds: interval.0,
            now_seconds: interval.1,
        }
    }

    /// Length of the tick, seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.now_seconds - self.began_seconds
    }
}

/// One test since it last stood at zero.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub(super) struct Run {
    /// Evidence, nats times the scale.
    #[serde(skip_serializing_if = "crate::detect::exact::is_nothing")]
    height: f64,
    /// Ticks with evidence for or against.
    pub(super) ticks: u64,
    /// When it began, seconds.
    #[serde(skip_serializing_if = "crate::detect::exact::is_nothing")]
    pub(super) began_seconds: f64,
    /// What the member did in it.
    #[serde(skip_serializing_if = "Tally::is_nothing")]
    pub(super) own: Tally,
    /// What everybody had done when it began.
    #[serde(skip_serializing_if = "Tally::is_nothing")]
    all_before: Tally,
}

impl Run {
    /// Takes in what a tick adds: `gain` in nats, divided by `scale`, of what the member did; `all_before` is what
    /// everybody had done before. Gives the height, nats.
    pub(super) fn tick(&mut self, gain: f64, scale: f64, own: Tally, all_before: Tally, rule: &Rule) -> f64 {
        let gain = if gain.is_finite() { gain } else { 0.0 };
        let scale = scale.max(1.0);
        if self.height + gain <= 0.0 {
            if self.ticks > 0 {
                *self = Self::default();
            }
            return 0.0;
        }
        if self.ticks == 0 {
            self.began_seconds = rule.began_seconds;
            self.all_before = all_before;
        }
        self.ticks = self.ticks.saturating_add(1);
        self.own.add(own);
        let most = HIGHEST * rule.raise * scale;
        self.height = (self.height + gain.min(rule.raise / rule.least_ticks * scale)).min(most);
        self.height / scale
    }

    /// Evidence so far, nats times the scale.
    pub(super) fn height(&self) -> f64 {
        self.height
    }

    /// What the others did in it, given what everybody has done by now and whether that has the member's in it.
    pub(super) fn rest(&self, all: Tally, is_among: bool) -> Tally {
        let since = all.without(self.all_before);
        if is_among { since.without(self.own) } else { since }
    }
}

/// A raised flag.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub(super) struct Flag {
    /// Which test raised it: a measure's own numbering.
    pub(super) test: usize,
    /// When its run began, seconds.
    pub(super) since_seconds: f64,
    /// Strongest evidence so far, nats.
    pub(super) nats: f64,
    /// Seconds the member took when it was slowest, and the others then.
    pub(super) own_seconds: f64,
    pub(super) rest_seconds: f64,
    reversed: f64,
    reversed_ticks: u64,
}

impl Flag {
    /// Raised by a test whose run began then.
    pub(super) fn new(test: usize, since_seconds: f64, nats: f64, figures: (f64, f64)) -> Self {
        Self {
            test,
            since_seconds,
            nats,
            own_seconds: figures.0,
            rest_seconds: figures.1,
            reversed: 0.0,
            reversed_ticks: 0,
        }
    }

    /// Takes in what a tick adds to the test that raised it, nats; says whether all is well again. detector.md §5.
    pub(super) fn clears(&mut self, gain: f64, scale: f64, rule: &Rule) -> bool {
        let gain = if gain.is_finite() { -gain / scale.max(1.0) } else { 0.0 };
        if self.reversed + gain <= 0.0 {
            self.reversed = 0.0;
            self.reversed_ticks = 0;
            return false;
        }
        self.reversed_ticks = self.reversed_ticks.saturating_add(1);
        self.reversed += gain.min(rule.clearing_nats / CLEARING_LEAST_TICKS);
        self.reversed >= rule.clearing_nats && self.reversed_ticks >= rule.clearing_least_ticks
    }

    /// Keeps the figures at their present value while it is slow, and at the last such value while it recovers.
    pub(super) fn note(&mut self, nats: f64, figures: Option<(f64, f64)>, least_ratio: f64) {
        self.nats = self.nats.max(nats);
        if let Some((own, rest)) = figures.filter(|(own, rest)| *own >= least_ratio * rest) {
            self.own_seconds = own;
            self.rest_seconds = rest;
        }
    }
}
