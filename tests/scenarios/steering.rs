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
    for backend in &backends {
        let accepted = backend.report().accepted;
        ended.member("app", backend.address).is("attempts", accepted);
    }
    // Another tool's bpf(2) calls hide events on some kernels, which this test cannot forbid: an event that is hidden
    // is made up for by the next, and only a hidden close is lost.
    ended.ensure(total("established") >= all - all / 200, "connections are established, or made up for");
    ended.ensure(total("closed") >= all - all / 100, "closes are seen");
    ended.ensure(total("live") + total("closing") + total("pending") == 0, "nothing is left over");
}
