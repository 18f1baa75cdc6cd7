//! Balancers that run are known by their own configurations, and followed while they change.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer, wait_until_closed};
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::server::Server;
use crate::support::tracer::{Tracer, tracer};
use crate::support::{require_root, turn};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

fn backends(block: Block, count: u8) -> Vec<Backend> {
    (1..=count).map(|n| Backend::start(block.backend(n), Answer(300))).collect()
}

fn check(block: Block) -> Tracer {
    require_root();
    tracer(["check", "--json", "--for", "9s", "--port"]).argument(block.port().to_string())
}

fn watch(block: Block) -> Tracer {
    require_root();
    tracer(["watch", "--json", "--auto", "--port"]).argument(block.port().to_string())
}

fn changed(event: &Value, cause: &str) -> bool {
    event["event"] == "pools-changed" && event["cause"] == cause
}

#[test]
fn a_check_takes_what_the_running_balancer_is_configured_to_do() {
    let (_turn, block) = (turn::alone(), Block::new());
    let backends = backends(block, 3);
    let nginx = Nginx::at(block.balancer(1))
        .server(backends[0].address, "weight=2")
        .servers(backends[1..].iter().map(|backend| backend.address))
        .start();
    for (flag, expected_source, share) in [(None, "declared", 0.5), (Some("--no-auto"), "assumed", 1.0 / 3.0)]
    {
        let running = flag.into_iter().fold(check(block), Tracer::argument).start();
        let outcome = Load::on(block.balancer(1)).run_for(Duration::from_millis(7500));
        assert_eq!(outcome.sent, outcome.answered);
        wait_until_closed(&backends);
        let ended = running.finish();
        let pool = &ended.json["pools"][0];
        ended.ensure(pool["expected_source"] == expected_source, expected_source);
        let expected = pool["members"][0]["expected_share"].as_f64().unwrap();
        ended.ensure((expected - share).abs() < 1e-5, "the share that is configured");
        let says = ended.stderr.lines().any(|line| {
            line.starts_with("expecting what ") && line.contains(&format!("(nginx (pid {})", nginx.pid()))
        });
        ended.ensure(says == flag.is_none(), "which configuration it takes");
        let verdict = if flag.is_none() { "balanced" } else { "skewed" };
        ended.ensure(pool["verdict"] == verdict, verdict);
    }
}

#[test]
fn a_configuration_that_changes_is_followed_and_one_that_is_broken_keeps_the_pools() {
    let (_turn, block) = (turn::alone(), Block::new());
    let backends = backends(block, 3);
    let of = |count: usize| {
        Nginx::at(block.balancer(1)).servers(backends[..count].iter().map(|backend| backend.address))
    };
    let nginx = of(3).start();
    let mut running = watch(block).start();
    let changed_at = Instant::now();
    of(2).reload(&nginx);
    let event = running.event("one member less", SOON, |event| changed(event, "configuration"));
    println!("after {:?}", changed_at.elapsed());
    assert_eq!(event["changed"][0]["pool"], "pool", "{event}");
    assert!(event["error"].is_null() && event["failures"] == 0, "{event}");
    let file = nginx.file(None);
    let right = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, right.replace("upstream pool {", "upstream pool")).unwrap();
    let event = running.event("cannot be read", SOON, |event| !event["error"].is_null());
    let place = format!("{}:", file.display());
    assert!(event["error"].as_str().unwrap().contains(&place), "{event}");
    assert_eq!((&event["failures"], &event["removed"]), (&1.into(), &Value::Array(Vec::new())), "{event}");
    std::fs::remove_file(&file).unwrap();
    let event = running.event("is gone", SOON, |event| !event["error"].is_null());
    assert!(event["error"].as_str().unwrap().contains("no such file"), "{event}");
    std::fs::write(&file, right).unwrap();
    running.event("all is well again", SOON, |event| {
        changed(event, "configuration") && event["error"].is_null()
    });
    let ended = running.stop(Signal::SIGTERM);
    ended.exits(0);
}

fn haproxy(block: Block, backends: &[Backend]) -> Server {
    let listens = block.balancer(1);
    let servers: String = (backends.iter().enumerate())
        .map(|(number, backend)| format!("  server s{number} {} weight 10\n", backend.address))
        .collect();
    Server::start(
        "haproxy",
        None,
        listens,
        |directory| {
            format!(
                "global\n  nbthread 1\n  stats socket {}/stats level admin\ndefaults\n  mode http\n  timeout connect 1s\n  \
                 timeout client 9s\n  timeout server 9s\n  option httpclose\nlisten app\n  bind {listens}\n  \
                 balance roundrobin\n{servers}",
                directory.display()
            )
        },
        |file| ["-db", "-f", file.to_str().unwrap()].map(ToOwned::to_owned).to_vec(),
    )
}

fn command(haproxy: &Server, command: &str) {
    let mut stream = UnixStream::connect(haproxy.file(Some("stats"))).unwrap();
    writeln!(stream, "{command}").unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
}

#[test]
fn a_drain_at_run_time_is_known_and_nobody_is_missed_for_it() {
    let (_turn, block) = (turn::alone(), Block::new());
    let backends = backends(block, 4);
    let haproxy = haproxy(block, &backends);
    let mut running = watch(block).start();
    let member = |check: &Value, address: SocketAddr| {
        let members = check["members"].as_array().unwrap().iter();
        members.clone().find(|member| member["backend"] == address.to_string()).unwrap().clone()
    };
    Load::on(block.balancer(1)).run_while(|| {
        let is_balanced = |event: &Value| event["event"] == "verdict" && event["verdict"] == "balanced";
        let balanced = running.event("balanced", SOON, is_balanced);
        let drained = member(&balanced["check"], backends[3].address);
        assert_eq!(drained["expected_share"], 0.25, "{balanced}");
        command(&haproxy, "set server app/s3 state drain");
        let event = running.event("the drain", SOON, |event| changed(event, "run-time"));
        assert_eq!(event["changed"][0]["pool"], "app", "{event}");
        std::thread::sleep(Duration::from_secs(8));
    });
    let ended = running.stop(Signal::SIGTERM);
    let events = ended.events();
    let findings =
        events.iter().filter(|event| event["event"] == "verdict" && event["verdict"] != "balanced");
    ended.ensure(findings.count() == 0, "no finding");
    let last = events.last().unwrap();
    let at_end = member(&last["pools"][0], backends[3].address);
    ended.ensure(at_end["expected_share"] == 0.0, "the drained one is due nothing");
}
