//! Backends that come and go for good: what is remembered stays bounded, and no count lands on another backend.

use crate::support::acceptor::Acceptor;
use crate::support::address::Block;
use crate::support::backend::refuse;
use crate::support::bpf::held_by;
use crate::support::bpffs::Bpffs;
use crate::support::client::Client;
use crate::support::pools::Pools;
use crate::support::tracer::{Running, Tracer, watch};
use crate::support::turn;
use nix::sys::signal::Signal;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const MAX_BACKENDS: u16 = 64;
const ROUNDS: u16 = 10;
/// Of each round so many are connected to and stay so until the next round: what is counted then comes late.
const KEPT: u16 = 4;
/// Places are given up two sweeps after their key is taken out, which comes two sweeps after their last connection.
const ROUND: Duration = Duration::from_secs(5);

/// More than one scenario has.
struct Addresses([Block; 4]);

impl Addresses {
    fn new() -> Self {
        Self(std::array::from_fn(|_| Block::new()))
    }

    /// Every one, on one port.
    fn all(&self) -> Vec<SocketAddr> {
        let of_block = MAX_BACKENDS * ROUNDS / 4;
        let port = self.0[0].port();
        let of = |block: &Block| {
            let block = *block;
            (1..=of_block).map(move |n| (block.backend(u8::try_from(n).unwrap()).ip(), port).into())
        };
        self.0.iter().flat_map(of).collect()
    }
}

/// How often an address is connected to.
fn attempts(number: u16) -> u16 {
    number % 3 + 1
}

fn memory_kib(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What the maps take that an agent holds, as the kernel says it.
fn maps_bytes(running: &Running) -> u64 {
    let directory = format!("/proc/{}/fdinfo", running.pid());
    let infos = std::fs::read_dir(directory).unwrap().flatten();
    let texts = infos.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    texts
        .filter(|text| text.contains("map_id:"))
        .filter_map(|text| {
            text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse::<u64>().ok())
        })
        .sum()
}

/// `MAX_BACKENDS` other addresses each round; `before_round` may put another agent in the place of the one that runs.
#[track_caller]
fn churn(
    start: impl Fn() -> Tracer,
    before_round: impl Fn(u16, Running) -> Running,
    addresses: &[SocketAddr],
) {
    let mut client = Client::start("e2e-client");
    let mut running = start().start();
    let (mut memory, mut maps, mut late) = (0, 0, Vec::<Acceptor>::new());
    for (round, of_round) in (1..).zip(addresses.chunks(MAX_BACKENDS.into())) {
        running = before_round(round, running);
        let (kept, refusing) = of_round.split_at(KEPT.into());
        let acceptors: Vec<Acceptor> = kept.iter().map(|&address| Acceptor::start(address)).collect();
        let _refusing: Vec<_> = refusing.iter().map(|&address| refuse(address)).collect();
        // Those of the round before end now.
        assert_eq!(client.ask(format!("close {}", u16::try_from(late.len()).unwrap() * 2)), "ok");
        late.iter().for_each(|acceptor| acceptor.wait_until_closed(2));
        for address in kept {
            assert_eq!(client.ask(format!("keep 2 {address}")), "ok");
        }
        late = acceptors;
        let pause = (ROUND - Duration::from_secs(1)) / u32::try_from(refusing.len()).unwrap();
        for (number, address) in (0..).zip(refusing) {
            (0..attempts(number)).for_each(|_| drop(TcpStream::connect(address).unwrap_err()));
            std::thread::sleep(pause);
        }
        std::thread::sleep(Duration::from_secs(1));
        let now = (memory_kib(&running), maps_bytes(&running));
        println!(
            "round {round}: {} KiB, maps {} bytes, {} objects",
            now.0,
            now.1,
            held_by(running.pid()).len()
        );
        if round == 2 {
            (memory, maps) = now;
        } else if round > 2 {
            assert!(
                now.0 <= memory + memory / 20,
                "{} KiB after round {round}, {memory} after round 2",
                now.0
            );
            assert!(
                now.1 <= maps + maps / 20,
                "{} bytes of maps after round {round}, {maps} after round 2",
                now.1
            );
        }
    }
    assert_eq!(client.ask(format!("close {}", late.len() * 2)), "ok");
    late.iter().for_each(|acceptor| acceptor.wait_until_closed(2));
    std::thread::sleep(Duration::from_millis(1_500));
    let mut ended = running.stop(Signal::SIGTERM);
    ended.exits(0);
    ended.json = ended.events().pop().unwrap();
    let mut made = 0;
    let mut with_own = 0;
    for (at, &address) in (0..).zip(addresses) {
        let place = at % MAX_BACKENDS;
        let expected = u64::from(if place < KEPT { 2 } else { attempts(place - KEPT) });
        made += expected;
        let Some(member) = ended.find("app", address) else { continue };
        // What made room has its counts among those of nobody.
        let counted = member.count("attempts");
        ended.ensure(counted <= expected, format!("{address}: {counted} attempts of {expected}: another's"));
        if place < KEPT {
            member.failed_only("", 0);
            let closed = member.count("closed");
            ended.ensure(closed <= expected, format!("{address}: {closed} closed of {expected}"));
        } else {
            member.is("established", 0).is("closed", 0).failed_only("refused", counted);
        }
        with_own += u64::from(counted > 0);
    }
    let total = ended.json["totals"]["attempts"].as_u64().unwrap();
    println!(
        "{made} attempts at {} addresses, {total} counted, {with_own} addresses have counts now",
        addresses.len()
    );
    ended.ensure(total >= made, format!("every attempt is counted somewhere: {total} of {made}"));
    ended.ensure(
        with_own <= u64::from(MAX_BACKENDS),
        "no more have counts of their own than there are places",
    );
    ended.ensure(with_own > 0, "some have counts of their own");
}

fn bounded(addresses: &[SocketAddr]) -> Tracer {
    watch(Pools::of(addresses.iter().copied())).argument("--max-backends").argument(MAX_BACKENDS.to_string())
}

#[test]
fn ten_times_as_many_backends_as_there_are_places_take_no_more_memory_and_mix_nothing_up() {
    let (_turn, addresses) = (turn::traffic(), Addresses::new().all());
    churn(|| bounded(&addresses), |_, running| running, &addresses);
}

#[test]
fn places_that_make_room_while_agents_are_killed_lose_nothing_and_mix_nothing_up() {
    let (_turn, addresses, bpffs) = (turn::traffic(), Addresses::new().all(), Bpffs::mount());
    let start = || {
        let pinned = bounded(&addresses).argument("--pin").argument("--pin-dir").argument(bpffs.pins());
        pinned.argument("--state").argument(bpffs.state())
    };
    let replace = |round, running: Running| {
        if round > 2 {
            running.signal(Signal::SIGKILL);
            running.wait_for_kill();
            start().start()
        } else {
            running
        }
    };
    churn(start, replace, &addresses);
}
