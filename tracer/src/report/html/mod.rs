//! A document as one page of HTML that loads nothing: to be read, printed, and filled in in the browser.

mod chart;

use super::document::{Block, Document, Piece, Row, Table, Text};
use crate::outputs::escape::for_terminal;
use std::fmt::Write as _;

const STYLE: &str = include_str!("report.css");

/// The page.
pub(super) fn render(document: &Document) -> String {
    let title: String = document.title.iter().map(bare).collect();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{}</h1>\n",
        escaped(&title),
        inline(&document.title)
    );
    for block in &document.blocks {
        self::block(&mut page, block);
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn block(page: &mut String, block: &Block) {
    let _ = match block {
        Block::Heading(level, title) => writeln!(page, "<h{level}>{}</h{level}>", inline(title)),
        Block::Paragraph(text) => writeln!(page, "<p>{}</p>", inline(text)),
        Block::Quote(text) => writeln!(page, "<blockquote>{}</blockquote>", inline(text)),
        Block::List(lines) => {
            let lines: String = lines.iter().map(|line| format!("<li>{}</li>\n", inline(line))).collect();
            writeln!(page, "<ul>\n{lines}</ul>")
        }
        Block::Table(table) => {
            self::table(page, table);
            Ok(())
        }
        Block::Chart(chart) => {
            page.push_str(&chart::render(chart));
            Ok(())
        }
        // To be typed into; what belongs there stands there until something does.
        Block::Blank(what) => writeln!(
            page,
            "<div class=\"blank\" contenteditable role=\"textbox\" aria-multiline=\"true\" aria-label=\"{0}\" data-what=\"{0}\"></div>",
            escaped(what)
        ),
    };
}

fn table(page: &mut String, table: &Table) {
    let class = if table.head.is_empty() { " class=\"facts\"" } else { "" };
    let _ = writeln!(page, "<div class=\"scroll\"><table{class}>");
    let side = |column: usize| if column < table.names { " class=\"name\"" } else { "" };
    if !table.head.is_empty() {
        page.push_str("<thead><tr>");
        for (column, title) in table.head.iter().enumerate() {
            let _ = write!(page, "<th scope=\"col\"{}>{}</th>", side(column), escaped(title));
        }
        page.push_str("</tr></thead>\n");
    }
    page.push_str("<tbody>\n");
    for Row { cells, stands_out } in &table.rows {
        page.push_str(if *stands_out { "<tr class=\"guilty\">" } else { "<tr>" });
        for (column, cell) in cells.iter().enumerate() {
            let text = inline(cell);
            let _ = match column {
                0 => write!(page, "<th scope=\"row\"{}>{text}</th>", side(column)),
                _ => write!(page, "<td{}>{text}</td>", side(column)),
            };
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table></div>\n");
}

fn inline(text: &Text) -> String {
    text.iter()
        .map(|piece| match piece {
            Piece::Plain(text) => escaped(text),
            Piece::Strong(text) => format!("<strong>{}</strong>", escaped(text)),
            Piece::Name(name) => format!("<code>{}</code>", escaped(name)),
        })
        .collect()
}

fn bare(piece: &Piece) -> &str {
    let (Piece::Plain(text) | Piece::Strong(text) | Piece::Name(text)) = piece;
    text
}

/// Text that means itself, between tags and in quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // A figure and its sign stay on one line.
    for character in for_terminal(text).replace(" %", "\u{a0}%").chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_is_text(text in any::<String>()) {
            prop_assert!(!escaped(&text).contains(['<', '>', '"', '\'']));
        }
    }
}
