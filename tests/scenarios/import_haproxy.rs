//! What the importer expects of HAProxy's configuration is what HAProxy does: each fixture `live-*` is run by HAProxy, in
//! a namespace of its own, and has to be found balanced.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer, wait_until_closed};
use crate::support::netns::Namespace;
use crate::support::server::Server;
use crate::support::tracer::{Ended, check_without_pools};
use crate::support::{require_root, turn};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tracer::imports::{HostSurroundings, Surroundings, haproxy};
use tracer::pools::{MemberAddress, WrittenPool};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/imports/haproxy");
/// Where every fixture has HAProxy listen.
const LISTENS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);
const CONNECTIONS: u32 = 2_000;
const PER_SECOND: f64 = 400.0;
const CLIENTS: usize = 8;
/// Far more than the connections take.
const SECONDS: u64 = 120;

/// A fixture: its files as `-f` has them, and the variables of its HAProxy.
#[derive(Clone)]
struct Fixture {
    files: Vec<PathBuf>,
    variables: BTreeMap<String, String>,
}

impl Fixture {
    fn new(name: &str) -> Self {
        let folder = Path::new(FIXTURES).canonicalize().unwrap().join(name);
        let text = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
        let arguments = text("arguments.txt").unwrap_or("haproxy.cfg".into());
        let files = arguments.lines().map(|file| folder.join(file)).collect();
        let variables = text("environment.txt").unwrap_or_default();
        let variables = variables.lines().filter_map(|line| line.split_once('='));
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { files, variables }
    }

    fn pools(&self) -> Vec<WrittenPool> {
        haproxy::import(&self.files, &mut self.clone()).unwrap().pools.pools
    }

    fn start(&self, namespace: &Namespace) -> Server {
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={value}"));
        let program = ["haproxy", "-db"].map(str::to_owned);
        let files = self.files.iter().flat_map(|file| ["-f".to_owned(), file.display().to_string()]);
        let arguments = variables.chain(program).chain(files).collect();
        Server::start("env", Some(namespace), LISTENS, |_| String::new(), |_| arguments)
    }
}

impl Surroundings for Fixture {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        HostSurroundings.read(path)
    }

    fn list(&mut self, directory: &Path) -> std::io::Result<Vec<OsString>> {
        HostSurroundings.list(directory)
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

/// A request from an address, with a path, a parameter and a header that no other has.
fn request(number: u32) -> std::io::Result<bool> {
    let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 77, 0, 0)) + 7 * number + 1);
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(source, 0)))?;
    let SocketAddr::V4(listens) = LISTENS else { unreachable!("it is IPv4") };
    connect(socket.as_raw_fd(), &SockaddrIn::from(listens))?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    // In one piece: the rest of several would wait for an acknowledgement.
    let head = format!("GET /page-{number}?user=u{number} HTTP/1.1\r\nHost: app\r\nX-User: u{number}\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    Ok(response.starts_with(b"HTTP/1.1 200"))
}

/// Sends every request, at a steady rate.
fn send_all(namespace: &Namespace) {
    let (next, answered, start) = (AtomicU32::new(0), AtomicU32::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                namespace.enter();
                loop {
                    let number = next.fetch_add(1, SeqCst);
                    if number >= CONNECTIONS {
                        return;
                    }
                    let due = Duration::from_secs_f64(f64::from(number) / PER_SECOND);
                    std::thread::sleep(due.saturating_sub(start.elapsed()));
                    if request(number).unwrap() {
                        answered.fetch_add(1, SeqCst);
                    }
                }
            });
        }
    });
    println!("{CONNECTIONS} connections took {:?}", start.elapsed());
    assert_eq!(answered.into_inner(), CONNECTIONS, "harness: every request is answered with 200");
}

