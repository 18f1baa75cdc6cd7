//! `tracer report`: what it says of an incident, against what was done and what the backends saw.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer, wait_until_closed};
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{Ended, tracer, watch};
use crate::support::turn;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A busy machine is slow.
const SOON: Duration = Duration::from_secs(30);
/// It takes more to be sure that all is well than to find that it is not.
const CLEARED: Duration = Duration::from_secs(90);
/// nginx takes a moment for a reload, times in a report are whole seconds, and the onset is estimated.
const OFF_SECONDS: f64 = 4.0;
/// How long nobody counts.
const DOWN: Duration = Duration::from_secs(5);

fn incident() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/report/incident.jsonl")
}

/// Runs `tracer report` with these arguments, to a file, and gives what is in it.
#[track_caller]
fn report(arguments: &[&str], file: &Path, out: &Path) -> String {
    let ended = tracer(["report"])
        .arguments(arguments)
        .argument(file)
        .argument("--out")
        .argument(out)
        .spawn()
        .finish();
    ended.exits(0).ensure(ended.stdout.is_empty(), "it is in the file");
    ended.ensure(ended.stderr.contains(&format!("written: {}", out.display())), "says where it is");
    std::fs::read_to_string(out).unwrap()
}

#[track_caller]
fn seconds(time: &Value) -> f64 {
    let time: jiff::Timestamp = time.as_str().unwrap_or_else(|| panic!("no time: {time}")).parse().unwrap();
    time.as_duration().as_secs_f64()
}

fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

/// A weight with a digit too many is typed and put right again, while a history and a recording are written.
#[test]
fn a_report_says_what_was_done_and_what_the_backends_saw() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends: Vec<Backend> = (1..=4).map(|n| Backend::start(block.backend(n), Answer(300))).collect();
    let others = || backends[1..].iter().map(|backend| backend.address);
    let guilty: SocketAddr = backends[0].address;
    let with = |parameters| Nginx::at(block.balancer(1)).server(guilty, parameters).servers(others());
    let (right, wrong) = (with(""), with("weight=10"));
    let nginx = right.start();
    let directory = tempfile::Builder::new().prefix("tracer-e2e-").tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let (history, samples) = (file("history.db"), file("samples.jsonl"));
    let watched = || watch(Pools::of_backends(&backends)).argument("--history").argument(&history);
    let mut running = watched().argument("--samples").argument(&samples).start();
    let is = |event: &Value, verdict: &str| event["event"] == "verdict" && event["verdict"] == verdict;
    let (fault, repair, skewed, cleared) = Load::on(block.balancer(1)).run_while(|| {
        running.event("balanced", CLEARED, |event| is(event, "balanced"));
        let fault = now();
        wrong.reload(&nginx);
        let skewed = running.event("skewed", SOON, |event| is(event, "skewed"));
        // It is to stand for a while, as incidents do.
        std::thread::sleep(Duration::from_secs(10));
        let repair = now();
        right.reload(&nginx);
        let cleared = running
            .event("cleared", CLEARED, |event| is(event, "balanced") || is(event, "insufficient-evidence"));
        (fault, repair, skewed, cleared)
    });
    wait_until_closed(&backends);
    running.stop(Signal::SIGTERM).exits(0);
    std::thread::sleep(DOWN);
    let again = watched().start();
    std::thread::sleep(Duration::from_secs(3));
    again.stop(Signal::SIGTERM).exits(0);

    let text = report(&["--from", "-10m", "--history"], &history, &file("incident.json"));
    let json: Value = serde_json::from_str(&text).unwrap();
    let incident = &json["incidents"][0];
    println!("fault {fault}, repair {repair}, {skewed}, {cleared}\n{text}");
    assert_eq!((&json["schema"], &json["judged_again"]), (&"tracer.report/1".into(), &false.into()));
    assert_eq!((&incident["pool"], &incident["verdict"]), (&"app".into(), &"skewed".into()));
    let onset = seconds(&incident["onset"]);
    assert!((onset - fault).abs() <= OFF_SECONDS, "onset at {onset}, reloaded at {fault}");
    assert_eq!(incident["detected"], skewed["time"], "as it was told");
    assert_eq!(incident["cleared"], cleared["time"], "as it was told");
    assert_eq!(incident["sentence"], skewed["summary"]);
    let to_detect = incident["seconds_to_detect"].as_f64().unwrap();
    assert!(to_detect <= seconds(&skewed["time"]) - onset + 1.0 && to_detect < 20.0, "{to_detect}");
    assert_eq!(incident["advice"][0], "the balancer");
    let phases: Vec<&str> =
        incident["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(phases, ["before", "during", "after", "whole"]);
    for backend in &backends {
        let members = incident["members"].as_array().unwrap();
        let is_it = |member: &&Value| member["backend"] == backend.address.to_string();
        let member = members.iter().find(is_it).unwrap_or_else(|| panic!("no {}", backend.address));
        let whole = &member["phases"][3];
        let accepted = backend.report().accepted;
        assert_eq!((&whole["attempts"], &whole["established"]), (&accepted.into(), &accepted.into()));
        let parts = (0..3).map(|phase| member["phases"][phase]["attempts"].as_u64().unwrap());
        assert_eq!(parts.sum::<u64>(), accepted, "{}: the parts are the whole", backend.address);
        let finding = if backend.address == guilty { Value::from("over") } else { Value::Null };
        assert_eq!(member["finding"], finding, "{}", backend.address);
    }
    let [before, gap] = json["gaps"].as_array().unwrap().as_slice() else { panic!("{}", json["gaps"]) };
    assert_eq!((&before["from"], &before["reason"]), (&json["from"], &"nothing was recorded".into()));
    let down = seconds(&gap["to"]) - seconds(&gap["from"]);
    assert!(down >= DOWN.as_secs_f64() - 1.0, "{gap}");
    assert!(gap["reason"].as_str().unwrap().contains("SIGTERM"), "{gap}");

    // The recording judged again says the same, and that it was judged again.
    let text = report(&["--replay"], &samples, &file("again.json"));
    let again: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(again["judged_again"], true);
    for same in ["verdict", "onset", "detected", "cleared", "sentence"] {
        assert_eq!(again["incidents"][0][same], incident[same], "{same}");
    }
    let page = report(&["--history"], &history, &file("incident.html"));
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg class=\"chart\""), "{page}");
}

