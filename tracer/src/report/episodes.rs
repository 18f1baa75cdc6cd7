//! From changes of verdicts to what an incident is: from its onset to its clearing.

use super::material::{Change, Gone, Range};
use crate::chronicle::PoolName;
use crate::detect::Verdict;
use std::collections::BTreeMap;

/// Some time in which a pool had a finding, whatever it was called meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Of which pool.
    pub pool: PoolName,
    /// The earliest onset that any of its verdicts names, seconds since the epoch.
    pub onset_seconds: f64,
    /// It was so from the first traffic seen, so that it may have begun before.
    pub since_start: bool,
    /// When the first of its verdicts was told.
    pub told_seconds: f64,
    /// When it was told that it had cleared, or when the pool was gone; `None`: not within what is known.
    pub cleared_seconds: Option<f64>,
    /// It ended because the pool was gone: that it had cleared was not told.
    pub pool_gone: bool,
    /// Its most severe verdict.
    pub worst: Verdict,
    /// Every verdict that was told in it, and its clearing.
    pub changes: Vec<Change>,
}

impl Episode {
    fn begun_by(change: &Change) -> Self {
        Self {
            pool: change.pool.clone(),
            onset_seconds: change.since_seconds.unwrap_or(change.time_seconds),
            since_start: change.since_start,
            told_seconds: change.time_seconds,
            cleared_seconds: None,
            pool_gone: false,
            worst: change.verdict,
            changes: vec![change.clone()],
        }
    }

    fn go_on(&mut self, change: &Change) {
        if let Some(since) = change.since_seconds
            && since < self.onset_seconds
        {
            self.onset_seconds = since;
            self.since_start = change.since_start;
        }
        self.worst = self.worst.min(change.verdict);
        self.changes.push(change.clone());
    }

    /// Ends it when the pool was gone before `until_seconds`.
    fn end_with_pool(&mut self, gone: &[&Gone], until_seconds: f64) {
        let told = self.changes.last().map_or(self.told_seconds, |change| change.time_seconds);
        let is_it = |time: f64| time >= told && time < until_seconds;
        if let Some(gone) = gone.iter().find(|gone| is_it(gone.time_seconds)) {
            (self.cleared_seconds, self.pool_gone) = (Some(gone.time_seconds), true);
        }
    }

    /// From its onset to its clearing, seconds; `until_seconds` where it has not cleared.
    #[must_use]
    pub fn lasted_seconds(&self, until_seconds: f64) -> f64 {
        (self.cleared_seconds.unwrap_or(until_seconds) - self.onset_seconds).max(0.0)
    }

    /// From its onset to its first verdict, seconds.
    #[must_use]
    pub fn seconds_to_detect(&self) -> f64 {
        (self.told_seconds - self.onset_seconds).max(0.0)
    }

    /// Whether some of it lies in the range.
    #[must_use]
    pub fn reaches_into(&self, range: &Range) -> bool {
        self.onset_seconds <= range.to_seconds
            && self.cleared_seconds.is_none_or(|cleared| cleared > range.from_seconds)
    }

    /// The verdict that stood for longest: what it was, once that was clear. A failing member looks skewed at first.
    #[must_use]
    pub fn main(&self, until_seconds: f64) -> Option<&Change> {
        let ends = self.changes.iter().skip(1).map(|change| change.time_seconds).chain([until_seconds]);
        let findings = self.changes.iter().zip(ends).filter(|(change, _)| change.verdict.is_finding());
        let stood = |(change, end): &(&Change, f64)| *end - change.time_seconds;
        // Of equals the first.
        let longest = findings.reduce(|best, next| if stood(&next) > stood(&best) { next } else { best });
        longest.map(|(change, _)| change)
    }
}

/// The episodes of every pool, by pool, the earliest first. Both lists are in order of time. A pool that goes takes its
/// finding with it: nobody tells that it has cleared.
#[must_use]
pub fn episodes(changes: &[Change], gone: &[Gone]) -> Vec<Episode> {
    let mut gone_by_pool: BTreeMap<&PoolName, Vec<&Gone>> = BTreeMap::new();
    gone.iter().for_each(|gone| gone_by_pool.entry(&gone.pool).or_default().push(gone));
    let gone = |pool: &PoolName| gone_by_pool.get(pool).map_or(&[][..], Vec::as_slice);
    let mut by_pool: BTreeMap<&PoolName, Vec<Episode>> = BTreeMap::new();
    for change in changes {
        let of_pool = by_pool.entry(&change.pool).or_default();
        if let Some(open) = of_pool.last_mut().filter(|last| last.cleared_seconds.is_none()) {
            open.end_with_pool(gone(&change.pool), change.time_seconds);
        }
        let open = of_pool.last_mut().filter(|last| last.cleared_seconds.is_none());
        match (open, change.verdict.is_finding()) {
            (Some(episode), true) => episode.go_on(change),
            (Some(episode), false) => {
                episode.cleared_seconds = Some(change.time_seconds);
                episode.changes.push(change.clone());
            }
            (None, true) => of_pool.push(Episode::begun_by(change)),
            (None, false) => {}
        }
    }
    for (pool, of_pool) in &mut by_pool {
        if let Some(open) = of_pool.last_mut().filter(|last| last.cleared_seconds.is_none()) {
            open.end_with_pool(gone(pool), f64::INFINITY);
        }
    }
    by_pool.into_values().flatten().collect()
}

