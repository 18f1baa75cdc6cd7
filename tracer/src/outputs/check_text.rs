//! A check for a person: verdict first, then the sentence, then the figures.

use super::check::CheckReport;
use super::check_json::timestamp;
use super::escape::for_terminal;
use crate::agent::Judged;
use crate::collect::{Histogram, Uncounted};
use crate::detect::{Assessment, Finding, MemberAssessment};
use crate::pools::MemberSample;
use std::fmt::Write as _;

/// A busy host has many processes that connect somewhere, and a configuration many pools that nobody uses now.
const MOST_LISTED: usize = 10;

/// The whole report, newline at its end.
#[must_use]
pub fn render(report: &CheckReport) -> String {
    let mut text = String::new();
    let (mut listed, mut idle) = (Vec::new(), Vec::new());
    for pool in &report.pools {
        match &pool.assessment {
            _ if pool.sample.is_idle() => idle.push(pool),
            Some(assessment) => judged(&mut text, pool, assessment),
            None => listed.push(pool),
        }
    }
    if text.is_empty() {
        let line = if !idle.is_empty() {
            "none of the declared pools gets traffic"
        } else if !listed.is_empty() {
            "no pool is judged"
        } else if report.unmatched.is_empty() {
            "no pool seen: no balancer opened connections to two backends on one port"
        } else {
            "no pool seen"
        };
        let _ = writeln!(text, "{line}");
    }
    let measured = |pool: &Judged| pool.assessment.is_some() && has_exchanges(&pool.sample.members);
    if report.pools.iter().any(measured) {
        let _ = write!(text, "\n{EXCHANGES}\n");
    }
    for line in &report.unmatched {
        let _ = writeln!(text, "{}", for_terminal(line));
    }
    if !listed.is_empty() {
        listed.sort_by_key(|pool| std::cmp::Reverse(pool.sample.attempts()));
        text.push_str("\nalso seen, not judged:\n");
        for pool in listed.iter().take(MOST_LISTED) {
            let _ = writeln!(text, "  {}", listed_line(pool));
        }
        if listed.len() > MOST_LISTED {
            let _ = writeln!(text, "  and {} more (--json lists all)", listed.len() - MOST_LISTED);
        }
    }
    if !idle.is_empty() {
        let names: Vec<&str> =
            idle.iter().take(MOST_LISTED).map(|pool| pool.sample.pool.name.as_str()).collect();
        let more = idle.len() - names.len();
        let more = if more > 0 { format!(" and {more} more (--json has all)") } else { String::new() };
        let _ = write!(text, "\ndeclared, without traffic: {}{more}\n", for_terminal(&names.join(", ")));
    }
    if let Some(total) = report.other.as_ref().map(|other| &other.total)
        && total.attempts + total.adopted > 0
    {
        let _ = write!(
            text,
            "\ncounted together, since --max-backends is reached: {} attempts, {} established, {} failed, {} adopted\n",
            total.attempts,
            total.established,
            total.failed.total(),
            total.adopted
        );
    }
    if let Some(line) = report.uncounted.as_ref().and_then(uncounted) {
        let _ = write!(text, "\n{line}\n");
    }
    text
}

fn judged(text: &mut String, pool: &Judged, assessment: &Assessment) {
    if !text.is_empty() {
        text.push('\n');
    }
    let identity = &pool.sample.pool;
    let _ = write!(text, "{}", for_terminal(&identity.name));
    if let Some(balancer) = &identity.balancer {
        let _ = write!(text, " by {}", for_terminal(balancer));
    }
    let _ =
        write!(text, " ({}): {}", for_terminal(&identity.source), assessment.verdict.as_str().to_uppercase());
    if let Some(since) = assessment.since_seconds {
        let before = if assessment.since_start { "before " } else { "" };
        let _ = write!(text, " since {before}{}", timestamp(since));
    }
    let _ = write!(text, "\n  {}\n", for_terminal(&assessment.summary));
    if assessment.findings.len() > 1 {
        let others: Vec<_> = assessment.findings[1..].iter().map(|verdict| verdict.as_str()).collect();
        let _ = writeln!(text, "  also found: {}", others.join(", "));
    }
    if let Some(note) = &pool.sample.note {
        let _ = writeln!(text, "  note: {}", for_terminal(note));
    }
    text.push('\n');
    text.push_str(&table(&pool.sample.members, &assessment.members));
}

const COLUMNS: [&str; 11] = [
    "backend",
    "",
    "expected",
    "share",
    "95 % interval",
    "attempts",
    "failed",
    "live",
    "probes",
    "exchanges",
    "response p50/p99",
];
/// Columns of what is left out where it was not measured.
const OF_EXCHANGES: usize = 2;

/// Stands once below the tables that show them.
const EXCHANGES: &str = "exchanges: requests with their responses; several at once on a connection (HTTP/2, pipelining) are \
                         counted as fewer, and a TLS handshake as one more";

