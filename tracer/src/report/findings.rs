//! A report: what a range of time comes to. In JSON its field names are a contract (schema `tracer.report/1`).

use super::configuration::{self, Expected, ExpectedChange};
use super::episodes::{Episode, episodes, worst};
use super::figures::{Figures, Phase, figures};
use super::material::{Change, Made, Material, Series};
use super::over_time::{OverTime, over_time};
use super::stamp::Time;
use super::timeline::{Gap, Moment, gaps, timeline};
use super::words::moment;
use crate::chronicle::PoolName;
use crate::collect::Uncounted;
use crate::detect::{Signal, Verdict};
use crate::outputs::whose_fault;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Incidents that are told in full: of more, nobody reads the rest.
const MOST_INCIDENTS: usize = 5;

/// What a range of time comes to. Names and sentences in it are untrusted text.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    schema: &'static str,
    /// The version of tracer that made the report.
    pub version: &'static str,
    /// The host that was traced, as far as it is known.
    pub host: Option<String>,
    /// Whether the verdicts were judged again, from a recording; else they are those that were told then.
    pub judged_again: bool,
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Intervals that were counted in it.
    pub intervals: u64,
    /// Of every pool with a finding the incident that matters most; the most severe first.
    pub incidents: Vec<Incident>,
    /// Pools with a finding that are not told in full.
    pub further_incidents: Vec<PoolLine>,
    /// Pools without a finding.
    pub other_pools: Vec<PoolLine>,
    /// When nothing was counted.
    pub gaps: Vec<Gap>,
    /// What could not be counted where it belongs; null: not known.
    pub uncounted: Option<Uncounted>,
    /// What the reader should know of the material, a line each.
    pub remarks: Vec<String>,
}

/// What happened to a pool.
#[derive(Clone, Debug, Serialize)]
pub struct Incident {
    /// The pool.
    #[serde(flatten)]
    pub pool: PoolName,
    /// The verdict that stood for longest: what it was, once that was clear.
    pub verdict: Verdict,
    /// Everything that was found then, the most severe first.
    pub findings: Vec<Verdict>,
    /// Since when it was so.
    pub onset: Time,
    /// It was so from the first traffic seen, so that it may have begun before.
    pub since_start: bool,
    /// When its first verdict was told.
    pub detected: Time,
    /// When it was told that it had cleared; null: not in the time that is known.
    pub cleared: Option<Time>,
    /// From the onset to the first verdict.
    pub seconds_to_detect: f64,
    /// From the onset to the clearing, or to the end of the range.
    pub seconds_lasted: f64,
    /// The sentence that would have ended the search: of `verdict`, as it was told.
    pub sentence: String,
    /// When it was told.
    pub sentence_told: Time,
    /// Whose fault it likely was, and what to look at.
    pub advice: Option<[&'static str; 2]>,
    /// What shares are shares of.
    pub signal: Signal,
    /// Other incidents of the pool in the range, which are only in the timeline.
    pub further_episodes: usize,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// Before, during and after, as far as they are in the range; and the whole range.
    pub phases: Vec<Phase>,
    /// What each member got in each phase, in the order of their addresses.
    pub members: Vec<Member>,
    /// What was expected at the onset.
    pub expected: Option<Expected>,
    /// How that changed in the range.
    pub expected_changes: Vec<ExpectedChange>,
    /// The same over time.
    pub over_time: OverTime,
}

/// A member of a pool with an incident.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// Which one.
    pub backend: SocketAddr,
    /// What the verdict found of it: `over`, `missing` and so on.
    pub finding: Option<String>,
    /// In the order of the phases.
    pub phases: Vec<Figures>,
}

/// A pool that is told in a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolLine {
    /// The pool.
    #[serde(flatten)]
    pub pool: PoolName,
    /// Its last verdict in the range; of those with a finding the most severe; null: none was told.
    pub verdict: Option<Verdict>,
    /// The sentence with it.
    pub summary: Option<String>,
    /// Attempts to all of its members in the range; null: not measured.
    pub attempts: Option<u64>,
}

