//! `tracer watch --listen`: what it answers over HTTP is what happened.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer, wait_until_closed};
use crate::support::http::{Http, sum};
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{tracer, watch};
use crate::support::{turn, wait};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::time::Duration;

/// A tick is a second; a busy machine takes longer.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn what_is_answered_is_what_the_backends_accepted() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = [1, 2, 3].map(|n| Backend::start(block.backend(n), Answer(300)));
    let _nginx = Nginx::at(block.balancer(1))
        .server(backends[0].address, "weight=8")
        .servers(backends[1..].iter().map(|backend| backend.address))
        .start();
    let mut running = watch(Pools::of_backends(&backends)).arguments(&["--listen", "0"]).start();
    let http = Http::of(&running);
    Load::on(block.balancer(1)).run_while(|| {
        running
            .event("skewed", SOON * 2, |event| event["event"] == "verdict" && event["verdict"] == "skewed");
    });
    wait_until_closed(&backends);
    let reported = |count: fn(&Backend) -> u64| backends.iter().map(count).sum::<u64>();
    let accepted = reported(|backend| backend.report().accepted);
    let samples = wait::until("all of it counted", SOON, || {
        let samples = http.metrics();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let expected = accepted as f64;
        let closed = sum(&samples, "tracer_connections_closed_total", "pool=\"app\"");
        let live = sum(&samples, "tracer_connections_live", "pool=\"app\"");
        (closed == expected && live == 0.0).then_some(samples)
    });
    for backend in &backends {
        let (report, label) =
            (backend.report(), format!("pool=\"app\",balancer=\"nginx\",backend=\"{}\"", backend.address));
        for (name, expected) in [
            ("tracer_connection_attempts_total", report.accepted),
            ("tracer_connections_established_total", report.accepted),
            ("tracer_connections_closed_total", report.closed),
            ("tracer_connections_live", 0),
            ("tracer_connection_failures_total", 0),
            ("tracer_sent_bytes_total", report.received_bytes),
            ("tracer_received_bytes_total", report.sent_bytes),
            ("tracer_connect_duration_seconds_count", report.accepted),
        ] {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let expected = expected as f64;
            assert_eq!(sum(&samples, name, &label), expected, "{name} of {}", backend.address);
        }
    }
    let verdict = "tracer_pool_verdict{pool=\"app\",balancer=\"nginx\",verdict=\"skewed\"}";
    assert_eq!(samples[verdict], 1.0);
    assert!(samples["tracer_programs{state=\"works\"}"] >= 3.0);
    let pools = http.pools();
    assert_eq!((&pools["schema"], &pools["verdict"]), (&"tracer.check/1".into(), &"skewed".into()));
    let members = pools["pools"][0]["members"].as_array().unwrap();
    assert_eq!(members.iter().map(|member| member["attempts"].as_u64().unwrap()).sum::<u64>(), accepted);
    let health = http.get("/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    running.stop(Signal::SIGTERM).exits(0);
}

#[test]
fn a_tick_that_stands_still_is_not_healthy_until_it_goes_on() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let running = watch(Pools::of([block.backend(1)])).arguments(&["--listen", "0"]).start();
    let http = Http::of(&running);
    wait::until("the first tick", SOON, || (http.get("/healthz").status == 200).then_some(()));
    // Its first thread ticks, and others answer: only that one is stopped.
    let first = Pid::from_raw(i32::try_from(running.pid()).unwrap());
    ptrace::seize(first, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(first).unwrap();
    waitpid(first, Some(WaitPidFlag::__WALL)).unwrap();
    let health = wait::until("the standstill", SOON, || {
        let health = http.get("/healthz");
        (health.status == 503).then_some(health)
    });
    assert!(health.body.ends_with("the tick stands still\n"), "{}", health.body);
    ptrace::detach(first, None).unwrap();
    wait::until("the next tick", SOON, || (http.get("/healthz").status == 200).then_some(()));
    running.stop(Signal::SIGTERM).exits(0);
}

#[test]
fn an_address_that_cannot_be_had_is_refused_and_one_that_others_reach_is_warned_of() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = tracer(["watch", "--listen", port.as_str()]).spawn().finish();
    ended.exits(2).ensure(ended.stderr.contains(&format!("--listen 127.0.0.1:{port}: ")), "names it");
    let ended = tracer(["watch", "--listen", "lb1:9477"]).spawn().finish();
    ended.exits(2).ensure(ended.stderr.contains("write a port, or IP:PORT"), "says how it is written");
    let exposed = watch(Pools::of([block.backend(1)])).arguments(&["--listen", "0.0.0.0:0"]).start();
    let ended = exposed.stop(Signal::SIGTERM);
    ended.exits(0).ensure(ended.stderr.contains("warning: other hosts can read"), "warns");
}

/// As `nc -N` does: the end of what it says comes with it, or while it is being answered.
#[test]
fn who_has_said_all_and_closes_that_way_is_answered() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let running = watch(Pools::of([block.backend(1)])).arguments(&["--listen", "0"]).start();
    let http = Http::of(&running);
    for number in 0..2_000 {
        let mut client = http.connect();
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 "), "request {number}: {answer:?}");
    }
}
