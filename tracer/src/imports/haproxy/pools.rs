//! Sections that were read → pools.

use super::proxy::{Kind, Proxy, References};
use super::report::Report;
use super::server::Server;
use crate::imports::Problem;
use crate::pools::{Backups, MemberAddress, Method, Role, WrittenMember, WrittenPool};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// From this weight on a server's part of a ring is within some percent of what it should be.
const EVEN: u16 = 100;

/// The pools of a configuration, and notes on sections that cannot be one that is used.
pub(super) fn pools(proxies: Vec<Proxy>, references: &References, report: &mut Report) -> Vec<WrittenPool> {
    // A file of backends alone is a part of a configuration whose other part was not named.
    let entrances = || proxies.iter().filter(|proxy| matches!(proxy.kind, Kind::Frontend | Kind::Listen));
    let entered = entrances().next().is_some();
    let mut used: HashSet<&str> = references.names.iter().map(String::as_str).collect();
    // Told apart by where they are: any number of sections may share a name, of any length, of their `defaults`.
    let defaults = entrances().filter_map(|proxy| proxy.common.default_backend.as_deref());
    used.extend(defaults.map(|name| (name.as_ptr(), name)).collect::<HashMap<_, _>>().into_values());
    for proxy in proxies.iter().filter(|proxy| proxy.kind == Kind::Backend && !proxy.servers.is_empty()) {
        let name = &proxy.name;
        if entered && !references.others && !proxy.common.disabled && !used.contains(name.as_str()) {
            let message = format!("nothing refers to the backend {name}: no connection comes to it");
            let note = Problem::note("unused-backend", proxy.at.clone(), message);
            report.push(note.hint("remove it, or name it in a use_backend or default_backend"));
        }
    }
    unknown_backends(&proxies, report);
    let pools = proxies.into_iter().filter(|proxy| matches!(proxy.kind, Kind::Backend | Kind::Listen));
    let mut implicit = HashSet::new();
    pools
        .filter_map(|proxy| {
            note_implicit(&proxy, &mut implicit, report);
            pool(proxy, report)
        })
        .collect()
}

/// HAProxy does not start with these.
fn unknown_backends(proxies: &[Proxy], report: &mut Report) {
    let backends = proxies.iter().filter(|proxy| matches!(proxy.kind, Kind::Backend | Kind::Listen));
    let known: HashSet<&str> = backends.map(|proxy| proxy.name.as_str()).collect();
    // By where it is: any number of sections may have one of any length, of their `defaults`.
    let mut looked_up: HashMap<*const u8, bool> = HashMap::new();
    for proxy in proxies.iter().filter(|proxy| matches!(proxy.kind, Kind::Frontend | Kind::Listen)) {
        let Some(wanted) = &proxy.common.default_backend else { continue };
        let is_known = *looked_up
            .entry(wanted.as_ptr())
            // A format is only known for each request.
            .or_insert_with(|| known.contains(&**wanted) || wanted.contains('%'));
        if !is_known && !proxy.common.disabled {
            let message = format!("{} has a default_backend that no section declares", proxy.name);
            report.push(
                Problem::error("unknown-backend", proxy.at.clone(), message)
                    .hint("correct its name, or name the file with the backend too"),
            );
        }
    }
}

/// One note for each file, however many of its pools leave the balance to the version.
fn note_implicit(proxy: &Proxy, noted: &mut HashSet<Arc<str>>, report: &mut Report) {
    let common = &proxy.common;
    let foreseen = common.balance.written || common.disabled || common.doubt.is_some();
    if foreseen || !has_light_servers(proxy) || !noted.insert(Arc::clone(&proxy.at.file)) {
        return;
    }
    let message = format!(
        "{} has no `balance`: its servers take turns up to HAProxy 3.2, from 3.3 on they are drawn at random, and shares \
         stray from small weights",
        proxy.name
    );
    let note = Problem::note("implicit-balance", proxy.at.clone(), message);
    report.push(note.hint("write `balance roundrobin` into defaults"));
}

