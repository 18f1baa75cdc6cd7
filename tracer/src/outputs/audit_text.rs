//! An audit for a person: pools with what each member should get, then the problems, as a compiler shows them.

use super::audit::{AuditReport, AuditedOrigin, addresses, expected_shares, role};
use super::escape::for_terminal;
use crate::imports::{Problem, Severity, SourceFile};
use crate::pools::{Names, Role, WrittenMember, WrittenPool};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;

/// Columns of a line that are shown: some files have no line ends.
const MOST_COLUMNS: usize = 160;
/// Addresses of a name that are shown.
const MOST_ADDRESSES: usize = 4;

/// Where the text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A terminal, which shows colours or does not.
    Terminal {
        /// Whether it does.
        colours: bool,
    },
    /// A file or a program: lines of files that nobody named, but that were found with a running balancer, are not shown.
    Other,
}

/// The whole audit, newline at its end.
#[must_use]
pub fn render(report: &AuditReport, reader: Reader) -> String {
    let mut text = String::new();
    for origin in &report.origins {
        configuration(&mut text, origin, report.names.as_ref());
    }
    let colours = reader == Reader::Terminal { colours: true };
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    let shown = |origin: &&AuditedOrigin| reader != Reader::Other || origin.pid.is_none();
    let mut lines = Lines::of(report.origins.iter().filter(shown));
    for problem in &report.problems {
        text.push_str(&rendered(problem, &mut lines, &renderer));
        text.push_str("\n\n");
    }
    let counts = [
        count(report.count(Severity::Error), "error"),
        count(report.count(Severity::Warning), "warning"),
        count(report.count(Severity::Note), "note"),
    ];
    let _ = writeln!(text, "{}", counts.join(", "));
    text
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn configuration(text: &mut String, origin: &AuditedOrigin, names: Option<&Names>) {
    let running = origin.pid.map(|pid| format!(", running as process {pid}")).unwrap_or_default();
    let what = if origin.readable {
        let files = count(origin.files.len(), "file");
        format!("{} in {files}", count(origin.pools.pools.len(), "pool"))
    } else {
        "not readable".to_owned()
    };
    let line = format!("{} {}{running}: {what}", origin.kind, origin.named.join(" "));
    let _ = writeln!(text, "{}\n", for_terminal(&line));
    for written in &origin.pools.pools {
        pool(text, written, names);
    }
}

fn pool(text: &mut String, pool: &WrittenPool, names: Option<&Names>) {
    let method = serde_json::to_string(&pool.method).unwrap_or_default();
    let mut head = format!("{}  {}  {}", pool.name, method.trim_matches('"'), pool.at.line());
    if pool.vouched && pool.balancer.is_some() {
        head.push_str("  vouched for");
    }
    let _ = writeln!(text, "{}", for_terminal(&head));
    if let Some(doubt) = &pool.doubt {
        let _ = writeln!(text, "  shares not known: {}", for_terminal(doubt));
    }
    let members = pool.members.iter().zip(expected_shares(pool));
    let rows: Vec<[String; 4]> = members.map(|(member, share)| row(member, share, names)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for [address, weight, share, more] in rows {
        let line =
            format!("  {address:<0$}  {weight:>1$}  {share:>2$}  {more}", widths[0], widths[1], widths[2]);
        let _ = writeln!(text, "{}", for_terminal(line.trim_end()));
    }
    text.push('\n');
}

/// Address, weight, share, and what else is to be known.
fn row(member: &WrittenMember, share: Option<f64>, names: Option<&Names>) -> [String; 4] {
    let address = match &member.name {
        Some(name) => format!("{name} {}", member.address),
        None => member.address.to_string(),
    };
    let share = share.map_or_else(|| "?".into(), |share| format!("{:.1} %", share * 100.0));
    let mut more = Vec::new();
    if member.role != Role::Active {
        more.push(role(member.role).to_owned());
    }
    if let Some(most) = member.max_connections {
        more.push(format!("at most {most} connections"));
    }
    if let Some(found) = addresses(member, names) {
        let shown: Vec<String> = found.iter().take(MOST_ADDRESSES).map(ToString::to_string).collect();
        let rest = found.len().saturating_sub(MOST_ADDRESSES);
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        more.push(if found.is_empty() { "no address".into() } else { format!("{}{rest}", shown.join(" ")) });
    }
    [address, format!("weight {}", member.weight), share, more.join(", ")]
}

fn rendered(problem: &Problem, lines: &mut Lines<'_>, renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let message = for_terminal(&problem.message).into_owned();
    let hint = problem.hint.as_deref().map(|hint| for_terminal(hint).into_owned());
    let path = for_terminal(&problem.at.file).into_owned();
    let excerpt =
        lines.get(&problem.at.file, problem.at.line).and_then(|line| excerpt(line, problem.at.column));
    let title = level.primary_title(message.as_str()).id(problem.code);
    let mut group = match &excerpt {
        Some((line, span)) => {
            let snippet = Snippet::source(line.as_str()).line_start(problem.at.line).path(path.as_str());
            Group::with_title(title).element(snippet.annotation(AnnotationKind::Primary.span(span.clone())))
        }
        None => {
            let mut origin = annotate_snippets::Origin::path(path.as_str());
            if problem.at.line > 0 {
                origin = origin.line(problem.at.line).char_column(problem.at.column.max(1));
            }
            Group::with_title(title).element(origin)
        }
    };
    if let Some(hint) = &hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    renderer.render(&[group])
}

/// The part of a line that is shown, with the word at `column` (from 1; 0: the line as a whole) as bytes of it; `None` when
/// that word is too far out. What steers a terminal is written out.
fn excerpt(line: &[u8], column: usize) -> Option<(String, Range<usize>)> {
    let at = column.saturating_sub(1);
    let text = String::from_utf8_lossy(line.get(..line.len().min(4 * MOST_COLUMNS)).unwrap_or_default());
    let mut shown = String::new();
    let mut start = (column == 0).then_some(0);
    let mut end = None;
    for (index, character) in text.trim_end().chars().enumerate().take(MOST_COLUMNS) {
        if index == at {
            start = Some(shown.len());
        }
        let in_word = !character.is_whitespace() && !matches!(character, ';' | '{' | ',' | '}');
        if column > 0 && index > at && !in_word && end.is_none() {
            end = Some(shown.len());
        }
        // The renderer makes four spaces of it, and counts it as the one character that it is.
        if character == '\t' {
            shown.push(character);
        } else {
            shown.push_str(&for_terminal(character.encode_utf8(&mut [0; 4])));
        }
    }
    let start = start?;
    let end = end.unwrap_or(shown.len());
    Some((shown, start..end))
}

/// The lines of the files that were read.
struct Lines<'a> {
    files: HashMap<String, &'a SourceFile>,
    /// Where the lines of a file begin, once somebody asked.
    starts: HashMap<String, Vec<usize>>,
}

impl<'a> Lines<'a> {
    fn of(origins: impl Iterator<Item = &'a AuditedOrigin>) -> Self {
        let files = origins.flat_map(|origin| &origin.files);
        let files = files.map(|file| (file.path.display().to_string(), file)).collect();
        Self { files, starts: HashMap::new() }
    }

    fn get(&mut self, file: &str, line: usize) -> Option<&'a [u8]> {
        let bytes: &'a [u8] = &self.files.get(file)?.bytes;
        let starts = self.starts.entry(file.to_owned()).or_insert_with(|| {
            let newlines = bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
            std::iter::once(0).chain(newlines.map(|(offset, _)| offset + 1)).collect()
        });
        let start = *starts.get(line.checked_sub(1)?)?;
        let end = starts.get(line).map_or(bytes.len(), |next| next - 1);
        bytes.get(start..end)
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
