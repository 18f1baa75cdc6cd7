//! The charts of a report.

use super::super::document::{Chart, Line, Unit};
use super::super::findings::{Incident, Report};
use super::super::over_time::MemberOverTime;
use super::super::stamp::Time;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Lines of a chart: more cannot be told apart.
const MOST_LINES: usize = 8;

/// Shares, connections a second, failures if there were any, and response times where they were measured.
pub(super) fn of(report: &Report, incident: &Incident) -> Vec<Chart> {
    let lines = drawn(incident);
    let over_time = &incident.over_time;
    let left_out = over_time.members.len() - lines.len();
    let chart = |title: String, unit: Unit, lines: Vec<Line>, left_out: usize| Chart {
        title,
        from: report.from,
        to: report.to,
        unit,
        times: over_time.times.clone(),
        lines,
        expected: Vec::new(),
        during: [
            Time(incident.onset.0.max(report.from.0)),
            Time(incident.cleared.map_or(report.to.0, |cleared| cleared.0.min(report.to.0))),
        ],
        marks: marks(report, incident),
        gaps: report.gaps.iter().map(|gap| [gap.from, gap.to]).collect(),
        left_out,
    };
    let of_members = |values: fn(&MemberOverTime) -> &Vec<Option<f64>>| -> Vec<Line> {
        let line = |(member, stands_out): &(&MemberOverTime, bool)| Line {
            name: member.backend.to_string(),
            stands_out: *stands_out,
            values: values(member).clone(),
        };
        lines.iter().map(line).collect()
    };
    let mut shares = chart(
        format!("Shares of {} over time", incident.signal.noun()),
        Unit::Share,
        of_members(|member| &member.share),
        left_out,
    );
    for (member, _) in &lines {
        if member.expected_share.iter().any(Option::is_some)
            && !shares.expected.contains(&member.expected_share)
        {
            shares.expected.push(member.expected_share.clone());
        }
    }
    let all = Line {
        name: "all backends".into(),
        stands_out: false,
        values: over_time.connections_per_second.clone(),
    };
    let rate = chart("New connections a second, of the whole pool".into(), Unit::PerSecond, vec![all], 0);
    let failures = chart(
        "Failed attempts a second".into(),
        Unit::PerSecond,
        of_members(|member| &member.failures_per_second),
        left_out,
    );
    let responses = chart(
        "Median response times".into(),
        Unit::Seconds,
        of_members(|member| &member.response_seconds),
        left_out,
    );
    let any = |chart: &Chart, least: f64| {
        chart.lines.iter().flat_map(|line| &line.values).flatten().any(|value| *value > least)
    };
    let mut charts = vec![shares, rate];
    charts.retain(|chart| any(chart, -1.0));
    charts.extend([failures, responses].into_iter().filter(|chart| any(chart, 0.0)));
    charts
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
    marks.extend(incident.cleared.map(|cleared| (cleared, "cleared")));
    marks.retain(|(time, _)| *time >= report.from && *time <= report.to);
    marks
}
