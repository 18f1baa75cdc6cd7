//! Causes and ways to connect that need care: what the kernel does is not always what the name says.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::*, listen, wait_until_closed};
use crate::support::client::Client;
use crate::support::netns::{Fate, Namespace, Network};
use crate::support::netstat::Netstat;
use crate::support::pools::Pools;
use crate::support::tracer::{Ended, check};
use crate::support::turn;
use nix::errno::Errno;
use nix::sys::socket::{Backlog, SockaddrStorage};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const SECONDS: u64 = 3;
const NAME: &str = "e2e-client";

/// Traces what `work` does in a namespace.
#[track_caller]
fn traced(
    namespace: &Namespace,
    members: impl IntoIterator<Item = SocketAddr>,
    work: impl FnOnce(),
) -> Ended {
    let running = check(SECONDS, Pools::of(members)).argument("--netns").argument(namespace.path()).start();
    work();
    let ended = running.finish();
    ended.print_uncounted();
    ended
}

/// `connect` sets SYN_SENT, and only then looks for a port: that it finds none is a failed attempt. Whatever fails before
/// (a port that `bind` is to choose, a route) is no attempt.
#[test]
fn no_local_port_left_is_local() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let namespace = Namespace::new(block.name("ports"));
    namespace.set("ipv4/ip_local_port_range", "40000 40031");
    namespace.ip(&format!("-6 addr add {}/128 dev lo nodad", block.remote_v6(1).ip()));
    let all = [block.backend(1), block.remote_v6(1), block.backend(2)];
    let backends = all.map(|address| Backend::start_in(&namespace, address, Hold));
    let nowhere = block.remote(1);
    let mut client = Client::start_in(&namespace, NAME);
    let ended = traced(&namespace, all.into_iter().chain([nowhere]), || {
        for full in &all[..2] {
            assert_eq!(client.ask(format!("hold 50 {full}")), "established 32 EADDRNOTAVAIL 18");
        }
        assert_eq!(client.ask(format!("bind-late 127.0.0.1:0 {}", all[0])), "EADDRNOTAVAIL");
        assert_eq!(client.ask(format!("bind-early 127.0.0.1:0 {}", all[0])), "EADDRINUSE");
        assert_eq!(client.ask(format!("bound 127.0.0.1:39999 {}", all[2])), "ok EADDRNOTAVAIL");
        assert_eq!(client.ask(format!("empty 1 {nowhere}")), "ENETUNREACH");
        assert_eq!(client.ask("release"), "ok");
        wait_until_closed(&backends);
    });
    let member = |address| ended.member("app", address).adds_up();
    member(all[0]).is("attempts", 51).is("established", 32).is("closed", 32).failed_only("local", 19);
    member(all[1]).is("attempts", 50).is("established", 32).is("closed", 32).failed_only("local", 18);
    member(all[2]).is("attempts", 2).is("established", 1).is("closed", 1).failed_only("local", 1);
    member(nowhere).is("attempts", 0);
    ended.equals(&backends);
}

/// Bits of net.ipv4.tcp_fastopen: who may send data with a SYN, who takes it.
const CLIENTS: &str = "1";
const CLIENTS_AND_SERVERS: &str = "3";

fn fast_open_listener(address: SocketAddr) -> TcpListener {
    let (listener, waiting) = (listen(address, Backlog::MAXCONN), 256);
    // SAFETY: the value is as long as said.
    let set = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN,
            (&raw const waiting).cast(),
            size_of_val(&waiting).try_into().unwrap(),
        )
    };
    Errno::result(set).unwrap();
    listener
}

/// Without a cookie, with one, and with data in the SYN that the server does not take.
#[track_caller]
fn fast_open(command: &str) {
    let (_turn, block) = (turn::traffic(), Block::new());
    let namespace = Namespace::new(block.name("tfo"));
    namespace.set("ipv4/tcp_fastopen", CLIENTS);
    let netstat = namespace.run(Netstat::here);
    let backend = Backend::start_on(&namespace, Hold, || fast_open_listener(block.backend(1)));
    let mut client = Client::start_in(&namespace, NAME);
    let mut ask = |count: u64| assert_eq!(client.ask(format!("{command} {count} {}", backend.address)), "ok");
    let in_syn =
        || ["TCPFastOpenActive", "TCPFastOpenPassive", "TCPFastOpenActiveFail"].map(|it| netstat.tcp(it));
    let ended = traced(&namespace, [backend.address], || {
        ask(20);
        assert_eq!(in_syn(), [0, 0, 0], "harness: without a cookie no data goes with the SYN");
        namespace.set("ipv4/tcp_fastopen", CLIENTS_AND_SERVERS);
        ask(1);
        ask(20);
        assert_eq!(in_syn(), [20, 20, 0], "harness: with the cookie of the first the rest is taken");
        namespace.set("ipv4/tcp_fastopen", CLIENTS);
        ask(20);
        assert_eq!(in_syn(), [20, 20, 20], "harness: the data in the SYN is not taken");
        wait_until_closed([&backend]);
    });
    let member = ended.member("app", backend.address).adds_up().failed_only("", 0);
    member.is("attempts", 61).is("established", 61).is("closed", 61).is("resets", 0).is("probes", 0);
    member.is("sent_bytes", 610).is("received_bytes", 0);
    ended.equals(&[backend]);
}

#[test]
fn fast_open_in_one_call_counts_as_any_other() {
    fast_open("fast-open");
}

#[test]
fn fast_open_by_option_counts_as_any_other() {
    fast_open("fast-open-connect");
}

