//! A client in a process of its own, for what no balancer does on demand: this test program again, which reads what to
//! do from standard input. Its connections are made on a thread, under the name of the thread-group leader.

use super::netns::Namespace;
use super::server::end_with_parent;
use nix::sys::signal::Signal;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The name of the thread-group leader, as the kernel has it.
const NAME: &str = "TRACER_E2E_CLIENT_NAME";
/// What the client's answers begin with: the test harness writes to standard output too.
const ANSWER: &str = "client: ";

/// The running child.
pub(crate) struct Client {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// Starts it, under the name of a command (15 bytes at most).
    pub(crate) fn start(name: impl AsRef<OsStr>) -> Self {
        Self::spawn(name.as_ref(), None)
    }

    pub(crate) fn start_in(namespace: &Namespace, name: impl AsRef<OsStr>) -> Self {
        Self::spawn(name.as_ref(), Some(namespace))
    }

    fn spawn(name: &OsStr, namespace: Option<&Namespace>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "--nocapture", "support::client::child"]);
        command.env(NAME, name).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(namespace) = namespace {
            namespace.enter_on_exec(&mut command);
        }
        let mut child = end_with_parent(&mut command, Signal::SIGKILL).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut client = Self { child, answers };
        assert_eq!(client.answer(), "ready");
        client
    }

    /// Has it do something, and gives its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: impl AsRef<str>) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{}", command.as_ref()).unwrap();
        self.answer()
    }

    #[track_caller]
    fn answer(&mut self) -> String {
        for line in &mut self.answers {
            if let Some((_, answer)) = line.unwrap().split_once(ANSWER) {
                return answer.to_owned();
            }
        }
        panic!("the client ended: {:?}", self.child.try_wait());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the client process that scenarios start; does nothing by itself"]
fn child() {
    let Some(name) = std::env::var_os(NAME) else { return };
    std::fs::write("/proc/self/comm", name.as_encoded_bytes()).unwrap();
    println!("{ANSWER}ready");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split(' ').collect();
        println!("\n{ANSWER}{}", obey(&words));
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
