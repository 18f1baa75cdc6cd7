//! Backends that come and go for good: what is remembered stays bounded, and no count lands on another backend.

use crate::support::acceptor::Acceptor;
use crate::support::address::Block;
use crate::support::backend::refuse;
use crate::support::bpffs::Bpffs;
use crate::support::pools::Pools;
use crate::support::tracer::{Running, Tracer, watch};
use crate::support::turn;
use nix::sys::signal::Signal;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const MAX_BACKENDS: u16 = 64;
const ROUNDS: u16 = 10;
/// Where an agent is killed before each round but the first two.
const ROUNDS_WITH_KILLS: u16 = 6;
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

    /// One that has a connection all the time, and so its own place.
    fn anchor(&self) -> SocketAddr {
        self.0[0].backend(250)
    }

    /// All others, on the same port.
    fn all(&self, rounds: u16) -> Vec<SocketAddr> {
        let of_block = MAX_BACKENDS * rounds / 4;
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

/// What is in memory of it now.
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
    (addresses, anchor): (&[SocketAddr], SocketAddr),
    start: impl Fn() -> Tracer,
    before_round: impl Fn(u16, Running) -> Running,
) {
    let anchor = Acceptor::start(anchor);
    let mut running = start().start();
    // All connections are this process's: a pool is of one balancer.
    let _anchored = TcpStream::connect(anchor.address).unwrap();
    let (mut memory, mut maps) = (0, 0);
    let (mut late, mut open) = (Vec::<Acceptor>::new(), Vec::<TcpStream>::new());
    for (round, of_round) in (1..).zip(addresses.chunks(MAX_BACKENDS.into())) {
        running = before_round(round, running);
        let mut seen_kib = Vec::new();
        let (kept, refusing) = of_round.split_at(KEPT.into());
        let acceptors: Vec<Acceptor> = kept.iter().map(|&address| Acceptor::start(address)).collect();
        let _refusing: Vec<_> = refusing.iter().map(|&address| refuse(address)).collect();
        // Those of the round before end now.
        open.clear();
        late.iter().for_each(|acceptor| acceptor.wait_until_closed(2));
        open.extend(
            kept.iter().flat_map(|&address| [address; 2]).map(|address| TcpStream::connect(address).unwrap()),
        );
        late = acceptors;
        let pause = (ROUND - Duration::from_secs(1)) / u32::try_from(refusing.len()).unwrap();
        for (number, address) in (0..).zip(refusing) {
            (0..attempts(number)).for_each(|_| drop(TcpStream::connect(address).unwrap_err()));
            std::thread::sleep(pause);
            seen_kib.push(memory_kib(&running));
        }
        std::thread::sleep(Duration::from_secs(1));
        // The most of the first two rounds, and the least of each later one: what leaks raises that.
        let (least, most) = (seen_kib.iter().min().unwrap(), seen_kib.iter().max().unwrap());
        let now = maps_bytes(&running);
        println!("round {round}: {least} to {most} KiB, maps {now} bytes");
        if round <= 2 {
            (memory, maps) = (memory.max(*most), now);
        } else {
            assert!(*least <= memory + memory / 20, "{least} KiB in round {round}, {memory} up to round 2");
            assert!(now <= maps + maps / 20, "{now} bytes of maps after round {round}, {maps} after round 2");
        }
    }
    drop(open);
    late.iter().for_each(|acceptor| acceptor.wait_until_closed(2));
    std::thread::sleep(Duration::from_millis(1_500));
    let mut ended = running.stop(Signal::SIGTERM);
    ended.exits(0);
    ended.json = ended.events().pop().unwrap();
    let member = ended.member("app", anchor.address).adds_up();
    member.is("attempts", 1).is("established", 1).is("live", 1).is("closed", 0).failed_only("", 0);
    let (mut made, mut refused, mut with_own) = (1, 0, 0);
    for (at, &address) in (0..).zip(addresses) {
        let place = at % MAX_BACKENDS;
        let expected = u64::from(if place < KEPT { 2 } else { attempts(place - KEPT) });
        made += expected;
        refused += if place < KEPT { 0 } else { expected };
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
    // Of this host's other connections some may be among them.
    let total = |name: &str| ended.json["totals"][name].as_u64().unwrap();
    let (counted, failed) = (total("attempts"), total("failed"));
    println!(
        "{made} attempts, {refused} refused; counted {counted}, {failed} failed; {with_own} have their own now"
    );
    ended.ensure(counted >= made, format!("every attempt is counted somewhere: {counted} of {made}"));
    ended.ensure(failed >= refused, format!("every failure is counted somewhere: {failed} of {refused}"));
    ended.ensure(
        with_own <= u64::from(MAX_BACKENDS),
        "no more have counts of their own than there are places",
    );
}

fn bounded((addresses, anchor): (&[SocketAddr], SocketAddr)) -> Tracer {
    watch(Pools::of(addresses.iter().copied().chain([anchor])))
        .argument("--max-backends")
        .argument(MAX_BACKENDS.to_string())
}

#[test]
fn ten_times_as_many_backends_as_there_are_places_take_no_more_memory_and_mix_nothing_up() {
    let (_turn, addresses) = (turn::alone(), Addresses::new());
    let all = (&addresses.all(ROUNDS)[..], addresses.anchor());
    churn(all, || bounded(all), |_, running| running);
}

#[test]
fn places_that_make_room_while_agents_are_killed_lose_nothing_and_mix_nothing_up() {
    let (_turn, addresses, bpffs) = (turn::alone(), Addresses::new(), Bpffs::mount());
    let all = (&addresses.all(ROUNDS_WITH_KILLS)[..], addresses.anchor());
    let start = || {
        let pinned = bounded(all).argument("--pin").argument("--pin-dir").argument(bpffs.pins());
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
    churn(all, start, replace);
}
