//! A report as a draft of a blameless post-mortem: what is known is written, what only people know is left to be filled in.
//!
//! In the order of the usual templates: summary, impact, timeline, detection, causes, resolution, evidence, lessons,
//! actions.

mod charts;
mod tables;

use super::document::{Block, Document, Piece, Row, Table, Text, plain};
use super::findings::{Incident, Member, PoolLine, Report};
use super::timeline::{Gap, Kind};
use super::words::{UNKNOWN, clock, count, day, known, lasted, moment};
use crate::chronicle::PoolName;
use crate::detect::percent;
use crate::outputs::seconds;

/// Gaps that are listed.
const MOST_GAPS: usize = 20;
/// Pools without a finding that are listed.
const MOST_POOLS: usize = 50;

impl Document {
    /// What a report says.
    pub(super) fn of(report: &Report) -> Self {
        let mut blocks = vec![facts(report)];
        if report.incidents.is_empty() {
            blocks.extend(nothing_found(report));
        } else {
            blocks.extend(post_mortem(report));
        }
        blocks.extend(other_pools(report));
        blocks.extend(about(report));
        Self { title: title(report), blocks }
    }
}

fn title(report: &Report) -> Text {
    match report.incidents.first() {
        None => plain(format!("Nothing found on {}", day(report.from.0))),
        Some(first) => {
            let mut title = plain("Post-mortem: ");
            title.extend(pool(&first.pool));
            let more = match report.incidents.len() - 1 + report.further_incidents.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let verdict = first.verdict.as_str().to_uppercase();
            title.push(Piece::Plain(format!(" {verdict}{more}, {}", day(first.onset.0))));
            title
        }
    }
}

/// `app by nginx`
fn pool(name: &PoolName) -> Text {
    let mut text = vec![Piece::Name(name.pool.clone())];
    if let Some(balancer) = &name.balancer {
        text.push(Piece::Plain(" by ".into()));
        text.push(Piece::Name(balancer.clone()));
    }
    text
}

/// When everything was on one day, that need not be said with every time.
fn when(report: &Report, time_seconds: f64) -> String {
    if day(report.from.0) == day(report.to.0) && day(time_seconds) == day(report.from.0) {
        clock(time_seconds)
    } else {
        moment(time_seconds)
    }
}

/// Of each incident, under its name where there are several.
fn each(report: &Report, section: impl Fn(&Incident) -> Vec<Block>) -> Vec<Block> {
    let several = report.incidents.len() > 1;
    let of = |incident: &Incident| {
        let heading = several.then(|| Block::Heading(3, pool(&incident.pool)));
        heading.into_iter().chain(section(incident)).collect::<Vec<_>>()
    };
    report.incidents.iter().flat_map(of).collect()
}

fn facts(report: &Report) -> Block {
    let mut rows = Vec::new();
    let mut add = |name: &str, value: Text| {
        rows.push(Row { cells: vec![plain(name), value], stands_out: false });
    };
    let host = report.host.clone().map_or_else(|| plain("not known"), |host| vec![Piece::Name(host)]);
    add("Host", host);
    let range = report.to.0 - report.from.0;
    add(
        "Time",
        plain(format!("{} to {} UTC, {}", moment(report.from.0), moment(report.to.0), lasted(range))),
    );
    if let [incident] = report.incidents.as_slice() {
        let before = if incident.since_start { "before " } else { "" };
        add("Onset", plain(format!("{before}{}", moment(incident.onset.0))));
        let late = lasted(incident.seconds_to_detect);
        add("First verdict", plain(format!("{}, {late} after the onset", moment(incident.detected.0))));
        let cleared =
            incident.cleared.map_or_else(|| "not within this time".to_owned(), |time| moment(time.0));
        add(if incident.pool_gone { "Pool gone" } else { "Cleared" }, plain(cleared));
        add("Lasted", plain(length(incident)));
    }
    let made = if report.judged_again {
        format!("judged again from a recording, by tracer {}", report.version)
    } else {
        "as they were told then".to_owned()
    };
    add("Verdicts", plain(made));
    if !report.incidents.is_empty() {
        add("Status", plain("draft; what only people know is to be filled in"));
    }
    Block::Table(Table { names: 2, head: Vec::new(), rows })
}

/// `3 h 4 min`, `at least 3 h`
fn length(incident: &Incident) -> String {
    let least = if incident.since_start || incident.cleared.is_none() { "at least " } else { "" };
    format!("{least}{}", lasted(incident.seconds_lasted))
}

fn nothing_found(report: &Report) -> Vec<Block> {
    let intervals = count(usize::try_from(report.intervals).unwrap_or(usize::MAX), "interval");
    let text = format!(
        "Nothing was found between {} and {} UTC: {intervals} were counted, in {}.",
        moment(report.from.0),
        moment(report.to.0),
        count(report.other_pools.len(), "pool")
    );
    let mut blocks = vec![Block::Paragraph(plain(text))];
    blocks.extend(gaps(report));
    blocks
}

