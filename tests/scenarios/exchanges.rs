//! Exchanges, compared with the requests that the backends counted: to the last one, in every way to send and to read.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour, Report, wait_until_closed};
use crate::support::bpf::{self, Object};
use crate::support::client::Client;
use crate::support::exchanges::{equal_requests, measure, way};
use crate::support::haproxy::Haproxy;
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{check_until_told, watch};
use crate::support::{turn, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(40);
/// More than a socket's buffers hold at first.
const LARGE: usize = 300_000;

fn backends(block: Block, count: u8, behaviour: Behaviour) -> Vec<Backend> {
    (1..=count).map(|n| Backend::start(block.backend(n), behaviour)).collect()
}

fn addresses(backends: &[Backend]) -> impl Iterator<Item = SocketAddr> {
    backends.iter().map(|backend| backend.address)
}

/// A figure of each backend.
fn each(backends: &[Backend], figure: impl Fn(Report) -> u64) -> Vec<u64> {
    backends.iter().map(|backend| figure(backend.report())).collect()
}

/// Has a client do things on so many connections to `target`, and end them.
#[track_caller]
fn client_does(connections: usize, target: SocketAddr, commands: &[&str]) {
    let mut client = Client::start("requests");
    assert_eq!(client.ask(format!("open {connections} {target}")), "ok");
    for command in commands {
        assert_eq!(client.ask(command), "ok", "{command}");
    }
    assert_eq!(client.ask("shut"), "ok");
}

#[test]
fn every_request_on_a_kept_connection_is_an_exchange() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 3, Behaviour::KeepAlive(300));
    let running = measure(Pools::of_backends(&backends)).start();
    for (backend, (connections, requests)) in backends.iter().zip([(50, 1), (5, 100), (1, 10_000)]) {
        client_does(connections, backend.address, &[&format!("requests {requests}")]);
    }
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGINT);
    ended.equals(&backends);
    equal_requests(&ended, &backends);
    let counts = each(&backends, |report| report.requests);
    assert_eq!(counts, [50, 500, 10_000], "harness: as many as were sent");
}

#[test]
fn a_request_is_one_exchange_however_it_is_sent() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 4, Behaviour::KeepAlive(300));
    let running = measure(Pools::of_backends(&backends)).start();
    let ways = ["in-pieces 30".to_owned()]
        .into_iter()
        .chain(["write", "sendfile", "splice"].map(|way| format!("upload-by {way} {LARGE}")));
    for (backend, way) in backends.iter().zip(ways) {
        client_does(3, backend.address, &[&way, &way]);
    }
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGINT);
    equal_requests(&ended, &backends);
    assert_eq!(each(&backends, |report| report.requests), [6; 4], "harness: as many as were sent");
}

#[test]
fn a_response_ends_an_exchange_when_it_is_read_and_not_when_it_is_looked_for() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let mut backends = backends(block, 2, Behaviour::KeepAlive(LARGE));
    let silent = Backend::start(block.backend(3), Behaviour::CloseUnanswered);
    let pools = Pools::of(addresses(&backends).chain([silent.address]));
    let running = measure(pools).start();
    client_does(3, backends[0].address, &["peeked", "peeked", "requests 1"]);
    client_does(3, backends[1].address, &["spliced", "spliced", "requests 1"]);
    client_does(3, silent.address, &["unanswered"]);
    backends.push(silent);
    wait_until_closed(&backends);
    let silent = backends.pop().unwrap();
    let ended = running.stop(Signal::SIGINT);
    equal_requests(&ended, &backends);
    assert_eq!(each(&backends, |report| report.requests), [9; 2], "harness: as many as were sent");
    assert_eq!(silent.report().requests, 3, "harness: as many as were sent");
    ended.member("app", silent.address).is("exchanges", 0);
}

#[test]
fn nginx_with_kept_connections_and_sendfile_is_counted_to_the_last_request() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 2, Behaviour::KeepAlive(LARGE));
    // What does not fit into a kilobyte goes to a file, and from there to the backend by sendfile(2).
    let nginx = Nginx::at(block.balancer(1))
        .servers(addresses(&backends))
        .keepalive(8)
        .option("sendfile on;")
        .option("client_body_buffer_size 1k;")
        .option("client_max_body_size 10m;")
        .start();
    let running = measure(Pools::of_backends(&backends)).start();
    Load::on(block.balancer(1)).per_second(50).keep_alive().threads(4).run_for(Duration::from_secs(3));
    let upload = format!("upload-by write {LARGE}");
    client_does(4, block.balancer(1), &[&upload, &upload, &upload]);
    drop(nginx);
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGINT);
    equal_requests(&ended, &backends);
    let requests: u64 = each(&backends, |report| report.requests).iter().sum();
    let accepted: u64 = each(&backends, |report| report.accepted).iter().sum();
    assert!(requests > 10 * accepted, "harness: {requests} requests on {accepted} connections");
}

