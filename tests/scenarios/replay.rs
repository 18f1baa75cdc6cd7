//! Recorded samples, judged again: no kernel, no root.

use crate::support::tracer::{Ended, tracer};
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/replay").join(name)
}

fn replay(name: &str, more: &[&str]) -> Ended {
    tracer(["check", "--json", "--replay"]).argument(fixture(name)).arguments(more).spawn().finish()
}

#[test]
fn a_balanced_stream_is_balanced_over_its_own_time() {
    let ended = replay("balanced.jsonl", &[]);
    ended.exits(0);
    let json = &ended.json;
    assert_eq!(json["schema"], "tracer.check/1");
    assert_eq!(json["started"], "2026-01-01T00:00:00Z");
    assert_eq!((json["duration_seconds"].as_f64(), &json["host"]), (Some(60.0), &Value::Null));
    let pool = &json["pools"][0];
    assert_eq!((&pool["verdict"], &pool["expected_source"]), (&"balanced".into(), &"declared".into()));
    assert_eq!((&pool["source"], &pool["balancer"]), (&"recording".into(), &"nginx".into()));
    let members = pool["members"].as_array().unwrap();
    let attempts: u64 = members.iter().map(|member| member["attempts"].as_u64().unwrap()).sum();
    assert_eq!(attempts, 60 * 42, "sums over the stream");
    let member = &members[0];
    assert_eq!((&member["live"], &member["failed"]["refused"]), (&3.into(), &0.into()));
    for unknown in
        ["pending", "adopted", "closing", "resets", "probes", "retransmits", "exchanges", "connect_seconds"]
    {
        assert!(member[unknown].is_null(), "{unknown} was not measured: {member}");
    }
    assert!(member["failed"]["timed_out"].is_null() && json["uncounted"]["connections"].is_null());
    assert!(ended.stderr.starts_with("replaying: "), "{}", ended.stderr);
}

#[test]
fn a_skewed_stream_is_found_in_text_and_in_json() {
    let ended = replay("skewed.jsonl", &[]);
    ended.exits(1);
    let members = ended.json["pools"][0]["members"].as_array().unwrap();
    assert_eq!(members[1]["finding"], "over");
    let text = tracer(["check", "--replay"]).argument(fixture("skewed.jsonl")).spawn().finish();
    text.exits(1);
    assert!(
        text.stdout.contains("app by nginx (recording): SKEWED since before 2026-01-01T00:00:00Z"),
        "{}",
        text.stdout
    );
    assert!(text.stdout.contains("—"), "what nobody measured is shown so: {}", text.stdout);
}

#[test]
fn names_and_attempts_are_enough() {
    let ended = replay("minimal.jsonl", &[]);
    ended.exits(0);
    let pool = &ended.json["pools"][0];
    assert_eq!((&pool["expected_source"], &pool["source"]), (&"assumed".into(), &"discovered".into()));
    let member = &pool["members"][0];
    for unknown in ["established", "closed", "live", "sent_bytes"] {
        assert!(member[unknown].is_null(), "{unknown}: {member}");
    }
}

#[test]
fn line_ends_of_another_system_make_no_difference() {
    let (unix, other) = (replay("balanced.jsonl", &[]), replay("crlf.jsonl", &[]));
    other.exits(0);
    assert_eq!(unix.json, other.json);
}

#[test]
fn a_bad_line_is_refused_with_its_number() {
    let ended = replay("bad_line.jsonl", &[]);
    ended.exits(2);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    let place = format!("error: {}:10: column ", fixture("bad_line.jsonl").display());
    assert!(ended.stderr.contains(&place) && ended.stderr.contains("expected a count"), "{}", ended.stderr);
}

#[test]
fn a_last_line_that_was_cut_off_is_said_and_left_out() {
    let ended = replay("truncated.jsonl", &[]);
    ended.exits(0);
    assert_eq!(ended.json["duration_seconds"], 59.0);
    assert!(ended.stderr.contains("truncated.jsonl:60: the last line is cut off"), "{}", ended.stderr);
}