fn post_mortem(report: &Report) -> Vec<Block> {
    let mut blocks = vec![Block::Heading(2, plain("Summary"))];
    blocks.extend(report.incidents.iter().flat_map(|incident| summary(report, incident)));
    blocks.extend(further(report));
    blocks.push(Block::Heading(2, plain("Impact")));
    blocks.push(Block::Blank(
        "Who was affected, how, and for how long? What did users, and other services, see?",
    ));
    blocks.push(Block::Heading(2, plain("Timeline (UTC)")));
    blocks.extend(each(report, |incident| vec![tables::timeline(report, incident)]));
    blocks.push(Block::Blank("What did people see and do, and when? When was the search on the wrong track, and why did that seem right?"));
    blocks.push(Block::Heading(2, plain("Detection")));
    blocks.extend(each(report, |incident| detection(report, incident)));
    blocks
        .push(Block::Blank("Who noticed first, and by what? Which alert was missing, late or not believed?"));
    blocks.push(Block::Heading(2, plain("Causes")));
    blocks.extend(each(report, |incident| causes(report, incident)));
    blocks.push(Block::Blank(
        "How did it come to be so? Not who, but what made it easy to happen and hard to see.",
    ));
    blocks.push(Block::Heading(2, plain("Resolution")));
    blocks.extend(each(report, |incident| resolution(report, incident)));
    blocks.push(Block::Blank("What was done, and how was it known to be right?"));
    blocks.push(Block::Heading(2, plain("Evidence")));
    blocks.extend(each(report, |incident| evidence(report, incident)));
    blocks.extend(gaps(report));
    blocks.push(Block::Heading(2, plain("Lessons")));
    blocks.push(Block::Blank("What went well?"));
    blocks.push(Block::Blank("What went badly?"));
    blocks.push(Block::Blank("Where were we lucky?"));
    blocks.push(Block::Heading(2, plain("Actions")));
    blocks.push(Block::Blank("What is done so that it does not happen again, is found sooner, or matters less: each with an owner and a date."));
    blocks
}

/// What is judged again was not told, and would have been.
const fn was_told(report: &Report) -> &'static str {
    if report.judged_again { "comes, judged again," } else { "was told" }
}

fn summary(report: &Report, incident: &Incident) -> Vec<Block> {
    let mut text = pool(&incident.pool);
    text.push(Piece::Plain(" was ".into()));
    text.push(Piece::Strong(incident.verdict.as_str().to_uppercase()));
    let since = if incident.since_start { "before " } else { "" };
    let onset = moment(incident.onset.0);
    text.push(Piece::Plain(match incident.cleared {
        Some(cleared) => {
            format!(" for {}, from {since}{onset} to {} UTC.", length(incident), when(report, cleared.0))
        }
        None => format!(" from {since}{onset} UTC on, and still was at the end of this time."),
    }));
    let told = format!(
        "The sentence that would have ended the search {} at {}, {} after the onset:",
        was_told(report),
        when(report, incident.sentence_told.0),
        lasted(incident.sentence_told.0 - incident.onset.0)
    );
    let mut blocks = vec![
        Block::Paragraph(text),
        Block::Paragraph(plain(told)),
        Block::Quote(plain(incident.sentence.clone())),
    ];
    if let Some([whose, what]) = incident.advice {
        blocks.push(Block::Paragraph(vec![
            Piece::Plain("It points at ".into()),
            Piece::Strong(whose.to_owned()),
            Piece::Plain(format!(": look at {what}.")),
        ]));
    }
    let others: Vec<&str> = incident
        .findings
        .iter()
        .filter(|finding| **finding != incident.verdict)
        .map(|finding| finding.as_str())
        .collect();
    if !others.is_empty() {
        blocks.push(Block::Paragraph(plain(format!("Also found: {}.", others.join(", ")))));
    }
    blocks.extend(meanwhile(incident).map(|text| Block::Paragraph(plain(text))));
    blocks.extend(charts::shares(report, incident).map(Block::Chart));
    blocks
}

