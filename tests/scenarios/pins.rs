//! `tracer watch --pin`: counting goes on whatever becomes of the agent, and what is pinned is not believed.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::*, wait_until_closed};
use crate::support::bpf::{exists, held_by};
use crate::support::bpffs::{Bpffs, names};
use crate::support::client::Client;
use crate::support::exchanges::equal_requests;
use crate::support::http::Http;
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{Ended, Running, Tracer, accepted, tracer, watch};
use crate::support::{require_root, turn, wait};
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How often an agent is killed; `TRACER_KILLS` says otherwise.
const KILLS: u32 = 8;
const SOON: Duration = Duration::from_secs(10);
/// Links of an agent that measures no exchanges.
const LINKS: [&str; 3] = ["destroy", "lifecycle", "relief"];

pub(super) fn backends(block: Block) -> Vec<Backend> {
    (1..=3).map(|n| Backend::start(block.backend(n), Answer(300))).collect()
}

pub(super) fn addresses(backends: &[Backend]) -> impl Iterator<Item = SocketAddr> {
    backends.iter().map(|backend| backend.address)
}

pub(super) fn pinned(bpffs: &Bpffs, backends: &[Backend]) -> Tracer {
    let pinned =
        watch(Pools::of_backends(backends)).argument("--pin").argument("--pin-dir").argument(bpffs.pins());
    pinned.argument("--state").argument(bpffs.state())
}

pub(super) fn unpin(bpffs: &Bpffs) -> Ended {
    tracer(["watch", "--unpin", "--pin-dir"]).argument(bpffs.pins()).spawn().finish()
}

/// Ends it, and takes what it told last for what it found.
#[track_caller]
pub(super) fn stop(running: Running) -> Ended {
    let mut ended = running.stop(Signal::SIGTERM);
    ended.exits(0);
    ended.json = ended.events().pop().unwrap();
    ended
}

/// Kills it however far it is.
#[track_caller]
pub(super) fn kill(running: Running) {
    running.signal(Signal::SIGKILL);
    running.wait_for_kill();
}

/// That every member has what its backend saw, none of it taken for something from before.
#[track_caller]
pub(super) fn equals_and_nothing_is_adopted(ended: &Ended, backends: &[Backend]) {
    ended.equals(backends);
    for address in addresses(backends) {
        ended.member("app", address).is("adopted", 0);
    }
}

#[test]
fn counting_goes_on_while_no_agent_runs() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let load = Load::on(block.balancer(1));
    let first = pinned(&bpffs, &backends).start();
    load.run_for(Duration::from_secs(1));
    kill(first);
    load.run_for(Duration::from_secs(1));
    wait_until_closed(&backends);
    let dead = accepted(&backends);
    let second = pinned(&bpffs, &backends).start();
    load.run_for(Duration::from_secs(1));
    wait_until_closed(&backends);
    let ended = stop(second);
    println!("{dead} up to its second start, {} in all", accepted(&backends));
    equals_and_nothing_is_adopted(&ended, &backends);
}

#[test]
fn agents_that_are_told_to_end_or_killed_at_any_moment_lose_nothing_and_double_nothing() {
    require_root();
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).workers(2).start();
    let kills = std::env::var("TRACER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    kill(pinned(&bpffs, &backends).start());
    Load::on(block.balancer(1)).run_while(|| {
        for number in 0..kills {
            match number % 4 {
                // While it starts: loads, pins, takes over.
                0 | 2 => {
                    let starting = pinned(&bpffs, &backends).spawn();
                    std::thread::sleep(Duration::from_millis(fastrand::u64(1..300)));
                    kill(starting);
                }
                1 => {
                    let running = pinned(&bpffs, &backends).start();
                    std::thread::sleep(Duration::from_millis(fastrand::u64(0..2_500)));
                    kill(running);
                }
                _ => {
                    let running = pinned(&bpffs, &backends).start();
                    std::thread::sleep(Duration::from_millis(fastrand::u64(0..1_500)));
                    running.stop(Signal::SIGTERM).exits(0);
                }
            }
        }
    });
    wait_until_closed(&backends);
    let ended = stop(pinned(&bpffs, &backends).start());
    println!("{kills} ends, {} connections", accepted(&backends));
    equals_and_nothing_is_adopted(&ended, &backends);
    let links: Vec<_> = bpffs.names().into_iter().filter(|name| !name.contains(char::is_uppercase)).collect();
    assert_eq!(links, LINKS, "one agent's links and nothing half done");
}

