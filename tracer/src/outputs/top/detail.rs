//! One pool, and all its members.

use super::bar;
use super::figures::{self, known};
use super::look::{self, Tone};
use super::members::{MARGIN, Table};
use super::overview::{fault, head};
use super::rows;
use super::trend::Pace;
use super::view::View;
use super::words::{self, safe, wrapped};
use super::world::{Pool, World};
use crate::outputs::fault::whose_fault;
use crate::pools::{ExpectedSource, Method};
use ratatui::text::Line;

/// Lines of a sentence, and of a chart.
const SENTENCE: usize = 4;
const CHART: usize = 4;
/// Members that are seen before there is a chart.
const LEAST_MEMBERS: usize = 8;

/// The lines that are seen on `height` lines of `width` columns.
pub(super) fn lines(
    pool: &Pool,
    world: &World,
    view: &View,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let members = rows::members(pool, view, view.measure);
    let mut lines = about(pool, world, view, width);
    // However much there is to say of the pool, its members are what one came for.
    lines.truncate((height / 2).max(2));
    let wanted = members.rows.len().min(LEAST_MEMBERS) + 2;
    if lines.len() + CHART + 1 + wanted <= height {
        lines.extend(chart(&pool.pace, world, width, CHART));
    }
    let room = height.saturating_sub(lines.len());
    let titles = room > 3;
    let room = room.saturating_sub(usize::from(titles));
    let selected = view.selected_member(pool, &members.rows);
    let hides = members.rows.len() > room && room > 3;
    let room = room - usize::from(hides);
    let first = selected.saturating_sub(room / 2).min(members.rows.len().saturating_sub(room));
    let seen = || members.rows.iter().enumerate().skip(first).take(room);
    let table = Table::new(width, seen().map(|(_, row)| (pool, row)));
    let most = seen().filter_map(|(_, row)| pool.traffic_of(row.member)?.peak()).reduce(f64::max);
    lines.extend(titles.then(|| table.titles()));
    let row = |(place, row)| table.row(pool, row, members.scale, most, world.ticks, place == selected);
    lines.extend(seen().map(row));
    if hides {
        let last = (first + room).min(members.rows.len());
        let text = format!("  {} to {last} of {}", first + 1, words::count(members.rows.len(), "member"));
        lines.push(Line::styled(text, look::quiet()));
    }
    lines
}

/// What is said of the pool as a whole.
fn about(pool: &Pool, world: &World, view: &View, width: usize) -> Vec<Line<'static>> {
    let text_width = width.saturating_sub(MARGIN);
    let mut lines = vec![head(pool, world, view, width, false)];
    let mut say = |text: &str, style| {
        let text = wrapped(&safe(text), text_width, SENTENCE);
        lines.extend(text.into_iter().map(|line| Line::styled(format!("  {line}"), style)));
    };
    let sample = &pool.judged.sample;
    let Some(assessment) = &pool.judged.assessment else {
        say(&sample.note.clone().unwrap_or_else(|| "seen, and not judged".into()), look::plain());
        return lines;
    };
    say(&assessment.summary, if pool.is_finding() { look::strong() } else { look::plain() });
    if let Some([whose, what]) = whose_fault(assessment.verdict, assessment.signal) {
        lines.push(fault(whose, what));
    }
    let mut say = |text: &str| {
        let text = wrapped(&safe(text), text_width, SENTENCE);
        lines.extend(text.into_iter().map(|line| Line::styled(format!("  {line}"), look::quiet())));
    };
    if let Some(others) = assessment.findings.get(1..).filter(|others| !others.is_empty()) {
        let others: Vec<_> = others.iter().map(|verdict| words::verdict(Some(*verdict))).collect();
        say(&format!("also found: {}", others.join(", ")));
    }
    if let Some(note) = &sample.note {
        say(&format!("note: {note}"));
    }
    let method = match sample.pool.method {
        Method::RoundRobin => "in turn",
        Method::LeastConnections => "least connections",
        Method::Hash => "hashing",
        Method::Random => "at random",
    };
    let shares = match sample.pool.expected_source {
        ExpectedSource::Declared => format!("shares declared in {}, {method}", sample.pool.source),
        ExpectedSource::Assumed => "nobody declared shares: equal ones are assumed".to_owned(),
    };
    let needed =
        assessment.needed.map_or(String::new(), |needed| format!(", {} more needed", figures::count(needed)));
    say(&format!("{shares}; evidence {:.0} nats{needed}", assessment.evidence));
    lines
}

/// New connections over the last minutes.
pub(super) fn chart(pace: &Pace, world: &World, width: usize, height: usize) -> Vec<Line<'static>> {
    let width = width.saturating_sub(2 * MARGIN);
    let shown: f64 = world.lengths.iter().rev().take(pace.intervals().len()).sum();
    let peak = known(bar::peak(pace, width, world.ticks), figures::rate);
    let title = format!("  new connections, the last {}, at most {peak}", figures::duration(shown));
    let rows = bar::chart(pace, width, height, world.ticks).into_iter();
    let rows = rows.map(|row| Line::styled(format!("  {row}"), look::fill(Tone::Plain, false)));
    std::iter::once(Line::styled(title, look::quiet())).chain(rows).collect()
}