#[test]
fn haproxy_that_splices_is_counted_to_the_last_request() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 2, Behaviour::KeepAlive(LARGE));
    let splices = |haproxy: Haproxy<'static>| {
        haproxy.option("option splice-auto").option("option splice-request").option("option splice-response")
    };
    let to = |n: u8, backend: &Backend| Haproxy::at(block.balancer(n)).server(backend.address, "");
    let tunnel = splices(to(1, &backends[0]).tcp()).start();
    let http = splices(to(2, &backends[1])).start();
    let running = measure(Pools::of_backends(&backends)).start();
    let upload = format!("upload-by write {LARGE}");
    client_does(3, block.balancer(1), &["requests 20", &upload, "requests 1", &upload]);
    for _ in 0..10 {
        client_does(2, block.balancer(2), &["requests 1"]);
        client_does(2, block.balancer(2), &[&upload]);
    }
    drop((tunnel, http));
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGINT);
    equal_requests(&ended, &backends);
    assert_eq!(each(&backends, |report| report.requests), [69, 40], "harness: as many as were sent");
}

/// nginx with kept connections to a server that takes this version of TLS only: what it counts for each handshake.
#[track_caller]
fn exchanges_of_a_handshake(version: &'static str) -> u64 {
    let (_turn, block, behind) = (turn::traffic(), Block::new(), Block::new());
    let backend = Backend::start(behind.backend(1), Behaviour::KeepAlive(300));
    let address = block.backend(1);
    let _server = Haproxy::at(address).server(backend.address, "").tcp().tls(version).start();
    let nginx = Nginx::at(block.balancer(1)).server(address, "").keepalive(8).over_tls().start();
    let running = measure(Pools::of([address])).start();
    Load::on(block.balancer(1)).keep_alive().threads(4).run_for(Duration::from_secs(2));
    drop(nginx);
    wait_until_closed([&backend]);
    let ended = running.stop(Signal::SIGINT);
    let (member, report) = (ended.member("app", address), backend.report());
    let (exchanges, connections) = (member.count("exchanges"), member.count("established"));
    println!("{version}: {report:?}, {connections} connections, {exchanges} exchanges");
    assert!(connections > 0 && report.requests > connections, "harness: some on each");
    let of_handshakes = exchanges - report.requests;
    assert_eq!(of_handshakes % connections, 0, "the same for each of {connections}: {of_handshakes}");
    of_handshakes / connections
}

#[test]
fn a_handshake_of_tls_1_3_is_one_exchange_more() {
    assert_eq!(exchanges_of_a_handshake("TLSv1.3"), 1);
}

#[test]
fn a_handshake_of_tls_1_2_is_two_exchanges_more() {
    assert_eq!(exchanges_of_a_handshake("TLSv1.2"), 2);
}

#[test]
fn the_response_time_is_what_the_backend_takes() {
    let (_turn, block) = (turn::traffic(), Block::new());
    // Just above a bucket's lower bound (50.3 ms), so that what is in it did not take less than 50 ms.
    let late = Duration::from_millis(51);
    let backends = backends(block, 1, Behaviour::Late(late));
    let nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).keepalive(4).start();
    let running = measure(Pools::of_backends(&backends)).start();
    let mut client = Client::start("requests");
    assert_eq!(client.ask(format!("open 1 {}", block.balancer(1))), "ok");
    let mut seen: Vec<Duration> = (0..21)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(client.ask("requests 1"), "ok");
            begun.elapsed()
        })
        .collect();
    seen.sort();
    drop(nginx);
    drop(client);
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGINT);
    equal_requests(&ended, &backends);
    let members = ended.pool("app")["members"].as_array().unwrap();
    let quantile = |name: &str| members[0]["response_seconds"][name].as_f64().unwrap_or(f64::NAN);
    println!("response {}; the client saw {:?} to {:?}", members[0]["response_seconds"], seen[0], seen[20]);
    // The client waits for nginx as well; a histogram's quantile is off by a quarter at most.
    let most = |seen: Duration| 1.25 * seen.as_secs_f64();
    ended.ensure(quantile("p50") >= 0.05 && quantile("p50") <= most(seen[10]), "the median response time");
    ended.ensure(quantile("p99") >= 0.05 && quantile("p99") <= most(seen[20]), "the longest response times");
}