/// The very first start has nothing to fall back on.
#[test]
fn a_first_start_that_is_killed_leaves_what_the_next_one_puts_right() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let mut client = Client::start("e2e-client");
    let mut before = 0;
    for _ in 0..6 {
        let bpffs = Bpffs::mount();
        assert_eq!(client.ask(format!("keep 5 {}", backend.address)), "ok");
        let starting = pinned(&bpffs, std::slice::from_ref(&backend)).spawn();
        std::thread::sleep(Duration::from_millis(fastrand::u64(1..300)));
        kill(starting);
        let running = pinned(&bpffs, std::slice::from_ref(&backend)).start();
        assert_eq!(client.ask("close 5"), "ok");
        assert_eq!(client.ask(format!("exchange 4 {}", backend.address)), "ok");
        wait_until_closed([&backend]);
        let ended = stop(running);
        before += 5;
        let member = ended.member("app", backend.address).adds_up();
        member.is("adopted", 5).is("attempts", 4).is("established", 4).is("closed", 9).is("live", 0);
    }
    println!("{before} adopted");
}

#[test]
fn connections_that_outlive_an_agent_are_followed_by_the_next() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backend = Backend::start(block.backend(1), Hold);
    let all = std::slice::from_ref(&backend);
    let mut client = Client::start("e2e-client");
    assert_eq!(client.ask(format!("keep 3 {}", backend.address)), "ok");
    let first = pinned(&bpffs, all).start();
    assert_eq!(client.ask(format!("keep 20 {}", backend.address)), "ok");
    kill(first);
    assert_eq!(client.ask(format!("keep 7 {}", backend.address)), "ok");
    let second = pinned(&bpffs, all).start();
    let ended = stop(second);
    ended.member("app", backend.address).adds_up().is("adopted", 3).is("established", 27).is("live", 30);
    assert_eq!(client.ask("close 30"), "ok");
    wait_until_closed([&backend]);
    let ended = stop(pinned(&bpffs, all).start());
    ended.member("app", backend.address).adds_up().is("adopted", 3).is("established", 27).is("closed", 30);
}

#[test]
fn exchanges_go_on_over_kills_and_count_once() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends: Vec<_> = (1..=2).map(|n| Backend::start(block.backend(n), KeepAlive(300))).collect();
    let nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).keepalive(16).start();
    let start = || pinned(&bpffs, &backends).argument("--exchanges").argument("on").start();
    let mut running = Some(start());
    Load::on(block.balancer(1)).threads(4).keep_alive().run_while(|| {
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(fastrand::u64(0..700)));
            kill(running.take().unwrap());
            running = Some(start());
        }
    });
    drop(nginx);
    wait_until_closed(&backends);
    let ended = stop(running.unwrap());
    equal_requests(&ended, &backends);
    equals_and_nothing_is_adopted(&ended, &backends);
}

/// The value of a member's metric.
#[track_caller]
fn metric(http: Http, name: &str, backend: SocketAddr) -> u64 {
    let body = http.get("/metrics").body;
    let backend = format!("backend=\"{backend}\"");
    let lines = body.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(&backend));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn metrics_go_on_where_the_agent_before_ended() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let load = Load::on(block.balancer(1));
    let start = || pinned(&bpffs, &backends).argument("--listen").argument("127.0.0.1:0").start();
    let first = start();
    load.run_for(Duration::from_millis(2_500));
    kill(first);
    load.run_for(Duration::from_millis(500));
    wait_until_closed(&backends);
    let second = start();
    let http = Http::of(&second);
    wait::until("what it counted while nobody looked", SOON, || {
        let counted: u64 = addresses(&backends)
            .map(|backend| metric(http, "tracer_connections_established_total", backend))
            .sum();
        assert!(counted <= accepted(&backends), "{counted} of {}", accepted(&backends));
        (counted == accepted(&backends)).then_some(())
    });
    for backend in &backends {
        let closed = metric(http, "tracer_connections_closed_total", backend.address);
        assert_eq!(closed, backend.report().closed, "{}", backend.address);
    }
    println!("{} connections", accepted(&backends));
    stop(second);
}

