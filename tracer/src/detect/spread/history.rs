//! Cumulative counts at past moments: dense lately, thinner further back, bounded in all.

/// Moments kept per level.
const KEPT: usize = 16;
/// Level l keeps every 4^l-th tick: with 16 moments each, back to 65,536 ticks.
const LEVELS: usize = 7;

/// Cumulative counts at one moment.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Moment {
    /// When, seconds.
    pub(in crate::detect) seconds: f64,
    /// After so many ticks.
    pub(in crate::detect) ticks: u64,
    /// Per member.
    pub(in crate::detect) counts: Vec<f64>,
}

/// What every member had got, then and now.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct History {
    now: Vec<f64>,
    levels: [Vec<Moment>; LEVELS],
    ticks: u64,
}

impl History {
    /// Begins with so many members at nothing.
    pub(in crate::detect) fn begin(&mut self, members: usize, seconds: f64) {
        self.now.clear();
        self.now.resize(members, 0.0);
        self.levels.iter_mut().for_each(Vec::clear);
        self.ticks = 0;
        self.keep(seconds);
    }

    /// Other members, the shares of those that count being as before: `from` tells for each where it was.
    pub(in crate::detect) fn rearrange(&mut self, from: &[Option<usize>]) {
        let moved = |counts: &[f64]| -> Vec<f64> {
            from.iter().map(|from| from.and_then(|from| counts.get(from).copied()).unwrap_or(0.0)).collect()
        };
        self.now = moved(&self.now);
        for moment in self.levels.iter_mut().flatten() {
            moment.counts = moved(&moment.counts);
        }
    }

    /// Takes in one tick.
    pub(in crate::detect) fn tick(&mut self, counts: &[f64], seconds: f64) {
        for (sum, count) in self.now.iter_mut().zip(counts) {
            *sum += count;
        }
        self.ticks = self.ticks.saturating_add(1);
        self.keep(seconds);
    }

    fn keep(&mut self, seconds: f64) {
        for (level, moments) in self.levels.iter_mut().enumerate() {
            let every = 1_u64 << (2 * level);
            if !self.ticks.is_multiple_of(every) {
                break;
            }
            // They lie in a ring: the place is that of the oldest.
            match moments.get_mut(place_of(self.ticks / every)) {
                Some(oldest) => {
                    oldest.seconds = seconds;
                    oldest.ticks = self.ticks;
                    oldest.counts.clone_from(&self.now);
                }
                None => moments.push(Moment { seconds, ticks: self.ticks, counts: self.now.clone() }),
            }
        }
    }

    /// What every member had got by now.
    pub(in crate::detect) fn now(&self) -> &[f64] {
        &self.now
    }

    /// Whether it is of so many members, then and now.
    pub(in crate::detect) fn is_whole(&self, members: usize) -> bool {
        self.now.len() == members
            && self
                .levels
                .iter()
                .flatten()
                .all(|moment| moment.counts.len() == members && moment.ticks <= self.ticks)
    }

    /// Ticks so far.
    pub(in crate::detect) fn ticks(&self) -> u64 {
        self.ticks
    }

    /// The moment kept that is nearest to so many ticks ago.
    pub(in crate::detect) fn ticks_ago(&self, ticks: u64) -> Option<&Moment> {
        let wanted = self.ticks.checked_sub(ticks)?;
        self.levels.iter().flatten().min_by_key(|moment| moment.ticks.abs_diff(wanted))
    }

    /// The oldest moment kept that is not before `seconds`.
    pub(in crate::detect) fn since(&self, seconds: f64) -> Option<&Moment> {
        let candidates = self.levels.iter().flatten().filter(|moment| moment.seconds >= seconds - 1e-6);
        candidates.min_by(|a, b| a.seconds.total_cmp(&b.seconds))
    }
}

/// Place of a level's moments, by their number.
fn place_of(number: u64) -> usize {
    usize::try_from(number % KEPT as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sixteen_ticks_are_exact_and_older_ones_within_a_quarter() {
        let mut history = History::default();
        history.begin(1, 0.0);
        for tick in 1..=50_000_u32 {
            history.tick(&[1.0], f64::from(tick));
        }
        for back in [1.0, 5.0, 15.0, 40.0, 300.0, 2_000.0, 40_000.0] {
            let moment = history.since(50_000.0 - back).unwrap();
            let got = history.now()[0] - moment.counts[0];
            assert!(got <= back && got >= 0.75 * back, "{back}: {got}");
            assert!(back > 15.0 || (got - back).abs() < 1e-9, "{back}: {got}");
        }
    }
}
