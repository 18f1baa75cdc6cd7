//! What the agent keeps after its start, thread by thread, against what is documented; and that it misses nothing of what
//! it gave up.

use super::pins::{pinned, stop};
use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::*, refuse, wait_until_closed};
use crate::support::bpffs::{Bpffs, names};
use crate::support::client::Client;
use crate::support::exchanges::way;
use crate::support::http::Http;
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::server::Server;
use crate::support::tracer::{Running, tracer, watch};
use crate::support::{require_root, turn, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tracer_ebpf::ABI_VERSION;

const DOCUMENTED: &str = include_str!("../../tracer/dist/PRIVILEGES.md");
const SOON: Duration = Duration::from_secs(40);
/// Numbers of capabilities, from linux/capability.h.
const NUMBERS: [(&str, u32); 5] = [
    ("CAP_DAC_OVERRIDE", 1),
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_PERFMON", 38),
    ("CAP_BPF", 39),
];
const NOBODY: u32 = 65_534;

/// What the table of capabilities says, by when it is kept.
fn documented() -> BTreeMap<&'static str, u64> {
    let mut kept = BTreeMap::new();
    for row in DOCUMENTED.lines().filter(|line| line.starts_with("| `CAP_")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for name in cells[1].split(", ") {
            let name = name.trim_matches('`');
            let (_, number) = NUMBERS.iter().find(|(known, _)| *known == name).unwrap();
            *kept.entry(cells[2]).or_default() |= 1 << number;
        }
    }
    kept
}

/// A thread's name and what its status says; without those that are on their way out: one that tried what a thread needs
/// may still be seen when it has ended.
fn threads(pid: u32) -> Vec<(String, BTreeMap<String, String>)> {
    let tasks = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        tasks.map(|task| task.unwrap().path()).collect::<BTreeSet<_>>()
    };
    let before = tasks();
    std::thread::sleep(Duration::from_millis(200));
    let threads = tasks().into_iter().filter(|path| before.contains(path)).filter_map(|path| {
        // One that ends meanwhile has nothing any more.
        let status = std::fs::read_to_string(path.join("status")).ok()?;
        let fields = status.lines().filter_map(|line| line.split_once(':'));
        let fields: BTreeMap<_, _> =
            fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Some((fields["Name"].clone(), fields))
    });
    threads.collect()
}

#[track_caller]
fn keeps_what_is_documented(running: &Running, conditions: &[&str], named: &[&str]) {
    let documented = documented();
    let expected = conditions.iter().map(|condition| documented[condition]).fold(0, |all, one| all | one);
    let line = running.said("privileges: keeps ");
    let told = line.split(", and nothing else").next().unwrap();
    let told: u64 = told
        .split(", ")
        .fold(0, |all, name| all | 1 << NUMBERS.iter().find(|(known, _)| *known == name).unwrap().1);
    assert_eq!(told, expected, "{line}");
    let settled = || {
        let threads = threads(running.pid());
        let begun = |(_, status): &(String, BTreeMap<String, String>)| status["NoNewPrivs"] == "1";
        threads.iter().all(begun).then_some(threads)
    };
    let threads = wait::until("every thread has given up its own", SOON, settled);
    let names: BTreeSet<&str> = threads.iter().map(|(name, _)| name.as_str()).collect();
    assert!(named.iter().all(|name| names.contains(name)), "harness: {names:?}");
    for (name, status) in &threads {
        let set = |field: &str| u64::from_str_radix(&status[field], 16).unwrap();
        let expected = if named.contains(&name.as_str()) { 0 } else { expected };
        assert_eq!((set("CapEff"), set("CapPrm")), (expected, expected), "{name}");
        for field in ["CapInh", "CapAmb", "CapBnd"] {
            assert_eq!(set(field), 0, "{name}: {field}");
        }
        assert_eq!(status["Seccomp"], "0", "{name}: that is the unit's");
    }
}

#[test]
fn every_thread_keeps_what_is_documented_and_no_more() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("history.db");
    // Nobody is there: the thread that would tell it goes on trying.
    let url = format!("http://{}", block.backend(9));
    let (always, looks) = ("always", "unless `--declared-only` with named files");
    let haproxy = "with `--haproxy`, or `--auto` without named files";
    for (flags, conditions) in [(&[][..], &[always, looks][..]), (&["--declared-only"], &[always])] {
        let running = watch(Pools::of([block.backend(1)]))
            .arguments(flags)
            .arguments(&["--listen", "0", "--alertmanager", &url, "--history"])
            .argument(&history)
            .start();
        keeps_what_is_documented(&running, conditions, &["listener", "history", "alerts"]);
        let http = Http::of(&running);
        let healthy = || (http.get("/healthz").status == 200).then_some(());
        wait::until("it answers, and ticks", SOON, healthy);
        running.stop(Signal::SIGTERM).exits(0);
    }
    let running = tracer(["watch", "--json", "--auto", "--port", &block.port().to_string()]).start();
    keeps_what_is_documented(&running, &[always, looks, haproxy], &[]);
    running.stop(Signal::SIGTERM).exits(0);
}

