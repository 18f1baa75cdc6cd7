//! `tracer audit`: a configuration looked at without tracing anything.

use super::exit::{Exit, Failure, print, say};
use super::expected::{Origin, host_names, look_up};
use super::options::Files;
use super::running;
use crate::audit::{Audited, audit};
use crate::discovery::discover;
use crate::imports::{Problem, Severity};
use crate::outputs::{AuditReport, AuditedOrigin, Reader, audit_json, audit_text};
use crate::pools::Names;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// One JSON object (schema tracer.audit/1) instead of text
    #[arg(long)]
    json: bool,
    /// Exit with 1 on warnings too
    #[arg(long, value_name = "warnings", value_parser = ["warnings"])]
    deny: Option<String>,
    /// Resolve host names, and report those that do not
    #[arg(long)]
    resolve: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut found_problems = Vec::new();
    let mut origins = Origin::read(&arguments.files);
    if !arguments.files.are_named() {
        (origins, found_problems) = running::read(discover(), &[]);
        for origin in &mut origins {
            origin.ask();
        }
        if origins.is_empty() {
            found_problems.iter().for_each(|problem| say(&format!("{}: {problem}", problem.severity)));
            return Err(Failure::Input(vec![
                "no running balancer was found whose configuration can be read: name it with --nginx, --haproxy, --envoy \
                 or --pools"
                    .into(),
            ]));
        }
    }
    let names = arguments.resolve.then(|| {
        let mut names = Names::default();
        look_up(&mut names, host_names(&origins), false);
        names
    });
    let readable = origins.iter().all(|origin| origin.outcome.is_ok());
    let report = report(origins, found_problems, names);
    let exit = if readable { exit(&report, arguments.deny.is_some()) } else { Exit::Usage };
    let text = if arguments.json {
        audit_json(&report).map_err(|error| Failure::Internal(error.into()))?
    } else {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        let reader = if io::stdout().is_terminal() { Reader::Terminal { colours } } else { Reader::Other };
        audit_text(&report, reader)
    };
    print(&text, exit)
}

fn report(origins: Vec<Origin>, found: Vec<Problem>, names: Option<Names>) -> AuditReport {
    let established: Vec<_> = origins.iter().map(established).collect();
    let pools = origins.iter().map(Origin::pools).zip(&established);
    let audited: Vec<Audited<'_>> = pools
        .filter_map(|(pools, established)| Some(Audited { pools: pools?, established: established.as_ref() }))
        .collect();
    let mut problems = audit(&audited, names.as_ref());
    problems.extend(found);
    for origin in &origins {
        problems.extend(origin.problems().iter().cloned());
        problems.extend(origin.run_time_problems());
    }
    problems.sort_by(|a, b| (a.severity, &a.at, a.code).cmp(&(b.severity, &b.at, b.code)));
    let origins = origins.into_iter().map(|origin| AuditedOrigin {
        kind: origin.kind,
        named: origin.named.iter().map(|path| path.display().to_string()).collect(),
        pid: origin.running.as_ref().map(|running| running.found.pid),
        files: origin.files().to_vec(),
        pools: origin.pools().cloned().unwrap_or_default(),
        readable: origin.outcome.is_ok(),
    });
    AuditReport { origins: origins.collect(), problems, names }
}

/// Connections that are open now, when a limit is to be compared with them: on a busy host the list is long.
fn established(origin: &Origin) -> Option<BTreeMap<SocketAddr, u64>> {
    let mut members = origin.pools()?.pools.iter().flat_map(|pool| &pool.members);
    let limited = members.any(|member| member.max_connections.is_some());
    // Not known is no problem: the limit is then compared with nothing.
    origin.running.as_ref().filter(|_| limited)?.found.established().ok()
}

fn exit(report: &AuditReport, deny_warnings: bool) -> Exit {
    let counts =
        report.count(Severity::Error) + if deny_warnings { report.count(Severity::Warning) } else { 0 };
    if counts > 0 { Exit::Finding } else { Exit::Fine }
}