/// Runs a fixture with traffic, and gives what the tracer says and what the backends saw.
fn run(name: &str) -> (Ended, Vec<Backend>) {
    require_root();
    let namespace = Namespace::new(Block::new().name("hx"));
    let fixture = Fixture::new(name);
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for member in fixture.pools().iter().flat_map(|pool| &pool.members) {
        match &member.address {
            MemberAddress::Ip(address) if addresses.contains(address) => {}
            MemberAddress::Ip(address) => addresses.push(*address),
            MemberAddress::Host { name, .. } => panic!("{name}: what runs has addresses"),
        }
    }
    let backends = addresses.iter().map(|&address| Backend::start_in(&namespace, address, Answer(300)));
    let backends: Vec<_> = backends.collect();
    let haproxy = fixture.start(&namespace);
    let mut tracer = check_without_pools(SECONDS).until_told().argument("--netns").argument(namespace.path());
    for file in &fixture.files {
        tracer = tracer.argument("--haproxy").argument(file);
    }
    for (name, value) in &fixture.variables {
        tracer = tracer.variable(name, value);
    }
    let running = tracer.start();
    send_all(&namespace);
    // Its checks end, too.
    drop(haproxy);
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGINT);
    ended.print_uncounted();
    (ended, backends)
}

/// A fixture whose every server that gets anything gets what the importer expects of it.
fn runs_balanced(name: &str) {
    let _turn = turn::traffic();
    let (ended, backends) = run(name);
    let mut all = 0;
    for backend in &backends {
        let (member, report) = (ended.member("app", backend.address), backend.report());
        println!("{}: {report:?}", backend.address);
        member.adds_up().finds("").is("established", report.accepted);
        all += report.accepted;
    }
    ended.ensure(all == u64::from(CONNECTIONS), format!("{all} connections, not {CONNECTIONS}"));
    ended.says(0, "balanced");
}

macro_rules! fixtures {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            runs_balanced($name);
        })*

        const RUN: &[&str] = &[$($name),*];
    };
}

fixtures! {
    all_backups_share_when_told_to: "live-allbackups",
    backups_wait_for_the_active: "live-backup",
    without_balance_shares_go_by_weight: "live-default",
    default_server_counts_from_its_line_on: "live-default-server",
    a_directory_is_read_in_the_order_of_its_names: "live-directory",
    the_disabled_get_nothing: "live-disabled",
    variables_are_those_of_haproxy: "live-env",
    several_files_are_one_configuration: "live-files",
    the_first_backup_that_can_gets_everything: "live-first-backup",
    a_consistent_hash_is_a_hash: "live-hash-consistent",
    a_header_is_hashed: "live-hdr",
    conditions_choose_lines: "live-if",
    the_fewest_connections_are_as_many_for_all: "live-leastconn",
    a_listen_section_is_a_pool: "live-listen",
    named_defaults_are_inherited: "live-named-defaults",
    two_draws_even_out: "live-random",
    one_draw_goes_by_weight: "live-random-one",
    a_template_makes_servers: "live-server-template",
    the_source_address_is_hashed: "live-source",
    the_static_turn_goes_by_weight: "live-static-rr",
    the_path_is_hashed: "live-uri",
    a_parameter_is_hashed: "live-url-param",
    weights_are_shares: "live-weight",
}

#[test]
fn every_live_fixture_is_run() {
    let mut found: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(FIXTURES).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("live-") && name != IDLE {
            found.push(name);
        }
    }
    found.sort();
    assert_eq!(found, RUN, "each is a line in this file, in order");
}

/// Has a test of its own.
const IDLE: &str = "live-idle-pool";

#[test]
fn health_checks_do_not_make_an_idle_pool_look_balanced() {
    let _turn = turn::traffic();
    let (ended, backends) = run(IDLE);
    ended.says_of("app", "balanced");
    let verdict = ended.pool("idle")["verdict"].clone();
    ended.ensure(verdict != "balanced", "nothing but checks came to the idle pool");
    for backend in &backends {
        let pool = if backend.address.port() < 8083 { "app" } else { "idle" };
        let accepted = backend.report().accepted;
        ended.ensure(accepted > 3, format!("{}: {accepted} connections, checks among them", backend.address));
        ended.member(pool, backend.address).adds_up();
    }
}
