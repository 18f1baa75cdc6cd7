//! What the importer of nginx expects is what the real nginx does: every fixture `live-…` is started and traced.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer, wait_until_closed};
use crate::support::crowd_of_clients;
use crate::support::netns::Namespace;
use crate::support::nginx::start_fixture;
use crate::support::tracer::{accepted, check_import_until_told};
use crate::support::{require_root, turn, wait};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracer::imports::HostSurroundings;
use tracer::imports::nginx::import;
use tracer::pools::{MemberAddress, WrittenPool};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/imports/nginx");
/// Where every live fixture listens.
const LISTENS: ([u8; 4], u16) = ([127, 0, 0, 1], 8000);
/// Weights under least connections are only called balanced from 2,126 connections on, since nginx follows them roughly.
const CONNECTIONS: u16 = 2_400;

/// A test for each fixture, and the list of them.
macro_rules! live {
    ($($test:ident: $fixture:literal,)*) => {
        const LIVE: &[&str] = &[$($fixture),*];
        $(#[test]
        fn $test() {
            is_balanced($fixture);
        })*
    };
}

live! {
    an_address_that_is_passed_to_is_a_pool: "live-address",
    a_backup_gets_nothing: "live-backup",
    a_server_that_is_down_gets_nothing: "live-down",
    clients_are_spread_by_hash: "live-hash",
    clients_are_spread_by_consistent_hash: "live-hash-consistent",
    included_files_are_read_as_nginx_reads_them: "live-include",
    clients_are_spread_by_their_networks: "live-ip-hash",
    connections_that_could_be_kept_are_spread: "live-keepalive",
    least_connections_follow_the_weights: "live-least-conn",
    a_limit_that_is_not_reached_changes_nothing: "live-max-conns",
    every_address_of_a_name_that_is_passed_to_is_a_member: "live-name",
    http_has_a_port_of_its_own: "live-port",
    random_choice_follows_the_weights: "live-random",
    the_better_of_two_is_spread_evenly: "live-random-two",
    equal_servers_share_equally: "live-round-robin",
    connections_of_stream_follow_the_weights: "live-stream",
    clients_of_stream_are_spread_by_hash: "live-stream-hash",
    a_variable_behind_the_host_leaves_the_host_known: "live-uri",
    weights_are_followed: "live-weight",
    workers_that_share_a_zone_follow_the_weights: "live-zone",
}

#[test]
fn no_live_fixture_is_forgotten() {
    let names = std::fs::read_dir(FIXTURES).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let folders: BTreeSet<String> = names.filter(|name| name.starts_with("live-")).collect();
    assert_eq!(folders, LIVE.iter().map(|&name| name.to_owned()).collect());
}

/// The only pool of a configuration that nothing is wrong with.
fn pool(main: &Path) -> WrittenPool {
    let mut imported = import(main, &mut HostSurroundings).unwrap();
    assert_eq!((imported.problems.as_slice(), imported.pools.pools.len()), (&[][..], 1));
    imported.pools.pools.remove(0)
}

/// Every address of the pool's members, those that are to get nothing included.
fn addresses(pool: &WrittenPool) -> BTreeSet<SocketAddr> {
    let of = |address: &MemberAddress| match address {
        MemberAddress::Ip(address) => vec![*address],
        MemberAddress::Host { name, port } => (name.as_str(), *port).to_socket_addrs().unwrap().collect(),
    };
    pool.members.iter().flat_map(|member| of(&member.address)).collect()
}

/// Starts nginx with the fixture and a backend at every address of its pool, and has the tracer judge what it does with
/// clients that differ in the first three octets.
fn is_balanced(fixture: &str) {
    require_root();
    let (_turn, block) = (turn::traffic(), Block::new());
    let namespace = Namespace::new(block.name("i"));
    let main: PathBuf = Path::new(FIXTURES).join(fixture).join("nginx.conf");
    let pool = pool(&main);
    let backends: Vec<Backend> = addresses(&pool)
        .into_iter()
        .map(|address| Backend::start_in(&namespace, address, Answer(300)))
        .collect();
    let nginx = start_fixture(&main, LISTENS.into(), &namespace);
    // The harness has connected to see whether it listens; a proxy of TCP passes that on, some time.
    let passed_on = u64::from(std::fs::read_to_string(&main).unwrap().contains("stream {"));
    wait::until("what the harness sent is there", Duration::from_secs(10), || {
        (accepted(&backends) == passed_on).then_some(())
    });
    wait_until_closed(&backends);
    let before: Vec<u64> = backends.iter().map(|backend| backend.report().accepted).collect();
    let running = check_import_until_told("--nginx", &main, &namespace.path()).start();
    crowd_of_clients::send(&namespace, LISTENS.into(), CONNECTIONS);
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGINT);
    drop(nginx);
    ended.print_uncounted();
    ended.ensure(accepted(&backends) == passed_on + u64::from(CONNECTIONS), "harness: each is passed on");
    for (backend, before) in backends.iter().zip(before) {
        let accepted = backend.report().accepted - before;
        println!("{}: {accepted} accepted", backend.address);
        ended.member(&pool.name, backend.address).adds_up().is("established", accepted);
    }
    ended.says_of(&pool.name, "balanced").exits(0);
}
