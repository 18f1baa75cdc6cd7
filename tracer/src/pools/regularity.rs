//! Whether a timer explains the arrivals at a member that should get no traffic.

use std::collections::VecDeque;

/// Arrivals that are looked at.
const HISTORY: usize = 16;
/// Arrivals before anything is said.
const ENOUGH: usize = 4;
/// Arrivals before anything is said when the gaps are hardly longer than the interval in which arrivals are counted:
/// then even a timer's come by two and none.
const ENOUGH_WHEN_COARSE: usize = 8;
/// Gaps below this many intervals are such.
const COARSE_INTERVALS: f64 = 1.5;
/// Coefficient of variation of the gaps: 0 for a perfect timer, 1 for arrivals at random.
const REGULAR_BELOW: f64 = 0.45;
/// The same beyond which no timer explains it, in a long history; in a short one it takes more, by 0.8 divided by
/// the number of arrivals.
const IRREGULAR_ABOVE: f64 = 0.5;
/// From this many intervals on, the arrivals of a timer with some jitter fall in an interval of their own each.
const PAIR_INTERVALS: f64 = 1.7;
/// Checks come at most once a second; a little more, since arrival times are known to the interval only.
const MAX_PER_SECOND: f64 = 1.1;
/// A pause of this many gaps ends one series of checks (the balancer stopped checking) and starts another.
const PAUSE_GAPS: f64 = 5.0;
/// A timer that has missed this many checks has stopped.
const STOPPED_GAPS: f64 = 3.0;
/// Arrivals beyond one a second that are traffic without looking at their gaps.
const BURST: u32 = 3;

/// What the arrivals are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Explanation {
    /// Not enough to tell.
    Undecided,
    /// Health checks.
    Timer,
    /// Anything but.
    Traffic,
}

/// What is known, after an interval, of arrivals that were held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// They were traffic.
    pub(super) released: u64,
    /// They were checks.
    pub(super) settled: u64,
}

/// Arrivals at one member that should get no traffic.
#[derive(Debug, Default)]
pub(super) struct IdleArrivals {
    times: VecDeque<f64>,
    /// Neither released as traffic nor settled as checks.
    held_back: u64,
    /// Since when, and how many, while nothing could be told.
    undecided: Option<(f64, u64)>,
    timer: Option<f64>,
    /// The last that could be told was traffic.
    traffic: bool,
}

/// What the gaps between arrivals look like.
struct Gaps {
    mean: f64,
    /// Coefficient of variation.
    variation: f64,
    /// Gaps within one interval.
    pairs: usize,
}

impl IdleArrivals {
    /// Arrivals whose nature is open.
    pub(super) fn held_back(&self) -> u64 {
        self.held_back
    }

    /// The interval of the checks, if they are checks and still coming.
    pub(super) fn timer_seconds(&self, now: f64) -> Option<f64> {
        let last = *self.times.back()?;
        self.timer.filter(|timer| now - last <= STOPPED_GAPS * timer)
    }

    /// Whether a timer explained them, as far as told last.
    pub(super) fn has_timer(&self) -> bool {
        self.timer.is_some()
    }

    /// Takes back up to `count` arrivals that turned out to be probes; gives how many.
    pub(super) fn withdraw(&mut self, count: u64) -> u64 {
        let withdrawn = count.min(self.held_back);
        self.held_back -= withdrawn;
        for _ in 0..withdrawn {
            self.times.pop_back();
        }
        if self.held_back == 0 {
            self.undecided = None;
        } else if let Some((_, arrivals)) = &mut self.undecided {
            *arrivals = arrivals.saturating_sub(withdrawn);
        }
        withdrawn
    }

