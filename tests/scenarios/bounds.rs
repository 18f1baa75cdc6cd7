//! Tables that are full, memory that is short: sums still agree, and what is not known is said.

use crate::support::acceptor::Acceptor;
use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::*, refuse, wait_until_closed};
use crate::support::client::Client;
use crate::support::memory_cgroup::MemoryCgroup;
use crate::support::netns::Namespace;
use crate::support::optmem::Optmem;
use crate::support::pools::Pools;
use crate::support::tracer::{Ended, accepted, check, check_until_told};
use crate::support::{turn, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The two sums of what is counted together.
#[track_caller]
fn other_adds_up(ended: &Ended) -> &Value {
    let other = &ended.json["other"];
    let count = |name: &str| other[name].as_u64().unwrap_or_else(|| panic!("a count other.{name}"));
    let failed: u64 =
        other["failed"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let outcomes = count("established") + failed + count("pending") + count("untracked");
    ended.ensure(count("attempts") == outcomes, "other: attempts are what became of them");
    let present = count("live") + count("closing") + count("closed");
    ended.ensure(count("established") + count("adopted") == present, "other: connections are where they are");
    other
}

#[test]
fn with_a_full_table_the_rest_counts_together_and_sums_agree() {
    let (_turn, block) = (turn::alone(), Block::new());
    let backends: Vec<Backend> = (1..=10).map(|n| Backend::start(block.backend(n), Hold)).collect();
    let mut client = Client::start("e2e-client");
    let running =
        check(3, Pools::of_backends(&backends[..4])).argument("--max-backends").argument("4").start();
    for backend in &backends {
        assert_eq!(client.ask(format!("exchange 25 {}", backend.address)), "ok");
    }
    wait_until_closed(&backends);
    let ended = running.finish();
    ended.print_uncounted();
    // Whoever comes first has a place; other connections of this host may be among them.
    let own: u64 = backends[..4]
        .iter()
        .map(|backend| ended.member("app", backend.address).adds_up().count("attempts"))
        .sum();
    let other = other_adds_up(&ended);
    let together = other["attempts"].as_u64().unwrap();
    ended.ensure(own + together >= accepted(&backends), "every connection is counted somewhere");
    ended.ensure(ended.json["uncounted"]["backends"] == together, "how many is said");
    ended.ensure(together >= 150, "six of ten backends have no place");
}

/// Cells are mapped as there is need of them, in steps.
#[test]
fn of_many_backends_each_has_its_own_counts() {
    let (_turn, block) = (turn::alone(), Block::new());
    let backends: Vec<SocketAddr> = (1..=200).map(|n| block.backend(n)).collect();
    let _refusing: Vec<_> = backends.iter().map(|&address| refuse(address)).collect();
    let running = check_until_told(Pools::of(backends.clone())).start();
    for (number, address) in backends.iter().enumerate() {
        (0..=number % 3).for_each(|_| drop(TcpStream::connect(address).unwrap_err()));
        if number == 20 {
            // A sweep with few in use, before the others come.
            std::thread::sleep(Duration::from_millis(1_500));
        }
    }
    std::thread::sleep(Duration::from_millis(1_500));
    running.signal(Signal::SIGINT);
    let ended = running.finish();
    ended.print_uncounted();
    for (number, &address) in backends.iter().enumerate() {
        ended.member("app", address).adds_up().is("attempts", number as u64 % 3 + 1);
    }
}

#[test]
fn places_of_idle_backends_are_given_to_others_and_their_totals_kept() {
    let (_turn, block) = (turn::alone(), Block::new());
    // Some places are for whatever else this host connects to; an eighth is to be free, so that two have to make room.
    let old: Vec<SocketAddr> = (1..=58).map(|n| block.backend(n)).collect();
    let new: Vec<Backend> = (101..=106).map(|n| Backend::start(block.backend(n), Hold)).collect();
    let _refusing: Vec<_> = old.iter().map(|&address| refuse(address)).collect();
    let mut client = Client::start("e2e-client");
    let running =
        check_until_told(Pools::of_backends(&new)).argument("--max-backends").argument("64").start();
    for address in &old {
        TcpStream::connect(address).unwrap_err();
    }
    // Idle for two sweeps, unlisted, idle for two more: at a sweep a second, five seconds at most after the last attempt.
    std::thread::sleep(Duration::from_secs(6));
    for backend in &new {
        assert_eq!(client.ask(format!("exchange 3 {}", backend.address)), "ok");
    }
    wait_until_closed(&new);
    running.signal(Signal::SIGINT);
    let ended = running.finish();
    ended.print_uncounted();
    for backend in &new {
        let member = ended.member("app", backend.address).adds_up();
        member.is("attempts", 3).is("established", 3).is("closed", 3);
    }
    let other = other_adds_up(&ended);
    let refused = other["failed"]["refused"].as_u64().unwrap();
    ended.ensure(refused >= 2, "totals of those who made room are kept");
    ended.ensure(ended.json["uncounted"]["backends"] == 0, "everybody had a place");
}

#[test]
fn beyond_the_limit_of_connections_attempts_are_counted_and_the_rest_is_not_known() {
    let (_turn, block) = (turn::alone(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let mut client = Client::start("e2e-client");
    let running = check_until_told(Pools::of([backend.address]))
        .argument("--max-connections")
        .argument("50")
        .argument("--netns")
        .argument("self")
        .start();
    assert_eq!(client.ask(format!("keep 80 {}", backend.address)), "ok");
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(client.ask("close 80"), "ok");
    wait_until_closed([&backend]);
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(client.ask(format!("exchange 20 {}", backend.address)), "ok");
    wait_until_closed([&backend]);
    running.signal(Signal::SIGINT);
    let ended = running.finish();
    ended.print_uncounted();
    let member = ended.member("app", backend.address).adds_up();
    member.is("attempts", 100).is("live", 0).is("pending", 0).failed_only("", 0);
    let untracked = member.count("untracked");
    // Other connections of this host take places too.
    ended.ensure((30..=80).contains(&untracked), "50 at most are followed at once");
    member.is("established", 100 - untracked).is("closed", 100 - untracked);
    let limit = ended.json["uncounted"]["limit"].as_u64().unwrap();
    ended.ensure(limit >= untracked, "how many is said");
}

#[test]
fn sockets_without_option_memory_are_counted_as_attempts() {
    let (_turn, block) = (turn::alone(), Block::new());
    let namespace = Namespace::new(block.name("optmem"));
    let _optmem = Optmem::set(&namespace, 256);
    let backend = Backend::start_in(&namespace, block.backend(1), Hold);
    let mut client = Client::start_in(&namespace, "e2e-client");
    let running =
        check(2, Pools::of([backend.address])).argument("--netns").argument(namespace.path()).start();
    assert_eq!(client.ask(format!("exchange 30 {}", backend.address)), "ok");
    wait_until_closed([&backend]);
    let ended = running.finish();
    ended.print_uncounted();
    let member = ended.member("app", backend.address).adds_up();
    member.is("attempts", 30).is("untracked", 30).is("established", 0).is("closed", 0);
    let memory = ended.json["uncounted"]["memory"].as_u64().unwrap();
    ended.ensure(memory >= 30, "the reason is said");
}

/// The kernel lets charges for socket storage go over the limit of the cgroup and then kills the process: the tracer has
/// to take no more than fits.
#[test]
fn in_a_full_cgroup_the_tracer_lives_and_sums_agree() {
    let (_turn, block) = (turn::alone(), Block::new());
    let cgroup = MemoryCgroup::new(&block.name("memory"), 32 << 20);
    let kept = Acceptor::start(block.backend(1));
    let mut client = Client::start("e2e-flood");
    let running = check_until_told(Pools::of([kept.address]))
        .argument("--max-backends")
        .argument("64")
        .under(&["sh", "-c", &format!("echo $$ > {} && exec \"$0\" \"$@\"", cgroup.processes().display())])
        .start();
    assert_eq!(client.ask(format!("flood {}", kept.address)), "ok");
    // As many as a flood keeps.
    wait::until("12,000 connections", Duration::from_secs(30), || (kept.accepted() >= 12_000).then_some(()));
    let opened: u64 = client.ask("stop").parse().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    running.signal(Signal::SIGINT);
    let ended = running.finish();
    ended.print_uncounted();
    ended.ensure(ended.stderr.contains("--max-connections lowered to"), "it says that it takes less");
    let member = ended.member("app", kept.address).adds_up();
    let untracked = member.count("untracked");
    member.is("attempts", opened).is("live", opened - untracked).is("closed", 0);
    ended.ensure(untracked > 0, "more came than fit");
    println!("{opened} opened, {untracked} not followed, limit {}", ended.json["uncounted"]["limit"]);
}