/// That a restart, by whatever signal, neither tells a verdict again nor forgets it.
#[track_caller]
fn a_finding_stands_over(signal: Signal) {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    let wrong = Nginx::at(block.balancer(1)).server(backends[0].address, "weight=10");
    let _nginx = wrong.servers(addresses(&backends[1..])).start();
    let start = || pinned(&bpffs, &backends).start();
    let mut first = start();
    let mut ended = Load::on(block.balancer(1)).run_while(|| {
        first.event("skewed", 3 * SOON, |event| event["verdict"] == "skewed");
        // It is written within the interval.
        std::thread::sleep(Duration::from_millis(500));
        first.signal(signal);
        first.wait_for_kill();
        std::thread::sleep(Duration::from_secs(1));
        let second = start();
        std::thread::sleep(Duration::from_secs(5));
        stop(second)
    });
    let told: Vec<_> = ended.events().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(told, ["tracing", "stopping"], "{:#?}", ended.events());
    ended.json = ended.events().pop().unwrap();
    ended.ensure(ended.pool("app")["verdict"] == "skewed", "it stands");
    let since = ended.pool("app")["since"].as_str().unwrap().to_owned();
    let began = ended.events()[0]["time"].as_str().unwrap().to_owned();
    ended.ensure(since < began, format!("it stands since {since}, before {began}"));
}

#[test]
fn a_finding_stands_over_a_restart_and_is_not_told_again() {
    a_finding_stands_over(Signal::SIGTERM);
}

#[test]
fn a_finding_stands_over_a_kill_and_is_not_told_again() {
    a_finding_stands_over(Signal::SIGKILL);
}

#[test]
fn a_state_that_is_damaged_or_of_other_pins_is_said_and_left_alone() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    let start = || pinned(&bpffs, &backends).start();
    stop(start());
    let ended = stop(start());
    ended.ensure(!ended.stderr.contains("--state"), "it is its own");
    std::fs::write(bpffs.state(), "{\"of\":").unwrap();
    let ended = stop(start());
    ended.ensure(ended.stderr.contains("judging begins anew"), "it is damaged");
    unpin(&bpffs).exits(0);
    let ended = stop(start());
    ended.ensure(ended.stderr.contains("goes with other counters"), "other pins");
}

#[test]
fn the_history_has_what_happened_while_no_agent_ran() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let (backends, directory) = (backends(block), tempfile::tempdir().unwrap());
    let file = directory.path().join("history.db");
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let load = Load::on(block.balancer(1));
    for _ in 0..2 {
        let running = pinned(&bpffs, &backends).argument("--history").argument(&file).start();
        load.run_for(Duration::from_millis(1_500));
        stop(running);
        load.run_for(Duration::from_millis(1_500));
    }
    wait_until_closed(&backends);
    stop(pinned(&bpffs, &backends).argument("--history").argument(&file).start());
    let history = rusqlite::Connection::open(&file).unwrap();
    let sum = "SELECT sum(established) FROM by_member WHERE pool = 'app'";
    let sum: i64 = history.query_row(sum, [], |row| row.get(0)).unwrap();
    println!("{} connections, {sum} in the history", accepted(&backends));
    assert_eq!(u64::try_from(sum).unwrap(), accepted(&backends));
}

#[test]
fn a_second_agent_is_refused_at_once_and_leaves_the_first_alone() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    let first = pinned(&bpffs, &backends).start();
    let second = pinned(&bpffs, &backends).spawn().finish();
    second.exits(2);
    second.ensure(second.stderr.contains("another tracer uses these pins"), "why");
    second.ensure(second.stderr.contains("--pin-dir"), "the remedy");
    let removal = unpin(&bpffs);
    removal.exits(2);
    removal.ensure(removal.stderr.contains("another tracer"), "pins in use are not removed");
    let mut client = Client::start("e2e-client");
    assert_eq!(client.ask(format!("exchange 5 {}", backends[0].address)), "ok");
    wait_until_closed(&backends);
    stop(first).member("app", backends[0].address).is("established", 5);
}

