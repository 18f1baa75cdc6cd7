//! Every fault, made to happen with a real balancer: the right verdict and the right member, in time. A misconfiguration
//! counts from the start of `check`; what happens to a pool that was right, from then on, as `watch` tells it.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour, Behaviour::*};
use crate::support::exchanges::way;
use crate::support::haproxy::Haproxy;
use crate::support::load::Load;
use crate::support::measured::{PER_SECOND, Told, fault, finding};
use crate::support::netns::{Fate, Network};
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{Tracer, check_until_certain, watch};
use crate::support::turn::{self, Turn};
use crate::support::{require_root, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long anything is waited for; what is late fails by its time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Requests before something happens: five seconds of them.
const RIGHT_AT_FIRST: u64 = 5 * PER_SECOND as u64;
/// How long a backend takes that works as it should, and one that is slow.
const USUAL: Duration = Duration::from_millis(10);
const SLOW: Duration = Duration::from_millis(80);

/// Four backends and what stands in front of them.
struct Scene {
    block: Block,
    backends: Vec<Backend>,
    _turn: Turn,
}

impl Scene {
    fn new(behaviour: Behaviour) -> Self {
        let (turn, block) = (turn::traffic(), Block::new());
        let backends = (1..=4).map(|n| Backend::start(block.backend(n), behaviour)).collect();
        Self { block, backends, _turn: turn }
    }

    fn front(&self) -> SocketAddr {
        self.block.balancer(1)
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.backends.iter().map(|backend| backend.address).collect()
    }

    /// nginx, which goes on trying whoever fails.
    fn nginx(&self) -> Nginx<'static> {
        self.addresses()
            .into_iter()
            .fold(Nginx::at(self.front()), |nginx, address| nginx.server(address, "max_fails=0"))
    }

    /// nginx with a digit too many in the first weight.
    fn nginx_with_typo(&self) -> Nginx<'static> {
        let all = self.addresses();
        Nginx::at(self.front()).server(all[0], "weight=10").servers(all[1..].iter().copied())
    }

    fn haproxy(&self) -> Haproxy<'static> {
        Haproxy::at(self.front()).servers(self.addresses(), "")
    }

    fn load(&self) -> Load<'static> {
        Load::on(self.front()).per_second(PER_SECOND).threads(64)
    }
}

/// What has to be told.
struct Right {
    verdict: &'static str,
    /// Of this member alone; of a whole pool it does not matter who.
    finding: Option<(SocketAddr, &'static str)>,
    signal: &'static str,
}

impl Right {
    fn of(member: SocketAddr, verdict: &'static str, finding: &'static str) -> Self {
        Self { verdict, finding: Some((member, finding)), signal: "connections" }
    }

