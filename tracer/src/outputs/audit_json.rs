//! An audit for programs: schema `tracer.audit/1`.

use super::audit::{AuditReport, AuditedOrigin, addresses, expected_shares, role};
use super::escape;
use crate::imports::{Problem, Severity};
use crate::pools::{Method, Names, WrittenMember, WrittenPool};
use serde::Serialize;
use std::net::IpAddr;

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    errors: usize,
    warnings: usize,
    notes: usize,
    configurations: Vec<Configuration<'a>>,
    problems: Vec<Located<'a>>,
}

#[derive(Serialize)]
struct Configuration<'a> {
    kind: &'static str,
    named: &'a [String],
    pid: Option<u32>,
    readable: bool,
    files: Vec<String>,
    pools: Vec<Pool<'a>>,
}

#[derive(Serialize)]
struct Pool<'a> {
    name: &'a str,
    balancer: Option<&'a str>,
    source: String,
    method: Method,
    /// Why its shares are not known.
    doubt: Option<&'a str>,
    vouched: bool,
    health_check_seconds: Option<f64>,
    members: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    address: String,
    name: Option<&'a str>,
    weight: f64,
    role: &'static str,
    expected_share: Option<f64>,
    max_connections: Option<u64>,
    checked: Option<bool>,
    vouched: bool,
    /// What its host name resolves to; null when it is an address, or nobody asked.
    resolved: Option<Vec<IpAddr>>,
    source: String,
}

#[derive(Serialize)]
struct Located<'a> {
    severity: Severity,
    code: &'static str,
    file: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    message: &'a str,
    hint: Option<&'a str>,
}

/// One JSON object, newline at its end.
///
/// # Errors
/// Never for this data; the serializer's type says it could.
pub fn render(report: &AuditReport) -> serde_json::Result<String> {
    let names = report.names.as_ref();
    let whole = Report {
        schema: "tracer.audit/1",
        errors: report.count(Severity::Error),
        warnings: report.count(Severity::Warning),
        notes: report.count(Severity::Note),
        configurations: report.origins.iter().map(|origin| configuration(origin, names)).collect(),
        problems: report.problems.iter().map(located).collect(),
    };
    let mut text = escape::json(&serde_json::to_string(&whole)?);
    text.push('\n');
    Ok(text)
}

fn configuration<'a>(origin: &'a AuditedOrigin, names: Option<&Names>) -> Configuration<'a> {
    Configuration {
        kind: origin.kind,
        named: &origin.named,
        pid: origin.pid,
        readable: origin.readable,
        files: origin.files.iter().map(|file| file.path.display().to_string()).collect(),
        pools: origin.pools.pools.iter().map(|written| pool(written, names)).collect(),
    }
}

fn pool<'a>(written: &'a WrittenPool, names: Option<&Names>) -> Pool<'a> {
    Pool {
        name: &written.name,
        balancer: written.balancer.as_deref(),
        source: written.at.line(),
        method: written.method,
        doubt: written.doubt.as_deref(),
        vouched: written.vouched,
        health_check_seconds: written.health_check_interval.map(|interval| interval.as_secs_f64()),
        members: (written.members.iter().zip(expected_shares(written)))
            .map(|(one, share)| member(one, share, names))
            .collect(),
    }
}

fn member<'a>(member: &'a WrittenMember, expected_share: Option<f64>, names: Option<&Names>) -> Member<'a> {
    Member {
        address: member.address.to_string(),
        name: member.name.as_deref(),
        weight: member.weight,
        role: role(member.role),
        expected_share,
        max_connections: member.max_connections,
        checked: member.checked,
        vouched: member.vouched,
        resolved: addresses(member, names),
        source: member.at.line(),
    }
}

fn located(problem: &Problem) -> Located<'_> {
    let known = |number: usize| (number > 0).then_some(number);
    Located {
        severity: problem.severity,
        code: problem.code,
        file: &problem.at.file,
        line: known(problem.at.line),
        column: known(problem.at.column),
        message: &problem.message,
        hint: problem.hint.as_deref(),
    }
}