    /// Holds back the arrivals of the interval that ends at `now`, and says which of all held back are explained.
    pub(super) fn explain(&mut self, now: f64, interval: f64, arrivals: u64) -> Told {
        let mut told = Told::default();
        if arrivals > 0 {
            told.settled = self.start_again_after_a_pause(now - interval);
            self.remember(now, interval, arrivals);
        }
        match self.verdict(now, interval, arrivals) {
            Explanation::Undecided => {}
            Explanation::Timer => {
                // Kept open as long as they are in the history: a random series may look regular at first.
                self.undecided = None;
                self.traffic = false;
                let open = self.held_back.min(self.times.len() as u64);
                told.settled += self.held_back - open;
                self.held_back = open;
            }
            Explanation::Traffic => {
                self.timer = None;
                self.undecided = None;
                self.traffic = true;
                told.released = std::mem::take(&mut self.held_back);
            }
        }
        told
    }

    fn start_again_after_a_pause(&mut self, interval_start: f64) -> u64 {
        let (Some(timer), Some(&last)) = (self.timer, self.times.back()) else { return 0 };
        if interval_start - last <= PAUSE_GAPS * timer {
            return 0;
        }
        self.times.clear();
        self.timer = None;
        self.undecided = None;
        std::mem::take(&mut self.held_back)
    }

    #[expect(clippy::cast_precision_loss, reason = "at most HISTORY")]
    fn remember(&mut self, now: f64, interval: f64, arrivals: u64) {
        self.held_back += arrivals;
        let (_, undecided) = self.undecided.get_or_insert((now - interval, 0));
        *undecided += arrivals;
        let kept = arrivals.min(HISTORY as u64);
        for place in 0..kept {
            if self.times.len() == HISTORY {
                self.times.pop_front();
            }
            self.times.push_back(now - interval + interval * (place as f64 + 0.5) / kept as f64);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn verdict(&mut self, now: f64, interval: f64, arrivals: u64) -> Explanation {
        let last_second = self.times.iter().filter(|&&time| time > now - 1.0).count() as f64;
        let too_many_at_once =
            arrivals as f64 > f64::from(BURST) * interval.max(1.0) || last_second > f64::from(BURST);
        let too_many_in_all = self
            .undecided
            .is_some_and(|(since, arrivals)| arrivals as f64 > (now - since) + f64::from(BURST));
        if too_many_at_once || too_many_in_all {
            return Explanation::Traffic;
        }
        if self.times.len() < ENOUGH {
            return Explanation::Undecided;
        }
        let Gaps { mean, variation, pairs } = self.gaps(interval);
        if mean < COARSE_INTERVALS * interval && self.times.len() < ENOUGH_WHEN_COARSE {
            return Explanation::Undecided;
        }
        // A timer's do not come two at a time, but for once when the balancer is reloaded.
        let pairs_forgiven = usize::from(self.timer.is_some() || self.times.len() >= ENOUGH_WHEN_COARSE);
        if mean >= PAIR_INTERVALS * interval && pairs > pairs_forgiven {
            return Explanation::Traffic;
        }
        if variation >= IRREGULAR_ABOVE + 0.8 / self.times.len() as f64 {
            return Explanation::Traffic;
        }
        if variation >= REGULAR_BELOW {
            // Could be either: what was told last stays.
            return match (self.timer, self.traffic) {
                (Some(_), _) => Explanation::Timer,
                (None, true) => Explanation::Traffic,
                (None, false) => Explanation::Undecided,
            };
        }
        if mean * MAX_PER_SECOND < 1.0 {
            // Even, but too frequent for a timer: whether it goes on will tell, unless it has told before.
            return if self.traffic { Explanation::Traffic } else { Explanation::Undecided };
        }
        self.timer = Some(mean);
        Explanation::Timer
    }

    /// The gaps between the arrivals of the history. An arrival is known to the interval only, which alone gives
    /// each of its two ends a variance of a twelfth of the interval's square: that is no irregularity.
    #[expect(clippy::cast_precision_loss, reason = "at most HISTORY")]
    fn gaps(&self, interval: f64) -> Gaps {
        let gaps: Vec<f64> =
            self.times.iter().zip(self.times.iter().skip(1)).map(|(one, next)| next - one).collect();
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let variance = (variance - interval * interval / 6.0).max(0.0);
        let variation = if mean > 0.0 { variance.sqrt() / mean } else { f64::INFINITY };
        Gaps { mean, variation, pairs: gaps.iter().filter(|&&gap| gap < 0.75 * interval).count() }
    }
}
