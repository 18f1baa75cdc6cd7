//! How a tracer begins, and every way it ends: nothing of it stays in the kernel.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::*};
use crate::support::bpf::{Object, exists, held_by};
use crate::support::client::Client;
use crate::support::pools::Pools;
use crate::support::tracer::{Running, check};
use crate::support::{turn, wait};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a tracer that counts has in the kernel.
#[track_caller]
fn objects_of(running: &Running) -> BTreeSet<Object> {
    let held = held_by(running.pid());
    println!("held: {held:?}");
    let has = |kind: fn(&Object) -> bool| held.iter().any(kind);
    assert!(has(|it| matches!(it, Object::Program(_))), "harness: a tracer should hold programs");
    assert!(has(|it| matches!(it, Object::Map(_))), "harness: a tracer should hold maps");
    assert!(has(|it| matches!(it, Object::Link(_))), "harness: a tracer should hold links");
    assert!(held.iter().all(|object| exists(*object)), "harness: what is held should exist");
    held
}

#[track_caller]
fn gone(objects: &BTreeSet<Object>) {
    wait::until("programs, maps and links are gone", Duration::from_secs(5), || {
        let left: Vec<_> = objects.iter().filter(|object| exists(**object)).collect();
        if !left.is_empty() {
            println!("left: {left:?}");
        }
        left.is_empty().then_some(())
    });
}

/// Ends a tracer by a signal, while connections that it follows stay open.
#[track_caller]
fn ended_by(signal: Signal) -> (i32, crate::support::tracer::Ended) {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = [1, 2].map(|n| Backend::start(block.backend(n), Hold));
    let running = check(30, Pools::of_backends(&backends)).start();
    let connect = |n: usize| std::net::TcpStream::connect(backends[n % 2].address).unwrap();
    let _open: Vec<_> = (0..6).map(connect).collect();
    let objects = objects_of(&running);
    running.signal(signal);
    let ended = running.finish();
    gone(&objects);
    (ended.status.code().unwrap_or(-1), ended)
}

#[test]
fn nothing_is_left_after_the_time_is_over() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let running = check(2, Pools::of([backend.address])).start();
    let _open: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(backend.address).unwrap()).collect();
    let objects = objects_of(&running);
    running.finish();
    gone(&objects);
}

#[test]
fn an_interrupt_prints_the_verdict_so_far_and_leaves_nothing() {
    let (code, ended) = ended_by(Signal::SIGINT);
    ended.ensure(ended.json["schema"] == "tracer.check/1", "the verdict so far");
    ended.ensure(code == 3, "six connections are no evidence: exit code 3");
}

#[test]
fn a_termination_leaves_nothing() {
    ended_by(Signal::SIGTERM);
}

#[test]
fn a_hangup_leaves_nothing() {
    ended_by(Signal::SIGHUP);
}

#[test]
fn a_kill_leaves_nothing() {
    ended_by(Signal::SIGKILL);
}

#[test]
fn a_quit_leaves_nothing() {
    ended_by(Signal::SIGQUIT);
}

#[test]
fn counting_starts_within_half_a_second() {
    let (_turn, block) = (turn::alone(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let mut times: Vec<_> = (0..5)
        .map(|_| {
            let running = check(30, Pools::of([backend.address])).start();
            running.to_tracing
        })
        .collect();
    times.sort_unstable();
    println!("to `tracing:`: {times:?}");
    assert!(times[2] < Duration::from_millis(500), "median over 0.5 s: {times:?}");
}

#[test]
fn it_counts_from_the_line_on() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let mut client = Client::start("e2e-client");
    // Connections all the time before the line; each that is made after it must be there.
    let running = std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel();
        let client = &mut client;
        let address = backend.address;
        scope.spawn(move || {
            while stopped.try_recv().is_err() {
                assert_eq!(client.ask(format!("exchange 1 {address}")), "ok");
            }
        });
        let running = check(3, Pools::of([backend.address])).start();
        stop.send(()).unwrap();
        running
    });
    let before = backend.report().accepted;
    assert_eq!(client.ask(format!("exchange 50 {}", backend.address)), "ok");
    let ended = running.finish();
    ended.print_uncounted();
    let established = ended.member("app", backend.address).adds_up().count("established");
    println!("{before} before and around the line, 50 after it, counted {established}");
    ended.ensure((50..=50 + before).contains(&established), "all 50, and none twice");
}
