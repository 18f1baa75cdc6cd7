//! What this host supports, program by program.

use super::escape;
use crate::kernel::{Intent, Memory, Outcome, ProgramReport, Support};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// One JSON object on one line, schema `tracer.doctor/1`, newline included.
#[must_use]
pub fn json(support: &Support) -> String {
    let programs: Vec<Value> = support.programs.iter().map(program_json).collect();
    let object = json!({
        "schema": "tracer.doctor/1",
        "kernel": support.kernel,
        "can_trace": support.can_trace(),
        "refusal": support.refusal.as_ref().map(ToString::to_string),
        "programs": programs,
        "memory": support.memory.as_ref().map(memory_json),
        "notices": support.notices,
    });
    format!("{}\n", escape::json(&object.to_string()))
}

fn program_json(report: &ProgramReport) -> Value {
    let (intent, lost) = match report.intent {
        Intent::Required => ("required", None),
        Intent::Optional(lost) => ("optional", Some(lost)),
        Intent::Fallback(_) => ("fallback", None),
    };
    let fallback_for = match report.intent {
        Intent::Fallback(program) => Some(program),
        Intent::Required | Intent::Optional(_) => None,
    };
    let reason = match &report.outcome {
        Outcome::Refused(reason) => Some(reason),
        Outcome::NotTried | Outcome::Works => None,
    };
    json!({
        "name": report.name,
        "intent": intent,
        "fallback_for": fallback_for,
        "works": report.outcome.works(),
        "reason": reason,
        "lost": lost.filter(|_| !report.outcome.works()),
        "without": report.notes,
        "verified_instructions": report.verified_instructions,
    })
}

fn memory_json(memory: &Memory) -> Value {
    json!({
        "max_backends": memory.max_backends,
        "backends_bytes": memory.backends_bytes,
        "max_connections": memory.max_connections,
        "connection_bytes": memory.connection_bytes,
        "lowered_by_limit": memory.lowered_by_limit,
    })
}

/// One line for each program, then what else is worth knowing.
#[must_use]
pub fn text(support: &Support) -> String {
    let mut text = format!("kernel {}\n", escape::for_terminal(&support.kernel));
    for report in &support.programs {
        let _ = writeln!(text, "  {:<12} {}", report.name, escape::for_terminal(&outcome(report)));
    }
    if let Some(memory) = &support.memory {
        text.push_str(&memory_text(memory));
    }
    for notice in &support.notices {
        let _ = writeln!(text, "notice: {}", escape::for_terminal(notice));
    }
    match &support.refusal {
        None => text.push_str("this host can be traced\n"),
        Some(refusal) => {
            _ = writeln!(text, "this host cannot be traced: {}", escape::for_terminal(&refusal.to_string()))
        }
    }
    text
}

/// What each bound takes. The kernel does not tell: said so, and not zero.
fn memory_text(memory: &Memory) -> String {
    let unknown = || "unknown".to_owned();
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
    let tables = memory.backends_bytes.map_or_else(unknown, mebibytes);
    let each = memory.connection_bytes.map_or_else(unknown, |bytes| format!("{bytes} bytes"));
    let all = memory.connection_bytes.map(|bytes| bytes * u64::from(memory.max_connections));
    let lowered = memory.notice().map_or_else(String::new, |notice| format!("  {notice}\n"));
    format!(
        "memory in the kernel:\n  {} backends (--max-backends) {tables} from the start\n  {} connections \
         (--max-connections) {each} each while their socket is there, {} for all\n{lowered}",
        memory.max_backends,
        memory.max_connections,
        all.map_or_else(unknown, mebibytes),
    )
}

fn outcome(report: &ProgramReport) -> String {
    let mut line = match (&report.outcome, report.intent) {
        (Outcome::Works, Intent::Fallback(other)) => {
            format!("ok, and stands in for `{other}` with `--exchanges on`, which names its risk")
        }
        (Outcome::Works, _) => "ok".to_owned(),
        (Outcome::NotTried, Intent::Fallback(other)) => format!("not tried: `{other}` works"),
        (Outcome::NotTried, _) => "not tried".to_owned(),
        (Outcome::Refused(reason), Intent::Required) => format!("refused, and required: {reason}"),
        (Outcome::Refused(reason), Intent::Optional(lost)) => format!("refused: {reason}; lost: {lost}"),
        (Outcome::Refused(reason), Intent::Fallback(other)) => {
            format!("refused: {reason}; would stand in for `{other}`")
        }
    };
    if let Some(count) = report.verified_instructions {
        let _ = write!(line, " ({count} instructions verified)");
    }
    if !report.notes.is_empty() {
        let _ = write!(line, "; works without: {}", report.notes.join(", "));
    }
    line
}
