//! All pools, each with its verdict, its sentence and its members.

use super::bar::sparkline;
use super::figures::{self, known};
use super::look::{self, Tone};
use super::members::{MARGIN, Table};
use super::rows::{self, Row};
use super::share::Measure;
use super::view::View;
use super::words::{self, safe, wrapped};
use super::world::{Pool, World};
use crate::outputs::fault::whose_fault;
use ratatui::text::{Line, Span};

/// Members of a pool that are shown at least: the rest is to be had by looking closer.
const LEAST_OF_FINDING: usize = 4;
const LEAST: usize = 2;
/// And at most, where there are other pools.
const MOST: usize = 16;
/// Lines of a sentence.
const SENTENCE: usize = 3;
/// Columns of the sparkline in a pool's first line.
const TREND: usize = 20;

/// A pool as it is to be shown.
struct Block<'a> {
    pool: &'a Pool,
    sentence: Vec<String>,
    fault: Option<[&'static str; 2]>,
    members: usize,
    rows: usize,
}

impl<'a> Block<'a> {
    fn new(pool: &'a Pool, view: &View, width: usize) -> Self {
        let mut block = Self { pool, sentence: Vec::new(), fault: None, members: 0, rows: 0 };
        if let (Some(assessment), false) = (&pool.judged.assessment, pool.is_aside()) {
            block.sentence = wrapped(&safe(&assessment.summary), width.saturating_sub(MARGIN), SENTENCE);
            block.fault = whose_fault(assessment.verdict, assessment.signal);
            block.members = if view.filter.is_empty() {
                pool.judged.sample.members.len()
            } else {
                rows::members(pool, view, view.measure).rows.len()
            };
            let least = if pool.is_finding() { LEAST_OF_FINDING } else { LEAST };
            block.rows = block.members.min(least);
        }
        block
    }

    fn hidden(&self) -> usize {
        self.members - self.rows
    }

    fn height(&self) -> usize {
        if self.pool.is_aside() {
            1
        } else {
            let more = usize::from(self.hidden() > 0);
            1 + self.sentence.len() + usize::from(self.fault.is_some()) + self.rows + more + 1
        }
    }
}

/// Gives the room that is left to the pools, the first first.
fn spread(blocks: &mut [Block<'_>], height: usize) {
    let alone = blocks.iter().filter(|block| !block.pool.is_aside()).count() == 1;
    let used: usize = blocks.iter().map(Block::height).sum();
    // The last one needs no empty line below it.
    let mut left = (height + 1).saturating_sub(used);
    for block in blocks {
        let most = if alone { usize::MAX } else { MOST.max(block.rows) };
        let wanted = block.hidden().min(most - block.rows);
        // When all are shown, the line that says how many are not is free.
        let free = usize::from(wanted > 0 && wanted == block.hidden());
        let given = wanted.min(left + free);
        block.rows += if given == wanted { given } else { given.min(left) };
        left -= given.min(left);
    }
}

/// The lines that are seen on `height` lines of `width` columns.
pub(super) fn lines(world: &World, view: &View, width: usize, height: usize) -> Vec<Line<'static>> {
    let pools = rows::pools(world, view);
    if pools.is_empty() {
        return nothing(world, view, width);
    }
    let selected = view.selected_pool(&pools);
    let has_titles = height > 8 && pools.iter().any(|pool| !pool.is_aside());
    let height = height - usize::from(has_titles);
    let mut blocks: Vec<Block<'_>> = pools.iter().map(|pool| Block::new(pool, view, width)).collect();
    spread(&mut blocks, height);
    // What is seen: the selected pool in the middle, as far as that goes.
    let ends: Vec<usize> = blocks
        .iter()
        .scan(0, |end, block| {
            *end += block.height();
            Some(*end)
        })
        .collect();
    let all = ends.last().copied().unwrap_or(0);
    let begin = selected.checked_sub(1).and_then(|before| ends.get(before).copied()).unwrap_or(0);
    let own = blocks.get(selected).map_or(0, Block::height);
    let first = begin.saturating_sub(height.saturating_sub(own) / 2).min(all.saturating_sub(height + 1));
    let seen = |place: usize| {
        let end = ends.get(place).copied().unwrap_or(0);
        let begin = end - blocks.get(place).map_or(0, Block::height);
        end > first && begin < first + height
    };
    let seen: Vec<usize> = (0..blocks.len()).filter(|place| seen(*place)).collect();
    let shown: Vec<(usize, Vec<Row>, f64)> = seen
        .iter()
        .filter_map(|&place| {
            let block = blocks.get(place)?;
            if block.rows == 0 {
                return Some((place, Vec::new(), 1.0));
            }
            let mut members = rows::members(block.pool, view, view.measure);
            members.rows.truncate(block.rows);
            Some((place, members.rows, members.scale))
        })
        .collect();
    let members = shown.iter().flat_map(|(place, rows, _)| rows.iter().map(|row| (blocks[*place].pool, row)));
    let table = Table::new(width, members);
    let mut lines = Vec::new();
    for (place, rows, scale) in &shown {
        let block = &blocks[*place];
        self::block(&mut lines, block, (rows, *scale), &table, world, view, width, *place == selected);
    }
    let skipped = seen.first().and_then(|&place| ends[place].checked_sub(blocks[place].height()));
    let skip = first.saturating_sub(skipped.unwrap_or(0));
    let titles = has_titles.then(|| table.titles());
    titles.into_iter().chain(lines.into_iter().skip(skip).take(height)).collect()
}