/// What the backends did meanwhile: where it is the balancer, everybody looks at them.
fn meanwhile(incident: &Incident) -> Option<String> {
    let during = incident.phases.iter().position(|phase| phase.name == "during")?;
    let figures: Vec<_> = incident.members.iter().filter_map(|member| member.phases.get(during)).collect();
    let attempts = figures.iter().filter_map(|one| one.attempts).reduce(u64::saturating_add)?;
    let failed = figures.iter().filter_map(|one| Some(one.failed?.total())).reduce(u64::saturating_add);
    let failures = match failed {
        Some(failed) if failed > 0 => {
            #[expect(clippy::cast_precision_loss, reason = "to be shown with few digits")]
            let part = failed as f64 / attempts.max(failed) as f64;
            format!("{failed} of {attempts} connection attempts failed ({})", percent(part))
        }
        Some(_) => format!("none of {attempts} connection attempts failed"),
        None => format!("there were {attempts} connection attempts"),
    };
    let mut medians: Vec<f64> = figures.iter().filter_map(|one| Some(one.response_seconds?[0])).collect();
    medians.sort_by(f64::total_cmp);
    let times = match medians.as_slice() {
        [] => String::new(),
        [one] => format!("; the median response time was {}", seconds(*one)),
        [least, .., most] => format!(
            "; the median response time of a backend was between {} and {}",
            seconds(*least),
            seconds(*most)
        ),
    };
    Some(format!("Meanwhile {failures}{times}."))
}

fn further(report: &Report) -> Vec<Block> {
    if report.further_incidents.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Paragraph(plain("Findings on other pools, told in a line each:")),
        Block::List(report.further_incidents.iter().map(pool_line).collect()),
    ]
}

fn detection(report: &Report, incident: &Incident) -> Vec<Block> {
    let mut text = format!(
        "The first verdict {} at {}, {} after the onset",
        was_told(report),
        when(report, incident.detected.0),
        lasted(incident.seconds_to_detect)
    );
    text.push_str(if incident.since_start {
        " (the first traffic that it saw, so that it may have been so before)."
    } else {
        "."
    });
    vec![Block::Paragraph(plain(text))]
}

fn causes(report: &Report, incident: &Incident) -> Vec<Block> {
    let Some(expected) = &incident.expected else {
        return vec![Block::Paragraph(plain("What was expected of the pool then is not recorded."))];
    };
    if expected.members.is_empty() {
        return vec![Block::Paragraph(plain("The pool was not declared then."))];
    }
    let mut text = plain("What was expected at the onset, as ");
    text.push(Piece::Name(expected.source.clone()));
    text.push(Piece::Plain(format!(
        " says ({}, {} shares), against what the backends got then:",
        expected.method.as_str(),
        match expected.expected_source {
            crate::pools::ExpectedSource::Declared => "declared",
            crate::pools::ExpectedSource::Assumed => "assumed equal",
        }
    )));
    let mut blocks = vec![Block::Paragraph(text), tables::expected(incident, expected)];
    blocks.extend(too_much(incident).map(Block::Paragraph));
    if !incident.expected_changes.is_empty() {
        blocks.push(Block::Paragraph(plain("That changed:")));
        blocks.push(Block::List(
            incident
                .expected_changes
                .iter()
                .map(|change| plain(format!("{}: {}", when(report, change.time.0), change.text)))
                .collect(),
        ));
    }
    blocks
}

/// How many times its weight's worth the member got that got too much: a weight with a digit too many reads as ten.
fn too_much(incident: &Incident) -> Option<Text> {
    let during = incident.phases.iter().position(|phase| phase.name == "during")?;
    let worth = |member: &Member| {
        let figures = member.phases.get(during)?;
        figures.share.zip(figures.expected_share.filter(|share| *share > 0.0)).map(|(got, due)| got / due)
    };
    let of = |place: &usize| worth(&incident.members[*place]);
    let over = (0..incident.members.len())
        .filter(|place| incident.members[*place].finding.as_deref() == Some("over"))
        .max_by(|a, b| of(a).unwrap_or(0.0).total_cmp(&of(b).unwrap_or(0.0)))?;
    let mut others: Vec<f64> =
        (0..incident.members.len()).filter(|place| *place != over).filter_map(|place| of(&place)).collect();
    others.sort_by(f64::total_cmp);
    let median = others.get(others.len() / 2).copied().filter(|median| *median > 0.0)?;
    let times = of(&over)? / median;
    (times > 1.0).then(|| {
        let name = Piece::Name(incident.members[over].backend.to_string());
        let said = format!(" got {times:.1} times what the others got, each against its weight.");
        vec![name, Piece::Plain(said)]
    })
}

fn resolution(report: &Report, incident: &Incident) -> Vec<Block> {
    let text = match incident.cleared {
        None => "It had not cleared at the end of this time.".to_owned(),
        Some(gone) if incident.pool_gone => {
            format!("The pool was gone at {}; until then it had not cleared.", when(report, gone.0))
        }
        Some(cleared) => {
            let told = incident
                .timeline
                .iter()
                .find(|moment| moment.kind == Kind::Cleared && moment.time == cleared);
            let said = told.map_or(String::new(), |moment| format!(": {}", moment.text));
            let at = when(report, cleared.0);
            if report.judged_again {
                format!("Judged again, it had cleared at {at}{said}")
            } else {
                format!("tracer told at {at} that it had cleared{said}")
            }
        }
    };
    let mut blocks = vec![Block::Paragraph(plain(text))];
    if incident.further_episodes > 0 {
        let more = match incident.further_episodes {
            1 => "Another incident of this pool is in the timeline.".to_owned(),
            more => format!("{more} other incidents of this pool are in the timeline."),
        };
        blocks.push(Block::Paragraph(plain(more)));
    }
    blocks
}

