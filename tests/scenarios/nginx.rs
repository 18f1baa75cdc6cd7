//! nginx as the balancer.

use crate::support::address::{Block, mapped};
use crate::support::backend::{Backend, Behaviour::*, refuse, wait_until_closed};
use crate::support::load::Load;
use crate::support::netns::{Fate, Network};
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{Ended, Tracer, accepted, check, check_everything};
use crate::support::{require_root, turn};
use std::net::SocketAddr;
use std::time::Duration;

/// How long a verdict takes at most, and the traffic within.
const SECONDS: u64 = 9;
const TRAFFIC: Duration = Duration::from_millis(7500);
/// The same, where only counts matter.
const FEW_SECONDS: u64 = 6;
const SOME_TRAFFIC: Duration = Duration::from_millis(2500);

fn backends(block: Block, count: u8) -> Vec<Backend> {
    (1..=count).map(|n| Backend::start(block.backend(n), Answer(300))).collect()
}

fn addresses(backends: &[Backend]) -> impl Iterator<Item = SocketAddr> {
    backends.iter().map(|backend| backend.address)
}

/// Starts the tracer, then the traffic through `balancer`, at 200 connections a second and more; waits for both.
#[track_caller]
fn trace(tracer: Tracer, balancer: SocketAddr, backends: &[Backend]) -> Ended {
    let running = tracer.start();
    let outcome = Load::on(balancer).run_for(TRAFFIC);
    assert_eq!(outcome.sent, outcome.answered);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
    let rate = outcome.sent as f64 / outcome.took.as_secs_f64();
    assert!(rate >= 200.0, "harness: only {rate} connections/s");
    wait_until_closed(backends);
    running.finish()
}

#[test]
fn a_weight_typo_is_skewed_and_names_the_member() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 4);
    let nginx = Nginx::at(block.balancer(1))
        .server(backends[0].address, "weight=10")
        .servers(addresses(&backends[1..]));
    let _nginx = nginx.start();
    let tracer = check_everything(SECONDS, Pools::of_backends(&backends));
    let ended = trace(tracer, block.balancer(1), &backends);
    // Without a filter the verdict on top is on everything that goes on here.
    ended.equals(&backends).says_of("app", "skewed").exits(1);
    let guilty = backends[0].address;
    ended.member("app", guilty).finds("over").interval_contains(10.0 / 13.0);
    let summary = ended.pool("app")["summary"].as_str().unwrap_or_default();
    ended.ensure(summary.contains(&guilty.to_string()), "the summary should name the member");
}

#[test]
fn equal_weights_are_balanced() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 4);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let ended = trace(check(SECONDS, Pools::of_backends(&backends)), block.balancer(1), &backends);
    ended.equals(&backends).says(0, "balanced");
    for backend in &backends {
        ended.member("app", backend.address).finds("").interval_contains(0.25);
    }
}

#[test]
fn several_workers_are_one_balancer_and_balanced() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 4);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).workers(4).start();
    let ended = trace(check(SECONDS, Pools::of_backends(&backends)), block.balancer(1), &backends);
    ended.equals(&backends).says(0, "balanced");
}

#[test]
fn v4_mapped_addresses_are_their_ipv4_addresses() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 4);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends).map(mapped)).start();
    let ended = trace(check(SECONDS, Pools::of_backends(&backends)), block.balancer(1), &backends);
    ended.equals(&backends).says(0, "balanced");
}

#[test]
fn ipv6_in_a_namespace_is_counted_and_balanced() {
    require_root();
    let (_turn, block) = (turn::traffic(), Block::new());
    let network = Network::new(block, "");
    let remote: Vec<_> = (1..=4).map(|n| block.remote_v6(n)).collect();
    network.route(remote.iter().copied(), Fate::Local);
    let start = |address: &SocketAddr| Backend::start_in(&network.router, *address, Answer(300));
    let backends: Vec<_> = remote.iter().map(start).collect();
    let _nginx = Nginx::at(block.balancer(1)).servers(remote).within(&network.front).start();
    let running = check(SECONDS, Pools::of_backends(&backends)).start();
    Load::on(block.balancer(1)).within(&network.front).run_for(TRAFFIC);
    wait_until_closed(&backends);
    running.finish().equals(&backends).says(0, "balanced");
}

#[test]
fn a_member_that_refuses_is_failing() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 3);
    let dead = block.backend(4);
    let _dead = refuse(dead);
    let _nginx =
        Nginx::at(block.balancer(1)).servers(addresses(&backends)).server(dead, "max_fails=0").start();
    let pools = Pools::of(addresses(&backends).chain([dead]));
    let ended = trace(check(SECONDS, pools), block.balancer(1), &backends);
    ended.equals(&backends).says(1, "backend-failing");
    let member = ended.member("app", dead).finds("failing").adds_up().is("established", 0);
    ended.ensure(member.count("attempts") > 300, "nginx should go on trying");
    member.failed_only("refused", member.count("attempts"));
}

