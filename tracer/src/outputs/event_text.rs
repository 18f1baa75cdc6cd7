//! An event as a line of a log.

use super::check_json::timestamp;
use super::check_text::uncounted;
use super::escape::for_terminal;
use super::totals::totals;
use crate::chronicle::{Cause, Event, PoolsChanged, What};
use crate::detect::Verdict;

/// One line, newline included.
#[must_use]
pub fn render(event: &Event) -> String {
    let line = match &event.what {
        What::Tracing { host, declared_pools } => {
            let version = env!("CARGO_PKG_VERSION");
            format!("tracing: tracer {version} on {host}, {} declared", pools(*declared_pools))
        }
        What::Verdict { sample, assessment, previous } => {
            let name = called(&sample.pool.name, sample.pool.balancer.as_deref());
            // After a finding, little evidence is good news: it has cleared.
            let was = if assessment.verdict == Verdict::InsufficientEvidence { "no longer" } else { "was" };
            let before = previous.map_or(String::new(), |previous| format!(" ({was} {previous})"));
            let verdict = assessment.verdict.as_str().to_uppercase();
            // Such as that the configuration may not be what runs.
            let note = sample.note.as_ref().filter(|_| assessment.verdict.is_finding());
            let note = note.map(|note| format!("; {note}")).unwrap_or_default();
            format!("{name}: {verdict}{before}: {}{note}", assessment.summary)
        }
        What::PoolsChanged(change) => changed(change),
        What::Uncounted { total, .. } => uncounted(total).unwrap_or_default(),
        What::Stopping { reason, duration_seconds, pools: at_end, other, .. } => {
            let totals = totals(at_end, other.as_deref());
            format!(
                "stopping: {reason} after {duration_seconds:.0} s; {} connections in {}, {} established, {} failed",
                totals.attempts,
                pools(at_end.len()),
                totals.established,
                totals.failed,
            )
        }
    };
    format!("{} {}\n", timestamp(event.time_seconds), for_terminal(&line))
}

fn changed(change: &PoolsChanged) -> String {
    let mut parts = Vec::new();
    for (what, names) in
        [("added", &change.added), ("removed", &change.removed), ("changed", &change.changed)]
    {
        if !names.is_empty() {
            let names: Vec<_> =
                names.iter().map(|name| called(&name.pool, name.balancer.as_deref())).collect();
            parts.push(format!("{what} {}", names.join(", ")));
        }
    }
    if change.selection {
        parts.push("other filters, everything is judged anew".into());
    }
    if !change.needs_restart.is_empty() {
        parts.push(format!("takes a restart: {}", change.needs_restart.join(", ")));
    }
    if !change.errors.is_empty() {
        return format!("pools stay as they were: {}", change.errors.join("; "));
    }
    parts.extend(change.warnings.iter().cloned());
    if parts.is_empty() {
        parts.push("no change".into());
    }
    let cause = match change.cause {
        Cause::Traffic => "pools seen",
        Cause::Reload => "configuration read again",
        Cause::PoolsFile => "pools file read again",
        Cause::Configuration => "balancer's configuration read again",
        Cause::Names => "host names resolved again",
        Cause::RunTime => "changed in the running balancer",
    };
    format!("{cause}: {}", parts.join("; "))
}

fn called(pool: &str, balancer: Option<&str>) -> String {
    balancer.map_or_else(|| pool.to_owned(), |balancer| format!("{pool} by {balancer}"))
}

fn pools(count: usize) -> String {
    if count == 1 { "1 pool".into() } else { format!("{count} pools") }
}
