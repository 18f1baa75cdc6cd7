//! `tracer audit`: configurations looked at without tracing.

use crate::support::address::Block;
use crate::support::nginx::Nginx;
use crate::support::tracer::{Ended, tracer};
use crate::support::{require_root, turn};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A configuration in a directory of its own.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// An nginx with these lines in an upstream of an included file.
    fn nginx(&self, lines: &str) -> PathBuf {
        self.file("app.conf", format!("upstream app {{\n{lines}\n}}\n"));
        self.file(
            "nginx.conf",
            "events {}\nhttp { include app.conf; server { listen 80; location / { proxy_pass http://app; } } }\n",
        )
    }
}

fn audit(kind: &str, file: &Path, more: &[&str]) -> Ended {
    tracer(["audit", kind]).argument(file).arguments(more).spawn().finish()
}

/// `severity code file:line` of each problem.
fn problems(ended: &Ended, directory: &Path) -> Vec<String> {
    let line = |problem: &Value| {
        let text =
            |key: &str| problem[key].as_str().unwrap().replace(&format!("{}/", directory.display()), "");
        format!("{} {} {}:{}", text("severity"), text("code"), text("file"), problem["line"])
    };
    ended.json["problems"].as_array().unwrap().iter().map(line).collect()
}

const TYPO: &str =
    "server 10.0.0.1:80 weight=5;\nserver 10.0.0.2:80 weight=50;\nserver 10.0.0.3:80 weight=5;";

#[test]
fn a_digit_too_many_is_reported_at_its_line_in_the_included_file() {
    let files = Files::new();
    let main = files.nginx(TYPO);
    let text = audit("--nginx", &main, &[]);
    text.exits(0);
    let included = files.directory.path().join("app.conf");
    for part in
        ["warning[weight-out-of-line]", &format!("--> {}:3:", included.display()), "weight=50", "90.9 %"]
    {
        let part = if part == "90.9 %" { "83.3 %" } else { part };
        text.ensure(text.stdout.contains(part), part);
    }
    audit("--nginx", &main, &["--deny", "warnings"]).exits(1);
    let json = audit("--nginx", &main, &["--json"]);
    assert_eq!(problems(&json, files.directory.path()), ["warning weight-out-of-line app.conf:3"]);
    let vouched = files.nginx(&TYPO.replace("50;", "50; # tracer: intended"));
    audit("--nginx", &vouched, &["--deny", "warnings"]).exits(0);
}

#[test]
fn exit_codes_tell_errors_from_what_cannot_be_read() {
    let files = Files::new();
    let down = files.nginx("server 10.0.0.1:80 down;\nserver 10.0.0.2:80 down;");
    let ended = audit("--nginx", &down, &["--json"]);
    ended.exits(1);
    assert_eq!(ended.json["errors"], 1);
    for broken in
        ["server 10.0.0.1:80", "server 10.0.0.1:80; }", "server 10.0.0.1:80 weight=99999999999999999999;"]
    {
        let ended = audit("--nginx", &files.nginx(broken), &["--json"]);
        ended.exits(2);
        let problem = &ended.json["problems"][0];
        ended.ensure(problem["line"].as_u64().is_some() && problem["severity"] == "error", "a located error");
    }
    audit("--nginx", Path::new("/nonexistent/nginx.conf"), &[]).exits(2);
    audit("--haproxy", Path::new("/dev/zero"), &[]).exits(2);
    audit("--envoy", files.directory.path(), &[]).exits(2);
    tracer(["audit", "--deny", "notes"]).spawn().finish().exits(2);
}

#[test]
fn names_are_resolved_only_when_asked() {
    let files = Files::new();
    let main = files.nginx("server nowhere.invalid:80;\nserver localhost:80;");
    audit("--nginx", &main, &[]).exits(0);
    let ended = audit("--nginx", &main, &["--resolve", "--json"]);
    ended.exits(1);
    assert_eq!(problems(&ended, files.directory.path()), ["error unresolved-name app.conf:2"]);
    let members = &ended.json["configurations"][0]["pools"][0]["members"];
    ended.ensure(
        members[1]["resolved"].as_array().is_some_and(|found| !found.is_empty()),
        "localhost is somewhere",
    );
}

#[test]
fn what_no_balancer_would_read_is_refused_with_its_place() {
    let files = Files::new();
    let deep = "a {".repeat(100_000);
    let long = "x".repeat(10 << 20);
    for (kind, name, bytes) in [
        ("--nginx", "nginx.conf", b"http { \0 }".to_vec()),
        ("--nginx", "nginx.conf", deep.into_bytes()),
        ("--nginx", "nginx.conf", b"http { include nginx.conf; }".to_vec()),
        ("--haproxy", "haproxy.cfg", b"backend app\n  server a 10.0.0.1:80 \"\n".to_vec()),
        ("--haproxy", "haproxy.cfg", long.clone().into_bytes()),
        ("--envoy", "envoy.yaml", b"static_resources: {clusters: [".to_vec()),
        ("--envoy", "envoy.yaml", b"a: \xff\xfe".to_vec()),
        ("--envoy", "envoy.yaml", "[".repeat(100_000).into_bytes()),
    ] {
        let file = files.file(name, &bytes);
        let ended = audit(kind, &file, &["--json"]);
        ended.exits(2);
        let problem = &ended.json["problems"][0];
        ended.ensure(
            problem["severity"] == "error" && problem["file"] == file.display().to_string(),
            format!("{kind} {:?}", &bytes[..bytes.len().min(40)]),
        );
        ended.ensure(ended.stdout.len() < 100_000, "what is wrong with it, not all of it");
    }
    // Windows line ends are no problem.
    let main = files.nginx("server 10.0.0.1:80;\r\nserver 10.0.0.2:80;\r");
    audit("--nginx", &main, &["--deny", "warnings"]).exits(0);
}

#[test]
fn without_a_file_the_balancers_that_run_are_looked_at() {
    require_root();
    let (_turn, block) = (turn::alone(), Block::new());
    let nginx = Nginx::at(block.balancer(1))
        .server(block.backend(1), "weight=5")
        .server(block.backend(2), "weight=50 max_conns=7")
        .start();
    let ended = tracer(["audit", "--json"]).spawn().finish();
    let configurations = ended.json["configurations"].as_array().unwrap();
    let own = configurations.iter().find(|one| one["pid"] == nginx.pid());
    ended
        .ensure(own.is_some_and(|own| own["pools"][0]["members"][1]["max_connections"] == 7), "its own file");
    let own = nginx.file(None).display().to_string();
    let problems = ended.json["problems"].as_array().unwrap();
    let found = problems.iter().any(|one| one["code"] == "weight-out-of-line" && one["file"] == own.as_str());
    ended.ensure(found, "its odd weight");
}
