//! What stands inside `upstream`.

use super::found::{Found, Half, Upstream};
use super::table::{HTTP_UPSTREAM, UPSTREAM, look_up};
use super::time::duration;
use super::walk::Statement;
use super::{resolver, server};
use crate::imports::{Effect, Problem, Problems};
use crate::pools::Method;
use std::time::Duration;

/// What Tengine's `check` takes when no interval is written.
const CHECKED_EVERY: Duration = Duration::from_secs(30);

/// The block begins; gives its index.
pub(super) fn opened(found: &mut Found, half: Half, statement: &Statement<'_>) -> Result<usize, Problem> {
    statement.takes("upstream", 1, 1)?;
    let name = String::from_utf8_lossy(statement.word(1)).into_owned();
    let index = found.upstreams.len();
    let key = (half, statement.word(1).to_ascii_lowercase());
    if let Some(&first) = found.by_name.get(&key) {
        let first = found.upstreams.get(first).map(|upstream| upstream.lines.at.line()).unwrap_or_default();
        let message = format!("there is a second upstream {name:?}: the first is at {first}");
        return Err(Problem::error("duplicate-upstream", statement.at(), message).hint("name one otherwise"));
    }
    found.by_name.insert(key, index);
    found.upstreams.push(Upstream {
        half,
        name,
        lines: statement.lines.clone(),
        method: Method::RoundRobin,
        consistent: false,
        sticky: false,
        no_backup: false,
        chosen: false,
        zone: false,
        elsewhere: false,
        members: Vec::new(),
        active: 0,
        resolves: None,
        family: None,
        unix: 0,
        doubt: None,
        check: None,
    });
    Ok(index)
}

/// The block ends.
pub(super) fn closed(found: &Found, index: usize) -> Result<(), Problem> {
    let Some(upstream) = found.upstreams.get(index) else { return Ok(()) };
    let (name, at) = (&upstream.name, || upstream.lines.at.clone());
    if let (Some(server), false) = (&upstream.resolves, upstream.zone) {
        let message =
            format!("a name of upstream {name:?} is resolved at run time, for which it needs a zone");
        return Err(Problem::error("no-zone", server.clone(), message).hint("add `zone NAME SIZE;`"));
    }
    if upstream.active > 0 || upstream.elsewhere {
        return Ok(());
    }
    let what = if upstream.members.is_empty() && upstream.unix == 0 { "no server" } else { "only backups" };
    let message = format!("upstream {name:?} has {what}");
    Err(Problem::error("no-servers", at(), message).hint("add a `server` that is no backup"))
}

/// A directive inside.
pub(super) fn directive(found: &mut Found, index: usize, statement: &Statement<'_>) -> Result<(), Problem> {
    let Found { upstreams, problems, .. } = found;
    let Some(upstream) = upstreams.get_mut(index) else { return Ok(()) };
    let contexts: &[&str] =
        if upstream.half == Half::Http { &[UPSTREAM, HTTP_UPSTREAM] } else { &[UPSTREAM] };
    let Some(row) = look_up(statement.word(0), contexts) else {
        return unknown(upstream, problems, statement);
    };
    let name = row.name;
    match row.effect {
        Effect::Irrelevant(_) => Ok(()),
        Effect::Noted(why) => {
            upstream.elsewhere |= name == "state";
            upstream.doubt.get_or_insert_with(|| why.to_owned());
            let message = format!("`{name}` of upstream {:?} cannot be foreseen: {why}", upstream.name);
            problems.push(
                Problem::note("not-foreseen", statement.at(), message)
                    .hint("say what is expected in a pools file"),
            );
            Ok(())
        }
        Effect::Understood(_) => understood(upstream, problems, name, statement),
    }
}