/// The one that matters most: the most severe, of these the longest.
pub(super) fn worst<'a>(
    episodes: impl IntoIterator<Item = &'a Episode>,
    until_seconds: f64,
) -> Option<&'a Episode> {
    let length = |episode: &Episode| episode.lasted_seconds(until_seconds);
    let severer = |one: &Episode, other: &Episode| {
        one.worst.cmp(&other.worst).then_with(|| length(other).total_cmp(&length(one)))
    };
    episodes.into_iter().min_by(|one, other| severer(one, other))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::report) fn change(pool: &str, time: f64, verdict: Verdict, since: Option<f64>) -> Change {
        Change {
            time_seconds: time,
            pool: PoolName { pool: pool.into(), balancer: Some("nginx".into()) },
            verdict,
            previous: None,
            findings: Vec::new(),
            summary: format!("{verdict} at {time}"),
            since_seconds: since,
            since_start: false,
            check: serde_json::Value::Null,
        }
    }

    #[test]
    fn an_episode_goes_from_the_earliest_onset_to_the_clearing() {
        use Verdict::{BackendFailing, Balanced, InsufficientEvidence, Skewed};
        let told = [
            change("app", 10.0, Balanced, None),
            change("app", 100.0, Skewed, Some(90.0)),
            change("db", 105.0, Skewed, Some(104.0)),
            change("app", 110.0, BackendFailing, Some(88.0)),
            change("app", 300.0, InsufficientEvidence, None),
            change("app", 330.0, Balanced, None),
            change("app", 500.0, Skewed, Some(495.0)),
        ];
        let found = episodes(&told, &[]);
        let of = |episode: &Episode| {
            (episode.pool.pool.clone(), episode.onset_seconds, episode.told_seconds, episode.cleared_seconds)
        };
        assert_eq!(
            found.iter().map(of).collect::<Vec<_>>(),
            [
                ("app".to_owned(), 88.0, 100.0, Some(300.0)),
                ("app".to_owned(), 495.0, 500.0, None),
                ("db".to_owned(), 104.0, 105.0, None),
            ]
        );
        assert_eq!((found[0].worst, found[0].seconds_to_detect()), (BackendFailing, 12.0));
        assert_eq!(
            found[0].main(600.0).map(|change| change.verdict),
            Some(BackendFailing),
            "it stood longer"
        );
        assert_eq!(worst(&found, 600.0), Some(&found[0]), "the most severe");
        assert_eq!(worst(&found[1..], 600.0), Some(&found[2]), "of equals the longest");
    }

    #[test]
    fn what_was_never_a_finding_is_no_episode() {
        let told = [
            change("app", 10.0, Verdict::Balanced, None),
            change("app", 20.0, Verdict::InsufficientEvidence, None),
        ];
        assert_eq!(episodes(&told, &[]), []);
    }

    #[test]
    fn a_pool_that_goes_takes_its_finding_with_it() {
        use Verdict::{Balanced, Skewed};
        let told = [
            change("app", 100.0, Skewed, Some(90.0)),
            change("db", 100.0, Skewed, Some(90.0)),
            change("app", 500.0, Skewed, Some(495.0)),
            change("app", 600.0, Balanced, None),
        ];
        let gone =
            |pool: &str, time_seconds: f64| Gone { time_seconds, pool: change(pool, 0.0, Skewed, None).pool };
        let gone =
            [gone("db", 20.0), gone("app", 100.0), gone("app", 300.0), gone("db", 400.0), gone("app", 700.0)];
        let found = episodes(&told, &gone);
        let of = |episode: &Episode| {
            (episode.pool.pool.clone(), episode.told_seconds, episode.cleared_seconds, episode.pool_gone)
        };
        assert_eq!(
            found.iter().map(of).collect::<Vec<_>>(),
            [
                ("app".to_owned(), 100.0, Some(100.0), true),
                ("app".to_owned(), 500.0, Some(600.0), false),
                ("db".to_owned(), 100.0, Some(400.0), true),
            ]
        );
    }
}
