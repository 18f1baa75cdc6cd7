//! Members that get nothing while the pool goes on. detector.md §9.

use super::Settings;
use crate::pools::Method;

/// Seconds of a year.
const YEAR_SECONDS: f64 = 3.156e7;
/// Connections since its return that end an absence.
const RETURNED: f64 = 3.0;
/// A member that is flagged as getting too little gets nothing when it is this sure that it does not get a quarter of
/// its due, as another member's typing error leaves it: one in a thousand. The flag knows the dispersion. Own choice.
const NATS_WHEN_FLAGGED: f64 = 7.0;
const LEFT_WHEN_FLAGGED: f64 = 0.25;

/// Under least connections, how many times its longest gap a member must be without. Own choice, by simulation.
const BUSY_GAPS: f64 = 2.0;
/// Connections of the pool per member after which what a member usually gets is half of what it got since (e-folding, in
/// members): an absence that is found in tens of them does not wear it down.
const USUAL_MEMORY: f64 = 500.0;
/// No member usually gets less of its due than this, or none would ever be missing.
const LEAST_USUAL: f64 = 0.02;

/// What a member has gone without.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Absence {
    /// Connections of the pool since this member's last.
    pub(super) pool: f64,
    /// Ticks with traffic since then.
    pub(super) ticks: u64,
    /// When it began, seconds.
    pub(super) began_seconds: f64,
    /// The share it usually gets, in its due; none before anything was seen. Load-aware balancing gives a slow member
    /// less, and its gaps are longer.
    usual: Option<f64>,
    /// Longest that ended, connections of the pool; `None` before the member's first connection.
    longest: Option<f64>,
    /// Since when the member is watched, seconds.
    watched_from_seconds: f64,
    /// Evidence against what it takes, when last judged: 1 and more is enough.
    #[serde(with = "super::exact")]
    progress: f64,
    missing: Option<Missing>,
}

/// A member found missing.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub(super) struct Missing {
    /// When it got its last connection, or was first due one, seconds.
    pub(super) since_seconds: f64,
    /// Evidence, nats.
    #[serde(with = "super::exact")]
    pub(super) nats: f64,
    /// Whether it failed shortly before.
    pub(super) after_failures: bool,
    /// When it was served again, seconds.
    pub(super) returned_seconds: Option<f64>,
    /// Connections it was chosen for since, and those of them that were established.
    chosen: f64,
    got: f64,
}

/// What a member is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// Its expected share.
    pub(super) share: f64,
    /// Weight of this tick in what it usually gets.
    pub(super) weight: f64,
}

/// Weight of a tick with so many connections of a pool with so many members in what each usually gets.
pub(super) fn weight(pool: f64, members: usize) -> f64 {
    -(-pool / (USUAL_MEMORY * members.max(1) as f64)).exp_m1()
}

/// What the rule asks about the pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// Settings in force.
    pub(super) settings: &'a Settings,
    /// How the balancer chooses.
    pub(super) method: Method,
    /// Members with an expected share.
    pub(super) members: usize,
    /// Connections of the pool per second.
    pub(super) per_second: f64,
    /// Whether the pool is new.
    pub(super) learning: bool,
    /// Now, seconds.
    pub(super) now_seconds: f64,
}

impl Absence {
    /// Of a member that is watched from now on.
    pub(super) fn new(now_seconds: f64) -> Self {
        Self { began_seconds: now_seconds, watched_from_seconds: now_seconds, ..Self::default() }
    }

    /// Its share changed, or was not due until now: what it went without says nothing.
    pub(super) fn restart(&mut self, now_seconds: f64) {
        *self = Self::new(now_seconds);
    }

    /// The share of the pool that speaks for an absence: what it is due, or usually gets if that is less.
    pub(super) fn share(&self, due: f64) -> f64 {
        due * self.usual.unwrap_or(1.0).clamp(LEAST_USUAL, 1.0)
    }

    /// What it went without is counted in another unit from now on.
    pub(super) fn recount(&mut self, now_seconds: f64) {
        (self.pool, self.ticks, self.began_seconds) = (0.0, 0, now_seconds);
        (self.longest, self.progress) = (self.longest.map(|_| 0.0), 0.0);
    }