#[test]
fn the_recorded_incident_is_told_for_a_ticket_on_standard_output() {
    let ended = tracer(["report", "--replay"]).argument(incident()).spawn().finish();
    ended.exits(0);
    for words in [
        "# Post-mortem: `checkout` by `nginx` SKEWED, 2026-03-03",
        "| Verdicts | judged again from a recording",
        "> 10.20.0.12:8080 gets 7",
        "## Actions",
    ] {
        ended.ensure(ended.stdout.contains(words), words);
    }
}

#[test]
fn a_range_in_which_nothing_was_found_says_so() {
    let nothing = tracer(["report", "--from", "11:10", "--to", "11:50", "--replay"]);
    let ended = nothing.argument(incident()).spawn().finish();
    ended.exits(0);
    let said = "Nothing was found between 2026-03-03 11:10:00 and 2026-03-03 11:50:00 UTC: 40 intervals were counted";
    ended.ensure(ended.stdout.contains(said), said);
    ended.ensure(ended.stdout.contains("`checkout` by `nginx`: balanced, "), "what stood then");
    ended.ensure(!ended.stdout.contains("Post-mortem"), "there is none");
}

#[test]
fn what_cannot_be_reported_is_refused_with_its_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.jsonl");
    std::fs::write(&empty, "").unwrap();
    let run = |arguments: &[&str], file: &Path| {
        tracer(["report"]).arguments(arguments).argument(file).spawn().finish()
    };
    let refused = |ended: &Ended, part: &str| {
        ended.exits(2).ensure(ended.stderr.contains(part), format!("should say `{part}`"));
        ended.ensure(ended.stdout.is_empty(), "no half a report");
    };
    refused(&run(&["--replay"], &empty), "the recording has no sample");
    refused(&run(&["--replay"], Path::new("-")), "give a recording that is in a file");
    refused(&run(&["--history"], Path::new("/nonexistent/history.db")), "there is no such file");
    refused(&run(&["--history"], &incident()), "--history ");
    let earlier = ["--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z", "--replay"];
    refused(&run(&earlier, &incident()), "but between 2026-03-03 11:00:00 and 2026-03-03 16:0");
    refused(&run(&["--around", "12:00", "--from", "11:00", "--replay"], &incident()), "cannot be used with");
    refused(&run(&["--from", "yesterday", "--replay"], &incident()), "not a time");
    refused(&run(&["--out", "report.pdf", "--replay"], &incident()), ".html, .md or .json");
    refused(
        &run(&["--out", "/nonexistent/report.md", "--replay"], &incident()),
        "name a file that can be written",
    );
    refused(&tracer(["report"]).spawn().finish(), "--history");
}
