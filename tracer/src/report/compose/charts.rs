//! The charts of a report.

use super::super::document::{Chart, Line, Unit};
use super::super::findings::{Incident, Report};
use super::super::over_time::MemberOverTime;
use super::super::stamp::Time;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Lines of a chart: more cannot be told apart.
const MOST_LINES: usize = 8;

/// The shares; `None` when none is known.
pub(super) fn shares(report: &Report, incident: &Incident) -> Option<Chart> {
    let drawn = drawn(incident);
    let title = format!("Shares of {} over time", incident.signal.noun());
    let mut chart = of_members(report, incident, title, Unit::Share, |member| &member.share);
    for (member, _) in &drawn {
        if member.expected_share.iter().any(Option::is_some)
            && !chart.expected.contains(&member.expected_share)
        {
            chart.expected.push(member.expected_share.clone());
        }
    }
    has_more_than(&chart, -1.0).then_some(chart)
}

/// Connections a second, failures if there were any, and response times where they were measured.
pub(super) fn others(report: &Report, incident: &Incident) -> Vec<Chart> {
    let all = Line {
        name: "all backends".into(),
        stands_out: false,
        values: incident.over_time.connections_per_second.clone(),
    };
    let title = "New connections a second, of the whole pool".to_owned();
    let rate = chart(report, incident, title, Unit::PerSecond, vec![all]);
    let failures =
        of_members(report, incident, "Failed attempts a second".into(), Unit::PerSecond, |member| {
            &member.failures_per_second
        });
    let responses = of_members(report, incident, "Median response times".into(), Unit::Seconds, |member| {
        &member.response_seconds
    });
    let charts = [(rate, -1.0), (failures, 0.0), (responses, 0.0)].into_iter();
    charts.filter(|(chart, least)| has_more_than(chart, *least)).map(|(chart, _)| chart).collect()
}

fn has_more_than(chart: &Chart, least: f64) -> bool {
    chart.lines.iter().flat_map(|line| &line.values).flatten().any(|value| *value > least)
}

/// A line for each member that is drawn.
fn of_members(
    report: &Report,
    incident: &Incident,
    title: String,
    unit: Unit,
    values: fn(&MemberOverTime) -> &Vec<Option<f64>>,
) -> Chart {
    let lines = drawn(incident).into_iter().map(|(member, stands_out)| Line {
        name: member.backend.to_string(),
        stands_out,
        values: values(member).clone(),
    });
    let lines: Vec<Line> = lines.collect();
    let left_out = incident.over_time.members.len() - lines.len();
    Chart { left_out, ..chart(report, incident, title, unit, lines) }
}

/// A chart of these lines, with everything that all charts have.
fn chart(report: &Report, incident: &Incident, title: String, unit: Unit, lines: Vec<Line>) -> Chart {
    Chart {
        title,
        from: report.from,
        to: report.to,
        unit,
        times: incident.over_time.times.clone(),
        lines,
        expected: Vec::new(),
        during: [
            Time(incident.onset.0.max(report.from.0)),
            Time(incident.cleared.map_or(report.to.0, |cleared| cleared.0.min(report.to.0))),
        ],
        marks: marks(report, incident),
        gaps: report.gaps.iter().map(|gap| [gap.from, gap.to]).collect(),
        left_out: 0,
    }
}

/// Who stands out, and then who had most attempts; in the order of their addresses.
fn drawn(incident: &Incident) -> Vec<(&MemberOverTime, bool)> {
    let mut order: Vec<(usize, bool, Option<u64>)> = incident
        .members
        .iter()
        .enumerate()
        .map(|(place, member)| {
            let attempts = member.phases.last().and_then(|figures| figures.attempts);
            (place, member.finding.is_some(), attempts)
        })
        .collect();
    order.sort_by_key(|(place, stands_out, attempts)| (!stands_out, Reverse(*attempts), *place));
    let kept: BTreeSet<(usize, bool)> =
        order.into_iter().take(MOST_LINES).map(|(place, stands_out, _)| (place, stands_out)).collect();
    let member =
        |(place, stands_out): (usize, bool)| Some((incident.over_time.members.get(place)?, stands_out));
    kept.into_iter().filter_map(member).collect()
}

/// What is marked in every chart.
fn marks(report: &Report, incident: &Incident) -> Vec<(Time, &'static str)> {
    let mut marks = vec![(incident.onset, "onset"), (incident.detected, "first verdict")];
    let end = if incident.pool_gone { "pool gone" } else { "cleared" };
    marks.extend(incident.cleared.map(|cleared| (cleared, end)));
    marks.retain(|(time, _)| *time >= report.from && *time <= report.to);
    marks
}