#[test]
fn on_a_connection_from_before_the_first_send_begins_the_first_exchange() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 1, Behaviour::KeepAlive(300));
    let mut client = Client::start("requests");
    assert_eq!(client.ask(format!("open 4 {}", backends[0].address)), "ok");
    assert_eq!(client.ask("requests 10"), "ok");
    let running = measure(Pools::of_backends(&backends)).start();
    assert_eq!(client.ask("requests 25"), "ok");
    let ended = running.stop(Signal::SIGINT);
    ended.print_uncounted();
    ended.member("app", backends[0].address).is("adopted", 4).is("exchanges", 100);
}

#[test]
fn without_measuring_exchanges_are_unknown_and_no_program_for_them_is_loaded() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 2, Behaviour::KeepAlive(300));
    let programs = |option: &str| {
        let running =
            check_until_told(Pools::of_backends(&backends)).arguments(&["--exchanges", option]).start();
        client_does(2, backends[0].address, &["requests 3"]);
        let held = bpf::held_by(running.pid());
        let ended = running.stop(Signal::SIGINT);
        let programs = held.iter().filter(|object| matches!(object, Object::Program(_))).count();
        (programs, ended)
    };
    let (with, _) = programs(way());
    let (without, ended) = programs("off");
    assert!(without < with, "{without} programs, {with} when measuring");
    for member in ended.pool("app")["members"].as_array().unwrap() {
        ended.ensure(member["exchanges"].is_null() && member["response_seconds"].is_null(), "unknown");
    }
}

/// Of every interval that was recorded up to now, the exchanges of all members; `None`: not measured.
fn recorded(samples: &Path) -> Vec<Option<u64>> {
    let text = std::fs::read_to_string(samples).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = complete.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let intervals = lines.filter(|line| line["schema"] == "tracer.sample/1");
    let count = |interval: Value| {
        let pools = interval["pools"].as_array().unwrap();
        let members = pools.iter().flat_map(|pool| pool["members"].as_array().unwrap());
        members.map(|member| member["exchanges"].as_u64()).sum()
    };
    intervals.map(count).collect()
}

#[test]
fn watch_measures_once_connections_are_reused_and_counts_from_then_on() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 2, Behaviour::KeepAlive(300));
    let directory = tempfile::tempdir().unwrap();
    let samples = directory.path().join("samples.jsonl");
    let running = watch(Pools::of_backends(&backends)).argument("--samples").argument(&samples).start();
    if way() != "auto" {
        Load::on(backends[0].address).keep_alive().threads(4).run_for(Duration::from_secs(6));
        assert!(recorded(&samples).iter().all(Option::is_none), "unknown");
        let ended = running.stop(Signal::SIGTERM);
        ended.ensure(ended.stderr.contains("`--exchanges on` measures them in another way"), "said so");
        return;
    }
    // A connection for each request: nothing to measure.
    let _once = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    Load::on(block.balancer(1)).run_for(Duration::from_secs(5));
    let before = recorded(&samples);
    assert!(before.len() >= 4 && before.iter().all(Option::is_none), "unknown, and not zero: {before:?}");
    let kept = Nginx::at(block.balancer(2)).servers(addresses(&backends)).keepalive(8).start();
    let measured = || recorded(&samples).last().copied().flatten().map(|_| ());
    Load::on(block.balancer(2)).keep_alive().threads(4).run_while(|| {
        wait::until("exchanges are measured", SOON, measured);
    });
    let quiet = || (recorded(&samples).last() == Some(&Some(0))).then_some(());
    wait::until("an interval without any", SOON, quiet);
    let sums = || {
        let requests: u64 = each(&backends, |report| report.requests).iter().sum();
        (requests, recorded(&samples).into_iter().flatten().sum::<u64>())
    };
    let (requests, exchanges) = sums();
    Load::on(block.balancer(2)).keep_alive().threads(4).run_for(Duration::from_secs(3));
    wait::until("an interval without any", SOON, quiet);
    let held = bpf::held_by(running.pid());
    let ended = running.stop(Signal::SIGTERM);
    let left = || held.iter().all(|object| !bpf::exists(*object)).then_some(());
    wait::until("nothing is left in the kernel", SOON, left);
    drop(kept);
    let (requests_in_all, exchanges_in_all) = sums();
    assert_eq!(exchanges_in_all - exchanges, requests_in_all - requests, "counted to the last from then on");
    ended.ensure(ended.stderr.contains("measuring exchanges from now on: app reuses connections"), "said so");
}
