//! What was changed in a running HAProxy is known.

use crate::support::address::Block;
use crate::support::server::Server;
use crate::support::{require_root, wait};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracer::discovery::discover;
use tracer::input::Place;
use tracer::pools::{Backups, MemberAddress, Method, Role, WrittenMember, WrittenPool, WrittenPools};
use tracer::runtime::{ServerState, apply, open, server_states};

/// No answer depends on how busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// `options`: of HAProxy; `global`: a line of its section.
fn start_with(block: Block, options: &'static [&'static str], global: &str) -> Server {
    let (listens, port) = (block.balancer(1), block.port());
    let host = block.backend(4).ip();
    let servers: String =
        (1..=3).map(|n| format!("  server s{n} {} weight 10\n", block.backend(n))).collect();
    Server::start(
        "haproxy",
        None,
        listens,
        |directory| {
            format!(
                "global\n  {global}\n  nbthread 1\n  stats socket {}/stats level admin\ndefaults\n  mode http\n  timeout connect 1s\n  \
                 timeout client 9s\n  timeout server 9s\nlisten app\n  bind {listens}\n  balance roundrobin\n{servers}  \
                 server s4 {host}:{port} disabled\n  server-template t 1-2 nowhere.invalid:{port} init-addr none\n",
                directory.display()
            )
        },
        |file| {
            let named = ["-f", file.to_str().unwrap()];
            options.iter().chain(&named).map(|&option| option.to_owned()).collect()
        },
    )
}

fn start(block: Block) -> Server {
    start_with(block, &["-db"], "")
}

/// The socket beside the configuration that was found.
fn socket_of(server: &Server) -> PathBuf {
    let found = wait::until("haproxy is found", PATIENCE, || {
        discover().found.into_iter().find(|found| found.pid == server.pid())
    });
    let socket = found.files[0].with_file_name("stats");
    // As the balancer itself sees it, and by hand: the same socket.
    let held = found.surroundings().socket(&socket).unwrap();
    let through = server_states(held, PATIENCE, |user| found.can_listen_as(user)).unwrap();
    assert_eq!(through, states(&socket));
    socket
}

/// A HAProxy that gave up root's rights listens as root all the same.
fn is_root(user: u32) -> bool {
    user == 0
}

fn states(socket: &Path) -> Vec<ServerState> {
    server_states(open(socket).unwrap(), PATIENCE, is_root).unwrap()
}

#[track_caller]
fn command(socket: &Path, command: &str) {
    let mut stream = UnixStream::connect(socket).unwrap();
    writeln!(stream, "{command}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let fine =
        answer.trim().is_empty() || answer.contains("New server registered") || answer.contains("deleted");
    assert!(fine, "{command}: {answer}");
}

fn written(block: Block) -> WrittenPools {
    let at = Place::of_file("haproxy.cfg");
    let member = |n: u8| {
        let address = MemberAddress::Ip(block.backend(n));
        let mut member = WrittenMember::new(address, if n == 4 { 1.0 } else { 10.0 }, at.clone());
        member.name = Some(format!("s{n}"));
        member.role = if n == 4 { Role::Down } else { Role::Active };
        member
    };
    let pool = WrittenPool {
        name: "app".into(),
        balancer: None,
        method: Method::RoundRobin,
        at: at.clone(),
        members: (1..=4).map(member).collect(),
        backups: Backups::First,
        health_check_interval: None,
        vouched: false,
        doubt: None,
    };
    WrittenPools { pools: vec![pool] }
}

/// Address, weight, role of each member.
fn shown(pools: &WrittenPools) -> Vec<(String, f64, Role)> {
    pools.pools[0].members.iter().map(|one| (one.address.to_string(), one.weight, one.role)).collect()
}

#[test]
fn drains_weights_and_servers_are_those_of_the_running_haproxy() {
    require_root();
    let block = Block::new();
    let server = start(block);
    let socket = socket_of(&server);

    let mut pools = written(block);
    assert_eq!(apply(&mut pools, &states(&socket)), [""; 0], "what runs is what is written");
    assert_eq!(pools, written(block));

    command(&socket, "set server app/s1 state drain");
    command(&socket, "set server app/s2 weight 40");
    command(&socket, "set server app/s3 state maint");
    command(&socket, "del server app/s3");
    command(&socket, "set server app/s4 state ready");
    let added = block.backend(5);
    command(&socket, &format!("add server app/s5 {added} weight 7"));
    let differences = apply(&mut pools, &states(&socket));
    let at = |address: SocketAddr| address.to_string();
    assert_eq!(
        shown(&pools),
        [
            (at(block.backend(1)), 10.0, Role::Down),
            (at(block.backend(2)), 40.0, Role::Active),
            (at(block.backend(4)), 1.0, Role::Active),
            // It starts in maintenance.
            (at(added), 7.0, Role::Down),
        ],
        "{differences:?}"
    );
    assert_eq!(differences.len(), 5, "{differences:?}");

    command(&socket, "set server app/s1 state ready");
    let mut pools = written(block);
    apply(&mut pools, &states(&socket));
    assert_eq!(pools.pools[0].members[0].role, Role::Active);
}

#[test]
fn haproxy_that_gave_up_roots_rights_listens_as_root() {
    require_root();
    let server = start_with(Block::new(), &["-W", "-db"], "uid 65534");
    let socket = socket_of(&server);
    assert_eq!(states(&socket).len(), 6);
    let refused = server_states(open(&socket).unwrap(), PATIENCE, |user| user == 65534).unwrap_err();
    assert!(refused.contains("by user 0"), "{refused}");
    let found = discover().found.into_iter().find(|found| found.pid == server.pid()).unwrap();
    assert!(found.can_listen_as(0) && found.can_listen_as(65534) && !found.can_listen_as(1000));
}

#[test]
fn an_address_that_was_given_at_run_time_is_where_the_server_is() {
    require_root();
    let block = Block::new();
    let server = start(block);
    let socket = socket_of(&server);
    let moved = block.backend(9);
    let mut stream = UnixStream::connect(&socket).unwrap();
    writeln!(stream, "set server app/s1 addr {} port {}", moved.ip(), moved.port()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    let mut pools = written(block);
    let differences = apply(&mut pools, &states(&socket));
    assert_eq!(pools.pools[0].members[0].address, MemberAddress::Ip(moved), "{differences:?}");
    let places: Vec<_> = states(&socket).into_iter().filter(|one| one.server.starts_with('t')).collect();
    assert!(places.len() == 2 && places.iter().all(|one| one.address.is_none() && one.out), "{places:?}");
}