/// Whether exchanges of any of them were measured.
fn has_exchanges(samples: &[MemberSample]) -> bool {
    samples.iter().any(|sample| sample.total_exchanges.count.is_some())
}

fn table(samples: &[MemberSample], found: &[MemberAssessment]) -> String {
    let columns = if has_exchanges(samples) { COLUMNS.len() } else { COLUMNS.len() - OF_EXCHANGES };
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    for (sample, found) in samples.iter().zip(found) {
        rows.push([
            sample.backend.to_string(),
            found.finding.map_or("", word).to_owned(),
            found.expected_share.map_or("—".into(), percent),
            found.observed_share.map_or("—".into(), percent),
            found
                .share_interval
                .map_or("—".into(), |[low, high]| format!("{} to {}", percent(low), percent(high))),
            known(sample, "attempts", sample.total.attempts),
            failures(sample),
            sample.stock.map_or("—".into(), |stock| stock.live.to_string()),
            known(sample, "probes", sample.total.probes),
            sample.total_exchanges.count.map_or("—".into(), |count| count.to_string()),
            response_time(sample.total_exchanges.response_time.as_ref()),
        ]);
    }
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, figures to the right; a column in which nothing stands is left out.
            match (column, width) {
                (_, 0) => {}
                (0 | 1, _) => _ = write!(line, " {cell:<width$}"),
                _ => _ = write!(line, "  {cell:>width$}"),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `1.2 ms/20 ms`
fn response_time(times: Option<&Histogram>) -> String {
    let quantile = |quantile| times.and_then(|times| times.quantile(quantile)).map(seconds);
    quantile(0.5).zip(quantile(0.99)).map_or("—".into(), |(p50, p99)| format!("{p50}/{p99}"))
}

/// Two figures are more than a histogram knows.
pub(crate) fn seconds(seconds: f64) -> String {
    let (figure, unit) = match seconds {
        seconds if seconds < 1e-3 => (seconds * 1e6, "µs"),
        seconds if seconds < 1.0 => (seconds * 1e3, "ms"),
        seconds => (seconds, "s"),
    };
    if figure < 10.0 { format!("{figure:.1} {unit}") } else { format!("{figure:.0} {unit}") }
}

pub(super) const fn word(finding: Finding) -> &'static str {
    match finding {
        Finding::Over => "OVER",
        Finding::Under => "UNDER",
        Finding::Missing => "MISSING",
        Finding::Unexpected => "UNEXPECTED",
        Finding::Failing => "FAILING",
        Finding::Slow => "SLOW",
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A counter's total, unless nobody knows it.
fn known(sample: &MemberSample, counter: &str, total: u64) -> String {
    sample.recorded.known(counter, total).map_or("—".into(), |total| total.to_string())
}

/// `3 refused, 1 cancelled`
fn failures(sample: &MemberSample) -> String {
    let failed = &sample.total.failed;
    if failed.by_cause().iter().all(|(cause, count)| sample.recorded.known(cause, *count).is_none()) {
        return "—".into();
    }
    let causes: Vec<_> = failed
        .by_cause()
        .into_iter()
        .filter(|&(_, count)| count > 0)
        .map(|(cause, count)| format!("{count} {}", cause.replace('_', " ")))
        .collect();
    if causes.is_empty() { "0".into() } else { causes.join(", ") }
}

fn listed_line(pool: &Judged) -> String {
    let backends = match pool.sample.members.len() {
        1 => "1 backend".to_owned(),
        more => format!("{more} backends"),
    };
    let name = for_terminal(&pool.sample.pool.name);
    let note = pool.sample.note.as_deref().map_or(String::new(), |note| format!(" ({})", for_terminal(note)));
    let attempts = pool.sample.attempts().map_or("an unknown number of".into(), |count| count.to_string());
    format!("{name}: {attempts} connections to {backends}{note}")
}

pub(crate) fn uncounted(uncounted: &Uncounted) -> Option<String> {
    let mut parts = Vec::new();
    if uncounted.backends > 0 {
        parts.push(format!(
            "{} connections whose backend has no counters of its own (--max-backends)",
            uncounted.backends
        ));
    }
    if uncounted.connections > 0 {
        parts.push(format!(
            "{} connections whose end is not known ({} for want of memory, {} over --max-connections)",
            uncounted.connections, uncounted.memory, uncounted.limit
        ));
    }
    if uncounted.undecided > 0 {
        parts.push(format!(
            "{} connections from before the tracer of which is not known who opened them",
            uncounted.undecided
        ));
    }
    if uncounted.recursion_misses > 0 {
        parts.push(format!(
            "{} events that the kernel skipped (made up for later)",
            uncounted.recursion_misses
        ));
    }
    (!parts.is_empty()).then(|| format!("not counted where it belongs: {}", parts.join("; ")))
}