#[test]
fn unpinning_leaves_nothing_and_says_what_it_removed() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    let running = pinned(&bpffs, &backends).start();
    let held = held_by(running.pid());
    stop(running);
    assert!(held.iter().any(|object| exists(*object)), "pins outlive the agent");
    let ended = unpin(&bpffs);
    ended.exits(0);
    ended.ensure(ended.stderr.contains("removed "), "it says so");
    assert!(!bpffs.pins().exists());
    wait::until("programs, maps and links are gone", SOON, || {
        held.iter().all(|object| !exists(*object)).then_some(())
    });
    let again = unpin(&bpffs);
    again.exits(0);
    again.ensure(again.stderr.contains("nothing is pinned in "), "there is nothing");
}

#[test]
fn an_agent_whose_pins_are_removed_under_it_counts_on() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let running = pinned(&bpffs, &backends).start();
    let load = Load::on(block.balancer(1));
    load.run_for(Duration::from_millis(500));
    std::fs::remove_dir_all(bpffs.set()).unwrap();
    load.run_for(Duration::from_secs(2));
    wait_until_closed(&backends);
    equals_and_nothing_is_adopted(&stop(running), &backends);
}

#[test]
fn a_file_of_somebody_else_is_no_place_for_the_state() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    std::fs::write(bpffs.state(), "worker_processes 2;\n").unwrap();
    let refused = pinned(&bpffs, &backends).spawn().finish();
    refused.exits(2).ensure(refused.stderr.contains("name another file"), "the remedy");
    assert_eq!(std::fs::read_to_string(bpffs.state()).unwrap(), "worker_processes 2;\n");
    assert!(!bpffs.pins().exists(), "nothing was pinned");
}

#[test]
fn without_the_flag_nothing_is_pinned() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let running = watch(Pools::of([block.backend(1)])).argument("--pin-dir").argument(bpffs.pins()).start();
    let held = held_by(running.pid());
    let said = running.said("warning: --pin-dir");
    assert!(said.contains("are for --pin"), "{said}");
    kill(running);
    assert!(!bpffs.pins().exists());
    wait::until("programs, maps and links are gone", SOON, || {
        held.iter().all(|object| !exists(*object)).then_some(())
    });
}

#[test]
fn the_size_of_the_tables_stays_as_it_was_pinned_and_that_is_said() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    stop(pinned(&bpffs, &backends).argument("--max-backends").argument("100").start());
    let ended = stop(pinned(&bpffs, &backends).start());
    ended.ensure(ended.stderr.contains("--max-backends stays 100"), "it says so");
    ended.ensure(ended.stderr.contains("--unpin"), "the remedy");
}

/// What an agent finds, and says of it.
#[track_caller]
fn refused(bpffs: &Bpffs, backends: &[Backend], code: i32, parts: &[&str]) {
    let ended = pinned(bpffs, backends).spawn().finish();
    ended.exits(code);
    for part in parts {
        ended.ensure(ended.stderr.contains(part), format!("it should say `{part}`"));
    }
}

#[test]
fn a_directory_that_is_not_safe_is_refused() {
    require_root();
    let (block, bpffs) = (Block::new(), Bpffs::mount());
    let backends = [Backend::start(block.backend(1), Hold)];
    let pins = bpffs.pins();
    let make = |mode| std::fs::DirBuilder::new().mode(mode).create(&pins).unwrap();
    make(0o755);
    refused(&bpffs, &backends, 2, &["mode 0755", "chmod 0700"]);
    std::fs::set_permissions(&pins, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&pins, Some(65_534), None).unwrap();
    refused(&bpffs, &backends, 2, &["user 65534"]);
    unpin(&bpffs).exits(0);
    assert!(!pins.exists(), "nothing of it is used");
    let below = tracer(["watch", "--pin", "--pin-dir"]).argument(pins.join("below")).spawn().finish();
    below.exits(2).ensure(below.stderr.contains("there is no such directory: make it"), "the remedy");
    make(0o700);
    std::fs::remove_dir(&pins).unwrap();
    std::fs::create_dir(bpffs.root().join("elsewhere")).unwrap();
    symlink(bpffs.root().join("elsewhere"), &pins).unwrap();
    refused(&bpffs, &backends, 2, &["symbolic link"]);
    assert_eq!(names(&bpffs.root().join("elsewhere")), Vec::<String>::new());
    std::fs::remove_file(&pins).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let plain = tracer(["watch", "--pin", "--pin-dir"]).argument(elsewhere.path().join("pins"));
    let ended = plain.spawn().finish();
    ended.exits(4);
    ended.ensure(ended.stderr.contains("mount -t bpf bpf"), "the remedy");
}

