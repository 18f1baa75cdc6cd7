//! Weights that are followed and look like a typing error.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer, wait_until_closed};
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::server::Server;
use crate::support::tracer::{Ended, Tracer, check, check_without_pools, tracer};
use crate::support::turn;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// Members that are due a thirteenth take some 2,000 connections to be judged.
const SECONDS: u64 = 17;
const TRAFFIC: Duration = Duration::from_secs(15);
/// The file with the upstream, and the line in it with the odd weight.
const INCLUDED: &str = "app.conf";
const ODD_LINE: usize = 3;

/// Four backends, nginx in front of them with one weight of ten times the others in an included file, and a tracer.
struct Setup {
    backends: Vec<Backend>,
    nginx: Server,
    balancer: SocketAddr,
}

impl Setup {
    /// `remark` stands behind the odd weight.
    fn new(block: Block, remark: Option<&'static str>) -> Self {
        let backends: Vec<Backend> = (1..=4).map(|n| Backend::start(block.backend(n), Answer(300))).collect();
        let mut nginx = Nginx::at(block.balancer(1)).included(INCLUDED);
        for (number, backend) in backends.iter().enumerate() {
            nginx = nginx.server(backend.address, if number == 1 { "weight=50" } else { "weight=5" });
            nginx = match remark {
                Some(comment) if number == 1 => nginx.remark(comment),
                _ => nginx,
            };
        }
        Self { backends, nginx: nginx.start(), balancer: block.balancer(1) }
    }

    fn odd(&self) -> SocketAddr {
        self.backends[1].address
    }

    /// A check with nginx's own configuration, of these backends alone.
    fn check(&self) -> Tracer {
        self.configured(
            check_without_pools(SECONDS).argument("--port").argument(self.odd().port().to_string()),
        )
    }

    /// The same with a pools file that declares the same weights.
    fn check_vouched_for(&self) -> Tracer {
        let members = self.backends.iter().enumerate().map(|(number, backend)| {
            (backend.address, format!("weight = {}", if number == 1 { 50 } else { 5 }))
        });
        self.configured(check(SECONDS, Pools::new().pool("app", Some("nginx"), members)))
    }

    fn configured(&self, tracer: Tracer) -> Tracer {
        tracer.argument("--nginx").argument(self.nginx.file(None))
    }

    #[track_caller]
    fn trace(&self, tracer: Tracer) -> Ended {
        let running = tracer.start();
        let outcome = Load::on(self.balancer).run_for(TRAFFIC);
        assert_eq!(outcome.sent, outcome.answered);
        assert!(outcome.sent >= 2500, "harness: only {} connections", outcome.sent);
        wait_until_closed(&self.backends);
        running.finish()
    }
}

#[test]
fn a_digit_too_many_in_an_included_file_is_found_with_its_line() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let setup = Setup::new(block, None);
    let ended = setup.trace(setup.check());
    ended.says_of("pool", "uneven-weights").exits(1);
    ended.ensure(ended.json["verdict"] == "uneven-weights", "the verdict on top");
    let pool = ended.pool("pool");
    ended.ensure(pool["findings"] == serde_json::json!(["uneven-weights"]), "the only finding");
    let summary = pool["summary"].as_str().unwrap_or_default();
    let place = format!("{}:{ODD_LINE}", setup.nginx.file(Some(INCLUDED)).display());
    let said = format!("{} has weight 50 where the others have 5 ({place})", setup.odd());
    ended.ensure(summary.contains(&said), said);
    ended.member("pool", setup.odd()).finds("").interval_contains(50.0 / 65.0);
}

#[test]
fn the_same_weights_in_a_pools_file_are_balanced() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let setup = Setup::new(block, None);
    let ended = setup.trace(setup.check_vouched_for());
    ended.equals(&setup.backends).says(0, "balanced");
    ended.ensure(ended.pools("pool").is_empty(), "the pools file takes the place of the upstream");
}

#[test]
fn the_same_weights_with_the_comment_are_balanced() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let setup = Setup::new(block, Some("tracer: intended"));
    let ended = setup.trace(setup.check());
    ended.says_of("pool", "balanced").exits(0);
}

/// Half a minute of traffic that follows these weights; `more` is said of the pool besides.
fn recording(more: &str) -> String {
    let member = |number: u64, weight: u64| {
        let (line, count) = (11 + number, weight * 4);
        format!(
            r#"{{"backend":"10.0.0.{line}:8080","weight":{weight},"at":"app.conf:{line}","attempts":{count},"established":{count}}}"#
        )
    };
    let members = [member(0, 5), member(1, 50), member(2, 5), member(3, 5)].join(",");
    (1..=30).fold(String::new(), |mut text, second| {
        let time = 1_767_225_600 + second;
        let pool = format!(r#"{{"name":"app","balancer":"nginx",{more}"members":[{members}]}}"#);
        writeln!(text, r#"{{"schema":"tracer.sample/1","time":{time},"pools":[{pool}]}}"#).unwrap();
        text
    })
}

#[test]
fn a_recording_says_whether_somebody_vouches() {
    let directory = tempfile::Builder::new().prefix("tracer-e2e-").tempdir().unwrap();
    let replayed = |more: &str| {
        let file = directory.path().join("recording.jsonl");
        std::fs::write(&file, recording(more)).unwrap();
        tracer(["check", "--replay"]).argument(file).spawn().finish()
    };
    let odd = replayed(r#""vouched":false,"#);
    odd.exits(1);
    for words in [
        "app by nginx (recording): UNEVEN-WEIGHTS since before 2026-01-01T00:00:00Z",
        "10.0.0.12:8080 has weight 50 where the others have 5 (app.conf:12): a typing error?",
    ] {
        odd.ensure(odd.stdout.contains(words), words);
    }
    println!("{}", odd.stdout);
    for more in ["", r#""vouched":true,"#] {
        let meant = replayed(more);
        meant.exits(0).ensure(meant.stdout.contains("BALANCED"), "balanced");
    }
}
