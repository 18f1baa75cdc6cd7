//! What goes wrong around a tracer: it says so, or goes on, and never counts wrongly. Which fault has which message and figure
//! is in `tests/FAULTS.md`.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::*, wait_until_closed};
use crate::support::client::Client;
use crate::support::haproxy::Haproxy;
use crate::support::load::Load;
use crate::support::memory_cgroup::MemoryCgroup;
use crate::support::netns::Namespace;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{Ended, check, check_until_told, check_without_pools, watch};
use crate::support::{require_root, turn, wait};
use nix::sys::signal::Signal;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

fn backends(block: Block) -> [Backend; 3] {
    [1, 2, 3].map(|n| Backend::start(block.backend(n), Answer(300)))
}

fn addresses(backends: &[Backend]) -> Vec<SocketAddr> {
    backends.iter().map(|backend| backend.address).collect()
}

/// A check of nginx under load, run by a shell that does something first.
#[track_caller]
fn checked_after(script: &str) {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let shell = format!("{script}\nexec \"$0\" \"$@\"");
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-e", "-c", &shell];
    let running = check_until_told(Pools::of_backends(&backends)).under(&wrapper).start();
    Load::on(block.balancer(1)).run_for(Duration::from_secs(4));
    wait_until_closed(&backends);
    std::thread::sleep(Duration::from_secs(2));
    running.signal(Signal::SIGINT);
    let ended = running.finish();
    ended.equals(&backends).says(0, "balanced");
}

#[test]
fn without_a_cgroup_file_system_everything_is_counted() {
    require_root();
    checked_after("umount --recursive --lazy /sys/fs/cgroup");
}

#[test]
fn processes_that_are_hidden_are_counted() {
    require_root();
    checked_after("mount -t proc -o hidepid=invisible proc /proc");
}

/// How a check ends before it counts, in a shell that has done something to its mounts.
#[track_caller]
fn refused(script: &str, part: &str) {
    require_root();
    let block = Block::new();
    let shell = format!("{script}\nexec \"$0\" \"$@\"");
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-e", "-c", &shell];
    let ended = check(1, Pools::of([block.backend(1)])).under(&wrapper).spawn().finish();
    ended.exits(4).ensure(ended.stdout.is_empty(), "nothing on standard output");
    ended.ensure(ended.stderr.contains(part), format!("should say `{part}`"));
    ended.ensure(ended.stderr.lines().count() <= 2, "in one line, with its remedy");
}

#[test]
fn without_btf_it_says_what_is_missing() {
    refused("mount -t tmpfs none /sys/kernel/btf", "/sys/kernel/btf/vmlinux");
}

#[test]
fn btf_that_is_cut_short_is_not_believed() {
    let half = "half=$(mktemp); trap 'rm -f $half' EXIT; head -c 100000 /sys/kernel/btf/vmlinux > $half\n\
                mount --bind $half /sys/kernel/btf/vmlinux; rm -f $half";
    refused(half, "BTF");
}

#[test]
fn after_it_stood_still_it_has_what_happened_meanwhile() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let stood: u64 = std::env::var("TRACER_SUSPEND").map_or(8, |seconds| seconds.parse().unwrap());
    let mut running = watch(Pools::of_backends(&backends)).start();
    Load::on(block.balancer(1)).run_while(|| {
        running.event("balanced", SOON, |event| event["verdict"] == "balanced");
        running.signal(Signal::SIGSTOP);
        std::thread::sleep(Duration::from_secs(stood));
        running.signal(Signal::SIGCONT);
        std::thread::sleep(Duration::from_secs(4));
    });
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGTERM);
    only_balanced(&ended, &backends);
}

/// That nothing else was told of a watch's pools, and that it has counted what its backends have seen.
#[track_caller]
fn only_balanced(ended: &Ended, backends: &[Backend]) {
    ended.exits(0);
    let events = ended.events();
    let told: Vec<&str> = events.iter().filter_map(|event| event["verdict"].as_str()).collect();
    assert!(told.iter().all(|verdict| *verdict == "balanced"), "{told:?}");
    let accepted: u64 = backends.iter().map(|backend| backend.report().accepted).sum();
    println!("{accepted} connections");
    let totals = &events.last().unwrap()["totals"];
    assert_eq!(totals["established"], accepted, "{totals}");
    assert_eq!(totals["attempts"], accepted, "{totals}");
}