    /// Takes in one tick: connections of the member and of all that are due some.
    pub(super) fn tick(&mut self, own: f64, pool: f64, due: Due, began_seconds: f64, now_seconds: f64) {
        if pool > 0.0 && due.share > 0.0 {
            let usual = self.usual.unwrap_or(1.0);
            self.usual = Some(usual + due.weight * ((own / pool / due.share).min(1.0) - usual));
        }
        if own > 0.0 {
            // An absence that was found is no measure of what is usual.
            let gap = if self.missing.is_some() { 0.0 } else { self.pool };
            self.longest = Some(self.longest.map_or(gap, |longest| longest.max(gap)));
            (self.pool, self.ticks, self.began_seconds) = (0.0, 0, now_seconds);
            self.progress = 0.0;
        } else if pool > 0.0 {
            if self.ticks == 0 && self.longest.is_some() {
                self.began_seconds = began_seconds;
            }
            self.pool += pool;
            self.ticks = self.ticks.saturating_add(1);
        }
    }

    /// Takes in what became of a tick's connections. Says whether a missing member is well again, and forgotten. Only
    /// what was established counts: a retry that is refused serves nobody. But a health check that is established
    /// serves nobody either, so that never more is counted than the member was chosen for.
    pub(super) fn serve(&mut self, own: f64, established: f64, now_seconds: f64, hold: f64) -> bool {
        let Some(missing) = &mut self.missing else { return false };
        missing.chosen += own;
        missing.got = (missing.got + established).min(missing.chosen);
        if missing.got >= RETURNED && missing.returned_seconds.is_none() {
            missing.returned_seconds = Some(now_seconds);
        }
        let well = missing.returned_seconds.is_some_and(|since| now_seconds - since >= hold);
        if well {
            self.missing = None;
        }
        well
    }

    /// It failed: if it is missing, then not because it was not tried.
    pub(super) fn failed(&mut self) {
        if let Some(missing) = &mut self.missing {
            missing.after_failures = true;
        }
    }

    /// Whether the member is found missing.
    pub(super) fn missing(&self) -> Option<&Missing> {
        self.missing.as_ref()
    }

    /// How far it is on the way to be found missing: 1 is there.
    pub(super) fn progress(&self) -> f64 {
        self.progress
    }

    /// Whether it never had a connection.
    pub(super) fn never_served(&self) -> bool {
        self.longest.is_none()
    }

    /// Applies the rule; says whether the member is newly missing. `flagged` when the bank says it gets too little.
    pub(super) fn judge(
        &mut self,
        share: f64,
        dispersion: f64,
        flagged: bool,
        after_failures: bool,
        around: &Surroundings,
    ) -> bool {
        let settings = around.settings;
        let (least_ticks, doubled) =
            if around.learning { (settings.least_ticks_learning, 2.0) } else { (settings.least_ticks, 1.0) };
        if self.pool <= 0.0 || share <= 0.0 {
            return false;
        }
        let share = self.share(share);
        let nats = -self.pool * (1.0 - share).max(1e-12).ln() / dispersion.max(1.0);
        if let Some(missing) = &mut self.missing {
            missing.nats = missing.nats.max(nats);
        }
        let years = settings.false_alarm_ticks / YEAR_SECONDS;
        let yearly = around.members as f64 * around.per_second * YEAR_SECONDS * years;
        self.progress = nats / (doubled * (yearly.max(1.0).ln() + 3.0));
        if (self.ticks as f64) < least_ticks && !flagged {
            return false;
        }
        let certain = self.progress >= 1.0;
        let found = if around.method == Method::Hash {
            let recorded = around.now_seconds - self.watched_from_seconds >= settings.hash_record_seconds;
            let unheard = self.longest.is_some_and(|longest| self.pool > settings.hash_gap_ratio * longest);
            certain && recorded && unheard
        } else {
            // A member that is not chosen while it is busy has gaps of its own.
            let busy = around.method == Method::LeastConnections
                && self.longest.is_some_and(|longest| self.pool <= BUSY_GAPS * longest);
            !busy
                && (certain
                    || (flagged && -self.pool * (1.0 - share * LEFT_WHEN_FLAGGED).ln() >= NATS_WHEN_FLAGGED))
        };
        found && self.find(nats, after_failures)
    }

    /// Finds the member missing on other grounds (an ejection that lasts); says whether that is new.
    pub(super) fn find(&mut self, nats: f64, after_failures: bool) -> bool {
        match &mut self.missing {
            Some(missing) => {
                missing.returned_seconds = None;
                (missing.chosen, missing.got) = (0.0, 0.0);
                false
            }
            None => {
                let since_seconds = self.began_seconds;
                self.missing = Some(Missing {
                    since_seconds,
                    nats,
                    after_failures,
                    returned_seconds: None,
                    chosen: 0.0,
                    got: 0.0,
                });
                true
            }
        }
    }
}
