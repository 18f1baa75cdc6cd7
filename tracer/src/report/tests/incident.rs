//! The incident that this project starts from, as a recording: for three hours a balancer sends most of the traffic to one
//! of four backends, since somebody who puts a new machine to work types a weight with a digit too many. Compressed in time:
//! a line a second around what changes, and else a line a minute.
//!
//! Made by this file, the same whenever it is made; no clock, no chance. What it shows is what the team of the incident
//! saw: the backend with most of the traffic answers more slowly, and fails now and then, and looks like the culprit.

use super::super::{Report, Wanted, episodes, html, json, judge, markdown};
use crate::agent::DETECTOR_VERSION;
use crate::detect::Verdict;
use crate::fixtures::is_as_in;
use crate::recording::Replay;
use std::fmt::Write as _;

const RECORDING: &str = "report/incident.jsonl";
/// 2026-03-03T11:00:00Z
const BEGIN: u64 = 1_772_535_600;
/// The balancer is reloaded with the wrong weight.
const FAULT: u64 = BEGIN + 62 * 60;
/// It is reloaded with the right one.
const REPAIR: u64 = FAULT + 3 * 3600 + 2 * 60;
const END: u64 = REPAIR + 58 * 60;
/// New connections a second, of the whole pool.
const PER_SECOND: u64 = 40;
/// Of whom it was, in the order of the members.
const GUILTY: usize = 1;
const BACKENDS: [&str; 4] = ["10.20.0.11:8080", "10.20.0.12:8080", "10.20.0.13:8080", "10.20.0.14:8080"];
const WRONG: [u64; 4] = [1, 10, 1, 1];

/// When lines end: each second for two minutes around what changes, else each minute.
fn ends() -> Vec<u64> {
    let close = |time: u64| [FAULT, REPAIR].iter().any(|change| time + 30 > *change && time <= change + 90);
    (BEGIN + 1..=END).filter(|time| close(*time) || time % 60 == 0).collect()
}

/// As smooth weighted round robin spreads them: of the connections with these numbers those that a member gets.
fn spread(from: u64, count: u64, weights: [u64; 4]) -> [u64; 4] {
    let sum: u64 = weights.iter().sum();
    let mut got = [0; 4];
    for number in from..from + count {
        let mut place = number % sum;
        for (member, weight) in weights.iter().enumerate() {
            if place < *weight {
                got[member] += 1;
                break;
            }
            place -= weight;
        }
    }
    got
}

/// `[[upper bound in seconds, count], …]`
fn response_buckets(count: u64, slow: bool) -> String {
    // Between 8 and 32 ms, or, with three times the traffic, between 16 and 90 ms.
    let bounds: [f64; 5] = if slow {
        [0.016_384, 0.023_17, 0.032_768, 0.046_341, 0.092_682]
    } else {
        [0.008_192, 0.011_585, 0.016_384, 0.023_17, 0.032_768]
    };
    let parts = [30, 40, 20, 9, 1];
    let mut left = count;
    let mut buckets = Vec::new();
    for (bound, part) in bounds.iter().zip(parts) {
        let here = if part == 1 { left } else { (count * part / 100).min(left) };
        left -= here;
        if here > 0 {
            buckets.push(format!("[{bound},{here}]"));
        }
    }
    buckets.join(",")
}

