//! A document as Markdown, for a ticket: tables as GitHub, GitLab and Jira's importers know them.

use super::document::{Block, Chart, Document, Piece, Row, Table, Text, Unit};
use super::words::{clock, known, moment, rate};
use crate::detect::percent;
use crate::outputs::escape::for_terminal;
use crate::outputs::seconds;
use std::fmt::Write as _;

/// A chart is a table of so many parts of its time here.
const PARTS: usize = 10;

/// The document, newline at the end included.
pub(super) fn render(document: &Document) -> String {
    let mut text = format!("# {}\n", inline(&document.title));
    // Of charts only that of the shares: the tables say in fewer lines what the others show.
    let is_told = |block: &&Block| !matches!(block, Block::Chart(chart) if chart.unit != Unit::Share);
    for block in document.blocks.iter().filter(is_told) {
        text.push('\n');
        match block {
            Block::Heading(level, title) => {
                let _ = writeln!(text, "{} {}", "#".repeat(usize::from(*level)), inline(title));
            }
            Block::Paragraph(paragraph) => {
                let _ = writeln!(text, "{}", inline(paragraph));
            }
            Block::Quote(sentence) => {
                let _ = writeln!(text, "> {}", inline(sentence));
            }
            Block::List(lines) => lines.iter().for_each(|line| {
                let _ = writeln!(text, "- {}", inline(line));
            }),
            Block::Table(table) => self::table(&mut text, table),
            Block::Chart(chart) => {
                let _ = write!(text, "{}:\n\n", escaped(&chart.title));
                table(&mut text, &parts(chart));
            }
            Block::Blank(what) => {
                let _ = writeln!(text, "_To be filled in: {}_", escaped(what));
            }
        }
    }
    text
}

fn table(text: &mut String, table: &Table) {
    // A table without a head is one of names and values; Markdown has none without.
    let empty = vec![String::new(); table.rows.first().map_or(0, |row| row.cells.len())];
    let head = if table.head.is_empty() { &empty } else { &table.head };
    let cells: Vec<String> = head.iter().map(|title| escaped(title)).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
    let rule = (0..head.len()).map(|column| if column < table.names { "---" } else { "---:" });
    let _ = writeln!(text, "|{}|", rule.collect::<Vec<_>>().join("|"));
    for row in &table.rows {
        let cells: Vec<String> = row.cells.iter().map(inline).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
}

/// The lines of a chart, in some parts of its time: the mean of each.
fn parts(chart: &Chart) -> Table {
    let stride = chart.times.len().div_ceil(PARTS).max(1);
    let one_day = clock_is_enough(chart);
    let mut head = vec!["from".to_owned()];
    head.extend(chart.lines.iter().map(|line| line.name.clone()));
    let show = |value: f64| match chart.unit {
        Unit::Share => percent(value),
        Unit::PerSecond => rate(value),
        Unit::Seconds => seconds(value),
    };
    let row = |(place, times): (usize, &[super::stamp::Time])| {
        let from = times.first().map_or(chart.from.0, |time| time.0);
        let from = if one_day { clock(from) } else { moment(from) };
        let values = chart.lines.iter().map(|line| {
            let part = line.values.iter().skip(place * stride).take(stride);
            known(mean(part.copied().flatten()), show)
        });
        let cells = std::iter::once(from).chain(values).map(super::document::plain).collect();
        Row { cells, stands_out: false }
    };
    Table { names: 1, head, rows: chart.times.chunks(stride).enumerate().map(row).collect() }
}

/// Of what is known; `None` when nothing is.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

fn clock_is_enough(chart: &Chart) -> bool {
    super::words::day(chart.from.0) == super::words::day(chart.to.0)
}

fn inline(text: &Text) -> String {
    text.iter()
        .map(|piece| match piece {
            Piece::Plain(text) => escaped(text),
            Piece::Strong(text) => format!("**{}**", escaped(text)),
            Piece::Name(name) => code(name),
        })
        .collect()
}

/// Text that means itself: nothing in it is Markdown, HTML or the name of somebody to be called.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in for_terminal(text).chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // Whoever has that name need not be told.
            '@' => out.push_str("@\u{2060}"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '$' => {
                out.push('\\');
                out.push(character);
            }
            _ => out.push(character),
        }
    }
    out
}

/// A name, letter by letter. A bar ends a cell of a table even there, and cannot be escaped behind a backslash.
fn code(name: &str) -> String {
    if name.contains('|') {
        // What begins a line here begins no list.
        return format!("\u{2060}{}", escaped(name));
    }
    let name = for_terminal(name);
    // One more than stand together anywhere within.
    let longest = name.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if name.starts_with('`') || name.ends_with('`') || name.is_empty() { " " } else { "" };
    format!("{fence}{pad}{name}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_means_something_in_markdown_means_itself() {
        assert_eq!(escaped("a_b*c|d <b> @all #1"), "a\\_b\\*c\\|d &lt;b&gt; @\u{2060}all \\#1");
        assert_eq!(escaped("76.9 % at nginx.conf:12"), "76.9 % at nginx.conf:12", "no more than needed");
        assert_eq!(
            (code("app"), code("a`b"), code("`"), code("a|b")),
            ("`app`".into(), "``a`b``".into(), "`` ` ``".into(), "\u{2060}a\\|b".into())
        );
    }

    /// Cells of a line, as a reader of Markdown counts them.
    fn cells(line: &str) -> usize {
        let mut escaped = false;
        line.chars()
            .filter(|&character| {
                let is_bar = character == '|' && !escaped;
                escaped = character == '\\' && !escaped;
                is_bar
            })
            .count()
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_cell(name in any::<String>(), sentence in any::<String>()) {
            let row = Row {
                cells: vec![vec![Piece::Name(name.clone())], vec![Piece::Plain(sentence.clone())]],
                stands_out: false,
            };
            let mut text = String::new();
            table(&mut text, &Table { names: 2, head: vec!["a".into(), "b".into()], rows: vec![row] });
            let lines: Vec<&str> = text.lines().collect();
            prop_assert_eq!(lines.len(), 3, "{}", text);
            prop_assert!(lines.iter().all(|line| cells(line) == 3), "{}", text);
            prop_assert!(!escaped(&sentence).contains(['<', '>']));
        }
    }
}
