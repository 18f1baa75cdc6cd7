//! `tracer top` on a terminal: what is seen of an incident, and what is left of the terminal.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer};
use crate::support::bpf;
use crate::support::client::example;
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tmux::{Terminal, is_alive};
use crate::support::tracer::tracer;
use crate::support::{require_root, turn, wait};
use nix::sys::signal::Signal;
use std::time::Duration;

/// Until something stands on the screen, on a machine with other things to do.
const SOON: Duration = Duration::from_secs(30);
/// Within which a wrong weight is on the screen, with whose it is.
const FAULT: Duration = Duration::from_secs(10);

/// A terminal with a tracer that has counted for an interval at least.
fn counting(port: u16) -> Terminal {
    require_root();
    let terminal = Terminal::with_tracer(["top", "--no-auto", "--port", &port.to_string()]);
    terminal.shows("an interval", SOON, |screen| screen.contains(" UTC"));
    terminal
}

#[test]
fn a_wrong_weight_is_on_the_screen_with_its_culprit() {
    require_root();
    let (_turn, block) = (turn::alone(), Block::new());
    let backends: Vec<Backend> = (1..=4).map(|n| Backend::start(block.backend(n), Answer(300))).collect();
    let guilty = backends[1].address.to_string();
    let mut nginx = Nginx::at(block.balancer(1));
    for (number, backend) in backends.iter().enumerate() {
        nginx = nginx.server(backend.address, if number == 1 { "weight=10" } else { "" });
    }
    let _nginx = nginx.start();
    let pools = Pools::of_backends(&backends);
    let (file, port) = (pools.file(), pools.port().to_string());
    let arguments = ["top", "--pools", file.to_str().unwrap(), "--port", &port];
    let terminal = Terminal::with_tracer(arguments);
    terminal.shows("an interval", SOON, |screen| screen.contains(" UTC"));
    Load::on(block.balancer(1)).run_while(|| {
        let named = |screen: &str| {
            let culprit = |line: &str| line.contains(&guilty) && line.contains("OVER");
            screen.contains("SKEWED")
                && screen.contains("the balancer: look at")
                && screen.lines().any(culprit)
        };
        terminal.shows("the culprit", FAULT, named);
        terminal.press(&["Enter"]);
        terminal.shows("the pool", SOON, |screen| screen.contains("shares declared in"));
        terminal.press(&["Enter"]);
        terminal.shows("the member", SOON, |screen| {
            screen.contains(&format!("{guilty} in app OVER")) && screen.contains("established")
        });
    });
    terminal.press(&["q"]);
    terminal.is_given_back(0);
}

#[test]
fn the_terminal_is_given_back_by_key_and_by_signal() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let port = block.backend(1).port();
    for way in ["q", "C-c", "SIGTERM", "SIGINT", "SIGHUP"] {
        println!("{way}");
        let terminal = counting(port);
        match way.parse::<Signal>() {
            Ok(signal) => terminal.signal(signal),
            Err(_) => terminal.press(&[way]),
        }
        terminal.is_given_back(0);
    }
}

#[test]
fn the_terminal_is_given_back_by_a_panic_wherever_it_is() {
    for (thread, code) in [("here", 101), ("elsewhere", 0)] {
        println!("{thread}");
        let terminal = Terminal::with(&example("panics_on_screen"), [thread]);
        terminal.shows("a screen", SOON, |screen| screen.contains("press a key"));
        terminal.is_taken();
        terminal.press(&["x"]);
        let screen = terminal.is_given_back(code);
        assert!(screen.contains("panicked at"), "the message stays:\n{screen}");
        assert!(!screen.contains("too late"), "nothing is drawn any more:\n{screen}");
    }
}

#[test]
fn a_terminal_that_is_taken_away_leaves_nothing_behind() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let terminal = counting(block.backend(1).port());
    let process = terminal.tracer();
    let held = bpf::held_by(process);
    assert!(held.len() > 3, "harness: {held:?}");
    terminal.kill_pane();
    let gone = || (!is_alive(process) && held.iter().all(|object| !bpf::exists(*object))).then_some(());
    wait::until("process, programs, maps and links are gone", Duration::from_secs(10), gone);
}

#[test]
fn another_size_of_the_terminal_is_used_to_its_edges() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let terminal = counting(block.backend(1).port());
    for [columns, lines] in [[60, 16], [140, 45], [100, 30]] {
        terminal.resize([columns, lines]);
        let fits = |screen: &str| {
            let first = screen.lines().next().unwrap_or_default();
            let last = screen.lines().nth(lines - 1).unwrap_or_default();
            first.trim_end().chars().count() == columns - 1
                && first.contains("UTC")
                && last.contains("? help")
        };
        terminal.shows(&format!("{columns} by {lines}"), SOON, fits);
    }
    terminal.press(&["q"]);
    terminal.is_given_back(0);
}

#[test]
fn a_recording_is_looked_at_at_its_end() {
    let directory = tempfile::Builder::new().prefix("tracer-e2e-").tempdir().unwrap();
    let file = directory.path().join("samples.jsonl");
    let line = |second: u32| {
        let member = |n: u32, attempts: u32| {
            format!(r#"{{"backend":"10.0.0.1{n}:8080","weight":1,"attempts":{attempts}}}"#)
        };
        let members = [member(1, 100), member(2, 5), member(3, 5)].join(",");
        let time = 1_767_225_600 + second;
        format!(
            r#"{{"schema":"tracer.sample/1","time":{time},"pools":[{{"name":"app","members":[{members}]}}]}}"#
        )
    };
    let text: Vec<String> = (1..=60).map(line).collect();
    std::fs::write(&file, text.join("\n") + "\n").unwrap();
    let terminal = Terminal::with_tracer(["top", "--replay", file.to_str().unwrap()]);
    terminal.shows("the end of the recording", SOON, |screen| {
        screen.contains("end of recording 00:01:00 UTC")
            && screen.contains("SKEWED")
            && screen.contains("OVER")
    });
    terminal.press(&["q"]);
    terminal.is_given_back(0);
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let ended = tracer(["top"]).spawn().finish();
    ended
        .exits(2)
        .ensure(ended.stderr.contains("needs a terminal") && ended.stderr.contains("tracer check"), "remedy");
    let none: [&str; 0] = [];
    let ended = tracer(none).spawn().finish();
    ended.exits(2).ensure(ended.stderr.contains("Usage: tracer"), "usage");
}
