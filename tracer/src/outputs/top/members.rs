//! A member as a line of a table.

use super::bar::{bar, sparkline};
use super::columns::{Column, GAP, fit};
use super::figures::{self, known};
use super::look::{self, Tone};
use super::rows::{Row, finding};
use super::words;
use super::world::Pool;
use crate::detect::Finding;
use ratatui::text::{Line, Span};

/// Above response times: half of them took less, and 99 of 100.
const BOTH_TIMES: &str = "resp p50/p99";

/// Columns of exchanges a second, which are shown where a pool is judged by them.
const EXCHANGES: usize = 7;

/// In front of every line: what is selected has a mark there.
pub(super) const MARGIN: usize = 2;

#[cfg(test)]
thread_local! {
    /// Lines of members that were made on this thread.
    pub(super) static MADE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The columns of a table, for all pools of the screen the same.
pub(super) struct Table {
    columns: Vec<(Column, usize)>,
}

impl Table {
    /// For a screen of `width` columns that shows these members.
    pub(super) fn new<'a>(width: usize, shown: impl Iterator<Item = (&'a Pool, &'a Row)>) -> Self {
        let (mut names, mut findings, mut exchanges) = (Column::Backend.title().len(), 0, 0);
        for (pool, row) in shown {
            if pool.is_of_exchanges() {
                exchanges = EXCHANGES;
            }
            if let Some(member) = pool.judged.sample.members.get(row.member) {
                names = names.max(member.backend.to_string().len());
            }
            findings = findings.max(words::finding(finding(pool, row.member)).len());
        }
        Self { columns: fit(width.saturating_sub(MARGIN), names, findings, exchanges) }
    }

    /// What stands above it.
    pub(super) fn titles(&self) -> Line<'static> {
        let title = |column: Column, width| match column {
            // As its figures, where there is room.
            Column::Response if width >= BOTH_TIMES.len() => BOTH_TIMES,
            column => column.title(),
        };
        self.line(" ", |column, width| vec![Span::raw(aligned(column, title(column, width), width))])
            .style(look::quiet())
    }

    /// A member's line. A bar of full length means the share `scale`, a sparkline of full height the rate `most`.
    pub(super) fn row(
        &self,
        pool: &Pool,
        row: &Row,
        scale: f64,
        most: Option<f64>,
        ticks: usize,
        selected: bool,
    ) -> Line<'static> {
        #[cfg(test)]
        MADE.set(MADE.get() + 1);
        let (Some(sample), Some(trend)) =
            (pool.judged.sample.members.get(row.member), pool.members.get(row.member))
        else {
            return Line::default();
        };
        let found = finding(pool, row.member);
        let tone = Tone::of_member(found);
        // Red is the figure that proves the finding: who fails may well get its due.
        let proof =
            |column| if found.is_some_and(|found| proves(column, found)) { tone } else { Tone::Plain };
        // In a pool that is judged well, the bars are calm.
        let well = Tone::of(pool.verdict()) == Tone::Good;
        let filled = |column| if found.is_none() && well { Tone::Good } else { proof(column) };
        let plain = |text: String| (text, look::plain());
        self.line(if selected { "▶" } else { " " }, |column, width| {
            let (text, style) = match column {
                Column::Bar => return bar(&row.share, scale, width, filled(column)),
                Column::Backend if selected => {
                    (sample.backend.to_string(), tone.style().patch(look::strong()))
                }
                Column::Backend => (sample.backend.to_string(), tone.style()),
                Column::Finding => (words::finding(found).to_owned(), tone.style()),
                Column::Share => (known(row.share.observed, figures::percent), proof(column).style()),
                Column::Expected => plain(known(row.share.expected, figures::percent)),
                Column::Interval => plain(known(row.share.interval, figures::interval)),
                Column::Exchanges => {
                    let seconds = trend.seconds();
                    let requests = trend.requests().filter(|_| seconds > 0.0);
                    plain(known(requests, |requests| figures::rate(requests as f64 / seconds)))
                }
                Column::Rate => plain(known(trend.pace.now(), figures::rate)),
                Column::Trend => {
                    let pace = pool.traffic_of(row.member);
                    let line = pace.map_or(String::new(), |pace| sparkline(pace, width, ticks, most));
                    (line, look::fill(filled(column), false))
                }
                Column::Live => plain(known(sample.stock, |stock| figures::count(stock.live))),
                Column::Failed => {
                    let failures = trend.failures();
                    let causes = figures::failures(failures.as_deref(), true);
                    let fits = Span::raw(&causes).width() <= width;
                    let some =
                        failures.as_ref().is_some_and(|causes| causes.iter().any(|(_, count)| *count > 0));
                    let text = if fits { causes } else { figures::failures(failures.as_deref(), false) };
                    let tone = if some { Tone::Warning } else { Tone::Plain };
                    (text, if proof(column) == Tone::Plain { tone } else { proof(column) }.style())
                }
                Column::Response => {
                    let times = trend.exchanges().response_time;
                    let both = figures::quantiles(times.as_ref());
                    let fits = Span::raw(&both).width() <= width;
                    (if fits { both } else { figures::median(times.as_ref()) }, proof(column).style())
                }
                Column::Bytes => {
                    let seconds = trend.seconds();
                    plain(known(trend.bytes().filter(|_| seconds > 0.0), |bytes| {
                        let [sent, received] = bytes.map(|bytes| figures::bytes(bytes as f64 / seconds));
                        format!("{sent}/{received}")
                    }))
                }
            };
            vec![Span::styled(aligned(column, &text, width), style)]
        })
    }

    fn line(&self, mark: &'static str, cell: impl Fn(Column, usize) -> Vec<Span<'static>>) -> Line<'static> {
        let mut spans = vec![Span::styled(mark, look::strong()), Span::raw(" ")];
        for (place, (column, width)) in self.columns.iter().enumerate() {
            if place > 0 {
                spans.push(Span::raw(" ".repeat(GAP)));
            }
            spans.extend(cell(*column, *width));
        }
        Line::from(spans)
    }
}

/// Whether a column has what a finding is about.
const fn proves(column: Column, finding: Finding) -> bool {
    match finding {
        Finding::Over | Finding::Under | Finding::Missing | Finding::Unexpected => {
            matches!(column, Column::Bar | Column::Share | Column::Trend)
        }
        Finding::Failing => matches!(column, Column::Failed),
        Finding::Slow => matches!(column, Column::Response),
    }
}

fn aligned(column: Column, text: &str, width: usize) -> String {
    let text = words::fitted(text, width);
    let room = " ".repeat(width.saturating_sub(Span::raw(&text).width()));
    if column.is_left() { text + &room } else { room + &text }
}
