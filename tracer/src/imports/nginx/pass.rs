//! Directives that pass something on: to an upstream, an address, a name, or whatever a variable has.

use super::found::{Certainty, Found, Half, HealthCheck, Reference};
use super::table::look_up;
use super::target::{self, Target};
use super::upstream::health_check;
use super::walk::Statement;
use crate::imports::Problem;
use crate::input::Place;

/// How a directive writes what it passes to.
struct Form {
    /// With the port each stands for.
    schemes: &'static [(&'static str, Option<u16>)],
    /// One of them has to be there.
    scheme_needed: bool,
    /// A path may follow.
    path: bool,
}

const PLAIN: Form = Form { schemes: &[], scheme_needed: false, path: false };
const HTTP_PROXY: Form =
    Form { schemes: &[("http://", Some(80)), ("https://", Some(443))], scheme_needed: true, path: true };
const GRPC: Form =
    Form { schemes: &[("grpc://", None), ("grpcs://", None)], scheme_needed: false, path: false };
const UWSGI: Form =
    Form { schemes: &[("uwsgi://", None), ("suwsgi://", None)], scheme_needed: false, path: false };

/// Variables that begin with what ends a host, `/` or `?`.
const OF_THE_REQUEST: &[&[u8]] = &[b"request_uri", b"uri", b"document_uri", b"is_args"];

/// A directive in `http` or `stream` or below, in the block of this number.
pub(super) fn directive(
    found: &mut Found,
    half: Half,
    block: usize,
    statement: &Statement<'_>,
) -> Result<(), Problem> {
    let name = statement.word(0);
    let Some(row) = look_up(name, half.contexts()) else {
        if name.ends_with(b"_pass") {
            unknown(found, half, block, statement);
        }
        return Ok(());
    };
    let form = match (row.name, half) {
        ("health_check", Half::Http) => {
            let check = health_check(statement).map(|interval| HealthCheck { block, interval });
            found.health_checks.extend(check);
            return Ok(());
        }
        ("listen", _) => {
            if statement.parameters().any(|(word, _)| word == b"udp") {
                found.udp.insert(block);
            }
            return Ok(());
        }
        // Health checks of stream connect and say nothing, unless told to; `pass` stays within nginx.
        ("health_check" | "pass", _) => return Ok(()),
        ("proxy_pass", Half::Http) => &HTTP_PROXY,
        ("grpc_pass", _) => &GRPC,
        ("uwsgi_pass", _) => &UWSGI,
        _ => &PLAIN,
    };
    statement.takes(row.name, usize::from(row.name != "tunnel_pass"), 1)?;
    passes(found, half, block, row.name, form, statement)
}

/// A module that is not known passes something on: perhaps to an upstream.
fn unknown(found: &mut Found, half: Half, block: usize, statement: &Statement<'_>) {
    let message = "a directive here that is not known passes to somebody";
    found.problems.push(
        Problem::note("unknown-directive", statement.at(), message)
            .hint("if traffic goes there, say what is expected in a pools file"),
    );
    if let Ok(Target::Host { host, port }) = target::parse(statement.word(1)) {
        let certainty = Certainty::Guessed;
        found.references.push(reference(half, block, host, port, None, certainty, statement.at()));
    }
}

fn passes(
    found: &mut Found,
    half: Half,
    block: usize,
    name: &'static str,
    form: &Form,
    statement: &Statement<'_>,
) -> Result<(), Problem> {
    let at = statement.at();
    let text = statement.word(1);
    let wrong = |what: &str| {
        let message = format!("the address in `{name}` {what}");
        Problem::error("invalid-address", at.clone(), message).hint("write what nginx takes")
    };
    let variable = (text.is_empty() && name == "tunnel_pass") || text.contains(&b'$');
    let Some((default_port, host)) = literal(form, text, variable).map_err(wrong)? else {
        variable_target(found, half, name, at);
        return Ok(());
    };
    match target::parse(host) {
        Ok(Target::Host { host, port }) => {
            let certainty = if variable { Certainty::AtRunTime } else { Certainty::Written };
            found.references.push(reference(half, block, host, port, default_port, certainty, at));
        }
        Ok(Target::Unix) => {
            let message = format!("`{name}` passes to a Unix socket, which is not counted");
            found.problems.push(Problem::note("unix-socket", at, message));
        }
        // nginx finds out with the first request.
        Err(_) if variable => variable_target(found, half, name, at),
        Err(what) => return Err(wrong(what)),
    }
    Ok(())
}

/// The port that is taken when none is written, and host and port as written.
type Literal<'t> = (Option<u16>, &'t [u8]);

/// What is written; `None` when a variable is among it. The error completes "the address …".
fn literal<'t>(form: &Form, text: &'t [u8], variable: bool) -> Result<Option<Literal<'t>>, &'static str> {
    let scheme = form.schemes.iter().find_map(|&(scheme, port)| Some((port, after(text, scheme)?)));
    let (port, rest) = match scheme {
        Some(known) => known,
        None if variable && form.path => match after(text, "$scheme://") {
            Some(rest) => (None, rest),
            None => return Ok(None),
        },
        None if form.scheme_needed => return Err("does not begin with http:// or https://"),
        None => (None, text),
    };
    let host = if form.path {
        host_length(rest).and_then(|length| rest.get(..length))
    } else {
        (!variable).then_some(rest)
    };
    Ok(host.map(|host| (port, host)))
}

fn after<'t>(text: &'t [u8], scheme: &str) -> Option<&'t [u8]> {
    let (begin, rest) = text.split_at_checked(scheme.len())?;
    begin.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
}

/// How long host and port are, before a path; `None` when a variable is among them. What is on a Unix socket is its path.
fn host_length(text: &[u8]) -> Option<usize> {
    if after(text, "unix:").is_some() {
        return Some(text.len());
    }
    let Some(end) = text.iter().position(|byte| b"/?$".contains(byte)) else { return Some(text.len()) };
    let rest = text.get(end..).unwrap_or_default();
    let Some(variable) = rest.strip_prefix(b"$") else { return Some(end) };
    let name = variable.strip_prefix(b"{").unwrap_or(variable);
    let length = name.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    OF_THE_REQUEST.iter().any(|known| name.get(..length) == Some(known)).then_some(end)
}

fn variable_target(found: &mut Found, half: Half, name: &'static str, at: Place) {
    found.any_upstream[half as usize] = true;
    let message = format!("`{name}` passes to a variable: to whom is known only at run time");
    found.problems.push(
        Problem::note("unresolvable-target", at, message)
            .hint("if it is not one of the upstreams, say what is expected in a pools file"),
    );
}

fn reference(
    half: Half,
    block: usize,
    host: &[u8],
    port: Option<u16>,
    default_port: Option<u16>,
    certainty: Certainty,
    at: Place,
) -> Reference {
    Reference { half, block, host: host.to_ascii_lowercase(), port, default_port, certainty, at }
}