/// With a cookie `connect` sends nothing: SYN_SENT without a SYN, until the first `write`.
#[test]
fn a_deferred_connect_that_never_writes_is_cancelled() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let namespace = Namespace::new(block.name("tfo"));
    namespace.set("ipv4/tcp_fastopen", CLIENTS_AND_SERVERS);
    let backend = Backend::start_on(&namespace, Hold, || fast_open_listener(block.backend(1)));
    let mut client = Client::start_in(&namespace, NAME);
    let ended = traced(&namespace, [backend.address], || {
        assert_eq!(client.ask(format!("fast-open-connect 1 {}", backend.address)), "ok");
        assert_eq!(client.ask(format!("fast-open-unsent 5 {}", backend.address)), "ok");
        wait_until_closed([&backend]);
    });
    let member = ended.member("app", backend.address).adds_up();
    member.is("attempts", 6).is("established", 1).failed_only("cancelled", 5);
    ended.equals(&[backend]);
}

/// A listener of MPTCP; `None`, and why, where the kernel has none.
fn multipath_listener(address: SocketAddr) -> Option<TcpListener> {
    // SAFETY: a system call without pointers.
    let number =
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, libc::IPPROTO_MPTCP) };
    let number = match Errno::result(number) {
        Err(errno @ (Errno::EPROTONOSUPPORT | Errno::ENOPROTOOPT)) => {
            println!(
                "NOT RUN HERE: a socket of IPPROTO_MPTCP: {errno} (kernel without MPTCP, or net.mptcp.enabled = 0)"
            );
            return None;
        }
        number => number.unwrap(),
    };
    // SAFETY: the descriptor is new, and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    let address = SockaddrStorage::from(address);
    nix::sys::socket::bind(fd.as_raw_fd(), &address).unwrap();
    nix::sys::socket::listen(&fd, Backlog::MAXCONN).unwrap();
    Some(fd.into())
}

/// The first subflow is the process's own; a worker of the kernel's opens the others.
#[test]
fn subflows_of_multipath_tcp_that_the_kernel_opens_are_the_kernels() {
    const COUNT: u64 = 10;
    let (_turn, block) = (turn::traffic(), Block::new());
    let network = Network::new(block, "");
    let address = block.remote(1);
    network.route([address], Fate::Local);
    let Some(listener) = network.router.run(|| multipath_listener(address)) else { return };
    network.front.ip("addr add 192.0.2.3/24 dev up0");
    for namespace in [&network.front, &network.router] {
        namespace.ip("mptcp limits set subflow 1 add_addr_accepted 0");
    }
    let backend = Backend::start_on(&network.router, Hold, || listener);
    let mut client = Client::start_in(&network.front, NAME);
    let ended = traced(&network.front, [address], || {
        assert_eq!(client.ask(format!("mptcp {COUNT} 0 {address}")), "ok");
        network.front.ip("mptcp endpoint add 192.0.2.3 dev up0 subflow");
        assert_eq!(client.ask(format!("mptcp {COUNT} 1 {address}")), "ok");
        wait_until_closed([&backend]);
    });
    let pool = ended.pool("app");
    ended.ensure(pool["balancer"] == NAME, "the process should be the balancer");
    let member = ended.member("app", address).adds_up().failed_only("", 0);
    member.is("attempts", 2 * COUNT).is("established", 2 * COUNT).is("closed", 2 * COUNT);
    assert_eq!(backend.report().accepted, 2 * COUNT);
    let listed = ended.json["listed"].as_array().unwrap();
    let kernel: Vec<_> = listed.iter().filter(|pool| pool["balancer"] == "kernel").collect();
    ended.ensure(
        kernel.len() == 1 && kernel[0]["attempts"] == COUNT,
        "the kernel's own, listed and not judged",
    );
    ended.ensure(listed.len() == 1, "no worker should be a balancer of its own");
}

/// However io_uring connects, the process is the balancer: its workers and its polling thread are threads of it.
#[test]
fn connects_by_io_uring_are_the_processes() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let namespace = Namespace::new(block.name("uring"));
    let ways = ["process", "worker", "poller"];
    let backends = [1, 2, 3].map(|n| Backend::start_in(&namespace, block.backend(n), Hold));
    let mut client = Client::start_in(&namespace, NAME);
    let possible = ways.map(|way| match client.ask(format!("uring-available {way}")).as_str() {
        "ok" => true,
        errno @ ("EPERM" | "ENOSYS") => {
            println!("NOT RUN HERE: io_uring by {way}: io_uring_setup is forbidden on this host ({errno})");
            false
        }
        other => panic!("io_uring by {way}: {other}"),
    });
    let ended = traced(&namespace, [1, 2, 3].map(|n| block.backend(n)), || {
        for (way, backend) in ways.iter().zip(&backends).zip(possible).filter(|it| it.1).map(|it| it.0) {
            assert_eq!(client.ask(format!("uring {way} 20 {}", backend.address)), "ok");
        }
        wait_until_closed(&backends);
    });
    for (backend, possible) in backends.iter().zip(possible) {
        let count = if possible { 20 } else { 0 };
        let member = ended.member("app", backend.address).adds_up().failed_only("", 0);
        member.is("attempts", count).is("established", count).is("sent_bytes", 10 * count);
    }
    if possible.contains(&true) {
        ended.ensure(ended.pool("app")["balancer"] == NAME, "the process should be the balancer");
    }
    ended.ensure(ended.json["listed"] == serde_json::json!([]), "no thread should be a balancer of its own");
    ended.equals(&backends);
}
