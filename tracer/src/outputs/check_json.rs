//! A check as JSON, schema `tracer.check/1`. Field names are a contract. What was not measured is `null`, never 0.

use super::check::CheckReport;
use super::escape;
use crate::agent::Judged;
use crate::collect::{Counters, Failures, Histogram, Stock, Uncounted};
use crate::detect::{Assessment, Finding, MemberAssessment, Verdict};
use crate::pools::{ExpectedSource, MemberSample, PoolSample};
use serde::Serialize;

#[derive(Serialize)]
struct Check<'a> {
    schema: &'static str,
    host: &'a str,
    started: String,
    duration_seconds: f64,
    verdict: Verdict,
    pools: Vec<Pool<'a>>,
    listed: Vec<Listed<'a>>,
    unmatched: &'a [String],
    other: Option<Counts>,
    uncounted: Uncounted,
}

/// A pool that is judged.
#[derive(Serialize)]
pub(super) struct Pool<'a> {
    name: &'a str,
    balancer: Option<&'a str>,
    source: &'a str,
    verdict: Verdict,
    signal: &'static str,
    expected_source: ExpectedSource,
    evidence: f64,
    needed: Option<u64>,
    findings: &'a [Verdict],
    summary: &'a str,
    since: Option<String>,
    since_start: bool,
    note: Option<&'a str>,
    members: Vec<Member>,
}

#[derive(Serialize)]
struct Member {
    backend: String,
    finding: Option<Finding>,
    expected_share: Option<f64>,
    observed_share: Option<f64>,
    share_interval: Option<[f64; 2]>,
    #[serde(flatten)]
    counts: Counts,
}

/// What was counted since the start.
#[derive(Serialize)]
struct Counts {
    attempts: u64,
    untracked: u64,
    established: u64,
    failed: Failures,
    pending: Option<u64>,
    adopted: u64,
    live: Option<u64>,
    closing: Option<u64>,
    closed: u64,
    resets: u64,
    resets_without_data: u64,
    probes: u64,
    sent_bytes: u64,
    received_bytes: u64,
    retransmits: u64,
    syn_retransmits: u64,
    exchanges: Option<u64>,
    connect_seconds: Option<Quantiles>,
    response_seconds: Option<Quantiles>,
}

#[derive(Serialize)]
struct Quantiles {
    p50: f64,
    p99: f64,
}

/// A pool that is only listed.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    balancer: Option<&'a str>,
    source: &'a str,
    backends: usize,
    attempts: u64,
    note: Option<&'a str>,
    members: Vec<ListedMember>,
}

#[derive(Serialize)]
struct ListedMember {
    backend: String,
    #[serde(flatten)]
    counts: Counts,
}

/// One JSON object on one line, newline included.
///
/// # Errors
/// Never for this data; the serializer's type says it could.
pub fn render(report: &CheckReport) -> serde_json::Result<String> {
    let check = Check {
        schema: "tracer.check/1",
        host: &report.host,
        started: timestamp(report.started_seconds),
        duration_seconds: rounded(report.duration_seconds, 1e3),
        verdict: report.verdict(),
        pools: report.pools.iter().filter_map(judged).collect(),
        listed: report.pools.iter().filter(|pool| pool.assessment.is_none()).map(listed).collect(),
        unmatched: &report.unmatched,
        other: report.other.as_ref().map(|other| counts(&other.total, other.stock)),
        uncounted: report.uncounted,
    };
    let mut text = escape::json(&serde_json::to_string(&check)?);
    text.push('\n');
    Ok(text)
}

pub(super) fn judged(judged: &Judged) -> Option<Pool<'_>> {
    Some(pool(&judged.sample, judged.assessment.as_ref()?))
}

pub(super) fn pool<'a>(sample: &'a PoolSample, assessment: &'a Assessment) -> Pool<'a> {
    let identity = &sample.pool;
    let members = sample.members.iter().zip(&assessment.members);
    Pool {
        name: &identity.name,
        balancer: identity.balancer.as_deref(),
        source: &identity.source,
        verdict: assessment.verdict,
        signal: assessment.signal,
        expected_source: identity.expected_source,
        evidence: rounded(assessment.evidence, 1e3),
        needed: assessment.needed,
        findings: &assessment.findings,
        summary: &assessment.summary,
        since: assessment.since_seconds.map(timestamp),
        since_start: assessment.since_start,
        note: sample.note.as_deref(),
        members: members.map(|(sample, found)| member(sample, found)).collect(),
    }
}

fn member(sample: &MemberSample, found: &MemberAssessment) -> Member {
    let share = |share: f64| rounded(share, 1e6);
    Member {
        backend: sample.backend.to_string(),
        finding: found.finding,
        expected_share: found.expected_share.map(share),
        observed_share: found.observed_share.map(share),
        share_interval: found.share_interval.map(|interval| interval.map(share)),
        counts: counts(&sample.total, sample.stock),
    }
}

fn counts(total: &Counters, stock: Option<Stock>) -> Counts {
    Counts {
        attempts: total.attempts,
        untracked: total.untracked,
        established: total.established,
        failed: total.failed,
        pending: stock.map(|stock| stock.pending),
        adopted: total.adopted,
        live: stock.map(|stock| stock.live),
        closing: stock.map(|stock| stock.closing),
        closed: total.closed,
        resets: total.resets,
        resets_without_data: total.resets_without_data,
        probes: total.probes,
        sent_bytes: total.sent_bytes,
        received_bytes: total.received_bytes,
        retransmits: total.retransmits,
        syn_retransmits: total.syn_retransmits,
        exchanges: None,
        connect_seconds: quantiles(&total.connect_time),
        response_seconds: None,
    }
}

fn listed(pool: &Judged) -> Listed<'_> {
    let identity = &pool.sample.pool;
    Listed {
        name: &identity.name,
        balancer: identity.balancer.as_deref(),
        source: &identity.source,
        backends: pool.sample.members.len(),
        attempts: pool.sample.members.iter().map(|member| member.total.attempts).sum(),
        note: pool.sample.note.as_deref(),
        members: pool
            .sample
            .members
            .iter()
            .map(|member| ListedMember {
                backend: member.backend.to_string(),
                counts: counts(&member.total, member.stock),
            })
            .collect(),
    }
}

fn quantiles(histogram: &Histogram) -> Option<Quantiles> {
    let quantile = |share| Some(rounded(histogram.quantile(share)?, 1e6));
    Some(Quantiles { p50: quantile(0.5)?, p99: quantile(0.99)? })
}

/// As many digits as mean something.
pub(super) fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

/// RFC 3339 in UTC, whole seconds.
pub(super) fn timestamp(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "saturates; jiff refuses what is out of range")]
    let whole = seconds.floor() as i64;
    jiff::Timestamp::from_second(whole).map_or_else(|_| format!("{whole}"), |time| time.to_string())
}
