//! A client that does what no balancer does on demand, for the end-to-end tests: `socket_client NAME` takes NAME as its
//! command and obeys the lines of standard input, each with a line in answer.
#![expect(clippy::unwrap_used, reason = "part of the tests: what fails here fails the test")]

mod fast_open;
mod kept;
mod multipath;
mod requests;
mod uring;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

fn main() {
    let name = std::env::args_os().nth(1).expect("usage: socket_client NAME");
    // The name of the thread-group leader, which this thread is.
    std::fs::write("/proc/self/comm", name.as_bytes()).expect("a process may name itself");
    println!("ready");
    let mut held = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line.expect("commands are text");
        let words: Vec<_> = line.split(' ').collect();
        println!(
            "{}",
            kept::obey(&words).or_else(|| requests::obey(&words)).unwrap_or_else(|| obey(&words, &mut held))
        );
    }
}

/// Does one command: a word, and addresses or numbers. Answers with the errors of the connects, or `ok`. `held` are
/// connections that stay open until `release`.
fn obey(words: &[&str], held: &mut Vec<TcpStream>) -> String {
    let number = |at: usize| words[at].parse::<usize>().unwrap();
    let address = |at: usize| words[at].parse::<SocketAddr>().unwrap();
    let outcomes: Vec<_> = match words[0] {
        "hold" => return hold(number(1), address(2), held),
        "release" => {
            held.clear();
            Vec::new()
        }
        "bound" => return twice_from_one_port(address(1), address(2)),
        "bind-early" => vec![bind_late(address(1), address(2), false)],
        "bind-late" => vec![bind_late(address(1), address(2), true)],
        "fast-open" => (0..number(1)).map(|_| fast_open::in_one_call(address(2))).collect(),
        "fast-open-connect" => (0..number(1)).map(|_| fast_open::by_option(address(2))).collect(),
        "fast-open-unsent" => (0..number(1)).map(|_| fast_open::unsent(address(2))).collect(),
        "mptcp" => {
            (0..number(1)).map(|_| multipath::exchange(words[2].parse().unwrap(), address(3))).collect()
        }
        "uring-available" => vec![uring::available(by(words[1]))],
        "uring" => (0..number(2)).map(|_| uring::exchange(by(words[1]), address(3))).collect(),
        "exchange" => (0..number(1)).map(|_| exchange(address(2))).collect(),
        "linger0" => (0..number(1)).map(|_| linger_0(address(2), b"0123456789")).collect(),
        "linger0-empty" => (0..number(1)).map(|_| linger_0(address(2), b"")).collect(),
        "reset" => (0..number(1)).map(|_| wait_for_reset(address(2), number(3))).collect(),
        "empty" => (0..number(1)).map(|_| connect(&new_socket(), address(2))).collect(),
        "threads" => in_threads(number(1), address(2)),
        "self" => vec![connect_to_self(address(1))],
        "again" => again(&new_socket(), address(1), address(2)),
        "unspec" => unspec(&new_socket(), address(1), address(2)),
        other => panic!("no such command: {other}"),
    };
    let mut errors: Vec<_> =
        outcomes.into_iter().filter_map(|outcome| outcome.err().map(|errno| format!("{errno:?}"))).collect();
    errors.dedup();
    if errors.is_empty() { "ok".to_owned() } else { errors.join(" ") }
}

fn by(word: &str) -> uring::By {
    match word {
        "process" => uring::By::Process,
        "worker" => uring::By::Worker,
        "poller" => uring::By::Poller,
        other => panic!("nobody connects by {other}"),
    }
}

type Outcome = nix::Result<()>;

fn new_socket() -> OwnedFd {
    socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap()
}

fn connect(fd: &OwnedFd, to: SocketAddr) -> Outcome {
    socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(to))
}

fn connected(to: SocketAddr) -> nix::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(&fd, to)?;
    Ok(fd.into())
}

/// So many connections that stay open: answers how many there are, and how often there was which error.
fn hold(count: usize, to: SocketAddr, held: &mut Vec<TcpStream>) -> String {
    let mut errors = BTreeMap::<String, usize>::new();
    let before = held.len();
    for _ in 0..count {
        match connected(to) {
            Ok(stream) => held.push(stream),
            Err(errno) => *errors.entry(format!("{errno:?}")).or_default() += 1,
        }
    }
    let errors = errors.into_iter().map(|(errno, count)| format!(" {errno} {count}"));
    format!("established {}{}", held.len() - before, errors.collect::<String>())
}