#[expect(clippy::too_many_arguments, reason = "what a block is drawn from")]
fn block(
    lines: &mut Vec<Line<'static>>,
    block: &Block<'_>,
    (rows, scale): (&[Row], f64),
    table: &Table,
    world: &World,
    view: &View,
    width: usize,
    selected: bool,
) {
    let pool = block.pool;
    if pool.is_aside() {
        lines.push(aside(pool, selected));
        return;
    }
    lines.push(head(pool, world, view, width, selected));
    let tone = if pool.is_finding() { look::strong() } else { look::plain() };
    lines.extend(block.sentence.iter().map(|text| Line::styled(format!("  {text}"), tone)));
    lines.extend(block.fault.map(|[whose, what]| fault(whose, what)));
    let most = rows.iter().filter_map(|row| pool.traffic_of(row.member)?.peak()).reduce(f64::max);
    lines.extend(rows.iter().map(|row| table.row(pool, row, scale, most, world.ticks, false)));
    if block.hidden() > 0 {
        let more = format!("  and {} more: enter", words::count(block.hidden(), "member"));
        lines.push(Line::styled(more, look::quiet()));
    }
    lines.push(Line::default());
}

/// Whose fault it is, and what to look at.
pub(super) fn fault(whose: &'static str, what: &'static str) -> Line<'static> {
    Line::from(vec![
        Span::raw("  → "),
        Span::styled(whose, look::strong()),
        Span::styled(format!(": look at {what}"), look::plain()),
    ])
}

/// `SKEWED  app by nginx`, and at the right since when, and how much traffic it has.
pub(super) fn head(pool: &Pool, world: &World, view: &View, width: usize, selected: bool) -> Line<'static> {
    let verdict = words::verdict(pool.verdict());
    let mut spans = vec![
        Span::styled(if selected { "▶ " } else { "  " }, look::strong()),
        Span::styled(format!(" {verdict} "), Tone::of(pool.verdict()).badge()),
        Span::styled(format!(" {}", safe(&pool.name.pool)), look::strong()),
    ];
    if let Some(balancer) = &pool.name.balancer {
        spans.push(Span::raw(format!(" by {}", safe(balancer))));
    }
    let measure = view.measure.of(pool);
    if view.measure != Measure::Judged || measure != Measure::CONNECTIONS {
        spans.push(Span::styled(format!(", shares of {measure}"), look::quiet()));
    }
    let mut right = Vec::new();
    if let Some(since) = since(pool, world) {
        right.push(Span::raw(format!("  {since}")));
    }
    right.push(Span::raw(format!("  {} ", known(pool.traffic().now(), figures::rate))));
    let trend = sparkline(pool.traffic(), TREND, world.ticks, None);
    right.push(Span::styled(trend.trim_start().to_owned(), look::fill(Tone::Plain, false)));
    let span_width = |spans: &[Span<'_>]| spans.iter().map(Span::width).sum::<usize>();
    // What does not fit goes, the least important first.
    while span_width(&spans) + span_width(&right) > width && right.pop().is_some() {}
    let room = width.saturating_sub(span_width(&spans) + span_width(&right));
    spans.push(Span::raw(" ".repeat(room)));
    spans.extend(right);
    Line::from(spans)
}

/// `for 4 min`, `since before the start`
fn since(pool: &Pool, world: &World) -> Option<String> {
    let assessment = pool.judged.assessment.as_ref()?;
    let seconds = world.time_seconds? - assessment.since_seconds?;
    let before = if assessment.since_start { "at least " } else { "" };
    Some(format!("for {before}{}", figures::duration(seconds)))
}

/// A pool of which there is nothing to say but that it is there.
fn aside(pool: &Pool, selected: bool) -> Line<'static> {
    let sample = &pool.judged.sample;
    let what = if pool.judged.assessment.is_some() {
        "declared, without traffic".to_owned()
    } else {
        let attempts = known(sample.attempts(), figures::count);
        let backends = words::count(sample.members.len(), "backend");
        let note = sample.note.as_ref().map_or(String::new(), |note| format!(" ({})", safe(note)));
        format!("not judged: {attempts} connections to {backends}{note}")
    };
    let name = safe(&pool.name.pool);
    let mark = if selected { "▶ " } else { "  " };
    let style = if selected { look::plain() } else { look::quiet() };
    Line::from(vec![Span::styled(mark, look::strong()), Span::styled(format!("{name}  {what}"), style)])
}

/// What is said where there is no pool.
fn nothing(world: &World, view: &View, width: usize) -> Vec<Line<'static>> {
    let text = if !view.filter.is_empty() {
        format!("no pool or member is called {:?}; esc: all", safe(&view.filter))
    } else if world.time_seconds.is_none() && !world.ended {
        "counting begins".to_owned()
    } else if world.recorded {
        "the recording has no pool".to_owned()
    } else {
        "no pool seen yet: no balancer has opened connections to two backends on one port".to_owned()
    };
    let lines = std::iter::once(text).chain(world.unmatched.iter().map(|line| safe(line)));
    let lines = lines.flat_map(|line| wrapped(&line, width.saturating_sub(MARGIN), SENTENCE));
    std::iter::once(String::new()).chain(lines).map(|line| Line::raw(format!("  {line}"))).collect()
}