fn unknown(
    upstream: &mut Upstream,
    problems: &mut Problems,
    statement: &Statement<'_>,
) -> Result<(), Problem> {
    if let Some(row) = look_up(statement.word(0), &[HTTP_UPSTREAM]) {
        let message = format!("`{}` is not allowed in an upstream of stream", row.name);
        return Err(Problem::error("misplaced", statement.at(), message).hint("take another method"));
    }
    let message = format!("upstream {:?} has a directive here that is not known", upstream.name);
    problems.push(
        Problem::note("unknown-directive", statement.at(), message)
            .hint("if it changes who gets what, say what is expected in a pools file"),
    );
    upstream.doubt.get_or_insert_with(|| "its upstream has a directive that is not known".to_owned());
    Ok(())
}

fn understood(
    upstream: &mut Upstream,
    problems: &mut Problems,
    name: &'static str,
    statement: &Statement<'_>,
) -> Result<(), Problem> {
    let mut choose = |method: Method, no_backup: bool| {
        if upstream.chosen {
            let message =
                format!("upstream {:?} has a second method, which replaces the first", upstream.name);
            problems.push(
                Problem::warning("method-redefined", statement.at(), message)
                    .hint("keep the one that is meant"),
            );
        }
        upstream.chosen = true;
        upstream.consistent = false;
        (upstream.method, upstream.no_backup) = (method, no_backup);
    };
    match name {
        "server" => return server::read(upstream, problems, statement),
        "zone" => {
            statement.takes(name, 1, 2)?;
            upstream.zone = true;
        }
        "least_conn" => {
            statement.takes(name, 0, 0)?;
            choose(Method::LeastConnections, false);
        }
        "least_time" => {
            statement.takes(name, 1, 2)?;
            choose(Method::LeastConnections, false);
        }
        "ip_hash" => {
            statement.takes(name, 0, 0)?;
            choose(Method::Hash, true);
        }
        "hash" => {
            statement.takes(name, 1, 2)?;
            choose(Method::Hash, true);
            upstream.consistent = keyword(statement, 2, &[b"consistent"])?;
        }
        "random" => {
            statement.takes(name, 0, 2)?;
            let two = keyword(statement, 1, &[b"two"])?;
            keyword(
                statement,
                2,
                &[
                    b"least_conn",
                    b"least_time",
                    b"least_time=header",
                    b"least_time=last_byte",
                    b"least_time=connect",
                    b"least_time=first_byte",
                ],
            )?;
            choose(if two { Method::LeastConnections } else { Method::Random }, true);
        }
        "resolver" => upstream.family = Some(resolver::family(statement)?),
        "sticky" => upstream.sticky = true,
        "check" => upstream.check = check(statement),
        _ => {}
    }
    Ok(())
}

/// Whether a parameter is there; it can only be one of these.
fn keyword(statement: &Statement<'_>, index: usize, known: &[&[u8]]) -> Result<bool, Problem> {
    let Some((word, at)) = statement.parameters().nth(index.saturating_sub(1)) else { return Ok(false) };
    if known.contains(&word) {
        return Ok(true);
    }
    let message = "nginx does not take this parameter of the method";
    Err(Problem::error("wrong-parameters", at, message).hint("correct it, or take it away"))
}

/// How often Tengine's `check` sends something that looks like a request.
fn check(statement: &Statement<'_>) -> Option<Duration> {
    let value = |name: &[u8]| statement.parameters().find_map(|(word, _)| word.strip_prefix(name));
    let kind = value(b"type=").unwrap_or(b"tcp");
    let milliseconds = || value(b"interval=").and_then(super::time::number).map(Duration::from_millis);
    (kind != b"tcp").then(|| milliseconds().unwrap_or(CHECKED_EVERY))
}

/// The interval of nginx Plus's `health_check`; none when it goes to another port than the traffic.
pub(super) fn health_check(statement: &Statement<'_>) -> Option<Duration> {
    let value = |name: &[u8]| statement.parameters().find_map(|(word, _)| word.strip_prefix(name));
    if value(b"port=").is_some() {
        return None;
    }
    Some(value(b"interval=").and_then(duration).unwrap_or(Duration::from_secs(5)))
}
