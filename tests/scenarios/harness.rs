//! That the servers, backends and namespaces do what the scenarios take for granted, by the backends' own counts.

use crate::support::address::{Block, mapped};
use crate::support::backend::{Backend, Behaviour::*, Report, refuse, wait_until_closed};
use crate::support::client::Client;
use crate::support::haproxy::Haproxy;
use crate::support::load::{Load, Outcome};
use crate::support::netns::{Fate, Namespace, Network};
use crate::support::nginx::Nginx;
use crate::support::tracer::accepted;
use crate::support::{require_root, turn, wait};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn four(block: Block) -> Vec<Backend> {
    (1..=4).map(|n| Backend::start(block.backend(n), Answer(100))).collect()
}

fn addresses(backends: &[Backend]) -> impl Iterator<Item = std::net::SocketAddr> {
    backends.iter().map(|backend| backend.address)
}

#[track_caller]
fn all_answered(outcome: &Outcome) {
    assert_eq!(outcome.sent, outcome.answered, "{outcome:?}");
}

fn reports(backends: &[Backend]) -> Vec<Report> {
    wait_until_closed(backends);
    backends.iter().map(Backend::report).collect()
}

#[test]
fn nginx_spreads_by_weight() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = four(block);
    let nginx = Nginx::at(block.balancer(1))
        .server(backends[0].address, "weight=10")
        .servers(addresses(&backends[1..]));
    let _nginx = nginx.start();
    let outcome = Load::on(block.balancer(1)).per_second(260).run_for(SECOND);
    all_answered(&outcome);
    assert_eq!(outcome.sent, 260);
    let counts: Vec<_> = reports(&backends).iter().map(|report| report.accepted).collect();
    assert_eq!(counts, [200, 20, 20, 20]);
}

#[test]
fn nginx_of_several_workers_uses_them_and_spreads_evenly() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = four(block);
    let nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).workers(4).start();
    wait::until("four workers", 5 * SECOND, || {
        let workers = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", nginx.pid())).unwrap();
        (workers.split_whitespace().count() == 4).then_some(())
    });
    let outcome = Load::on(block.balancer(1)).per_second(400).run_for(SECOND);
    all_answered(&outcome);
    assert_eq!(accepted(&backends), 400);
    for report in reports(&backends) {
        assert!(report.accepted.abs_diff(100) <= 4, "{report:?}");
    }
}

#[test]
fn nginx_reuses_connections_when_told_to() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends: Vec<_> = (1..=2).map(|n| Backend::start(block.backend(n), KeepAlive(100))).collect();
    let nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).keepalive(16).start();
    all_answered(&Load::on(block.balancer(1)).threads(4).keep_alive().run_for(SECOND));
    drop(nginx);
    let reports = reports(&backends);
    assert_eq!(reports.iter().map(|report| report.requests).sum::<u64>(), 250);
    assert!(reports.iter().map(|report| report.accepted).sum::<u64>() < 50, "{reports:?}");
}

#[test]
fn nginx_connects_to_v4_mapped_addresses() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = four(block);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends).map(mapped)).start();
    all_answered(&Load::on(block.balancer(1)).per_second(100).run_for(SECOND));
    assert_eq!(accepted(&backends), 100);
}

#[test]
fn nginx_in_a_namespace_connects_over_ipv6() {
    require_root();
    let (_turn, block) = (turn::traffic(), Block::new());
    let network = Network::new(block, "");
    let remote: Vec<_> = (1..=4).map(|n| block.remote_v6(n)).collect();
    network.route(remote.iter().copied(), Fate::Local);
    let backends: Vec<_> =
        remote.iter().map(|address| Backend::start_in(&network.router, *address, Answer(100))).collect();
    let _nginx = Nginx::at(block.balancer(1)).servers(remote).within(&network.front).start();
    all_answered(&Load::on(block.balancer(1)).within(&network.front).per_second(100).run_for(SECOND));
    assert_eq!(accepted(&backends), 100);
}