impl Report {
    /// The report of a material.
    ///
    /// # Errors
    /// When nothing was counted in its range: of that there is nothing to report.
    pub fn of(mut material: Material) -> Result<Self, String> {
        if material.intervals == 0 {
            let [from, to] = [material.range.from_seconds, material.range.to_seconds].map(moment);
            return Err(format!(
                "nothing was counted between {from} and {to} UTC: no tracer ran then, or none that wrote here; give other \
                 --from and --to"
            ));
        }
        name_balancers(&mut material);
        let gaps = gaps(&material);
        let mut episodes = episodes(&material.changes);
        episodes.retain(|episode| episode.reaches_into(&material.range));
        let mut by_pool: BTreeMap<&PoolName, Vec<&Episode>> = BTreeMap::new();
        for episode in &episodes {
            by_pool.entry(&episode.pool).or_default().push(episode);
        }
        let to = material.range.to_seconds;
        let mut found: Vec<(&Episode, Vec<&Episode>)> = by_pool
            .into_values()
            .filter_map(|of_pool| Some((worst(of_pool.iter().copied(), to)?, of_pool)))
            .collect();
        let lasted = |episode: &Episode| episode.lasted_seconds(to);
        found.sort_by(|(a, _), (b, _)| a.worst.cmp(&b.worst).then(lasted(b).total_cmp(&lasted(a))));
        let with_finding: BTreeSet<&PoolName> = found.iter().map(|(episode, _)| &episode.pool).collect();
        let further_incidents = found.iter().skip(MOST_INCIDENTS).map(|(episode, _)| {
            let change = episode.main(to);
            line(&material, &episode.pool, change)
        });
        let pools: BTreeSet<&PoolName> = material
            .series
            .iter()
            .map(|series| &series.pool)
            .chain(material.changes.iter().map(|change| &change.pool))
            .filter(|pool| !with_finding.contains(pool))
            .collect();
        let other_pools = pools.into_iter().map(|pool| {
            let told =
                material.changes.iter().rfind(|change| change.pool == *pool && change.time_seconds <= to);
            line(&material, pool, told)
        });
        let incidents = found.iter().take(MOST_INCIDENTS);
        Ok(Self {
            schema: "tracer.report/1",
            version: env!("CARGO_PKG_VERSION"),
            host: material.host.clone(),
            judged_again: material.made == Made::Again,
            from: Time(material.range.from_seconds),
            to: Time(to),
            intervals: material.intervals,
            incidents: incidents.map(|(main, all)| incident(&material, main, all, &gaps)).collect(),
            further_incidents: further_incidents.collect(),
            other_pools: other_pools.collect(),
            gaps,
            uncounted: material.uncounted,
            remarks: material.remarks.clone(),
        })
    }
}

fn incident(material: &Material, main: &Episode, all: &[&Episode], gaps: &[Gap]) -> Incident {
    let range = material.range;
    let series: Vec<&Series> = material.series.iter().filter(|series| series.pool == main.pool).collect();
    // Every episode begins with a finding.
    let told = main.main(range.to_seconds).unwrap_or(&main.changes[0]);
    let signal = signal(told);
    let findings_of = members_found(told);
    let onset = main.onset_seconds.max(range.from_seconds);
    let cleared = main.cleared_seconds.unwrap_or(range.to_seconds).min(range.to_seconds);
    let phases: Vec<Phase> = [
        ("before", range.from_seconds, onset),
        ("during", onset, cleared),
        ("after", cleared, range.to_seconds),
        ("whole", range.from_seconds, range.to_seconds),
    ]
    .into_iter()
    .filter_map(|(name, from, to)| Phase::new(name, from, to, &material.counted))
    .collect();
    let by_phase: Vec<Vec<Figures>> =
        phases.iter().map(|phase| figures(&series, phase, signal, range.to_seconds)).collect();
    let member = |(place, series): (usize, &&Series)| Member {
        backend: series.backend,
        finding: findings_of.get(&series.backend).cloned(),
        phases: by_phase.iter().map(|phase| phase[place].clone()).collect(),
    };
    Incident {
        pool: main.pool.clone(),
        verdict: told.verdict,
        findings: told.findings.clone(),
        onset: Time(main.onset_seconds),
        since_start: main.since_start,
        detected: Time(main.told_seconds),
        cleared: main.cleared_seconds.map(Time),
        seconds_to_detect: tenth(main.seconds_to_detect()),
        seconds_lasted: tenth(main.lasted_seconds(range.to_seconds)),
        sentence: told.summary.clone(),
        sentence_told: Time(told.time_seconds),
        advice: whose_fault(told.verdict, signal),
        signal,
        further_episodes: all.len() - 1,
        timeline: timeline(material, all, gaps),
        members: series.iter().enumerate().map(member).collect(),
        phases,
        expected: configuration::at(material, &main.pool, main.onset_seconds),
        expected_changes: configuration::changes(material, &main.pool),
        over_time: over_time(&series, range, signal),
    }
}