#[test]
fn a_recording_without_samples_says_so() {
    let ended = replay("empty.jsonl", &[]);
    ended.exits(3);
    assert_eq!(
        (&ended.json["verdict"], &ended.json["started"]),
        (&"insufficient-evidence".into(), &Value::Null)
    );
    let text = tracer(["check", "--replay"]).argument(fixture("empty.jsonl")).spawn().finish();
    text.exits(3);
    assert!(text.stdout.contains("the recording has no sample"), "{}", text.stdout);
}

#[test]
fn the_length_is_that_of_the_stream() {
    let ended = replay("balanced.jsonl", &["--for", "10s"]);
    ended.exits(3);
    assert_eq!(ended.json["duration_seconds"], 10.0);
    assert_eq!(ended.json["pools"][0]["members"][0]["attempts"], 105);
    let all = replay("balanced.jsonl", &["--for", "24h"]);
    all.exits(0);
    assert_eq!(all.json["duration_seconds"], 60.0);
}

#[test]
fn filters_select_among_the_pools() {
    let names = |more: &[&str]| {
        let ended = replay("two_pools.jsonl", more);
        let pools = ended.json["pools"].as_array().unwrap().clone();
        let names: Vec<String> = pools.iter().map(|pool| pool["name"].as_str().unwrap().to_owned()).collect();
        (names.join(" "), ended.status.code(), ended)
    };
    assert_eq!(names(&[]).0, "app db");
    for (arguments, pool, code) in [
        (["--port", "5432"], "db", 0),
        (["--port", "8080"], "app", 1),
        (["--balancer", "db"], "db", 0),
        (["--balancer", "haproxy"], "db", 0),
        (["--balancer", "nginx"], "app", 1),
        (["--backend", "2001:db8::/32"], "db", 0),
    ] {
        let (found, exit, ended) = names(&arguments);
        assert_eq!(
            (found.as_str(), exit),
            (pool, Some(code)),
            "{arguments:?}: {}{}",
            ended.stdout,
            ended.stderr
        );
        if pool == "db" {
            let member = &ended.json["pools"][0]["members"][0];
            assert_eq!(
                (&member["backend"], &member["exchanges"]),
                (&"[2001:db8::1]:5432".into(), &800.into())
            );
            assert!(member["response_seconds"]["p99"].as_f64().unwrap() > 0.002, "{member}");
        }
    }
    let (none, code, ended) = names(&["--port", "1"]);
    assert_eq!((none.as_str(), code), ("", Some(3)));
    assert!(ended.stdout.contains("app by nginx, db by haproxy (db.service)"), "{}", ended.stdout);
}

#[test]
fn options_that_only_a_kernel_can_answer_are_refused() {
    for option in [["--pools", "pools.toml"], ["--netns", "self"]] {
        let ended = replay("balanced.jsonl", &option);
        ended.exits(2);
        assert!(
            ended.stderr.contains("cannot be used with") && ended.stderr.contains(option[0]),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    for name in ["no-such-file", ""] {
        let ended = replay(name, &[]);
        ended.exits(2);
        assert!(ended.stderr.contains("fixtures/replay"), "{}", ended.stderr);
    }
}

#[test]
fn a_pipe_is_read() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tracer"))
        .args(["check", "--json", "--replay", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = std::fs::read(fixture("balanced.jsonl")).unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Somebody follows a file that does not end; told to stop, it says what it has found.
#[test]
fn told_to_stop_it_gives_the_verdict_so_far() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tracer"))
        .args(["check", "--replay", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&std::fs::read(fixture("skewed.jsonl")).unwrap()).unwrap();
    // Read and judged within milliseconds; a machine that is busy gets a moment more.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("SKEWED"));
}

#[test]
fn watch_says_what_check_says_of_bad_streams() {
    let watch = |name: &str| tracer(["watch", "--json", "--replay"]).argument(fixture(name)).spawn().finish();
    let skewed = watch("skewed.jsonl");
    skewed.exits(0);
    let events = skewed.events();
    assert!(events.iter().any(|event| event["verdict"] == "skewed"), "{events:?}");
    assert_eq!(events.last().unwrap()["reason"], "end");
    let bad = watch("bad_line.jsonl");
    bad.exits(2).ensure(bad.stderr.contains("bad_line.jsonl:"), "the line is named");
    let truncated = watch("truncated.jsonl");
    truncated.exits(0).ensure(truncated.stderr.contains("warning: "), "a warning");
    watch("empty.jsonl").exits(3);
}