    fn is_told(&self, pool: &Value) -> bool {
        let found = |member: &Value| member["finding"].as_str().map(str::to_owned);
        let expected = |member: &Value| {
            let of_this = |(address, _): &(SocketAddr, _)| member["backend"] == address.to_string();
            self.finding.filter(of_this).map(|(_, finding)| finding.to_owned())
        };
        let mut members = pool["members"].as_array().unwrap().iter();
        pool["verdict"] == self.verdict
            && (self.finding.is_none()
                || (pool["signal"] == self.signal && members.all(|member| found(member) == expected(member))))
    }
}

/// A balancer that was wrong from the start, as `check` tells it.
fn misconfigured(check: Tracer, load: Load, right: &Right) -> Told {
    let running = check.start();
    let (ended, requests) = load.run_beside(|sent| (running.finish(), sent()));
    let pool = ended.pool("app");
    let after = Duration::from_secs_f64(ended.json["duration_seconds"].as_f64().unwrap());
    println!("{}: {}", pool["verdict"], pool["summary"]);
    let is_right = right.is_told(pool);
    let wrong = if is_right { None } else { finding(pool) };
    Told { after: is_right.then_some(after), requests, wrong: wrong.into_iter().collect() }
}

/// Something happens to a pool that was right, as `watch` tells it.
fn happens(watch: Tracer, load: Load, right: &Right, event: impl FnOnce()) -> Told {
    let mut running = watch.start();
    let is_right = |event: &Value| {
        event["event"] == "verdict" && event["pool"] == "app" && right.is_told(&event["check"])
    };
    let (after, requests) = load.run_beside(|sent| {
        wait::until("traffic", PATIENCE, || (sent() >= RIGHT_AT_FIRST).then_some(()));
        event();
        let (begun, before) = (Instant::now(), sent());
        let told = running.event(right.verdict, PATIENCE, is_right);
        println!("{}", told["summary"]);
        (begun.elapsed(), sent() - before)
    });
    let ended = running.stop(Signal::SIGTERM);
    let before = ended.events().into_iter().take_while(|event| !is_right(event));
    let wrong =
        before.filter(|event| event["event"] == "verdict").filter_map(|event| finding(&event["check"]));
    Told { after: Some(after), requests, wrong: wrong.collect() }
}

#[test]
fn a_weight_typo_in_nginx_is_skewed() {
    fault("nginx: weight=10 on one of four", || {
        let scene = Scene::new(Answer(300));
        let _nginx = scene.nginx_with_typo().start();
        let right = Right::of(scene.addresses()[0], "skewed", "over");
        misconfigured(check_until_certain(Pools::of_backends(&scene.backends)), scene.load(), &right)
    });
}

#[test]
fn a_member_that_nginx_was_not_told_of_is_missing() {
    fault("nginx: one of four left out", || {
        let scene = Scene::new(Answer(300));
        let all = scene.addresses();
        let _nginx = Nginx::at(scene.front()).servers(all[..3].iter().copied()).start();
        let right = Right::of(all[3], "member-missing", "missing");
        misconfigured(check_until_certain(Pools::of(all)), scene.load(), &right)
    });
}

#[test]
fn a_backend_that_nobody_declared_is_unexpected() {
    fault("nginx: a fifth backend that is not declared", || {
        let scene = Scene::new(Answer(300));
        let stranger = Backend::start(scene.block.backend(5), Answer(300));
        let _nginx = scene.nginx().server(stranger.address, "").start();
        let right = Right::of(stranger.address, "unexpected-backend", "unexpected");
        misconfigured(check_until_certain(Pools::of_backends(&scene.backends)), scene.load(), &right)
    });
}

#[test]
fn a_weight_typo_behind_kept_connections_is_skewed_in_exchanges() {
    fault("nginx with keepalive: weight=10 on one of four", || {
        let scene = Scene::new(KeepAlive(300));
        let _nginx = scene.nginx_with_typo().keepalive(16).start();
        let right = Right { signal: "exchanges", ..Right::of(scene.addresses()[0], "skewed", "over") };
        let check = check_until_certain(Pools::of_backends(&scene.backends));
        let load = scene.load().threads(8).keep_alive();
        misconfigured(check.arguments(&["--exchanges", way()]), load, &right)
    });
}

/// Nothing at all goes to the three others: that comes before the one that gets too much.
#[test]
fn one_client_under_source_hashing_leaves_the_others_without_where_turns_were_declared() {
    fault("HAProxy: balance source, one client", || {
        let scene = Scene::new(Answer(300));
        let _haproxy = scene.haproxy().balance("source").start();
        let right = Right { verdict: "member-missing", finding: None, signal: "connections" };
        misconfigured(check_until_certain(Pools::of_backends(&scene.backends)), scene.load(), &right)
    });
}

#[test]
fn a_backend_that_stops_is_failing_under_nginx() {
    fault("nginx: one of four refuses", || {
        let mut scene = Scene::new(Answer(300));
        let _nginx = scene.nginx().start();
        let (watch, load) = (watch(Pools::of_backends(&scene.backends)), scene.load());
        let victim = scene.backends.remove(1);
        let right = Right::of(victim.address, "backend-failing", "failing");
        happens(watch, load, &right, || drop(victim))
    });
}

#[test]
fn a_backend_that_stops_is_failing_under_haproxy() {
    fault("HAProxy: one of four refuses", || {
        let mut scene = Scene::new(Answer(300));
        let _haproxy = scene.haproxy().start();
        let (watch, load) = (watch(Pools::of_backends(&scene.backends)), scene.load());
        let victim = scene.backends.remove(1);
        let right = Right::of(victim.address, "backend-failing", "failing");
        happens(watch, load, &right, || drop(victim))
    });
}

#[test]
fn a_backend_that_falls_silent_is_failing_under_haproxy() {
    require_root();
    fault("HAProxy: SYNs to one of four are dropped", || {
        let (_turn, block) = (turn::traffic(), Block::new());
        let network = Network::new(block, "");
        let all = [1, 2, 3, 4].map(|n| block.remote(n));
        network.route(all, Fate::Local);
        let _backends = all.map(|address| Backend::start_in(&network.router, address, Answer(300)));
        let _haproxy = Haproxy::at(block.balancer(1)).servers(all, "").within(&network.front).start();
        let load = Load::on(block.balancer(1)).within(&network.front).per_second(PER_SECOND).threads(160);
        let right = Right::of(all[1], "backend-failing", "failing");
        happens(watch(Pools::of(all)), load, &right, || {
            // The route counts once the address is no longer the router's own.
            network.route([all[1]], Fate::BlackHole);
            network.router.ip(&format!("addr del {}/32 dev lo", all[1].ip()));
        })
    });
}

#[test]
fn an_application_that_crashes_is_failing() {
    fault("nginx: one of four accepts and resets", || {
        let scene = Scene::new(Answer(300));
        let _nginx = scene.nginx().start();
        let victim = &scene.backends[1];
        let right = Right::of(victim.address, "backend-failing", "failing");
        let watch = watch(Pools::of_backends(&scene.backends));
        happens(watch, scene.load(), &right, || victim.now(ResetWithoutData))
    });
}

#[test]
fn an_outage_of_all_backends_is_the_pool_failing() {
    fault("nginx: all of four refuse", || {
        let mut scene = Scene::new(Answer(300));
        let _nginx = scene.nginx().start();
        let (watch, load) = (watch(Pools::of_backends(&scene.backends)), scene.load());
        let right = Right { verdict: "pool-failing", finding: None, signal: "connections" };
        happens(watch, load, &right, || scene.backends.clear())
    });
}

/// One of four becomes eight times slower under HAProxy with least connections. By itself `watch` measures no exchanges
/// here, where no connection is reused: how long each was held tells the same.
#[track_caller]
fn slow_under_least_connections(name: &str, exchanges: &str) {
    fault(name, || {
        let scene = Scene::new(Late(USUAL));
        let _haproxy = scene.haproxy().balance("leastconn").start();
        let victim = &scene.backends[1];
        let right = Right::of(victim.address, "backend-slow", "slow");
        let pools = Pools::new().chosen_by("least-connections").app(scene.addresses());
        let watch = watch(pools).arguments(&["--exchanges", exchanges]);
        happens(watch, scene.load(), &right, || victim.now(Late(SLOW)))
    });
}

#[test]
fn a_backend_that_becomes_slow_under_least_connections_is_slow_by_its_response_times() {
    slow_under_least_connections("HAProxy leastconn: one of four 8 × slower, exchanges measured", "on");
}

#[test]
fn a_backend_that_becomes_slow_under_least_connections_is_slow_by_its_lifetimes() {
    slow_under_least_connections("HAProxy leastconn: one of four 8 × slower", "off");
}

/// The same under nginx with round robin.
#[track_caller]
fn slow_in_turns(name: &str, exchanges: &str) {
    fault(name, || {
        let scene = Scene::new(Late(USUAL));
        let _nginx = scene.nginx().start();
        let victim = &scene.backends[1];
        let right = Right::of(victim.address, "backend-slow", "slow");
        let watch = watch(Pools::of_backends(&scene.backends)).arguments(&["--exchanges", exchanges]);
        happens(watch, scene.load(), &right, || victim.now(Late(SLOW)))
    });
}

#[test]
fn a_backend_that_becomes_slow_in_turns_is_slow_by_its_response_times() {
    slow_in_turns("nginx: one of four 8 × slower, exchanges measured", "on");
}

#[test]
fn a_backend_that_becomes_slow_in_turns_is_slow_by_its_lifetimes() {
    slow_in_turns("nginx: one of four 8 × slower", "off");
}
