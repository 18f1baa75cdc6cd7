//! What happened, in order.

use super::configuration;
use super::episodes::Episode;
use super::material::{Material, NO_GAP_SECONDS};
use super::stamp::Time;
use super::words::lasted;
use serde::Serialize;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// When.
    pub time: Time,
    /// What kind of thing.
    pub kind: Kind,
    /// In a sentence. Untrusted text.
    pub text: String,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The tracer began to count.
    Started,
    /// What is expected of the pool changed.
    Expected,
    /// What was found later began.
    Onset,
    /// The first verdict of the incident was told.
    Detected,
    /// The verdict was another one.
    Verdict,
    /// It was told that the incident had cleared.
    Cleared,
    /// For some time nothing was counted.
    Gap,
    /// The tracer ended.
    Stopped,
}

impl Kind {
    /// As it stands in a table.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Started => "tracer started",
            Self::Expected => "expectation",
            Self::Onset => "onset",
            Self::Detected => "first verdict",
            Self::Verdict => "verdict",
            Self::Cleared => "cleared",
            Self::Gap => "not counted",
            Self::Stopped => "tracer ended",
        }
    }
}

/// Some time in which nothing was counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Why, as far as that is known.
    pub reason: String,
}

/// Changes of what is expected that are told: of a pool that nobody declared, members come and go.
const MOST_EXPECTED: usize = 20;

/// The parts of the range in which nothing was counted.
pub(super) fn gaps(material: &Material) -> Vec<Gap> {
    let ends = material.counted.iter().map(|span| span.to_seconds);
    let from = std::iter::once(material.range.from_seconds).chain(ends);
    let starts = material.counted.iter().map(|span| span.from_seconds);
    let to = starts.chain([material.range.to_seconds]);
    let gap = |(from, to): (f64, f64)| {
        let stopped = material
            .runs
            .iter()
            .find(|run| run.stop_seconds.is_some_and(|stop| stop >= from - NO_GAP_SECONDS && stop < to));
        let reason = match stopped.and_then(|run| run.reason.as_deref()) {
            Some(reason) => format!("the tracer had ended: {reason}"),
            None => "nothing was recorded".to_owned(),
        };
        Gap { from: Time(from), to: Time(to), reason }
    };
    from.zip(to).filter(|(from, to)| to - from > NO_GAP_SECONDS).map(gap).collect()
}

/// Everything that happened to a pool in the range of the material, in order.
pub(super) fn timeline(material: &Material, episodes: &[&Episode], gaps: &[Gap]) -> Vec<Moment> {
    let mut moments = Vec::new();
    let mut add = |time: f64, kind: Kind, text: String| moments.push(Moment { time: Time(time), kind, text });
    let Some(pool) = episodes.first().map(|episode| &episode.pool) else { return moments };
    for episode in episodes {
        let text = if episode.since_start {
            "it was so from the first traffic that was seen: it may have begun before".to_owned()
        } else {
            "what the first verdict says began here, as the counts said afterwards".to_owned()
        };
        add(episode.onset_seconds, Kind::Onset, text);
    }
    let first = |time: f64| episodes.iter().any(|episode| episode.told_seconds == time);
    let cleared = |time: f64| episodes.iter().any(|episode| episode.cleared_seconds == Some(time));
    for change in material.changes.iter().filter(|change| change.pool == *pool) {
        let verdict = change.verdict.as_str().to_uppercase();
        let kind = match change.time_seconds {
            time if first(time) => Kind::Detected,
            time if cleared(time) => Kind::Cleared,
            _ => Kind::Verdict,
        };
        add(change.time_seconds, kind, format!("{verdict}: {}", change.summary));
    }
    let changes = configuration::changes(material, pool);
    let untold = changes.len().saturating_sub(MOST_EXPECTED);
    let last = changes.last().map(|change| change.time.0);
    for change in changes.into_iter().take(MOST_EXPECTED) {
        add(change.time.0, Kind::Expected, change.text);
    }
    if let Some(last) = last.filter(|_| untold > 0) {
        add(last, Kind::Expected, format!("{untold} more changes until here"));
    }
    for gap in gaps {
        let length = lasted(gap.to.0 - gap.from.0);
        add(gap.from.0, Kind::Gap, format!("for {length} nothing was counted: {}", gap.reason));
    }
    for run in &material.runs {
        let version = run.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
        add(run.start_seconds, Kind::Started, format!("tracer{version} began to count"));
        if let Some(stop) = run.stop_seconds {
            let reason = run.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            add(stop, Kind::Stopped, format!("tracer{version} ended{reason}"));
        }
    }
    // An onset before the range is told all the same: it is what the report is about.
    let told = |moment: &Moment| {
        let time = moment.time.0;
        moment.kind == Kind::Onset
            || (material.range.from_seconds..=material.range.to_seconds).contains(&time)
    };
    moments.retain(told);
    moments.sort_by(|a, b| a.time.0.total_cmp(&b.time.0).then(a.kind.cmp(&b.kind)));
    moments
}
