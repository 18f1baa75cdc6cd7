//! The tables of a report.

use super::super::configuration::Expected;
use super::super::document::{Block, Piece, Row, Table, Text, plain};
use super::super::figures::Figures;
use super::super::findings::{Incident, Member, Report};
use super::super::timeline::Kind;
use super::super::words::{known, quantiles};
use super::{maybe_share, when};
use crate::collect::Failures;
use std::net::SocketAddr;

pub(super) fn timeline(report: &Report, incident: &Incident) -> Block {
    let row = |moment: &super::super::timeline::Moment| Row {
        cells: vec![
            plain(when(report, moment.time.0)),
            plain(moment.kind.word()),
            plain(moment.text.clone()),
        ],
        stands_out: matches!(moment.kind, Kind::Onset | Kind::Detected | Kind::Cleared),
    };
    let head = ["time", "what", ""].map(str::to_owned).to_vec();
    Block::Table(Table { names: 3, head, rows: incident.timeline.iter().map(row).collect() })
}

/// What was expected of each member, and what it got.
pub(super) fn expected(incident: &Incident, expected: &Expected) -> Block {
    let written = expected.members.iter().any(|member| member.at.is_some());
    let got = |backend: SocketAddr| {
        let during = incident.phases.iter().position(|phase| phase.name == "during")?;
        let member = incident.members.iter().find(|member| member.backend == backend)?;
        member.phases.get(during)?.share
    };
    let mut head = vec!["backend".to_owned()];
    if written {
        head.push("written at".into());
    }
    let names = head.len();
    head.extend(["weight", "expected", "got"].map(str::to_owned));
    let row = |member: &super::super::configuration::ExpectedMember| {
        let mut cells = vec![name(member.backend)];
        if written {
            cells.push(member.at.clone().map_or_else(|| plain("—"), |at| vec![Piece::Name(at)]));
        }
        cells.push(plain(known(member.weight, |weight| weight.to_string())));
        cells.push(plain(maybe_share(member.share)));
        cells.push(plain(maybe_share(got(member.backend))));
        Row { cells, stands_out: stands_out(incident, member.backend) }
    };
    Block::Table(Table { names, head, rows: expected.members.iter().map(row).collect() })
}

fn stands_out(incident: &Incident, backend: SocketAddr) -> bool {
    incident.members.iter().any(|member| member.backend == backend && member.finding.is_some())
}

fn name(backend: SocketAddr) -> Text {
    vec![Piece::Name(backend.to_string())]
}

/// What each backend got before, during and after: shares, connections, failures, and response times where they were
/// measured.
pub(super) fn figures(incident: &Incident, level: u8) -> Vec<Block> {
    let parts: Vec<(usize, &'static str)> = incident
        .phases
        .iter()
        .enumerate()
        .filter(|(_, phase)| phase.name != "whole")
        .map(|(place, phase)| (place, phase.name))
        .collect();
    let whole = incident.phases.iter().position(|phase| phase.name == "whole");
    let mut blocks = Vec::new();
    let mut add = |title: String, expected: bool, whole: Option<usize>, cell: &dyn Fn(&Figures) -> String| {
        let mut head = vec!["backend".to_owned(), String::new()];
        let names = head.len();
        if expected {
            head.push("expected".into());
        }
        head.extend(parts.iter().map(|(_, name)| (*name).to_owned()));
        head.extend(whole.map(|_| "whole time".to_owned()));
        let row = |member: &Member| {
            let mut cells = vec![name(member.backend), found(member)];
            if expected {
                cells.push(plain(maybe_share(expected_share(incident, member))));
            }
            let phases = parts.iter().map(|(place, _)| *place).chain(whole);
            cells.extend(phases.map(|place| plain(known(member.phases.get(place), cell))));
            Row { cells, stands_out: member.finding.is_some() }
        };
        blocks.push(Block::Heading(level, plain(title)));
        blocks.push(Block::Table(Table { names, head, rows: incident.members.iter().map(row).collect() }));
    };
    let signal = incident.signal.noun();
    add(format!("Shares of {signal}"), true, None, &|figures| maybe_share(figures.share));
    add("Connection attempts".into(), false, whole, &|figures| {
        known(figures.attempts, |count| count.to_string())
    });
    add("Failed attempts, by cause".into(), false, whole, &|figures| known(figures.failed, failures));
    let all = || incident.members.iter().flat_map(|member| &member.phases);
    if all().any(|figures| figures.resets_without_data.is_some_and(|count| count > 0)) {
        add("Reset before a byte of answer".into(), false, whole, &|figures| {
            known(figures.resets_without_data, |count| count.to_string())
        });
    }
    if all().any(|figures| figures.live.is_some()) {
        add("Live connections, mean".into(), false, None, &|figures| {
            known(figures.live, |live| format!("{live:.1}"))
        });
    }
    if all().any(|figures| figures.response_seconds.is_some()) {
        add("Response times, half of them/99 of 100".into(), false, None, &|figures| {
            known(figures.response_seconds, quantiles)
        });
    }
    blocks
}

/// What it should have got while it was so, or at any time.
fn expected_share(incident: &Incident, member: &Member) -> Option<f64> {
    let during = incident.phases.iter().position(|phase| phase.name == "during");
    let of = |place: usize| member.phases.get(place)?.expected_share;
    during.and_then(of).or_else(|| member.phases.iter().find_map(|figures| figures.expected_share))
}

fn found(member: &Member) -> Text {
    member.finding.as_ref().map_or_else(Vec::new, |finding| vec![Piece::Strong(finding.to_uppercase())])
}

/// `3 refused, 1 cancelled`
fn failures(failed: Failures) -> String {
    let some = failed.by_cause().into_iter().filter(|(_, count)| *count > 0);
    let parts: Vec<_> = some.map(|(cause, count)| format!("{count} {}", cause.replace('_', " "))).collect();
    if parts.is_empty() { "0".into() } else { parts.join(", ") }
}
