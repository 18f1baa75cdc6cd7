//! Packets steered between CPUs: softirqs then interrupt processes that are connecting and closing, and the kernel skips
//! a program that would interrupt itself.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::*, wait_until_closed};
use crate::support::netns::Namespace;
use crate::support::pools::Pools;
use crate::support::tracer::check;
use crate::support::turn;
use std::net::TcpStream;
use std::process::Command;

const THREADS: usize = 4;
const EACH: usize = 5_000;

#[test]
fn connections_are_counted_while_softirqs_interrupt_the_counting() {
    let (_turn, block) = (turn::alone(), Block::new());
    let namespace = Namespace::new(block.name("storm"));
    // `ip netns exec` mounts the namespace's own /sys.
    let steer = "echo 3 > /sys/class/net/lo/queues/rx-0/rps_cpus";
    let done = Command::new("ip").args(["netns", "exec", &block.name("storm"), "sh", "-c", steer]).status();
    assert!(done.unwrap().success(), "harness: packet steering is set");
    let backends = [1, 2, 3, 4].map(|n| Backend::start_in(&namespace, block.backend(n), Hold));
    let running =
        check(20, Pools::of_backends(&backends)).argument("--netns").argument(namespace.path()).start();
    let connect_all = || {
        for number in 0..EACH {
            drop(TcpStream::connect(backends[number % 4].address).unwrap());
        }
    };
    namespace.run(|| {
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    namespace.enter();
                    connect_all();
                });
            }
        });
    });
    wait_until_closed(&backends);
    let ended = running.finish();
    ended.print_uncounted();
    let all = (THREADS * EACH) as u64;
    let total = |name: &str| -> u64 {
        backends.iter().map(|backend| ended.member("app", backend.address).count(name)).sum()
    };
    println!(
        "attempts {}, established {}, closed {}",
        total("attempts"),
        total("established"),
        total("closed")
    );
    // Of an event that no program saw, a later one or a sweep makes up for what can be known: that a connection ended. When
    // all of a connection's events were hidden, it is one of which nothing is known.
    for backend in &backends {
        let member = ended.member("app", backend.address).adds_up().failed_only("", 0);
        member.is("attempts", backend.report().accepted).is("live", 0).is("closing", 0).is("pending", 0);
        member.is("closed", member.count("established"));
    }
    ended.ensure(total("untracked") <= all / 200, "hardly any connection is hidden altogether");
}