fn evidence(report: &Report, incident: &Incident) -> Vec<Block> {
    let phases = incident.phases.iter().filter(|phase| phase.name != "whole").map(|phase| {
        let length = phase.to.0 - phase.from.0;
        let counted = if phase.counted_seconds + 2.0 < length {
            format!(", of which {} was counted", lasted(phase.counted_seconds))
        } else {
            String::new()
        };
        vec![
            Piece::Strong(phase.name.to_owned()),
            Piece::Plain(format!(
                ": {} to {}, {}{counted}",
                when(report, phase.from.0),
                when(report, phase.to.0),
                lasted(length)
            )),
        ]
    });
    let mut blocks = vec![Block::List(phases.collect())];
    blocks.extend(charts::others(report, incident).into_iter().map(Block::Chart));
    blocks.extend(tables::figures(incident, if report.incidents.len() > 1 { 4 } else { 3 }));
    blocks
}

fn gaps(report: &Report) -> Vec<Block> {
    if report.gaps.is_empty() {
        return Vec::new();
    }
    let all: f64 = report.gaps.iter().map(|gap| gap.to.0 - gap.from.0).sum();
    let head = format!("For {} of this time nothing was counted, and nothing is known of it:", lasted(all));
    let line = |gap: &Gap| {
        let length = lasted(gap.to.0 - gap.from.0);
        plain(format!("{} to {}, {length}: {}", when(report, gap.from.0), when(report, gap.to.0), gap.reason))
    };
    let mut lines: Vec<Text> = report.gaps.iter().take(MOST_GAPS).map(line).collect();
    if report.gaps.len() > MOST_GAPS {
        lines.push(plain(format!("and {} more", report.gaps.len() - MOST_GAPS)));
    }
    vec![Block::Paragraph(plain(head)), Block::List(lines)]
}

fn pool_line(line: &PoolLine) -> Text {
    let mut text = pool(&line.pool);
    let verdict = line.verdict.map_or("no verdict was told", crate::detect::Verdict::as_str);
    let attempts = known(line.attempts, |attempts| attempts.to_string());
    text.push(Piece::Plain(format!(": {verdict}, {attempts} attempts")));
    if let Some(summary) = &line.summary {
        text.push(Piece::Plain(format!(" ({summary})")));
    }
    text
}

fn other_pools(report: &Report) -> Vec<Block> {
    if report.other_pools.is_empty() {
        return Vec::new();
    }
    let heading = if report.incidents.is_empty() { "Pools" } else { "Other pools" };
    let mut lines: Vec<Text> = report.other_pools.iter().take(MOST_POOLS).map(pool_line).collect();
    if report.other_pools.len() > MOST_POOLS {
        lines.push(plain(format!("and {} more", report.other_pools.len() - MOST_POOLS)));
    }
    vec![Block::Heading(2, plain(heading)), Block::List(lines)]
}

fn about(report: &Report) -> Vec<Block> {
    let intervals = count(usize::try_from(report.intervals).unwrap_or(usize::MAX), "interval");
    let made = if report.judged_again {
        "The verdicts are those of the recording judged again, by the code that judges live; they can differ from those \
         told then where that was another version."
    } else {
        "Verdicts, onset and time to detect are as they were told then; nothing was judged again."
    };
    let mut lines = vec![
        plain(format!(
            "Made by tracer {} from {intervals} counted in the kernel on the balancer's host. {made}",
            report.version
        )),
        plain(format!(
            "{UNKNOWN} stands for what was not measured; a figure that was measured for a part of the time is of that part. The onset is estimated from the counts; a verdict is told when it has stood for three intervals."
        )),
    ];
    lines.push(match report.uncounted.as_ref() {
        None => plain("How much could not be counted where it belongs is not recorded."),
        Some(uncounted) => plain(
            crate::outputs::uncounted(uncounted)
                .unwrap_or_else(|| "Everything could be counted where it belongs.".to_owned()),
        ),
    });
    lines.extend(report.remarks.iter().map(|remark| plain(remark.clone())));
    vec![Block::Heading(2, plain("About this report")), Block::List(lines)]
}

/// A share, or the dash.
fn maybe_share(figure: Option<f64>) -> String {
    known(figure, percent)
}