/// With nginx's defaults (`max_fails=1 fail_timeout=10s`) one refusal leaves a member out for ten seconds: all that is
/// ever seen of a stopped backend is a refusal now and then.
#[test]
fn a_member_that_refuses_and_is_left_out_is_failing() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 3);
    let dead = block.backend(4);
    let _dead = refuse(dead);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).server(dead, "").start();
    let running = check(16, Pools::of(addresses(&backends).chain([dead]))).start();
    Load::on(block.balancer(1)).run_for(Duration::from_secs(14));
    wait_until_closed(&backends);
    let ended = running.finish();
    ended.equals(&backends).says(1, "backend-failing");
    let member = ended.member("app", dead).finds("failing");
    ended.ensure(member.count("attempts") <= 3, "nginx should leave it out");
    member.failed_only("refused", member.count("attempts"));
}

#[test]
fn a_member_that_is_not_in_the_configuration_is_missing() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 4);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends[..3])).start();
    let ended = trace(check(SECONDS, Pools::of_backends(&backends)), block.balancer(1), &backends);
    ended.equals(&backends).says(1, "member-missing");
    ended.member("app", backends[3].address).finds("missing").is("attempts", 0);
}

#[test]
fn a_backend_that_was_not_declared_is_unexpected() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 4);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let pools = Pools::of_backends(&backends[..3]);
    let ended = trace(check(SECONDS, pools), block.balancer(1), &backends);
    ended.says(1, "unexpected-backend").equals(&backends);
    ended.member("app", backends[3].address).finds("unexpected");
}

#[test]
fn reused_connections_count_once() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends: Vec<_> = (1..=4).map(|n| Backend::start(block.backend(n), KeepAlive(300))).collect();
    let nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).keepalive(16);
    let nginx = nginx.start();
    let running = check(FEW_SECONDS, Pools::of_backends(&backends)).start();
    Load::on(block.balancer(1)).threads(4).keep_alive().run_for(SOME_TRAFFIC);
    let live: u64 = backends.iter().map(|backend| backend.report().accepted - backend.report().closed).sum();
    assert!(live > 0, "harness: nginx should keep connections");
    let ended = running.finish();
    drop(nginx);
    ended.print_uncounted();
    for backend in &backends {
        let (member, report) = (ended.member("app", backend.address), backend.report());
        println!("{}: {report:?}", backend.address);
        member.adds_up().is("established", report.accepted).is("live", report.accepted);
        member.is("sent_bytes", report.received_bytes).is("received_bytes", report.sent_bytes);
    }
}

#[test]
fn the_same_addresses_in_two_namespaces_are_two_balancers() {
    require_root();
    let (_turn, block) = (turn::traffic(), Block::new());
    let remote: Vec<_> = (1..=4).map(|n| block.remote(n)).collect();
    let networks = ["a", "b"].map(|name| Network::new(block, name));
    let [here, there] = networks.each_ref().map(|network| {
        network.route(remote.iter().copied(), Fate::Local);
        let start = |address: &SocketAddr| Backend::start_in(&network.router, *address, Answer(300));
        remote.iter().map(start).collect::<Vec<_>>()
    });
    let _nginxes = networks.each_ref().map(|network| {
        Nginx::at(block.balancer(1)).servers(remote.iter().copied()).within(&network.front).start()
    });
    let mut of_one = check(SECONDS, Pools::of(remote.iter().copied()))
        .argument("--netns")
        .argument(networks[0].front.path())
        .start();
    let mut of_both = check(SECONDS, Pools::of(remote.iter().copied())).start();
    for (network, per_second) in networks.iter().zip([100, 140]) {
        let load = Load::on(block.balancer(1)).per_second(per_second).within(&network.front);
        load.run_for(SOME_TRAFFIC / 2);
    }
    wait_until_closed(here.iter().chain(&there));
    of_one.traffic_is_over();
    of_both.traffic_is_over();
    let (of_one, of_both) = (of_one.finish(), of_both.finish());
    of_one.equals(&here);
    let established = |pool: &&serde_json::Value| -> u64 {
        pool["members"].as_array().unwrap().iter().map(|member| member["established"].as_u64().unwrap()).sum()
    };
    let mut counted: Vec<_> = of_both.pools("app").iter().map(established).collect();
    counted.sort_unstable();
    let mut seen = [accepted(&here), accepted(&there)];
    seen.sort_unstable();
    of_both.ensure(counted == seen, format!("two pools of {seen:?} connections, not {counted:?}"));
}
