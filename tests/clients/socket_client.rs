//! A client that does what no balancer does on demand, for the end-to-end tests: `socket_client NAME` takes NAME as its
//! command and obeys the lines of standard input, each with a line in answer.
#![expect(clippy::unwrap_used, reason = "part of the tests: what fails here fails the test")]

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

mod held;

fn main() {
    let name = std::env::args_os().nth(1).expect("usage: socket_client NAME");
    // The name of the thread-group leader, which this thread is.
    std::fs::write("/proc/self/comm", name.as_bytes()).expect("a process may name itself");
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line.expect("commands are text");
        let words: Vec<_> = line.split(' ').collect();
        println!("{}", held::obey(&words).unwrap_or_else(|| obey(&words)));
    }
}

/// Does one command: a word, and addresses or numbers. Answers with the errors of the connects, or `ok`.
fn obey(words: &[&str]) -> String {
    let number = |at: usize| words[at].parse::<usize>().unwrap();
    let address = |at: usize| words[at].parse::<SocketAddr>().unwrap();
    let outcomes: Vec<_> = match words[0] {
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

type Outcome = nix::Result<()>;

fn new_socket() -> OwnedFd {
    socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap()
}

fn connect(fd: &OwnedFd, to: SocketAddr) -> Outcome {
    socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(to))
}

fn connected(to: SocketAddr) -> nix::Result<TcpStream> {
    let fd = new_socket();
    connect(&fd, to)?;
    Ok(fd.into())
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