#[test]
fn a_dead_backend_refuses_and_nginx_tries_the_next() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends: Vec<_> = (1..=3).map(|n| Backend::start(block.backend(n), Answer(100))).collect();
    let _dead = refuse(block.backend(4));
    let _nginx = Nginx::at(block.balancer(1))
        .servers(addresses(&backends))
        .server(block.backend(4), "max_fails=0")
        .start();
    all_answered(&Load::on(block.balancer(1)).per_second(200).run_for(SECOND));
    assert_eq!(accepted(&backends), 200);
    assert_eq!(Client::start("probing").ask(format!("empty 3 {}", block.backend(4))), "ECONNREFUSED");
}

#[test]
fn a_black_hole_costs_the_balancer_its_timeout() {
    require_root();
    let (_turn, block) = (turn::traffic(), Block::new());
    let network = Network::new(block, "");
    network.route([block.remote(1)], Fate::Local);
    network.route([block.remote(2)], Fate::BlackHole);
    let backends = [Backend::start_in(&network.router, block.remote(1), Answer(100))];
    let haproxy = Haproxy::at(block.balancer(1)).servers([block.remote(1), block.remote(2)], "");
    let _haproxy = haproxy.within(&network.front).start();
    let load = Load::on(block.balancer(1)).within(&network.front).per_second(40).threads(64);
    let outcome = load.run_for(SECOND);
    all_answered(&outcome);
    assert!(outcome.took > Duration::from_millis(1900), "{outcome:?}");
    assert_eq!(accepted(&backends), 40);
}

#[test]
fn a_router_answers_that_a_host_is_unreachable() {
    require_root();
    let block = Block::new();
    let network = Network::new(block, "");
    network.route([block.remote(1)], Fate::Unreachable);
    let start = Instant::now();
    let answer = Client::start_in(&network.front, "probing").ask(format!("empty 10 {}", block.remote(1)));
    assert_eq!(answer, "EHOSTUNREACH");
    assert!(start.elapsed() < 5 * SECOND, "the first SYN should have its answer: {:?}", start.elapsed());
}

#[test]
fn haproxy_checks_and_leaves_backup_and_drained_servers_alone() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = four(block);
    let _haproxy = Haproxy::at(block.balancer(1))
        .option("option httpchk GET /health")
        .servers(addresses(&backends[..2]), "check inter 100ms")
        .server(backends[2].address, "check inter 100ms backup")
        .server(backends[3].address, "check inter 100ms weight 0")
        .start();
    let outcome = Load::on(block.balancer(1)).per_second(200).run_for(SECOND);
    all_answered(&outcome);
    wait::until("checks reach all", 5 * SECOND, || {
        backends.iter().all(|backend| backend.report().accepted >= 5).then_some(())
    });
    let reports = reports(&backends);
    assert!(reports[0].accepted >= 100 && reports[1].accepted >= 100, "{reports:?}");
    assert!(reports[2].accepted < 50 && reports[3].accepted < 50, "{reports:?}");
}

#[test]
fn haproxy_checks_at_layer_4_without_payload() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = four(block);
    let haproxy = Haproxy::at(block.balancer(1)).servers(addresses(&backends), "check inter 100ms").start();
    all_answered(&Load::on(block.balancer(1)).per_second(200).run_for(SECOND));
    drop(haproxy);
    let reports = reports(&backends);
    println!("{reports:?}");
    assert_eq!(reports.iter().map(|report| report.with_payload).sum::<u64>(), 200);
}

#[test]
fn haproxy_goes_on_after_a_refusal() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends: Vec<_> = (1..=3).map(|n| Backend::start(block.backend(n), Answer(100))).collect();
    let _dead = refuse(block.backend(4));
    let _haproxy = Haproxy::at(block.balancer(1)).servers((1..=4).map(|n| block.backend(n)), "").start();
    all_answered(&Load::on(block.balancer(1)).per_second(200).threads(64).run_for(SECOND));
    assert_eq!(accepted(&backends), 200);
}