#[test]
fn a_file_system_that_is_read_only_is_said() {
    require_root();
    let (block, bpffs) = (Block::new(), Bpffs::mount());
    let backends = [Backend::start(block.backend(1), Hold)];
    bpffs.remount("ro");
    refused(&bpffs, &backends, 4, &["read-only", "mount -o remount,rw", "ReadWritePaths="]);
    bpffs.remount("rw");
    stop(pinned(&bpffs, &backends).start());
    bpffs.remount("ro");
    refused(&bpffs, &backends, 4, &["read-only", "ReadWritePaths="]);
    bpffs.remount("rw");
    unpin(&bpffs).exits(0);
}

/// `bpftool` makes what nobody expects.
#[track_caller]
fn bpftool(arguments: &[&str], pin: &Path) {
    let mut words = arguments.to_vec();
    let pin = pin.to_str().unwrap();
    words.iter_mut().filter(|word| **word == "PIN").for_each(|word| *word = pin);
    let output = Command::new("bpftool").args(&words).output().unwrap();
    assert!(output.status.success(), "bpftool {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A pin, what is said of it, and what makes it so.
type Spoil<'a> = (&'a str, &'a str, &'a dyn Fn(&Path));

#[test]
fn foreign_missing_and_misplaced_pins_are_named_and_not_used() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    let set = bpffs.set();
    let spoil: [Spoil<'_>; 8] = [
        ("CELLS", "is missing", &|pin| std::fs::remove_file(pin).unwrap()),
        ("SLOTS", "it is no pin", &|pin| {
            std::fs::remove_file(pin).unwrap();
            std::fs::create_dir(pin).unwrap();
        }),
        ("FREE", "it is no pin", &|pin| {
            std::fs::remove_file(pin).unwrap();
            symlink(pin.with_file_name("CELLS"), pin).unwrap();
        }),
        ("TRACKED", "not as this version makes it", &|pin| {
            std::fs::remove_file(pin).unwrap();
            let map = ["map", "create", "PIN", "type", "array", "key", "4", "value", "8", "entries", "1"];
            bpftool(&[&map[..], &["name", "TRACKED"]].concat(), pin);
        }),
        ("HANDOVER", "it is a link, and not a map", &|pin| {
            std::fs::remove_file(pin).unwrap();
            std::fs::rename(pin.with_file_name("destroy"), pin).unwrap();
        }),
        ("lifecycle", "it is a map, and not a link", &|pin| {
            std::fs::remove_file(pin).unwrap();
            std::fs::hard_link(pin.with_file_name("CELLS"), pin).unwrap();
        }),
        ("relief", "this link is to something else", &|pin| {
            std::fs::remove_file(pin).unwrap();
            std::fs::rename(pin.with_file_name("destroy"), pin).unwrap();
        }),
        ("stranger", "tracer pins nothing of this name", &|pin| {
            std::fs::hard_link(pin.with_file_name("CELLS"), pin).unwrap();
        }),
    ];
    for (name, problem, spoil) in spoil {
        stop(pinned(&bpffs, &backends).start());
        spoil(&set.join(name));
        let pin = set.join(name).display().to_string();
        refused(&bpffs, &backends, 2, &[&pin, problem, "tracer watch --unpin"]);
        unpin(&bpffs).exits(0);
        assert!(!bpffs.pins().exists(), "after {name}");
    }
}

#[test]
fn maps_of_two_creations_are_not_mixed() {
    let (_turn, block, bpffs) = (turn::traffic(), Block::new(), Bpffs::mount());
    let backends = backends(block);
    stop(pinned(&bpffs, &backends).start());
    let aside = bpffs.root().join("aside");
    std::fs::rename(bpffs.set().join("CELLS"), &aside).unwrap();
    unpin(&bpffs).exits(0);
    stop(pinned(&bpffs, &backends).start());
    std::fs::rename(&aside, bpffs.set().join("CELLS")).unwrap();
    refused(&bpffs, &backends, 2, &["were not made together", "tracer watch --unpin"]);
}
