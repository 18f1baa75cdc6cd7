//! What was there before the tracer, and what happens while it starts.

use crate::support::acceptor::Acceptor;
use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::*};
use crate::support::client::Client;
use crate::support::netns::{Fate, Network};
use crate::support::pools::Pools;
use crate::support::tracer::{check, check_until_told};
use crate::support::{turn, wait};
use nix::sys::signal::Signal;
use std::time::Duration;

#[test]
fn connections_from_before_are_live_with_their_owner_and_close() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let mut client = Client::start("e2e-before");
    let mut bystander = Client::start("e2e-bystander");
    assert_eq!(client.ask(format!("keep 40 {}", backend.address)), "ok");
    assert_eq!(client.ask("say 3"), "ok");
    assert_eq!(bystander.ask(format!("keep 3 {}", backend.address)), "ok");
    wait::until("43 accepted", Duration::from_secs(5), || (backend.report().accepted == 43).then_some(()));
    let pools = Pools::new().pool("app", Some("e2e-before"), [(backend.address, String::new())]);
    let running = check(3, pools).start();
    // Five of them go on to work, and end as connections do.
    assert_eq!(client.ask("finish 5"), "ok");
    assert_eq!(client.ask("close 15"), "ok");
    wait::until("20 closed", Duration::from_secs(5), || (backend.report().closed == 20).then_some(()));
    let ended = running.finish();
    ended.print_uncounted();
    let member = ended.member("app", backend.address).adds_up();
    member.is("adopted", 40).is("live", 20).is("closed", 20).is("attempts", 0).is("established", 0);
    // What they had sent before is not known, and what was idle all the time was no health check.
    member.is("sent_bytes", 50).is("received_bytes", 0).is("probes", 0).is("closing", 0).is("pending", 0);
    ended.ensure(ended.json["uncounted"]["undecided"] == 0, "every connection is decided");
}

#[test]
fn a_socket_that_is_connecting_at_the_start_is_one_attempt() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let network = Network::new(block, "syn");
    let hole = block.remote(1);
    network.route([hole], Fate::BlackHole);
    let mut client = Client::start_in(&network.front, "e2e-before");
    assert_eq!(client.ask(format!("connecting 5 {hole}")), "ok");
    let ended = check(2, Pools::of([hole])).start().finish();
    let member = ended.member("app", hole).adds_up();
    member.is("attempts", 5).is("pending", 5).is("adopted", 0).is("established", 0);
}

/// Of one client, with nothing closed while the tracer starts: what it has opened is adopted or attempted, to the
/// connection, wherever among them the tracer began. Another opens and closes without a pause meanwhile.
#[test]
fn no_connection_is_missed_or_doubled_around_fifty_starts_under_load() {
    let (_turn, block) = (turn::alone(), Block::new());
    let (kept, churned) = (Acceptor::start(block.backend(1)), Acceptor::start(block.backend(2)));
    let mut client = Client::start("e2e-flood");
    let (mut adopted, mut attempted) = (0, 0);
    for round in 0..50 {
        let pools = Pools::of([kept.address, churned.address]);
        assert_eq!(client.ask(format!("flood {}", kept.address)), "ok");
        assert_eq!(client.ask(format!("churn {}", churned.address)), "ok");
        let running = check_until_told(pools).start();
        let opened = client.ask("stop");
        let (opened, churn) = opened.split_once(' ').unwrap();
        let (opened, churn): (u64, u64) = (opened.parse().unwrap(), churn.parse().unwrap());
        assert_eq!(client.ask(format!("close {opened}")), "ok");
        kept.wait_until_closed(opened);
        churned.wait_until_closed(churn);
        running.signal(Signal::SIGINT);
        let ended = running.finish();
        let member = ended.member("app", kept.address).adds_up();
        let (before, after) = (member.count("adopted"), member.count("attempts"));
        ended.ensure(
            before + after == opened,
            format!("round {round}: {before} adopted + {after} attempts should be {opened}"),
        );
        member
            .is("established", after)
            .is("closed", opened)
            .is("live", 0)
            .is("pending", 0)
            .failed_only("", 0);
        let other = ended.member("app", churned.address).adds_up();
        let seen = other.count("adopted") + other.count("attempts");
        ended.ensure(seen <= churn, format!("round {round}: {seen} of {churn} connections"));
        other.is("established", other.count("attempts")).is("closed", seen).is("live", 0);
        (adopted, attempted) = (adopted + before, attempted + after);
        kept.forget();
        churned.forget();
    }
    println!("adopted {adopted}, attempted {attempted} of those kept open while it started");
    assert!(adopted > 0 && attempted > 0, "the tracer started in the middle of it");
}
