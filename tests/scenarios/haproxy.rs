//! HAProxy as the balancer: failures it waits out, and checks of its own.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::*, refuse, wait_until_closed};
use crate::support::haproxy::Haproxy;
use crate::support::load::Load;
use crate::support::netns::{Fate, Network};
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{Ended, check};
use crate::support::{require_root, turn};
use std::net::SocketAddr;
use std::time::Duration;

const SECONDS: u64 = 9;
const TRAFFIC: Duration = Duration::from_millis(7500);
/// What a timeout of a second takes at the end of the traffic has to be over, too.
const TRAFFIC_WITH_TIMEOUTS: Duration = Duration::from_millis(5500);

fn backends(block: Block, count: u8) -> Vec<Backend> {
    (1..=count).map(|n| Backend::start(block.backend(n), Answer(300))).collect()
}

fn addresses(backends: &[Backend]) -> impl Iterator<Item = SocketAddr> {
    backends.iter().map(|backend| backend.address)
}

#[test]
fn a_dead_server_is_failing_because_it_refuses() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 3);
    let dead = block.backend(4);
    let _dead = refuse(dead);
    let all: Vec<_> = addresses(&backends).chain([dead]).collect();
    let _haproxy = Haproxy::at(block.balancer(1)).servers(all.iter().copied(), "").start();
    let running = check(SECONDS, Pools::of(all)).start();
    Load::on(block.balancer(1)).threads(64).run_for(TRAFFIC_WITH_TIMEOUTS);
    wait_until_closed(&backends);
    let ended = running.finish();
    ended.equals(&backends).says(1, "backend-failing");
    let member = ended.member("app", dead).finds("failing").adds_up().is("established", 0);
    member.failed_only("refused", member.count("attempts"));
}

/// Four servers behind a router, of which it swallows packets to some; HAProxy gives up after a second.
#[track_caller]
fn behind_a_router(local: u8, fate: Fate, per_second: u32) -> (Ended, Vec<Backend>, Vec<SocketAddr>) {
    require_root();
    let block = Block::new();
    let network = Network::new(block, "");
    let all: Vec<_> = (1..=4).map(|n| block.remote(n)).collect();
    let (here, gone) = all.split_at(local.into());
    network.route(here.iter().copied(), Fate::Local);
    network.route(gone.iter().copied(), fate);
    let start = |address: &SocketAddr| Backend::start_in(&network.router, *address, Answer(300));
    let backends: Vec<_> = here.iter().map(start).collect();
    let haproxy = Haproxy::at(block.balancer(1)).servers(all.iter().copied(), "").within(&network.front);
    let haproxy = haproxy.start();
    let running = check(SECONDS, Pools::of(all.iter().copied())).start();
    let load = Load::on(block.balancer(1)).within(&network.front).per_second(per_second).threads(160);
    load.run_for(TRAFFIC_WITH_TIMEOUTS);
    wait_until_closed(&backends);
    let ended = running.finish();
    drop(haproxy);
    (ended, backends, gone.to_vec())
}

#[test]
fn a_black_hole_is_failing_because_haproxy_gives_up() {
    let _turn = turn::traffic();
    let (ended, backends, gone) = behind_a_router(3, Fate::BlackHole, 200);
    ended.equals(&backends).says(1, "backend-failing");
    let member = ended.member("app", gone[0]).finds("failing").adds_up().is("established", 0);
    ended.ensure(member.count("attempts") > 100, "HAProxy should go on trying");
    member.failed_only("cancelled", member.count("attempts"));
}

#[test]
fn black_holes_everywhere_are_the_whole_pool_failing() {
    let _turn = turn::traffic();
    let (ended, backends, gone) = behind_a_router(0, Fate::BlackHole, 50);
    ended.equals(&backends).says(1, "pool-failing");
    for address in gone {
        let member = ended.member("app", address).adds_up().is("established", 0);
        member.failed_only("cancelled", member.count("attempts"));
    }
}

#[test]
fn icmp_from_a_router_is_unreachable() {
    let _turn = turn::traffic();
    let (ended, backends, gone) = behind_a_router(3, Fate::Unreachable, 200);
    ended.equals(&backends).says(1, "backend-failing");
    let member = ended.member("app", gone[0]).finds("failing").adds_up().is("established", 0);
    // ICMP ends all that wait at once, in a timer, on a CPU that may be in another tool's bpf(2) call, which hides it.
    // Each is then counted when HAProxy closes the socket; its cause is no longer known, and how many is told.
    let made_up_for = member.failed("other");
    ended.ensure(made_up_for <= ended.recursion_misses(), "only what was hidden has no cause");
    ended.ensure(
        member.failed("unreachable") + made_up_for == member.count("attempts"),
        "every attempt is unreachable",
    );
}