#[test]
fn a_history_of_another_user_is_kept_and_goes_on_in_a_new_file() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), Answer(300));
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    let history = directory.path().join("history.db");
    let running = watch(Pools::of_backends(&[backend])).argument("--history").argument(&history).start();
    let status = threads(running.pid()).into_iter().find(|(name, _)| name == "history").unwrap().1;
    assert_eq!(status["CapEff"], "0000000000000002", "CAP_DAC_OVERRIDE, and no other");
    std::fs::remove_file(&history).unwrap();
    wait::until("a new file", SOON, || history.exists().then_some(()));
    running.stop(Signal::SIGTERM).exits(0);
    tracer(["report", "--history"]).argument(&history).spawn().finish().exits(0);
}

#[test]
fn a_pools_file_that_only_its_owner_may_read_is_read_again() {
    let (_turn, block) = (turn::traffic(), Block::new());
    for flags in [&[][..], &["--declared-only"]] {
        let pools = Pools::of([block.backend(1), block.backend(2)]);
        let file = pools.file();
        let close = || {
            std::os::unix::fs::chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            std::fs::set_permissions(file.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
        };
        close();
        let mut running = watch(pools).arguments(flags).start();
        std::fs::copy(Pools::of([block.backend(1)]).file(), &file).unwrap();
        close();
        let told = running.event("taken", SOON, |event| {
            event["event"] == "pools-changed" && event["changed"][0]["pool"] == "app"
        });
        assert!(told["error"].is_null(), "{told}");
        running.stop(Signal::SIGTERM).exits(0);
    }
}

#[test]
fn places_are_given_to_other_backends_without_a_capability_for_it() {
    let (_turn, block) = (turn::alone(), Block::new());
    let old: Vec<SocketAddr> = (1..=58).map(|n| block.backend(n)).collect();
    let new: Vec<Backend> = (101..=106).map(|n| Backend::start(block.backend(n), Hold)).collect();
    let _refusing: Vec<_> = old.iter().map(|&address| refuse(address)).collect();
    let mut client = Client::start("e2e-client");
    let running = watch(Pools::of_backends(&new)).arguments(&["--max-backends", "64"]).start();
    for address in &old {
        TcpStream::connect(address).unwrap_err();
    }
    // Idle for two sweeps, unlisted, idle for two more: at a sweep a second, five seconds at most after the last attempt.
    std::thread::sleep(Duration::from_secs(6));
    for backend in &new {
        assert_eq!(client.ask(format!("exchange 3 {}", backend.address)), "ok");
    }
    wait_until_closed(&new);
    let ended = running.stop(Signal::SIGTERM);
    let events = ended.exits(0).events();
    let stopping = events.last().unwrap();
    ended.ensure(stopping["uncounted"]["backends"] == 0, "everybody had a place");
    ended.ensure(stopping["totals"]["established"] == 18, "each of the new ones is counted by itself");
}

#[test]
fn a_balancer_that_starts_later_is_found_and_is_known_to_listen() {
    require_root();
    let (_turn, block) = (turn::alone(), Block::new());
    let backends: Vec<Backend> = (1..=3).map(|n| Backend::start(block.backend(n), Answer(300))).collect();
    let port = block.port().to_string();
    let mut running = tracer(["watch", "--json", "--auto", "--port", &port]).start();
    let _nginx = Nginx::at(block.balancer(1)).servers(backends.iter().map(|one| one.address)).start();
    let found = running
        .event("found", SOON, |event| event["event"] == "pools-changed" && event["cause"] == "configuration");
    assert!(found["error"].is_null() && found["added"][0]["balancer"] == "nginx", "{found}");
    Load::on(block.balancer(1)).run_while(|| {
        running.event("balanced", SOON * 2, |event| {
            event["event"] == "verdict" && event["verdict"] == "balanced"
        });
    });
    running.stop(Signal::SIGTERM).exits(0);
}

/// A HAProxy whose socket belongs to somebody who is not root.
fn haproxy(block: Block, backends: &[Backend]) -> Server {
    let listens = block.balancer(1);
    let servers: String = (backends.iter().enumerate())
        .map(|(number, backend)| format!("  server s{number} {}\n", backend.address))
        .collect();
    Server::start(
        "haproxy",
        None,
        listens,
        |directory| {
            format!(
                "global\n  nbthread 1\n  stats socket {}/stats level admin uid {NOBODY} gid {NOBODY} mode 600\ndefaults\n  \
                 mode http\n  timeout connect 1s\n  timeout client 9s\n  timeout server 9s\nlisten app\n  bind {listens}\n  \
                 balance roundrobin\n{servers}",
                directory.display()
            )
        },
        |file| ["-db", "-f", file.to_str().unwrap()].map(ToOwned::to_owned).to_vec(),
    )
}

fn command(socket: &Path, command: &str) {
    let mut stream = UnixStream::connect(socket).unwrap();
    writeln!(stream, "{command}").unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
}

#[test]
fn a_haproxy_is_asked_whose_socket_belongs_to_another_user() {
    require_root();
    let (_turn, block) = (turn::alone(), Block::new());
    let backends: Vec<Backend> = (1..=3).map(|n| Backend::start(block.backend(n), Answer(300))).collect();
    let haproxy = haproxy(block, &backends);
    let port = block.port().to_string();
    let mut running = tracer(["watch", "--json", "--auto", "--port", &port]).start();
    command(&haproxy.file(Some("stats")), "set server app/s2 state drain");
    let drained = |event: &Value| event["event"] == "pools-changed" && event["cause"] == "run-time";
    let event = running.event("the drain", SOON, drained);
    assert_eq!(event["changed"][0]["pool"], "app", "{event}");
    running.stop(Signal::SIGTERM).exits(0);
}

/// Started without what it would keep, it misses just what that is documented to be for.
#[test]
fn what_is_kept_is_kept_for_a_reason() {
    require_root();
    let (_turn, block) = (turn::alone(), Block::new());
    let backends: Vec<Backend> = (1..=3).map(|n| Backend::start(block.backend(n), Answer(300))).collect();
    let without = |capabilities: &str| format!("--bounding-set={capabilities}");
    // A pools file of another user: CAP_DAC_READ_SEARCH.
    let pools = Pools::of_backends(&backends);
    let file = pools.file();
    std::os::unix::fs::chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let setpriv = without("-dac_read_search,-dac_override");
    let ended = tracer(["watch", "--pools"])
        .argument(&file)
        .under(&["setpriv", &setpriv, "--inh-caps=-all"])
        .spawn()
        .finish();
    ended.exits(2).ensure(ended.stderr.contains("pools.toml: may not be read"), "the file is closed to it");
    // HAProxy's socket of another user: CAP_DAC_OVERRIDE. Balancers that run: CAP_SYS_PTRACE.
    let haproxy = haproxy(block, &backends);
    let socket = haproxy.file(Some("stats")).display().to_string();
    let port = block.port().to_string();
    for (capability, found) in [("-dac_override", true), ("-sys_ptrace", false)] {
        let mut running = tracer(["watch", "--json", "--auto", "--port", &port])
            .under(&["setpriv", &without(capability), "--inh-caps=-all"])
            .start();
        let began = running.event("it counts", SOON, |event| event["event"] == "tracing");
        assert_eq!(began["declared_pools"].as_u64().unwrap() > 0, found, "{capability}: {began}");
        let ended = running.stop(Signal::SIGTERM);
        let refused =
            ended.stderr.lines().any(|line| line.starts_with("warning: ") && line.contains(&socket));
        ended.exits(0).ensure(refused == found, format!("{capability}: what is closed is said"));
    }
}

#[test]
fn what_is_pinned_and_remembered_is_written_by_a_thread_that_may_write_nothing_else() {
    // Sockets of other scenarios would be followed by the other layout until they close.
    let (_turn, block, bpffs) = (turn::alone(), Block::new(), Bpffs::mount());
    let backends: Vec<_> = (1..=2).map(|n| Backend::start(block.backend(n), KeepAlive(300))).collect();
    let addresses = backends.iter().map(|backend| backend.address);
    let nginx = Nginx::at(block.balancer(1)).servers(addresses).keepalive(16).start();
    // Something to take away.
    drop(Client::of_layout(&bpffs.pins(), ABI_VERSION + 1));
    let start = || pinned(&bpffs, &backends).argument("--declared-only").start();
    let running = start();
    let said = running.said("privileges: ");
    assert!(said.ends_with("no file is written but the history's, the state's and what is pinned"), "{said}");
    Load::on(block.balancer(1)).threads(4).keep_alive().run_while(|| {
        if way() == "auto" {
            wait::until("exchanges are measured, by links that are pinned later", SOON, || {
                bpffs.names().contains(&"receive".to_owned()).then_some(())
            });
        } else {
            println!("this kernel measures no exchanges by itself: nothing is pinned later");
            std::thread::sleep(Duration::from_secs(2));
        }
    });
    wait::until("the other set is gone, or has ended if it counted anything", SOON, || {
        (!names(&bpffs.pins()).contains(&format!("v{}", ABI_VERSION + 1))).then_some(())
    });
    drop(nginx);
    wait_until_closed(&backends);
    let ended = stop(running);
    ended.ensure(!ended.stderr.contains("error:"), "everything could be written");
    ended.equals(&backends);
    let written = std::fs::read_to_string(bpffs.state()).unwrap();
    assert!(written.contains("tracer.state/1"), "{written}");
    let again = stop(start());
    again.ensure(!again.stderr.contains("judging begins anew"), "it goes on from there");
    again.equals(&backends);
}