/// Whether several servers get something, and one of them has few points on a ring.
fn has_light_servers(proxy: &Proxy) -> bool {
    let gets = |server: &&Server| server.settings.weight > 0 && !server.settings.disabled;
    let several = proxy.servers.iter().filter(gets).nth(1).is_some();
    several && proxy.servers.iter().filter(gets).any(|server| server.settings.weight < EVEN)
}

fn pool(proxy: Proxy, report: &mut Report) -> Option<WrittenPool> {
    if proxy.servers.is_empty() {
        return None;
    }
    if proxy.common.disabled {
        let message =
            format!("{} is disabled: HAProxy does not start it, and its servers get nothing", proxy.name);
        report.push(Problem::note("disabled-section", proxy.at.clone(), message));
        return None;
    }
    let common = &proxy.common;
    let has_cookies = common.dynamic_cookie || proxy.servers.iter().any(|server| server.settings.has_cookie);
    let sticks = common.sticks || common.cookie && has_cookies;
    let doubt = common.doubt.or(common.balance.doubt);
    let doubt = doubt.or_else(|| proxy.servers.iter().find_map(|server| server.settings.doubt()));
    let doubt = doubt.or_else(|| uneven_ring(&proxy, report));
    let interval = proxy.servers.iter().filter_map(|server| interval(&proxy, server)).min();
    Some(WrittenPool {
        members: proxy.servers.iter().map(member).collect(),
        backups: if common.all_backups { Backups::All } else { Backups::First },
        method: if sticks { Method::Hash } else { common.balance.method },
        name: proxy.name,
        balancer: Some("haproxy".into()),
        at: proxy.at,
        health_check_interval: interval,
        vouched: proxy.vouched,
        doubt: doubt.map(Into::into),
    })
}

/// Why shares stray from the weights where servers are points of a ring: HAProxy gives each 16 for each unit of its
/// weight, and where these are few, some are far from the next.
fn uneven_ring(proxy: &Proxy, report: &mut Report) -> Option<&'static str> {
    let common = &proxy.common;
    let is_ring = common.balance.draws || common.consistent && common.balance.method == Method::Hash;
    if !is_ring || !has_light_servers(proxy) {
        return None;
    }
    let name = &proxy.name;
    let message = format!(
        "the servers of {name} are few points of a ring: shares stray from the weights, by a quarter where these are 1"
    );
    let note = Problem::note("uneven-ring", proxy.at.clone(), message);
    report.push(note.hint("multiply all weights, so that the smallest is 100 or more"));
    Some("its servers are few points of a ring, and shares stray from such small weights")
}

fn member(server: &Server) -> WrittenMember {
    let settings = &server.settings;
    let role = match (settings.disabled, settings.backup) {
        (true, _) => Role::Down,
        (_, true) => Role::Backup,
        _ => Role::Active,
    };
    WrittenMember {
        name: Some(server.name.clone()),
        role,
        spare: settings.backup && settings.disabled,
        vouched: server.vouched,
        uses: server.uses,
        family: server.family,
        max_connections: settings.max_connections,
        checked: Some(settings.checks || settings.tracks || settings.agent),
        ..WrittenMember::new(server.address.clone(), settings.weight.into(), server.at.clone())
    }
}

/// How often a check that looks like a request goes to where a server's traffic goes.
fn interval(proxy: &Proxy, server: &Server) -> Option<Duration> {
    let settings = &server.settings;
    let (address, port) = match &server.address {
        MemberAddress::Ip(address) => (Some(address.ip()), address.port()),
        MemberAddress::Host { port, .. } => (None, *port),
    };
    let same_port = settings.check_port.is_none_or(|check| check == port || check == 0);
    let same_address = settings.check_address.is_none_or(|check| check.is_some() && check == address);
    let checks = &proxy.common.checks;
    let talks =
        settings.checked_elsewhere || checks.talk_to(port) || settings.check_talks() && checks.reach(port);
    let checked = settings.checks && !settings.tracks && !settings.disabled;
    (checked && same_port && same_address && talks).then_some(settings.interval)
}