#[test]
fn checks_at_layer_4_are_probes_and_stay_out_of_the_shares() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 4);
    let haproxy = Haproxy::at(block.balancer(1))
        .server(backends[0].address, "check inter 20ms")
        .servers(addresses(&backends[1..]), "check inter 1s")
        .start();
    let running = check(SECONDS, Pools::of_backends(&backends)).start();
    Load::on(block.balancer(1)).run_for(TRAFFIC);
    drop(haproxy);
    wait_until_closed(&backends);
    let ended = running.finish();
    ended.print_uncounted();
    for backend in &backends {
        let (member, report) = (ended.member("app", backend.address), backend.report());
        println!("{}: {report:?}, probes {}", backend.address, member.count("probes"));
        ended.ensure(member.count("probes") >= 4, format!("{}: probes", backend.address));
        // A check is over before `accept` knows: those with payload are what can be compared.
        member.adds_up().is("established", report.with_payload + member.count("probes"));
        member.is("sent_bytes", report.received_bytes).is("received_bytes", report.sent_bytes);
    }
    ended.says(0, "balanced");
}

#[test]
fn a_backup_and_a_drained_server_that_get_only_checks_are_as_they_should_be() {
    for kind in ["", "option httpchk GET /health"] {
        let pools = Pools::new();
        let pools = if kind.is_empty() { pools } else { pools.checked_every("500ms") };
        let (_turn, block) = (turn::traffic(), Block::new());
        let backends = backends(block, 4);
        let [first, second, backup, drained] = [0, 1, 2, 3].map(|at: usize| backends[at].address);
        let haproxy = Haproxy::at(block.balancer(1))
            .option(kind)
            .servers([first, second], "check inter 500ms")
            .server(backup, "check inter 500ms backup")
            .server(drained, "check inter 500ms weight 0")
            .start();
        let members = [(first, ""), (second, ""), (backup, "backup = true"), (drained, "drain = true")];
        let members = members.map(|(address, more)| (address, more.to_owned()));
        let running = check(SECONDS, pools.pool("app", None, members)).start();
        Load::on(block.balancer(1)).run_for(TRAFFIC);
        // Its checks end, too: a connect between the last sweep and the reading of the counters is in no sum.
        drop(haproxy);
        wait_until_closed(&backends);
        let ended = running.finish();
        println!("checks: {}", if kind.is_empty() { "layer 4" } else { kind });
        for backend in &backends {
            println!("{}: {:?}", backend.address, backend.report());
            ended.member("app", backend.address).adds_up().finds("");
        }
        ended.says(0, "balanced");
    }
}

#[test]
fn checks_over_http_are_counted_as_the_backends_accept_them() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 4);
    let haproxy = Haproxy::at(block.balancer(1))
        .option("option httpchk GET /health")
        .servers(addresses(&backends), "check inter 200ms");
    let members = addresses(&backends).map(|address| (address, String::new()));
    let pools = Pools::new().checked_every("200ms").pool("app", None, members);
    let running = check(SECONDS, pools).start();
    let haproxy = haproxy.start();
    Load::on(block.balancer(1)).run_for(TRAFFIC_WITH_TIMEOUTS);
    drop(haproxy);
    wait_until_closed(&backends);
    running.finish().equals_in_connections(&backends).says(0, "balanced");
}

#[test]
fn two_balancers_to_the_same_backends_are_two_pools() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 4);
    let guilty = backends[0].address;
    let _haproxy = Haproxy::at(block.balancer(1)).servers(addresses(&backends), "").start();
    let _nginx =
        Nginx::at(block.balancer(2)).server(guilty, "weight=10").servers(addresses(&backends[1..])).start();
    let members = || addresses(&backends).map(|address| (address, String::new()));
    let pools = Pools::new().pool("good", Some("haproxy"), members()).pool("bad", Some("nginx"), members());
    let running = check(SECONDS, pools).start();
    let (good, bad) = std::thread::scope(|scope| {
        let good = scope.spawn(|| Load::on(block.balancer(1)).run_for(TRAFFIC));
        let bad = Load::on(block.balancer(2)).run_for(TRAFFIC);
        (good.join().unwrap(), bad)
    });
    wait_until_closed(&backends);
    let ended = running.finish();
    ended.print_uncounted();
    for (pool, outcome, verdict) in [("good", good, "balanced"), ("bad", bad, "skewed")] {
        let established: u64 = addresses(&backends)
            .map(|address| ended.member(pool, address).adds_up().count("established"))
            .sum();
        ended.ensure(established == outcome.sent, format!("{pool}: {established} of {}", outcome.sent));
        ended.says_of(pool, verdict);
    }
    for backend in &backends {
        let both: u64 =
            ["good", "bad"].map(|pool| ended.member(pool, backend.address).count("established")).iter().sum();
        ended.ensure(both == backend.report().accepted, format!("{}: {both}", backend.address));
    }
    ended.exits(1);
}