#[test]
fn backends_reset_as_they_are_told_to() {
    let block = Block::new();
    let without = Backend::start(block.backend(1), ResetWithoutData);
    let after = Backend::start(block.backend(2), ResetAfterData(50));
    let mut client = Client::start("resetting");
    assert_eq!(client.ask(format!("reset 5 {} 0", without.address)), "ok");
    assert_eq!(client.ask(format!("reset 5 {} 50", after.address)), "ok");
    assert_eq!((without.report().accepted, without.report().sent_bytes), (5, 0));
    assert_eq!((after.report().accepted, after.report().sent_bytes), (5, 250));
}

#[test]
fn sockets_connect_again_and_to_themselves() {
    let block = Block::new();
    let backend = Backend::start(block.backend(1), Hold);
    let _dead = refuse(block.backend(2));
    let mut client = Client::start("trying");
    let (live, dead) = (backend.address, block.backend(2));
    assert_eq!(client.ask(format!("again {dead} {live}")), "ECONNREFUSED");
    assert_eq!(client.ask(format!("unspec {live} {live}")), "ok");
    assert_eq!(client.ask(format!("self {}", block.backend(3))), "ok");
    assert_eq!(client.ask(format!("threads 4 {live}")), "ok");
    assert_eq!(client.ask(format!("linger0 4 {live}")), "ok");
    wait::until("all accepted", 5 * SECOND, || (backend.report().accepted == 11).then_some(()));
}

#[test]
fn nothing_is_left_of_a_scenario_that_panics() {
    require_root();
    let block = Block::new();
    let name = block.name("gone");
    let (listens, backend) = (block.balancer(1), block.backend(1));
    let panicking = std::thread::spawn(move || {
        let _namespace = Namespace::new(block.name("gone"));
        let _backend = Backend::start(backend, Hold);
        let nginx = Nginx::at(listens).servers([backend]).workers(2).start();
        std::panic::panic_any(nginx.pid());
    });
    let pid = *panicking.join().unwrap_err().downcast::<u32>().unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert!(!std::path::Path::new(&format!("/run/netns/{name}")).exists());
    for address in [listens, backend] {
        wait::until("nothing listens", 5 * SECOND, || std::net::TcpStream::connect(address).err());
    }
}

/// The cells of a table in `tests`, row by row.
fn table(name: &str) -> Vec<Vec<String>> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(name);
    let text = std::fs::read_to_string(file).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<_> = rows.map(cells).collect();
    assert!(rows.len() > 15, "harness: {name} is read");
    rows
}

#[track_caller]
fn is_a_test(name: &str) {
    let (file, test) = name.split_once("::").unwrap_or_else(|| panic!("no test: {name}"));
    let scenarios = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let source = std::fs::read_to_string(scenarios.join(format!("{file}.rs"))).unwrap();
    assert!(source.contains(&format!("#[test]\nfn {test}()")), "{name} is no test");
}

/// In `COUNTS.md` nothing was lost or doubled, or it was not run.
#[test]
fn every_fault_in_the_table_is_tried_by_a_test_that_is_there() {
    for row in table("FAULTS.md") {
        is_a_test(row.last().unwrap().trim_matches('`'));
    }
    for row in table("COUNTS.md") {
        let [_, connections, lost, doubled, command] = row.as_slice() else { panic!("five cells: {row:?}") };
        let figures = [connections, lost, doubled].map(String::as_str);
        let is_figure = connections.bytes().all(|byte| byte.is_ascii_digit() || byte == b',');
        assert!(figures == ["not run"; 3] || (is_figure && figures[1..] == ["0", "0"]), "{row:?}");
        let command = command.trim_matches('`');
        match command.strip_prefix("cargo xtask ").and_then(|rest| rest.split(' ').next()) {
            Some(task) => {
                let xtask = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/src");
                assert!(xtask.join(task).join("mod.rs").exists(), "{task} is no task");
            }
            None => {
                let (cargo, test) = command.rsplit_once(' ').unwrap();
                let runs = "cargo test --release -p tracer --test end_to_end -- --nocapture";
                assert!(cargo.ends_with(runs), "{row:?}");
                is_a_test(test);
            }
        }
    }
}
