//! A fleet of fifty balancers with two hundred backends, of which one balancer is bad, in a real Prometheus.

use crate::promtool::{promtool, rules};
use crate::world::{Fleet, Series};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufWriter, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Killed when dropped.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it says of its rules.
fn groups(address: SocketAddr) -> Option<Vec<Value>> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(b"GET /api/v1/rules HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    Some(answer["data"]["groups"].as_array()?.clone())
}

/// As a file for `promtool tsdb create-blocks-from openmetrics`; the first step was then, seconds since the epoch.
fn write(series: &Series, file: &Path, step_seconds: u32, begins: u64) {
    let mut out = BufWriter::new(std::fs::File::create(file).unwrap());
    let mut family = "";
    for (name, values) in series {
        let own = name.split('{').next().unwrap();
        // Of a type that wants no ending of the name.
        if own != family {
            writeln!(out, "# TYPE {own} unknown").unwrap();
            family = own;
        }
        for (value, at) in values.iter().zip((begins..).step_by(step_seconds as usize)) {
            if let Some(value) = value {
                writeln!(out, "{name} {value} {at}").unwrap();
            }
        }
    }
    writeln!(out, "# EOF").unwrap();
}

/// The rules as they are shipped, but that alerts need not stand: `sed 's/^    for: .*/    for: 0s/'`.
fn without_for(directory: &Path) -> Vec<String> {
    let copied = rules().into_iter().map(|file| {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .map(|line| if line.starts_with("    for: ") { "    for: 0s" } else { line })
            .collect();
        let copy = directory.join(file.file_name().unwrap());
        std::fs::write(&copy, lines.join("\n") + "\n").unwrap();
        copy.display().to_string()
    });
    copied.collect()
}

#[test]
fn fifty_balancers_with_two_hundred_backends_are_judged_and_the_bad_one_is_found() {
    let mut fleet = Fleet { step_seconds: 60, steps: 31, ..Fleet::of(50, 200) };
    // Bad from the start, half an hour ago. It ends now: what has ended for less than some minutes is still there.
    fleet = fleet.each(|balancer| balancer.exchanges = Some(vec![1.0; 200]));
    fleet.balancers[16].before.weights[3] = Some(10.0);
    fleet.balancers[16].before.verdict = "skewed";
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let series = fleet.series();
    write(&series, Path::new(&path("fleet.om")), fleet.step_seconds, now - 1_800);
    let mut text = "global: { evaluation_interval: 5s }\nrule_files:\n".to_owned();
    for file in without_for(directory.path()) {
        writeln!(text, "- {file}").unwrap();
    }
    std::fs::write(path("prometheus.yml"), text).unwrap();
    promtool(&["tsdb", "create-blocks-from", "openmetrics", &path("fleet.om"), &path("data")]);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _prometheus = Prometheus(
        Command::new("prometheus")
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let begun = Instant::now();
    let alerts = |groups: &[Value]| -> BTreeSet<String> {
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let alerts = rules.flat_map(|rule| rule["alerts"].as_array().into_iter().flatten());
        alerts
            .map(|alert| {
                format!("{} {}", alert["labels"]["alertname"], alert["labels"]["instance"]).replace('"', "")
            })
            .collect()
    };
    let expected: BTreeSet<String> =
        ["TracerBalancerDisagrees lb17:9477", "TracerBalancerUneven lb17:9477"].map(str::to_owned).into();
    let mut found = None;
    let mut rounds = BTreeSet::new();
    // Groups are evaluated side by side, each every five seconds; the first rounds read the blocks for the first time.
    while rounds.len() < 5 {
        assert!(begun.elapsed() < Duration::from_secs(120), "no rounds of the rules: {found:?}");
        std::thread::sleep(Duration::from_millis(200));
        let Some(groups) = groups(address).filter(|groups| groups.len() == 3) else { continue };
        let each: Vec<f64> = groups.iter().map(|group| group["evaluationTime"].as_f64().unwrap()).collect();
        let (seconds, longest) = (each.iter().sum::<f64>(), each.iter().copied().fold(0.0, f64::max));
        let round = groups.iter().map(|group| group["lastEvaluation"].to_string()).collect::<String>();
        let all = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        for rule in all {
            assert!(matches!(rule["health"].as_str(), Some("ok" | "unknown")), "{rule:#}");
        }
        if !each.contains(&0.0) && rounds.insert(round) {
            println!(
                "{} series, rules evaluated in {longest:.3} s, {seconds:.3} s one after the other: {:?}",
                series.len(),
                alerts(&groups)
            );
            found = Some(alerts(&groups));
        }
    }
    assert_eq!(found, Some(expected), "the bad one, and nobody else");
}
