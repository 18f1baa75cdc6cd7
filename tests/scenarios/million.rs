//! A million connections, counted to the last one.

use crate::support::address::Block;
use crate::support::backend::refuse;
use crate::support::client::Client;
use crate::support::crowd::{Backends, ENDINGS, Ending, REPLY, REQUEST, Seen};
use crate::support::netns::Namespace;
use crate::support::netstat::{Netstat, sockets_in_use};
use crate::support::pools::Pools;
use crate::support::tracer::{CAUSES, Ended, Member, check};
use crate::support::{turn, wait};
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const MILLION: u64 = 1_000_000;
/// Processes that connect.
const CROWDS: u64 = 4;
/// Backends: each has as many ports of the client as there are, and so enough while some are in TIME_WAIT.
const BACKENDS: u8 = 20;
const REFUSING: u8 = 2;
const THREADS: usize = 2;
/// Connections that a crowd has at a time at most: all of them together are open files of the backends.
const WINDOW: usize = 3_000;

/// What a crowd counted: by backend and ending, and how often each refusing address refused.
type Tally = (Vec<[u64; ENDINGS.len()]>, Vec<u64>);

#[test]
fn a_million_connections_are_counted_to_the_last() {
    let (_turn, block) = (turn::alone(), Block::new());
    let namespace = Namespace::new(block.name("crowd"));
    namespace.set("ipv4/ip_local_port_range", "1024 65535");
    // Of more the kernel makes no TIME_WAIT, and answers the last FIN of the other side with an RST.
    namespace.set("ipv4/tcp_max_tw_buckets", "1000000");
    namespace.set("core/somaxconn", "65535");
    let netstat = namespace.run(Netstat::here);
    let addresses: Vec<_> = (1..=BACKENDS).map(|n| block.backend(n)).collect();
    let refusing: Vec<_> = (1..=REFUSING).map(|n| block.backend(BACKENDS + n)).collect();
    let backends = Backends::start_in(&namespace, &addresses, THREADS);
    let _refusing = namespace.run(|| refusing.iter().map(|address| refuse(*address)).collect::<Vec<_>>());
    let mut crowds: Vec<_> = (0..CROWDS).map(|_| Client::crowd_in(&namespace, "e2e-crowd")).collect();
    let all = addresses.iter().chain(&refusing).copied();
    let running = check(600, Pools::of(all)).argument("--netns").argument(namespace.path()).start();

    let start = Instant::now();
    for (seed, crowd) in crowds.iter_mut().enumerate() {
        let (to, refused) = (listed(&addresses), listed(&refusing));
        crowd.tell(format!("{} {seed} {WINDOW} {to} {refused}", MILLION / CROWDS));
    }
    let tallies: Vec<Tally> =
        crowds.iter_mut().map(|crowd| serde_json::from_str(&crowd.answer()).unwrap()).collect();
    let over = |seen: &Seen| seen.accepted.load(Relaxed) == seen.closed.load(Relaxed);
    wait::until("all connections are closed", Duration::from_secs(10), || {
        backends.seen().iter().all(over).then_some(())
    });
    let took = start.elapsed();
    // FINs that are still on their way belong to the connections, too.
    let listening = u64::from(BACKENDS);
    wait::until("only listeners are left", Duration::from_secs(10), || {
        (namespace.run(sockets_in_use) == listening).then_some(())
    });
    running.signal(Signal::SIGINT);
    let ended = running.finish();

    let all: Vec<_> = addresses.iter().chain(&refusing).copied().collect();
    print(&ended, &all, took);
    let dropped = ["ListenOverflows", "ListenDrops"].map(|name| netstat.tcp(name));
    println!("ListenOverflows and ListenDrops: {dropped:?}; backends accepted {}", accepted(&backends));
    assert_eq!(dropped, [0, 0], "harness: the backends should accept everything");
    let told: u64 = tallies
        .iter()
        .map(|(by_backend, refused)| by_backend.iter().flatten().sum::<u64>() + refused.iter().sum::<u64>())
        .sum();
    assert_eq!(told, MILLION, "harness: the crowds should make a million");

    // Of an end that no program saw is known that it was one, and no more.
    let missed = ended.recursion_misses();
    let mut unknown = Unknown::default();
    for (number, (address, seen)) in addresses.iter().zip(backends.seen()).enumerate() {
        let of = |ending: Ending| tallies.iter().map(|(all, _)| all[number][ending.index()]).sum::<u64>();
        let made = ENDINGS.iter().map(|ending| of(*ending)).sum();
        assert_eq!(seen.accepted.load(Relaxed), made, "harness: {address} should accept what was made");
        let with_payload = made - of(Ending::Empty) - of(Ending::EmptyReset);
        let replied = with_payload - of(Ending::ServerResets);
        let sent = with_payload * REQUEST as u64 + of(Ending::ServerResetsAfterData);
        assert_eq!(seen.received_bytes.load(Relaxed), sent, "harness: bytes that {address} read");
        assert_eq!(
            seen.sent_bytes.load(Relaxed),
            replied * REPLY as u64,
            "harness: bytes that {address} sent"
        );
        let member = ended.member("app", *address).adds_up().failed_only("", 0);
        member.is("attempts", made).is("established", made).is("closed", made);
        unknown.resets +=
            short(member, "resets", of(Ending::ServerResets) + of(Ending::ServerResetsAfterData));
        unknown.resets += short(member, "resets_without_data", of(Ending::ServerResets));
        unknown.probes += short(member, "probes", of(Ending::Empty) + of(Ending::EmptyReset));
        unknown.sent_bytes += short(member, "sent_bytes", sent);
        unknown.received_bytes += short(member, "received_bytes", replied * REPLY as u64);
    }
    ended.ensure(missed <= MILLION / 1_000, "few ends are hidden");
    println!("{missed} ends made up for, of which is not known: {unknown:?}");
    let most = Unknown {
        resets: 2 * missed,
        probes: missed,
        sent_bytes: missed * (REQUEST as u64 + 1),
        received_bytes: missed * REPLY as u64,
    };
    ended.ensure(unknown.within(most), format!("no more than that is missing: {unknown:?}"));
    for (number, address) in refusing.iter().enumerate() {
        let refused = tallies.iter().map(|(_, refused)| refused[number]).sum();
        let member = ended.member("app", *address).adds_up().failed_only("refused", refused);
        member.is("attempts", refused).is("established", 0);
    }
}

