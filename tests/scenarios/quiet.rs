//! Set-ups that are right, by each method of choosing: nothing may be found of them.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour, Behaviour::*};
use crate::support::haproxy::Haproxy;
use crate::support::load::Load;
use crate::support::measured::{PER_SECOND, finding, quiet, quiet_for};
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::server::Server;
use crate::support::tracer::watch;
use crate::support::turn;
use nix::sys::signal::Signal;
use std::net::SocketAddr;

/// So many clients that chance evens them out.
const CLIENTS: u16 = 20_000;

/// Watches a set-up of four backends, which `method` declares and `start` starts in front of them.
#[track_caller]
fn stays_quiet(
    name: &str,
    method: &'static str,
    behaviour: Behaviour,
    start: impl FnOnce(SocketAddr, Vec<SocketAddr>) -> Server,
    load: impl FnOnce(Load<'static>) -> Load<'static>,
) {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends: Vec<_> = (1..=4).map(|n| Backend::start(block.backend(n), behaviour)).collect();
    let all: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    let _balancer = start(block.balancer(1), all.clone());
    let running = watch(Pools::new().chosen_by(method).app(all)).start();
    let outcome = load(Load::on(block.balancer(1)).per_second(PER_SECOND)).run_for(quiet_for());
    assert_eq!(outcome.sent, outcome.answered);
    let ended = running.stop(Signal::SIGTERM);
    let events = ended.events();
    let established = events.last().unwrap()["totals"]["established"].as_u64().unwrap();
    let requests: u64 = backends.iter().map(|backend| backend.report().requests).sum();
    assert!(established > 0 && requests >= outcome.sent, "harness: {established} of {requests}");
    let verdicts = events.iter().filter(|event| event["event"] == "verdict");
    let wrong: Vec<_> = verdicts.filter_map(|event| finding(&event["check"])).collect();
    quiet(name, outcome.took, outcome.sent, &wrong);
}

/// nginx that chooses by this line of its upstream.
#[track_caller]
fn nginx(name: &str, declared: &'static str, method: &'static str, load: fn(Load<'static>) -> Load<'static>) {
    let start = |front, all| Nginx::at(front).servers(all).method(method).start();
    stays_quiet(name, declared, Answer(300), start, load);
}

/// HAProxy that chooses by this `balance`. Its `random` draws points of a ring, of which a small weight has too few for
/// shares to be even.
#[track_caller]
fn haproxy(
    name: &str,
    declared: &'static str,
    method: &'static str,
    load: fn(Load<'static>) -> Load<'static>,
) {
    let start = |front, all: Vec<_>| Haproxy::at(front).servers(all, "weight 256").balance(method).start();
    stays_quiet(name, declared, Answer(300), start, load);
}

fn one_client(load: Load<'static>) -> Load<'static> {
    load
}

fn many_clients(load: Load<'static>) -> Load<'static> {
    load.clients_at(CLIENTS)
}

#[test]
fn nginx_in_turns_stays_quiet() {
    nginx("nginx: round robin", "round-robin", "", one_client);
}

#[test]
fn nginx_with_least_connections_stays_quiet() {
    nginx("nginx: least_conn", "least-connections", "least_conn;", one_client);
}

#[test]
fn nginx_at_random_stays_quiet() {
    nginx("nginx: random", "random", "random;", one_client);
}

#[test]
fn nginx_hashing_many_clients_stays_quiet() {
    nginx("nginx: hash $remote_addr", "hash", "hash $remote_addr;", many_clients);
}

#[test]
fn nginx_with_kept_connections_stays_quiet() {
    let start = |front, all| Nginx::at(front).servers(all).keepalive(16).start();
    let load = |load: Load<'static>| load.threads(8).keep_alive();
    stays_quiet("nginx: round robin, keepalive", "round-robin", KeepAlive(300), start, load);
}

#[test]
fn haproxy_in_turns_stays_quiet() {
    haproxy("HAProxy: roundrobin", "round-robin", "roundrobin", one_client);
}

#[test]
fn haproxy_with_least_connections_stays_quiet() {
    haproxy("HAProxy: leastconn", "least-connections", "leastconn", one_client);
}

#[test]
fn haproxy_at_random_stays_quiet() {
    haproxy("HAProxy: random", "random", "random", one_client);
}

#[test]
fn haproxy_hashing_many_clients_stays_quiet() {
    haproxy("HAProxy: source", "hash", "source", many_clients);
}