#[test]
fn clocks_that_jump_change_no_count_and_no_verdict() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let directory = tempfile::tempdir().unwrap();
    let clock = directory.path().join("clock");
    // Replaced at once, so that nobody reads half of it.
    let set = |offset: &str| {
        let next = directory.path().join("next");
        std::fs::write(&next, offset).unwrap();
        std::fs::rename(&next, &clock).unwrap();
    };
    set("+0");
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    assert!(Path::new(library).exists(), "the package faketime is there");
    let mut running = watch(Pools::of_backends(&backends))
        .variable("LD_PRELOAD", library)
        .variable("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap())
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start();
    Load::on(block.balancer(1)).run_while(|| {
        running.event("balanced", SOON, |event| event["verdict"] == "balanced");
        for jump in ["-3600", "+86400", "+0"] {
            set(jump);
            std::thread::sleep(Duration::from_secs(3));
        }
    });
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGTERM);
    only_balanced(&ended, &backends);
    let said: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("the clock was set")).collect();
    assert!(said.len() >= 3 && said[0].contains("3600 s behind"), "{}", ended.stderr);
}

#[test]
fn a_namespace_that_ends_leaves_what_was_counted_in_it() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let namespace = Namespace::new(block.name("gone"));
    namespace.ip("link set lo up");
    let address = block.backend(1);
    let backend = Backend::start_in(&namespace, address, Hold);
    let mut client = Client::start_in(&namespace, "e2e-gone");
    let running = check_until_told(Pools::of([address])).start();
    assert_eq!(client.ask(format!("hold 5 {address}")), "established 5");
    wait::until("they are accepted", SOON, || (backend.report().accepted == 5).then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    drop((client, backend, namespace));
    std::thread::sleep(Duration::from_secs(3));
    running.signal(Signal::SIGINT);
    let ended = running.finish();
    ended
        .member("app", address)
        .adds_up()
        .is("attempts", 5)
        .is("established", 5)
        .is("live", 0)
        .is("closed", 5);
}

#[test]
fn connections_that_an_administrator_kills_are_closed() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let running = check_until_told(Pools::of([backend.address])).start();
    let open: Vec<_> = (0..7).map(|_| TcpStream::connect(backend.address).unwrap()).collect();
    wait::until("they are accepted", SOON, || (backend.report().accepted == 7).then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    let (ip, port) = (backend.address.ip().to_string(), format!("{}", backend.address.port()));
    let killed = Command::new("ss").args(["-K", "-n", "dst", &ip, "dport", "=", &port]).output().unwrap();
    println!("{}{}", String::from_utf8_lossy(&killed.stdout), String::from_utf8_lossy(&killed.stderr));
    assert!(killed.status.success());
    std::thread::sleep(Duration::from_secs(2));
    running.signal(Signal::SIGINT);
    let ended = running.finish();
    drop(open);
    ended.member("app", backend.address).adds_up().is("established", 7).is("live", 0).is("closed", 7);
}

/// Ended with everything that it has started.
struct Crowd(Child);

impl Drop for Crowd {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

#[test]
fn among_thousands_of_processes_everything_is_counted() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block);
    let mut crowd = Command::new("sh");
    crowd.args(["-c", "for i in $(seq 3000); do sleep 120 & done; echo; wait"]);
    std::os::unix::process::CommandExt::process_group(&mut crowd, 0);
    let mut crowd = Crowd(crowd.stdout(std::process::Stdio::piped()).spawn().unwrap());
    let mut ready = [0];
    std::io::Read::read_exact(crowd.0.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let _haproxy = Haproxy::at(block.balancer(1)).servers(addresses(&backends), "").start();
    let running = check_until_told(Pools::of_backends(&backends)).start();
    Load::on(block.balancer(1)).run_for(Duration::from_secs(4));
    wait_until_closed(&backends);
    std::thread::sleep(Duration::from_secs(2));
    running.signal(Signal::SIGINT);
    running.finish().equals(&backends).says(0, "balanced");
}

