//! The line `server` of an upstream.

use super::found::{Half, Member, Upstream};
use super::table::{SERVER, look_up};
use super::target::{self, Target};
use super::time::{duration, number};
use super::walk::Statement;
use crate::imports::{Effect, Problem, Problems};
use crate::input::Place;
use crate::pools::{MemberAddress, Role, WrittenMember};

/// What the parameters say.
struct Parameters {
    weight: u64,
    max_connections: Option<u64>,
    backup: bool,
    down: bool,
    resolve: bool,
    service: Option<Place>,
}

/// Adds the server to its upstream.
pub(super) fn read(
    upstream: &mut Upstream,
    problems: &mut Problems,
    statement: &Statement<'_>,
) -> Result<(), Problem> {
    let parameters = parameters(upstream, statement)?;
    let Some((written, at)) = statement.parameters().next() else {
        let message = format!("a server of upstream {:?} has no address", upstream.name);
        return Err(Problem::error("wrong-parameters", statement.at(), message).hint("write its address"));
    };
    let wrong = |what: &str| {
        let message = format!("the address of this server of upstream {:?} {what}", upstream.name);
        Problem::error("invalid-address", at.clone(), message).hint("write host:port, ip:port or [ipv6]:port")
    };
    let target = target::parse(written).map_err(wrong)?;
    upstream.active += usize::from(!parameters.backup);
    let Target::Host { host, port } = target else {
        upstream.unix += 1;
        let message =
            format!("upstream {:?} has a server on a Unix socket, which is not counted", upstream.name);
        problems.push(
            Problem::note("unix-socket", at, message)
                .hint("shares are those of the other servers among themselves"),
        );
        return Ok(());
    };
    if let Some(service) = parameters.service {
        return by_service(upstream, problems, parameters.resolve, port.is_some(), service);
    }
    let default = (upstream.half == Half::Http).then_some(80);
    let port = port.or(default).ok_or_else(|| wrong("has no port"))?;
    let address = target::address(host, port).map_err(wrong)?;
    let resolves = parameters.resolve && matches!(address, MemberAddress::Host { .. });
    if resolves {
        upstream.resolves.get_or_insert(at);
    }
    #[expect(clippy::cast_precision_loss, reason = "no weight that anybody writes is beyond 2^53")]
    let weight = parameters.weight as f64;
    let role = match parameters {
        Parameters { down: true, .. } => Role::Down,
        Parameters { backup: true, .. } => Role::Backup,
        _ => Role::Active,
    };
    let written = WrittenMember {
        role,
        max_connections: parameters.max_connections,
        ..WrittenMember::new(address, weight, statement.at())
    };
    upstream.members.push(Member { written, lines: statement.lines.clone(), resolves });
    Ok(())
}

/// Members that the DNS names, with their ports and weights.
fn by_service(
    upstream: &mut Upstream,
    problems: &mut Problems,
    resolve: bool,
    has_port: bool,
    at: Place,
) -> Result<(), Problem> {
    if !resolve || has_port {
        let what = if has_port { "with a port" } else { "without `resolve`" };
        let message = format!("nginx does not take `service` {what}");
        return Err(Problem::error("wrong-parameters", at, message).hint("correct the line"));
    }
    upstream.resolves.get_or_insert_with(|| at.clone());
    let why = "members are in SRV records of the DNS, which are not read";
    upstream.doubt.get_or_insert_with(|| why.to_owned());
    let message = format!("`service` in upstream {:?} cannot be foreseen: {why}", upstream.name);
    problems.push(Problem::note("not-foreseen", at, message).hint("say what is expected in a pools file"));
    Ok(())
}

fn parameters(upstream: &Upstream, statement: &Statement<'_>) -> Result<Parameters, Problem> {
    let mut read = Parameters {
        weight: 1,
        max_connections: None,
        backup: false,
        down: false,
        resolve: false,
        service: None,
    };
    for (word, at) in statement.parameters().skip(1) {
        let name_length = word.iter().position(|&byte| byte == b'=').map_or(word.len(), |equals| equals + 1);
        let (name, value) = word.split_at(name_length);
        let Some(row) = look_up(name, &[SERVER]) else {
            // No module can add one: nginx itself reads this line.
            let message =
                format!("nginx does not take this parameter of a server of upstream {:?}", upstream.name);
            return Err(Problem::error("unknown-parameter", at, message)
                .hint("correct it; is a ';' missing in the lines before?"));
        };
        let wrong = |what: &str| {
            let message = format!("`{}` {what}", row.name);
            Err(Problem::error("invalid-parameter", at.clone(), message).hint("correct it"))
        };
        match row.name {
            "weight=" => match number(value) {
                Some(0) | None => return wrong("is not a whole number from 1"),
                Some(weight) => read.weight = weight,
            },
            "max_conns=" => match number(value) {
                None => return wrong("is not a whole number"),
                Some(most) => read.max_connections = (most > 0).then_some(most),
            },
            "max_fails=" if number(value).is_none() => return wrong("is not a whole number"),
            "fail_timeout=" | "slow_start=" if duration(value).is_none() => {
                return wrong("is no length of time");
            }
            "backup" if upstream.no_backup => {
                return wrong("is not possible with the method of this upstream");
            }
            "backup" => read.backup = true,
            "down" | "drain" => read.down = true,
            "resolve" => read.resolve = true,
            "service=" => read.service = Some(at),
            _ => debug_assert!(matches!(row.effect, Effect::Irrelevant(_)), "{}", row.name),
        }
    }
    Ok(read)
}