/// Two sockets that are bound to one address and port, and connect to the same: the second has no pair of its own.
fn twice_from_one_port(from: SocketAddr, to: SocketAddr) -> String {
    let sockets = [new_socket(), new_socket()];
    for fd in &sockets {
        socket::setsockopt(fd, sockopt::ReuseAddr, &true).unwrap();
        socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(from)).unwrap();
    }
    sockets
        .each_ref()
        .map(|fd| connect(fd, to).err().map_or("ok".into(), |errno| format!("{errno:?}")))
        .join(" ")
}

/// Binds to an address, and to a port of the kernel's choice either now or, `late`, with the connect.
fn bind_late(from: SocketAddr, to: SocketAddr, late: bool) -> Outcome {
    let fd = new_socket();
    socket::setsockopt(&fd, sockopt::IpBindAddressNoPort, &late).unwrap();
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(from))?;
    connect(&fd, to)
}

/// Sends ten bytes, says that it is done, and waits for the other side to be done.
fn exchange(to: SocketAddr) -> Outcome {
    finish(connected(to)?)
}

fn finish(mut stream: TcpStream) -> Outcome {
    stream.write_all(b"0123456789").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
    Ok(())
}

/// Ends a connection by its own RST.
fn linger_0(to: SocketAddr, payload: &[u8]) -> Outcome {
    let mut stream = connected(to)?;
    stream.write_all(payload).unwrap();
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    socket::setsockopt(&stream, sockopt::Linger, &linger)
}

/// Sends ten bytes, reads so many, sends one more if there was something to read, and waits for the RST.
fn wait_for_reset(to: SocketAddr, bytes: usize) -> Outcome {
    let mut stream = connected(to)?;
    stream.write_all(b"0123456789").unwrap();
    if bytes > 0 {
        stream.read_exact(&mut vec![0; bytes]).unwrap();
        stream.write_all(b"!").unwrap();
    }
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    Ok(())
}

/// Each from a thread with a name of its own, as Envoy's workers have.
fn in_threads(count: usize, to: SocketAddr) -> Vec<Outcome> {
    let start = |number| {
        let name = format!("wrk:worker_{number}");
        std::thread::Builder::new().name(name).spawn(move || exchange(to)).unwrap()
    };
    let threads: Vec<_> = (0..count).map(start).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Simultaneous open with oneself: SYN_SENT, SYN_RECV, ESTABLISHED, on one socket.
fn connect_to_self(address: SocketAddr) -> Outcome {
    let fd = new_socket();
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    connect(&fd, address)?;
    let mut stream = TcpStream::from(fd);
    stream.write_all(b"0123456789").unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    Ok(())
}

/// The same socket twice: the first connect is meant to fail.
fn again(fd: &OwnedFd, first: SocketAddr, second: SocketAddr) -> Vec<Outcome> {
    let refused = connect(fd, first);
    let outcome = connect(fd, second);
    if outcome.is_ok() {
        finish(fd.try_clone().unwrap().into()).unwrap();
    }
    vec![refused, outcome]
}

/// The same socket twice, disconnected in between.
fn unspec(fd: &OwnedFd, first: SocketAddr, second: SocketAddr) -> Vec<Outcome> {
    let established = connect(fd, first);
    nix::unistd::write(fd, b"0123456789").unwrap();
    // SAFETY: all zero bytes are a valid `sockaddr`.
    let mut nothing: libc::sockaddr = unsafe { std::mem::zeroed() };
    nothing.sa_family = libc::AF_UNSPEC.try_into().unwrap();
    let length = size_of_val(&nothing).try_into().unwrap();
    // SAFETY: the address is as long as said.
    let disconnected = unsafe { libc::connect(fd.as_raw_fd(), &raw const nothing, length) };
    nix::errno::Errno::result(disconnected).unwrap();
    let outcome = connect(fd, second);
    if outcome.is_ok() {
        finish(fd.try_clone().unwrap().into()).unwrap();
    }
    vec![established, outcome]
}
