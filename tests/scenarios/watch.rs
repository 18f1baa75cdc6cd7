//! `tracer watch`: what it tells while things change, and how it ends.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer};
use crate::support::bpf;
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{Running, accepted, tracer, watch};
use crate::support::{require_root, turn, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// A verdict needs a few seconds; a busy machine more.
const SOON: Duration = Duration::from_secs(40);

fn backends(block: Block, count: u8) -> Vec<Backend> {
    (1..=count).map(|n| Backend::start(block.backend(n), Answer(300))).collect()
}

fn addresses(backends: &[Backend]) -> impl Iterator<Item = SocketAddr> {
    backends.iter().map(|backend| backend.address)
}

/// What it told in all, and how long it took to end.
#[track_caller]
fn stops(running: Running, signal: Signal) -> (Vec<Value>, Duration) {
    let asked = Instant::now();
    let ended = running.stop(signal);
    let took = asked.elapsed();
    ended.exits(0);
    (ended.events(), took)
}

fn is_verdict(event: &Value, verdict: &str) -> bool {
    event["event"] == "verdict" && event["pool"] == "app" && event["verdict"] == verdict
}

#[test]
fn a_weight_that_is_put_right_is_told_from_skewed_to_balanced_and_again_from_the_recording() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 4);
    let wrong = Nginx::at(block.balancer(1))
        .server(backends[0].address, "weight=10")
        .servers(addresses(&backends[1..]));
    let right = Nginx::at(block.balancer(1)).servers(addresses(&backends));
    let nginx = wrong.start();
    let directory = tempfile::tempdir().unwrap();
    let samples = directory.path().join("samples.jsonl");
    let mut running = watch(Pools::of_backends(&backends)).argument("--samples").argument(&samples).start();
    let guilty = backends[0].address.to_string();
    Load::on(block.balancer(1)).run_while(|| {
        let skewed = running.event("skewed", SOON, |event| is_verdict(event, "skewed"));
        assert!(skewed["previous"].is_null(), "the first: {skewed}");
        assert!(skewed["summary"].as_str().unwrap().contains(&guilty), "{skewed}");
        assert_eq!(skewed["check"]["verdict"], "skewed");
        let member = &skewed["check"]["members"][0];
        assert_eq!((&member["backend"], &member["finding"]), (&guilty.into(), &"over".into()));
        right.reload(&nginx);
        let cleared = Duration::from_secs(90);
        running.event("balanced", cleared, |event| is_verdict(event, "balanced"));
    });
    let (events, _) = stops(running, Signal::SIGTERM);
    assert_eq!(events[0]["event"], "tracing", "{:?}", events[0]);
    assert!(events.iter().all(|event| event["schema"] == "tracer.event/1"));
    let verdicts: Vec<_> =
        events.iter().filter(|event| event["event"] == "verdict").map(|event| &event["verdict"]).collect();
    let expected: [&[&str]; 2] = [&["skewed", "balanced"], &["skewed", "insufficient-evidence", "balanced"]];
    assert!(expected.iter().any(|expected| verdicts == *expected), "no other lines: {verdicts:?}");
    let stopping = events.last().unwrap();
    assert_eq!(stopping["totals"]["established"], accepted(&backends), "{stopping}");
    replay_says_the_same(&samples, &events);
}

/// Judged from the recording, `watch` tells the same verdicts at the same times, to the last digit, and `check` ends with
/// the last of them.
#[track_caller]
fn replay_says_the_same(samples: &Path, live: &[Value]) {
    let verdicts = |events: &[Value]| -> Vec<Value> {
        events.iter().filter(|event| event["event"] == "verdict").cloned().collect()
    };
    let again = tracer(["watch", "--json", "--replay"]).argument(samples).spawn().finish();
    again.exits(0);
    let again = again.events();
    assert_eq!(verdicts(&again), verdicts(live));
    let (stopping, stopped) = (again.last().unwrap(), live.last().unwrap());
    assert_eq!((&stopping["reason"], &stopping["totals"]), (&"end".into(), &stopped["totals"]));
    let check = tracer(["check", "--json", "--replay"]).argument(samples).spawn().finish();
    check.exits(0).ensure(check.pool("app")["verdict"] == "balanced", "the last verdict");
}

#[test]
fn a_signal_ends_it_within_a_second_and_nothing_stays_in_the_kernel() {
    require_root();
    let (_turn, block) = (turn::alone(), Block::new());
    for (signal, name) in [(Signal::SIGTERM, "SIGTERM"), (Signal::SIGINT, "SIGINT")] {
        let running = watch(Pools::of([block.backend(1), block.backend(2)])).start();
        let held = bpf::held_by(running.pid());
        assert!(held.len() > 3, "harness: {held:?}");
        let (events, took) = stops(running, signal);
        assert!(took < Duration::from_secs(1), "{signal}: took {took:?}");
        let stopping = events.last().unwrap();
        assert_eq!((&stopping["event"], &stopping["reason"]), (&"stopping".into(), &name.into()));
        let gone = || held.iter().all(|object| !bpf::exists(*object)).then_some(());
        wait::until("programs, maps and links are gone", Duration::from_secs(5), gone);
    }
}

