//! What applications do with sockets, one connection at a time.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour, Behaviour::*, refuse, wait_until_closed};
use crate::support::client::Client;
use crate::support::pools::Pools;
use crate::support::tracer::{Ended, check, check_without_pools};
use crate::support::turn;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

const SECONDS: u64 = 2;

/// Has a client do one thing to a backend (`{}` in the command is its address), traced.
#[track_caller]
fn one(behaviour: Behaviour, command: &str, answer: &str) -> (Ended, Backend) {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), behaviour);
    let mut client = Client::start("e2e-client");
    let running = check(SECONDS, Pools::of([backend.address])).start();
    assert_eq!(client.ask(command.replace("{}", &backend.address.to_string())), answer);
    wait_until_closed([&backend]);
    let ended = running.finish();
    ended.print_uncounted();
    ended.member("app", backend.address).adds_up();
    (ended, backend)
}

#[test]
fn a_close_with_linger_0_is_a_close() {
    let (ended, backend) = one(Hold, "linger0 20 {}", "ok");
    let member = ended.member("app", backend.address);
    member.is("established", 20).is("closed", 20).is("sent_bytes", 200).is("resets", 0).is("probes", 0);
    member.failed_only("", 0);
}

#[test]
fn a_close_with_linger_0_and_no_payload_is_a_probe() {
    let (ended, backend) = one(Hold, "linger0-empty 20 {}", "ok");
    let member = ended.member("app", backend.address);
    member.is("established", 20).is("closed", 20).is("probes", 20).is("resets", 0).failed_only("", 0);
}

#[test]
fn a_reset_without_a_byte_is_told_apart() {
    let (ended, backend) = one(ResetWithoutData, "reset 20 {} 0", "ok");
    let member = ended.member("app", backend.address);
    member.is("established", 20).is("closed", 20).is("resets", 20).is("resets_without_data", 20);
    member.is("sent_bytes", 200).is("received_bytes", 0).is("probes", 0).failed_only("", 0);
}

#[test]
fn a_reset_after_data_is_a_reset() {
    let (ended, backend) = one(ResetAfterData(50), "reset 20 {} 50", "ok");
    let member = ended.member("app", backend.address);
    member.is("established", 20).is("closed", 20).is("resets", 20).is("resets_without_data", 0);
    member.is("sent_bytes", 220).is("received_bytes", 1000).failed_only("", 0);
}

#[test]
fn a_connection_without_payload_is_a_probe() {
    let (ended, backend) = one(Hold, "empty 20 {}", "ok");
    let member = ended.member("app", backend.address);
    member
        .is("established", 20)
        .is("closed", 20)
        .is("probes", 20)
        .is("sent_bytes", 0)
        .is("received_bytes", 0);
}

#[test]
fn a_disconnected_socket_connects_again() {
    let (ended, backend) = one(Hold, "unspec {} {}", "ok");
    assert_eq!(backend.report().accepted, 2);
    let member = ended.member("app", backend.address);
    member.is("attempts", 2).is("established", 2).is("closed", 2).is("sent_bytes", 20).failed_only("", 0);
}

#[test]
fn a_refused_socket_connects_again() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let dead = block.backend(2);
    let _dead = refuse(dead);
    let mut client = Client::start("e2e-client");
    let running = check(SECONDS, Pools::of([backend.address, dead])).start();
    assert_eq!(client.ask(format!("again {dead} {}", backend.address)), "ECONNREFUSED");
    wait_until_closed([&backend]);
    let ended = running.finish();
    ended.print_uncounted();
    ended.member("app", dead).adds_up().is("attempts", 1).is("established", 0).failed_only("refused", 1);
    ended
        .member("app", backend.address)
        .adds_up()
        .is("attempts", 1)
        .is("established", 1)
        .is("sent_bytes", 10);
}

#[test]
fn a_socket_connected_to_itself_counts_once() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let mut client = Client::start("e2e-client");
    let running = check(SECONDS, Pools::of([block.backend(1)])).start();
    assert_eq!(client.ask(format!("self {}", block.backend(1))), "ok");
    let ended = running.finish();
    ended.print_uncounted();
    let member = ended.member("app", block.backend(1)).adds_up();
    member.is("attempts", 1).is("established", 1).is("live", 0).is("closed", 1).failed_only("", 0);
    member.is("sent_bytes", 10).is("received_bytes", 10);
}

