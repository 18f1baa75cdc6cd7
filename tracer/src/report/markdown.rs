//! A document as Markdown, for a ticket: tables as GitHub, GitLab and Jira's importers know them.

use super::document::{Block, Chart, Document, Piece, Row, Table, Text, Unit};
use super::words::{clock, known, moment, share};
use crate::outputs::escape::for_terminal;
use crate::outputs::seconds;
use std::fmt::Write as _;

/// A chart is a table of so many moments here.
const MOMENTS: usize = 10;

/// The document, newline at the end included.
pub(super) fn render(document: &Document) -> String {
    let mut text = format!("# {}\n", inline(&document.title));
    for block in &document.blocks {
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
                let _ = write!(text, "#### {}\n\n", escaped(&chart.title));
                table(&mut text, &moments(chart));
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

/// The lines of a chart at some moments, evenly over its time.
fn moments(chart: &Chart) -> Table {
    let stride = chart.times.len().div_ceil(MOMENTS).max(1);
    let one_day = clock_is_enough(chart);
    let mut head = vec!["time".to_owned()];
    head.extend(chart.lines.iter().map(|line| line.name.clone()));
    let show = |value: f64| match chart.unit {
        Unit::Share => share(value),
        Unit::PerSecond => format!("{value:.1}"),
        Unit::Seconds => seconds(value),
    };
    let row = |(place, time): (usize, &super::stamp::Time)| {
        let time = if one_day { clock(time.0) } else { moment(time.0) };
        let values = chart.lines.iter().map(|line| known(line.values.get(place).copied().flatten(), show));
        let cells = std::iter::once(time).chain(values).map(super::document::plain).collect();
        Row { cells, stands_out: false }
    };
    // In the middle of each part, so that neither end is told twice as often.
    let places = chart.times.iter().enumerate().skip(stride / 2).step_by(stride);
    Table { names: 1, head, rows: places.map(row).collect() }
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
        return escaped(name);
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
            ("`app`".into(), "``a`b``".into(), "`` ` ``".into(), "a\\|b".into())
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
