//! The commands that need nothing but the host: `demo` and `doctor`.

use crate::support::exchanges::way;
use crate::support::measured::{Told, fault};
use crate::support::{require_root, turn};
use serde_json::Value;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn tracer(arguments: &[&str]) -> Output {
    require_root();
    Command::new(env!("CARGO_BIN_EXE_tracer")).args(arguments).output().unwrap()
}

/// Runs a scenario of the demo; what it prints has to contain all of these.
#[track_caller]
fn demo(scenario: &str, printed: &[&str]) {
    fault(&format!("demo: {scenario}"), || {
        let _turn = turn::alone();
        let started = Instant::now();
        let output = tracer(&["demo", "--scenario", scenario, "--exchanges", way()]);
        let text = String::from_utf8(output.stdout).unwrap();
        let planted = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{planted}{text}");
        assert!(started.elapsed() < Duration::from_secs(15), "took {:?}", started.elapsed());
        assert!(planted.contains("\nplanted: "), "what was planted is said: {planted}");
        for words in printed {
            assert!(text.contains(words), "should contain `{words}`: {text}");
        }
        let seconds =
            text.split("\nfound what was planted, in ").nth(1).and_then(|rest| rest.split(' ').next());
        let after = Duration::from_secs_f64(seconds.unwrap_or_else(|| panic!("{text}")).parse().unwrap());
        // In time by its own limit.
        Told { after: Some(after), requests: 0, wrong: Vec::new() }
    });
}

#[test]
fn the_demo_finds_a_weight_typo() {
    demo("weight-typo", &["SKEWED", "of new connections"]);
}

#[test]
fn the_demo_finds_a_missing_member() {
    demo("missing", &["MEMBER-MISSING"]);
}

#[test]
fn the_demo_finds_clients_that_stick_to_one_backend() {
    demo("sticky", &["SKEWED", "of new connections"]);
}

#[test]
fn the_demo_finds_a_slow_backend_and_does_not_blame_the_balancer() {
    demo("slow", &["BACKEND-SLOW"]);
}

#[test]
fn the_demo_finds_a_backend_that_refuses() {
    demo("refusing", &["BACKEND-FAILING"]);
}

#[test]
fn the_demo_finds_requests_that_are_uneven_over_even_connections() {
    demo("keepalive", &["SKEWED", "of exchanges", "new ones do not show it"]);
}

#[test]
fn the_demo_finds_nothing_where_nothing_is() {
    demo("balanced", &["BALANCED"]);
}

#[test]
fn a_demo_that_goes_on_can_be_looked_at_by_what_it_declares() {
    let _turn = turn::alone();
    let directory = tempfile::Builder::new().prefix("tracer-e2e-").tempdir().unwrap();
    let file = directory.path().join("pools.toml");
    let file = file.to_str().unwrap();
    let started = Instant::now();
    let demo = ["demo", "--scenario", "missing", "--for", "12s", "--declare", file];
    let (demo, check) = std::thread::scope(|scope| {
        let demo = scope.spawn(|| tracer(&demo));
        while !std::path::Path::new(file).exists() {
            assert!(started.elapsed() < Duration::from_secs(10) && !demo.is_finished(), "no {file}");
            std::thread::sleep(Duration::from_millis(50));
        }
        let check = tracer(&["check", "--declared-only", "--pools", file, "--for", "6s"]);
        (demo.join().unwrap(), check)
    });
    let (demo_said, check_said) =
        (String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&check.stdout));
    assert_eq!((demo.status.code(), check.status.code()), (Some(0), Some(1)), "{demo_said}{check_said}");
    assert!(
        demo_said.contains("found what was planted") && check_said.contains("MEMBER-MISSING"),
        "{check_said}"
    );
    assert!(started.elapsed() >= Duration::from_secs(12), "it goes on when it has found it");
}

#[test]
fn a_demo_that_cannot_declare_its_pool_says_where() {
    let output = tracer(&["demo", "--declare", "/nowhere/pools.toml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("/nowhere/pools.toml") && said.contains("give a file that can be written"),
        "{said}"
    );
}

#[test]
fn bash_completes_commands_and_options() {
    let completes = |words: &str, count: usize| {
        let script = format!(
            "source <({} completions bash); COMP_WORDS=({words}); COMP_CWORD={count}; \
             _tracer tracer \"${{COMP_WORDS[{count}]}}\" \"${{COMP_WORDS[{count}-1]}}\"; echo \"${{COMPREPLY[@]}}\"",
            env!("CARGO_BIN_EXE_tracer")
        );
        let output = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(completes("tracer che", 1), "check\n");
    assert_eq!(completes("tracer top --repl", 2), "--replay\n");
    assert!(completes("tracer check --exchanges ''", 3).contains("auto on off"));
}

#[test]
fn a_manual_page_is_printed_for_each_command() {
    let page =
        |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_tracer")).args(arguments).output().unwrap();
    let top = String::from_utf8(page(&["man", "top"]).stdout).unwrap();
    assert!(top.contains(".TH tracer-top 1") && top.contains("EXTRA") && top.contains("tracer top"), "{top}");
    let unknown = page(&["man", "tip"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(2) && said.contains("`tip`") && said.contains("watch"), "{said}");
}

#[test]
fn doctor_goes_through_the_programs() {
    let output = tracer(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["schema"], &found["can_trace"]), (&"tracer.doctor/1".into(), &true.into()));
    let programs = found["programs"].as_array().unwrap();
    let names: Vec<_> = programs.iter().map(|program| program["name"].as_str().unwrap()).collect();
    let fallbacks = ["send_entry", "send_page"];
    let usual = ["lifecycle", "relief", "destroy", "sweep", "listeners", "adopt", "receive", "send"];
    assert_eq!(names, [&usual[..], &fallbacks].concat());
    let works = |program: &Value| program["works"] == true && program["reason"].is_null();
    let send = programs.iter().find(|program| program["name"] == "send").unwrap();
    for program in programs {
        if fallbacks.contains(&program["name"].as_str().unwrap()) {
            assert_eq!((&program["intent"], &program["fallback_for"]), (&"fallback".into(), &"send".into()));
            assert!(works(send) || works(program), "without `send` by a fallback: {found}");
            assert!(!works(send) || program["reason"].is_null(), "not tried: {found}");
        } else {
            assert!(works(program) || program == send, "{found}");
        }
    }
    let text = String::from_utf8(tracer(&["doctor"]).stdout).unwrap();
    assert!(
        names.iter().all(|name| text.contains(name)) && text.ends_with("this host can be traced\n"),
        "{text}"
    );
}
