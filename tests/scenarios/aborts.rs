//! Clients that go away while the balancer still connects, and a balancer that gives up: `cancelled`, both of them, and
//! told apart by how long the balancer had waited.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::*, wait_until_closed};
use crate::support::load::Load;
use crate::support::netns::{Fate, Network};
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::slow_path::SlowPath;
use crate::support::tracer::{Ended, check};
use crate::support::turn;
use std::net::SocketAddr;
use std::time::Duration;

const SECONDS: u64 = 14;
const TRAFFIC: Duration = Duration::from_millis(10_500);
/// A handshake with the member that is far away.
const HANDSHAKE: Duration = Duration::from_millis(150);
/// Less than that, and much less than the second after which nginx gives up.
const PATIENCE: Duration = Duration::from_millis(60);

/// Three members near by, or two and a black hole, and last one far away; every fifth client soon goes away.
#[track_caller]
fn with_impatient_clients(black_hole: bool) -> (Ended, Vec<Backend>, Vec<SocketAddr>) {
    let block = Block::new();
    let network = Network::new(block, "");
    let all: Vec<_> = (1..=4).map(|n| block.remote(n)).collect();
    let near = if black_hole { 2 } else { 3 };
    network.route(all[..near].iter().copied(), Fate::Local);
    network.route(all[near..3].iter().copied(), Fate::BlackHole);
    let slow = SlowPath::new(block, &network, [all[3]], HANDSHAKE);
    let mut backends: Vec<_> =
        all[..near].iter().map(|it| Backend::start_in(&network.router, *it, Answer(300))).collect();
    backends.push(Backend::start_in(&slow.far, all[3], Answer(300)));
    let nginx =
        all.iter().fold(Nginx::at(block.balancer(1)), |it, address| it.server(*address, "max_fails=0"));
    let nginx = nginx.within(&network.front).start();
    let running = check(SECONDS, Pools::of(all.iter().copied())).start();
    let load = Load::on(block.balancer(1)).within(&network.front).threads(100);
    std::thread::scope(|scope| {
        scope.spawn(|| load.per_second(50).patience(PATIENCE).run_for(TRAFFIC));
        load.per_second(200).run_for(TRAFFIC);
    });
    wait_until_closed(&backends);
    let ended = running.finish();
    println!("{}", ended.pool("app")["summary"]);
    drop(nginx);
    (ended, backends, all)
}

#[test]
fn clients_that_go_away_are_no_fault_of_the_backend() {
    let _turn = turn::traffic();
    let (ended, backends, all) = with_impatient_clients(false);
    // It is slow, far away as it is; it does not fail.
    ended.equals_in_connections(&backends).says(1, "backend-slow");
    let far = ended.member("app", all[3]).finds("slow");
    far.failed_only("cancelled", far.count("attempts") - far.count("established"));
    ended.ensure(far.failed("cancelled") > 40, "clients should have gone away");
}

#[test]
fn a_backend_that_nginx_gives_up_on_fails_and_one_that_clients_give_up_on_does_not() {
    let _turn = turn::traffic();
    let (ended, backends, all) = with_impatient_clients(true);
    ended.equals_in_connections(&backends).says(1, "backend-failing");
    let silent = ended.member("app", all[2]).adds_up().finds("failing").is("established", 0);
    silent.failed_only("cancelled", silent.count("attempts"));
    let far = ended.member("app", all[3]).finds("slow");
    far.failed_only("cancelled", far.count("attempts") - far.count("established"));
    ended.ensure(far.failed("cancelled") > 40, "clients should have gone away");
    let summary = ended.pool("app")["summary"].as_str().unwrap_or_default();
    ended.ensure(summary.contains("1.0 s"), "the balancer's own timeout should be told");
}