#[test]
fn a_process_with_the_number_of_another_is_not_taken_for_it() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backend = Backend::start(block.backend(1), Hold);
    let running =
        check_without_pools(60).until_told().argument("--backend").argument(block.network()).start();
    let mut client = Client::start("e2e-first");
    let pid = client.pid();
    assert_eq!(client.ask(format!("hold 1 {}", backend.address)), "established 1");
    drop(client);
    let mut second = wait::until("a process gets that number again", SOON, || {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        Some(Client::start("e2e-second")).filter(|client| client.pid() == pid)
    });
    assert_eq!(second.ask(format!("hold 1 {}", backend.address)), "established 1");
    std::thread::sleep(Duration::from_secs(2));
    running.signal(Signal::SIGINT);
    let ended = running.finish();
    let mut commands: Vec<_> = ended.json["pools"]
        .as_array()
        .unwrap()
        .iter()
        .chain(ended.json["listed"].as_array().into_iter().flatten())
        .map(|pool| pool["balancer"].as_str().unwrap_or_default().to_owned())
        .filter(|command| command.starts_with("e2e-"))
        .collect();
    commands.sort();
    assert_eq!(commands, ["e2e-first", "e2e-second"]);
}

#[test]
fn where_the_kernel_refuses_it_says_what() {
    require_root();
    let block = Block::new();
    let mut began = 0;
    // From the first map to the last link: refused at one call after the other.
    for (error, first) in [("EPERM", 1), ("ENOMEM", 2)] {
        for call in (first..=73).step_by(6) {
            let inject = format!("inject=bpf:error={error}:when={call}");
            let wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=bpf", "-e", &inject];
            let few = check(1, Pools::of([block.backend(1)])).arguments(&["--max-backends", "4"]);
            let ended = few.under(&wrapper).spawn().finish();
            let code = ended.status.code();
            println!("{error} at call {call}: {code:?}: {}", ended.stderr.lines().next().unwrap_or_default());
            // Insufficient evidence: what is refused can be done without, and is said.
            assert!(matches!(code, Some(3 | 4)), "{}", ended.stderr);
            ended.ensure(code == Some(3) || !ended.stderr.contains("internal"), "a refusal is no bug");
            ended.ensure(
                code == Some(3) || ended.stderr.lines().any(|line| line.starts_with("error: ")),
                "says why",
            );
            let remedy = if error == "EPERM" { "may forbid it" } else { "if memory is short" };
            let counters = ended.stderr.contains("cannot create the counters");
            ended.ensure(!counters || ended.stderr.contains(remedy) || call < 5, "with the remedy for that");
            began += usize::from(code == Some(3));
        }
    }
    println!("{began} began all the same");
}

#[test]
fn without_memory_for_its_tables_it_says_so() {
    let (_turn, block) = (turn::alone(), Block::new());
    let cgroup = MemoryCgroup::new(&block.name("memory"), 12 << 20);
    let enter = format!("echo $$ > {} && exec \"$0\" \"$@\"", cgroup.processes().display());
    let ended = check(1, Pools::of([block.backend(1)])).under(&["sh", "-c", &enter]).spawn().finish();
    println!("{:?} {}", ended.status, ended.stderr);
    ended.exits(4).ensure(ended.stderr.contains("memory"), "it says what there is too little of");
}

#[test]
fn a_reload_of_haproxy_loses_and_doubles_nothing() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = backends(block);
    let haproxy = Haproxy::at(block.balancer(1)).servers(addresses(&backends), "").master().start();
    let running = check_until_told(Pools::of_backends(&backends)).start();
    Load::on(block.balancer(1)).run_while(|| {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(1_500));
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(haproxy.pid().cast_signed()), Signal::SIGUSR2)
                .unwrap();
        }
        std::thread::sleep(Duration::from_millis(1_500));
    });
    wait_until_closed(&backends);
    std::thread::sleep(Duration::from_secs(2));
    running.signal(Signal::SIGINT);
    running.finish().equals(&backends).says(0, "balanced");
}