#[test]
fn connections_of_another_from_before_are_not_the_balancers() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let _before = std::net::TcpStream::connect(backend.address).unwrap();
    let mut client = Client::start("e2e-client");
    let pools = Pools::new().pool("app", Some("e2e-client"), [(backend.address, String::new())]);
    let running = check(SECONDS, pools).start();
    assert_eq!(client.ask(format!("exchange 5 {}", backend.address)), "ok");
    let ended = running.finish();
    let member = ended.member("app", backend.address).adds_up();
    member.is("attempts", 5).is("established", 5).is("adopted", 0).is("live", 0).is("closed", 5);
}

#[test]
fn live_connections_are_live() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let running = check(SECONDS, Pools::of([backend.address])).start();
    let open: Vec<_> = (0..7).map(|_| std::net::TcpStream::connect(backend.address).unwrap()).collect();
    let ended = running.finish();
    drop(open);
    ended.member("app", backend.address).adds_up().is("established", 7).is("live", 7).is("closed", 0);
    ended.member("app", backend.address).is("probes", 0);
}

/// Traces a client of this name by the addresses of its two backends alone.
#[track_caller]
fn named(name: &[u8], command: &str, json: bool) -> (Ended, SocketAddr) {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = [1, 2].map(|n| Backend::start(block.backend(n), Hold));
    let mut client = Client::start(OsStr::from_bytes(name));
    let tracer = if json {
        check_without_pools(SECONDS)
    } else {
        crate::support::tracer::tracer(["check", "--for", "2s"])
    };
    let running = tracer.argument("--backend").argument(block.network()).start();
    for backend in &backends {
        assert_eq!(client.ask(format!("{command} {}", backend.address)), "ok");
    }
    wait_until_closed(&backends);
    (running.finish(), backends[0].address)
}

/// The only pool that has this backend.
#[track_caller]
fn pool_of(ended: &Ended, address: SocketAddr) -> &serde_json::Value {
    let pools = ended.json["pools"].as_array();
    ended.ensure(pools.is_some(), "a list of pools");
    let has = |pool: &&serde_json::Value| {
        let members = pool["members"].as_array().unwrap();
        members.iter().any(|member| member["backend"] == address.to_string())
    };
    let found: Vec<_> = pools.unwrap().iter().filter(has).collect();
    ended.ensure(found.len() == 1, format!("one pool with {address}, not {}", found.len()));
    found[0]
}

#[test]
fn threads_that_rename_themselves_are_one_balancer() {
    let (ended, address) = named(b"envoy", "threads 8", true);
    let pool = pool_of(&ended, address);
    let balancer = pool["balancer"].as_str().unwrap_or_default();
    ended.ensure(balancer.starts_with("envoy"), "the balancer should be the leader's name");
    ended.ensure(pool["members"][0]["established"] == 8, "eight connections of one balancer to each");
}

/// Quotes, a newline, an escape sequence, a tab and a byte that is not UTF-8.
const HOSTILE: &[u8] = b"\"q'\n\x1b[31m\t\xff\\{}";

#[test]
fn a_hostile_command_name_is_escaped_in_json() {
    let (ended, address) = named(HOSTILE, "exchange 3", true);
    let balancer = pool_of(&ended, address)["balancer"].as_str().unwrap_or_default();
    ended.ensure(balancer.contains("\"q'") && balancer.contains("[31m"), "the name should be recognisable");
    let text = ended.stdout.trim_end().to_owned() + &ended.stderr.replace('\n', "");
    ended.ensure(!text.contains(|it: char| it.is_control() && it != '\n'), "nothing raw should be printed");
}

#[test]
fn a_hostile_command_name_is_escaped_in_text() {
    let (ended, address) = named(HOSTILE, "exchange 3", false);
    ended.ensure(ended.stdout.contains(&address.to_string()), "the backend should be shown");
    let text = ended.stdout.clone() + &ended.stderr;
    ended.ensure(!text.contains(|it: char| it.is_control() && it != '\n'), "no control characters");
    ended.ensure(!text.contains("\"q'\n"), "the name's newline should be escaped");
}