#[test]
fn what_cannot_be_read_leaves_the_pools_as_they_were() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block, 3);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let pools = Pools::of(addresses(&backends[..2]));
    let file = pools.file();
    let mut running = watch(pools).start();
    Load::on(block.balancer(1)).run_while(|| {
        std::fs::write(&file, "[[pool]]\nname = \"app\"\nmembers = [1]\n").unwrap();
        running.signal(Signal::SIGHUP);
        let told = running.event("pools-changed", SOON, |event| event["cause"] == "reload");
        let error = told["error"].as_str().unwrap_or_default();
        assert!(error.contains(&format!("{}:3:12: ", file.display())), "{told}");
        // By the pools as they were: the third is not declared.
        running.event("unexpected-backend", SOON, |event| is_verdict(event, "unexpected-backend"));
        let repaired = Pools::of_backends(&backends);
        std::fs::copy(repaired.file(), &file).unwrap();
        let told = running.event("taken", SOON, |event| {
            event["event"] == "pools-changed" && event["changed"][0]["pool"] == "app"
        });
        assert!(told["error"].is_null(), "{told}");
        running.event("balanced", Duration::from_secs(90), |event| is_verdict(event, "balanced"));
    });
    let ended = running.stop(Signal::SIGTERM);
    ended.exits(0).ensure(
        ended.stderr.lines().any(|line| line.starts_with("error: ") && line.contains("pools.toml:3:12: ")),
        "what is wrong is on standard error too",
    );
}

#[test]
fn a_drain_is_taken_within_two_seconds_without_a_signal() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let addresses = [1, 2, 3].map(|n| block.backend(n));
    let pools = Pools::of(addresses);
    let file = pools.file();
    let mut running = watch(pools).start();
    let drained = Pools::new().pool(
        "app",
        None,
        addresses.map(|address| {
            (address, if address == addresses[2] { "drain = true".to_owned() } else { String::new() })
        }),
    );
    let edited = Instant::now();
    // As editors do it: another file under the same name.
    std::fs::rename(drained.file(), &file).unwrap();
    let told = running.event("pools-changed", SOON, |event| event["event"] == "pools-changed");
    let took = edited.elapsed();
    assert_eq!(
        (&told["cause"], &told["changed"][0]["pool"]),
        (&"pools-file".into(), &"app".into()),
        "{told}"
    );
    assert!(took < Duration::from_secs(2), "taken after {took:?}");
    let (events, _) = stops(running, Signal::SIGTERM);
    let members = events.last().unwrap()["pools"][0]["members"].as_array().unwrap();
    let shares: Vec<_> = members.iter().map(|member| member["expected_share"].as_f64().unwrap()).collect();
    assert_eq!(shares, [0.5, 0.5, 0.0]);
}

#[test]
fn a_wrong_configuration_is_refused_with_line_and_column() {
    let folder = Pools::new();
    let file = folder.directory().join("tracer.toml");
    for (text, expected) in [
        ("json = true\nprot = 80\n", "2:1: unknown key \"prot\""),
        ("port = \"80\"\n", "1:8: port takes a whole number"),
        ("port = 0x1ffff\n", "1:8: port: 131071 is not in 1..=65535"),
        ("backend = \"10.0.0.0/33\"\n", "1:11: backend: "),
        ("netns = \"/nonexistent/netns\"\n", "1:9: netns: "),
        ("json = \n", "1:8: "),
    ] {
        std::fs::write(&file, text).unwrap();
        let ended = tracer(["watch", "--config"]).argument(&file).spawn().finish();
        ended.exits(2).ensure(ended.stdout.is_empty(), "nothing on standard output");
        let expected = format!("error: {}:{expected}", file.display());
        ended.ensure(ended.stderr.contains(&expected), format!("should say `{expected}`"));
    }
    std::fs::write(&file, "declared-only = true\n").unwrap();
    let ended = tracer(["watch", "--config"]).argument(&file).spawn().finish();
    ended.exits(2).ensure(ended.stderr.contains("--declared-only needs"), "what goes together");
    let ended = tracer(["watch", "--config", "/nonexistent/tracer.toml"]).spawn().finish();
    ended.exits(2).ensure(ended.stderr.contains("/nonexistent/tracer.toml: no such file"), "names the file");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    require_root();
    let (_turn, block) = (turn::traffic(), Block::new());
    // Where exchanges cannot be measured that is said, unless they are not wanted.
    let watch = watch(Pools::of([block.backend(1)])).arguments(&["--exchanges", "off"]);
    let (status, stderr) = watch.run_with_broken_pipe();
    assert_eq!(status.code(), Some(0), "{status}\n{stderr}");
    let noise: Vec<_> = stderr
        .lines()
        .filter(|line| !["tracing: ", "privileges: "].iter().any(|told| line.starts_with(told)))
        .collect();
    assert!(noise.is_empty(), "{noise:?}");
}