/// What is missing from sums over all backends.
#[derive(Debug, Default)]
struct Unknown {
    resets: u64,
    probes: u64,
    sent_bytes: u64,
    received_bytes: u64,
}

impl Unknown {
    fn within(&self, most: Self) -> bool {
        self.resets <= most.resets
            && self.probes <= most.probes
            && self.sent_bytes <= most.sent_bytes
            && self.received_bytes <= most.received_bytes
    }
}

/// How much a count is below what it should be; never above.
#[track_caller]
fn short(member: Member<'_>, name: &str, expected: u64) -> u64 {
    let count = member.count(name);
    assert!(count <= expected, "{name} should be {expected} at most, is {count}");
    expected - count
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn accepted(backends: &Backends) -> u64 {
    backends.seen().iter().map(|seen| seen.accepted.load(Relaxed)).sum()
}

/// What the tracer counted of all members together.
fn print(ended: &Ended, members: &[SocketAddr], took: Duration) {
    let total =
        |count: &dyn Fn(SocketAddr) -> u64| members.iter().map(|address| count(*address)).sum::<u64>();
    let count = |name: &str| total(&|address| ended.member("app", address).count(name));
    let names = ["attempts", "established", "pending", "live", "closing", "closed", "resets"];
    let names = names.iter().chain(&["resets_without_data", "probes", "sent_bytes", "received_bytes"]);
    let names = names.chain(&["retransmits", "syn_retransmits"]);
    for name in names {
        println!("{name}: {}", count(name));
    }
    let adopted = total(&|address| ended.member("app", address).adopted());
    println!("adopted: {adopted}");
    for cause in CAUSES {
        println!("failed.{cause}: {}", total(&|address| ended.member("app", address).failed(cause)));
    }
    ended.print_uncounted();
    println!("{MILLION} connects in {took:?}: {:.0} a second", MILLION as f64 / took.as_secs_f64());
}
