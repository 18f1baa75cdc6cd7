//! An event as JSON, schema `tracer.event/1`: one object on one line. Field names are a contract.

use super::check_json::{Pool, judged, pool, rounded, timestamp};
use super::escape;
use super::totals::{Totals, totals};
use crate::chronicle::{Cause, Event, PoolName, PoolsChanged, What};
use crate::collect::Uncounted;
use crate::detect::Verdict;
use serde::Serialize;

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    time: String,
    #[serde(flatten)]
    event: Fields<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Fields<'a> {
    Tracing {
        host: &'a str,
        version: &'static str,
        declared_pools: usize,
    },
    Verdict {
        pool: &'a str,
        balancer: Option<&'a str>,
        verdict: Verdict,
        previous: Option<Verdict>,
        summary: &'a str,
        check: Pool<'a>,
    },
    PoolsChanged {
        cause: Cause,
        added: &'a [PoolName],
        removed: &'a [PoolName],
        changed: &'a [PoolName],
        selection_changed: bool,
        needs_restart: &'a [&'static str],
        error: Option<String>,
        failures: u64,
        warnings: &'a [String],
    },
    Uncounted {
        grew: &'a [&'static str],
        uncounted: Uncounted,
    },
    Stopping {
        reason: &'static str,
        duration_seconds: f64,
        totals: Totals,
        pools: Vec<Pool<'a>>,
        uncounted: Option<Uncounted>,
    },
}

/// One JSON object on one line, newline included.
///
/// # Errors
/// Never for this data; the serializer's type says it could.
pub fn render(event: &Event) -> serde_json::Result<String> {
    let line =
        Line { schema: "tracer.event/1", time: timestamp(event.time_seconds), event: fields(&event.what) };
    let mut text = escape::json(&serde_json::to_string(&line)?);
    text.push('\n');
    Ok(text)
}

fn fields(what: &What) -> Fields<'_> {
    match what {
        What::Tracing { host, declared_pools } => {
            Fields::Tracing { host, version: env!("CARGO_PKG_VERSION"), declared_pools: *declared_pools }
        }
        What::Verdict { sample, assessment, previous } => Fields::Verdict {
            pool: &sample.pool.name,
            balancer: sample.pool.balancer.as_deref(),
            verdict: assessment.verdict,
            previous: *previous,
            summary: &assessment.summary,
            check: pool(sample, assessment),
        },
        What::PoolsChanged(change) => {
            let PoolsChanged { cause, added, removed, changed, selection, needs_restart, .. } = change;
            let PoolsChanged { errors, failures, warnings, .. } = change;
            Fields::PoolsChanged {
                cause: *cause,
                added,
                removed,
                changed,
                selection_changed: *selection,
                needs_restart,
                error: (!errors.is_empty()).then(|| errors.join("; ")),
                failures: *failures,
                warnings,
            }
        }
        What::Uncounted { total, grew } => Fields::Uncounted { grew, uncounted: *total },
        What::Stopping { reason, duration_seconds, pools, other, uncounted } => Fields::Stopping {
            reason,
            duration_seconds: rounded(*duration_seconds, 1e3),
            totals: totals(pools, other.as_deref()),
            pools: pools.iter().filter_map(judged).collect(),
            uncounted: *uncounted,
        },
    }
}