fn recording() -> String {
    let mut text = format!(
        r#"{{"schema":"tracer.state/1","time":{BEGIN},"start":true,"host":"lb1","state":{{"detector":{DETECTOR_VERSION},"judges":[]}}}}"#
    );
    text.push('\n');
    let mut before = BEGIN;
    let mut number = 0;
    for end in ends() {
        let seconds = end - before;
        let wrong = (FAULT..REPAIR).contains(&before);
        // A little more at noon than at eleven, and never quite the same.
        let count = seconds * (PER_SECOND + end % 7) + seconds * (end - BEGIN) / 1800;
        let got = spread(number, count, if wrong { WRONG } else { [1; 4] });
        number += count;
        let member = |(member, attempts): (usize, &u64)| {
            let loaded = wrong && member == GUILTY;
            // One in two thousand, on the machine with too much to do.
            let refused = if loaded {
                (number / 2000).saturating_sub((number - count) / 2000).min(*attempts)
            } else {
                0
            };
            let established = attempts - refused;
            let live = if loaded { attempts / seconds } else { attempts / seconds / 2 };
            let failed =
                if refused > 0 { format!(r#","failed":{{"refused":{refused}}}"#) } else { String::new() };
            format!(
                r#"{{"backend":"{}","weight":1,"at":"pools.toml:{}","attempts":{attempts},"established":{established}{failed},"live":{live},"closed":{established},"exchanges":{established},"response_buckets":[{}]}}"#,
                BACKENDS[member],
                6 + member,
                response_buckets(established, loaded)
            )
        };
        let members: Vec<String> = got.iter().enumerate().map(member).collect();
        let _ = writeln!(
            text,
            r#"{{"schema":"tracer.sample/1","time":{end},"interval_seconds":{seconds},"complete":true,"uncounted":{{}},"pools":[{{"name":"checkout","balancer":"nginx","source":"pools.toml:1","expected_source":"declared","members":[{}]}}]}}"#,
            members.join(",")
        );
        before = end;
    }
    text
}

/// The report of the recording, as `tracer report` makes it.
fn report(wanted: &Wanted) -> Report {
    let text = recording();
    let again = judge(Replay::new(text.as_bytes())).unwrap();
    let known = again.known.unwrap();
    let range = wanted.choose(known, known.to_seconds, &episodes(&again.changes, &again.gone)).unwrap();
    Report::of(again.material(range, Replay::new(text.as_bytes())).unwrap()).unwrap()
}

#[test]
fn the_recording_is_the_one_that_is_made_here() {
    is_as_in(RECORDING, &recording());
}

#[test]
fn the_incident_is_found_with_its_onset_its_member_and_its_end() {
    let report = report(&Wanted::default());
    let [incident] = report.incidents.as_slice() else { panic!("{report:?}") };
    assert_eq!(incident.verdict, Verdict::Skewed);
    assert!((incident.onset.0 - FAULT as f64).abs() <= 2.0, "onset {:?}, fault {FAULT}", incident.onset);
    assert!(incident.seconds_to_detect <= 15.0, "{}", incident.seconds_to_detect);
    let cleared = incident.cleared.unwrap().0 - REPAIR as f64;
    assert!((0.0..=60.0).contains(&cleared), "cleared {cleared} s after the repair");
    let found: Vec<_> = incident.members.iter().map(|member| member.finding.as_deref()).collect();
    assert_eq!(found, [None, Some("over"), None, None]);
    assert!(incident.sentence.starts_with("10.20.0.12:8080 gets 7"), "{}", incident.sentence);
    assert_eq!(incident.advice.unwrap()[0], "the balancer");
}

#[test]
fn totals_are_those_that_were_recorded() {
    let whole = Wanted { from: "2026-03-03T11:00:00Z".parse().ok(), ..Wanted::default() };
    let report = report(&whole);
    let incident = &report.incidents[0];
    let place = incident.phases.iter().position(|phase| phase.name == "whole").unwrap();
    let mut wanted = [0; 4];
    for line in recording().lines().skip(1) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for (sum, member) in wanted.iter_mut().zip(line["pools"][0]["members"].as_array().unwrap()) {
            *sum += member["attempts"].as_u64().unwrap();
        }
    }
    let found: Vec<_> =
        incident.members.iter().map(|member| member.phases[place].attempts.unwrap()).collect();
    assert_eq!(found, wanted);
    for phase in 0..3 {
        let shares = incident.members.iter().map(|member| member.phases[phase].share.unwrap());
        assert!((shares.sum::<f64>() - 1.0).abs() < 1e-5);
    }
    let during = incident.members[GUILTY].phases[1].share.unwrap();
    assert!((during - 10.0 / 13.0).abs() < 0.01, "{during}");
}

#[test]
fn the_readme_shows_how_it_begins() {
    let text = markdown(&report(&Wanted::default()));
    let (beginning, _) = text.split_once("\nShares of new connections over time").unwrap();
    let readme = include_str!("../../../../README.md");
    assert!(readme.contains(&format!("```markdown\n{beginning}```\n")), "should have:\n{beginning}");
}

#[test]
fn the_reports_are_as_they_were() {
    let report = report(&Wanted::default());
    is_as_in("report/incident.md", &markdown(&report));
    is_as_in("report/incident.html", &html(&report));
    is_as_in("report/incident.json", &json(&report).unwrap());
}