/// What shares were shares of.
fn signal(change: &Change) -> Signal {
    change
        .check
        .get("signal")
        .and_then(|signal| serde_json::from_value(signal.clone()).ok())
        .unwrap_or(Signal::Connections)
}

/// What a verdict found of members.
fn members_found(change: &Change) -> BTreeMap<SocketAddr, String> {
    let members = change.check.get("members").and_then(|members| members.as_array());
    let finding = |member: &serde_json::Value| {
        let backend = member.get("backend")?.as_str()?.parse().ok()?;
        Some((backend, member.get("finding")?.as_str()?.to_owned()))
    };
    members.into_iter().flatten().filter_map(finding).collect()
}

fn line(material: &Material, pool: &PoolName, change: Option<&Change>) -> PoolLine {
    let points =
        material.series.iter().filter(|series| series.pool == *pool).flat_map(|series| &series.points);
    let attempts = points.filter_map(|point| point.counts.attempts).reduce(u64::saturating_add);
    PoolLine {
        pool: pool.clone(),
        verdict: change.map(|change| change.verdict),
        summary: change.map(|change| change.summary.clone()),
        attempts,
    }
}

/// A pool whose balancer was not seen yet is the one whose balancer was seen later, where there is only one.
fn name_balancers(material: &mut Material) {
    let mut named: BTreeMap<String, BTreeSet<PoolName>> = BTreeMap::new();
    let changes = material.changes.iter().map(|change| &change.pool);
    let pools = material.pools.iter().map(|pool| &pool.pool);
    for pool in material.series.iter().map(|series| &series.pool).chain(changes).chain(pools) {
        if pool.balancer.is_some() {
            named.entry(pool.pool.clone()).or_default().insert(pool.clone());
        }
    }
    let only = |pool: &PoolName| -> Option<PoolName> {
        let names = named.get(&pool.pool).filter(|names| pool.balancer.is_none() && names.len() == 1)?;
        names.first().cloned()
    };
    let rename = |pool: &mut PoolName| {
        if let Some(name) = only(pool) {
            *pool = name;
        }
    };
    material.changes.iter_mut().for_each(|change| rename(&mut change.pool));
    material.pools.iter_mut().for_each(|pool| rename(&mut pool.pool));
    material.series.iter_mut().for_each(|series| rename(&mut series.pool));
    material.series.sort_by(|a, b| (&a.pool, a.backend).cmp(&(&b.pool, b.backend)));
    // What was of two names is one after the other.
    let all = std::mem::take(&mut material.series);
    for series in all {
        match material.series.last_mut() {
            Some(last) if last.pool == series.pool && last.backend == series.backend => {
                last.points.extend(series.points);
                last.points.sort_by(|a, b| a.end_seconds.total_cmp(&b.end_seconds));
            }
            _ => material.series.push(series),
        }
    }
}

fn tenth(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}
