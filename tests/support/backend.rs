//! Backends that report what they accepted.

use super::netns::Namespace;
use super::netstat::Netstat;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, sockopt};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a backend does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answers one HTTP request with a body of so many bytes, and closes.
    Answer(usize),
    /// Answers every HTTP request with a body of so many bytes, and leaves the closing to the other side.
    KeepAlive(usize),
    /// The same with an empty body, each after so long.
    Late(Duration),
    /// Reads one HTTP request, and closes.
    CloseUnanswered,
    /// Resets the connection once it has read something, without a byte in reply.
    ResetWithoutData,
    /// Replies with so many bytes, waits for a byte in return, and resets the connection.
    ResetAfterData(usize),
    /// Keeps the connection, and never sends anything.
    Hold,
}

/// What it has seen.
#[derive(Default, Debug)]
struct Seen {
    accepted: AtomicU64,
    with_payload: AtomicU64,
    closed: AtomicU64,
    requests: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
}

/// A figure of every kind, taken at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Connections that `accept` returned.
    pub(crate) accepted: u64,
    /// Those on which at least a byte came.
    pub(crate) with_payload: u64,
    /// Those that are over.
    pub(crate) closed: u64,
    /// HTTP requests.
    pub(crate) requests: u64,
    /// Payload read.
    pub(crate) received_bytes: u64,
    /// Payload written.
    pub(crate) sent_bytes: u64,
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    seen: Seen,
    stopping: AtomicBool,
    open: Mutex<HashMap<u64, TcpStream>>,
}

/// A server on its own threads; gone when dropped.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    overflows: Overflows,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Backend {
    pub(crate) fn start(address: SocketAddr, behaviour: Behaviour) -> Self {
        Self::serve(listen(address, Backlog::MAXCONN), Overflows::here(), behaviour)
    }

    /// The same inside a namespace.
    pub(crate) fn start_in(namespace: &Namespace, address: SocketAddr, behaviour: Behaviour) -> Self {
        Self::start_on(namespace, behaviour, || listen(address, Backlog::MAXCONN))
    }

    /// The same on a listener of a special kind.
    pub(crate) fn start_on(
        namespace: &Namespace,
        behaviour: Behaviour,
        listen: impl FnOnce() -> TcpListener + Send,
    ) -> Self {
        let (listener, overflows) = namespace.run(|| (listen(), Overflows::here()));
        Self::serve(listener, overflows, behaviour)
    }

    fn serve(listener: TcpListener, overflows: Overflows, behaviour: Behaviour) -> Self {
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            seen: Seen::default(),
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let accepting = {
            let (listener, shared) = (listener.try_clone().unwrap(), shared.clone());
            std::thread::spawn(move || accept(&listener, &shared))
        };
        let address = listener.local_addr().unwrap();
        Self { address, listener, overflows, shared, accepting: Some(accepting) }
    }

    /// Has it do something else with the connections to come.
    pub(crate) fn now(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn report(&self) -> Report {
        let full = dropped_by(&self.listener) > 0 && self.overflows.grew();
        assert!(!full, "harness: {}: the listener's queue was full", self.address);
        let seen = &self.shared.seen;
        Report {
            accepted: seen.accepted.load(SeqCst),
            with_payload: seen.with_payload.load(SeqCst),
            closed: seen.closed.load(SeqCst),
            requests: seen.requests.load(SeqCst),
            received_bytes: seen.received_bytes.load(SeqCst),
            sent_bytes: seen.sent_bytes.load(SeqCst),
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.stopping.store(true, SeqCst);
        // Wakes `accept`, whichever namespace the socket is in.
        let _ = socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both);
        for stream in self.shared.open.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// A socket that listens, with so many places for connections that wait to be accepted.
pub(crate) fn listen(address: SocketAddr, places: Backlog) -> TcpListener {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    socket::setsockopt(&fd, sockopt::ReuseAddr, &true).unwrap();
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(address))
        .unwrap_or_else(|error| panic!("cannot bind {address}: {error}"));
    socket::listen(&fd, places).unwrap();
    TcpListener::from(fd)
}

/// A socket that is bound but does not listen: whoever connects is refused, and nobody else gets the port.
pub(crate) fn refuse(address: SocketAddr) -> OwnedFd {
    let fd = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    fd
}

/// ListenOverflows of the namespace that this was made in.
#[derive(Debug)]
struct Overflows {
    counters: Netstat,
    before: u64,
}

impl Overflows {
    fn here() -> Self {
        let counters = Netstat::here();
        let before = counters.tcp("ListenOverflows");
        Self { counters, before }
    }

    fn grew(&self) -> bool {
        self.counters.tcp("ListenOverflows") > self.before
    }
}

/// What this listener dropped: connections it had no place for, and those reset before they were accepted.
fn dropped_by(listener: &TcpListener) -> u32 {
    const DROPS: usize = 8; // SK_MEMINFO_DROPS, linux/sock_diag.h
    let mut figures = [0_u32; 9];
    let mut length = libc::socklen_t::try_from(size_of_val(&figures)).unwrap();
    // SAFETY: the kernel writes at most `length` bytes to `figures`, which has as many.
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            figures.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "SO_MEMINFO: {}", std::io::Error::last_os_error());
    figures[DROPS]
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stopping.load(SeqCst) {
            break;
        }
        let number = shared.seen.accepted.fetch_add(1, SeqCst);
        shared.open.lock().unwrap().insert(number, stream.try_clone().unwrap());
        let shared = shared.clone();
        std::thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || {
                // An error is the other side's way to end a connection.
                let _ = converse(stream, &shared, number);
                shared.seen.closed.fetch_add(1, SeqCst);
            })
            .unwrap();
    }
}

/// The whole life of one connection.
fn converse(stream: TcpStream, shared: &Shared, number: u64) -> std::io::Result<()> {
    let _registered = Registered { shared, number };
    stream.set_nodelay(true)?;
    let mut connection = Connection { stream, seen: &shared.seen, any: false };
    let behaviour = *shared.behaviour.lock().unwrap();
    match behaviour {
        Behaviour::Answer(bytes) => {
            if connection.request()? {
                connection.respond(bytes, "close")?;
                connection.stream.shutdown(Shutdown::Write)?;
                while connection.read(&mut [0; 1024])? > 0 {}
            }
        }
        Behaviour::KeepAlive(bytes) => {
            while connection.request()? {
                connection.respond(bytes, "keep-alive")?;
            }
        }
        Behaviour::Late(after) => {
            while connection.request()? {
                std::thread::sleep(after);
                connection.respond(0, "keep-alive")?;
            }
        }
        Behaviour::CloseUnanswered => {
            connection.request()?;
        }
        Behaviour::ResetWithoutData => {
            if connection.read(&mut [0; 1024])? > 0 {
                connection.reset(shared, number)?;
            }
        }
        Behaviour::ResetAfterData(bytes) => {
            if connection.read(&mut [0; 1024])? > 0 {
                connection.write(&vec![b'x'; bytes])?;
                connection.read(&mut [0; 1])?;
                connection.reset(shared, number)?;
            }
        }
        Behaviour::Hold => while connection.read(&mut [0; 1024])? > 0 {},
    }
    Ok(())
}

/// The open connection in the list that a stopping backend cuts off.
struct Registered<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.open.lock().unwrap().remove(&self.number);
    }
}

struct Connection<'a> {
    stream: TcpStream,
    seen: &'a Seen,
    any: bool,
}

impl Connection<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.stream.read(into)?;
        if read > 0 && !self.any {
            self.any = true;
            self.seen.with_payload.fetch_add(1, SeqCst);
        }
        self.seen.received_bytes.fetch_add(read as u64, SeqCst);
        Ok(read)
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        // Before the peer can know it, so that a count is never behind what was seen at the other end.
        self.seen.sent_bytes.fetch_add(bytes.len() as u64, SeqCst);
        self.stream.write_all(bytes)
    }

    /// Reads one request with its body; false at the end of the connection.
    fn request(&mut self) -> std::io::Result<bool> {
        let mut request = Vec::new();
        let mut part = [0; 65_536];
        while request_length(&request).is_none_or(|length| request.len() < length) {
            let read = self.read(&mut part)?;
            if read == 0 {
                return Ok(false);
            }
            request.extend_from_slice(&part[..read]);
        }
        self.seen.requests.fetch_add(1, SeqCst);
        Ok(true)
    }

    fn respond(&mut self, bytes: usize, connection: &str) -> std::io::Result<()> {
        let mut response =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nConnection: {connection}\r\n\r\n")
                .into_bytes();
        response.resize(response.len() + bytes, b'x');
        self.write(&response)
    }

    /// RST instead of FIN, now: the last descriptor of the socket has to go.
    fn reset(self, shared: &Shared, number: u64) -> std::io::Result<()> {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        socket::setsockopt(&self.stream, sockopt::Linger, &linger)?;
        shared.open.lock().unwrap().remove(&number);
        Ok(())
    }
}

/// Bytes of head and body, by Content-Length; `None`: the head goes on.
fn request_length(request: &[u8]) -> Option<usize> {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    Some(end + 4 + length.unwrap_or(0_usize))
}

/// Waits until every connection that was accepted is over.
#[track_caller]
pub(crate) fn wait_until_closed<'a>(backends: impl IntoIterator<Item = &'a Backend>) {
    for backend in backends {
        super::wait::until(
            &format!("{}: all connections closed", backend.address),
            Duration::from_secs(5),
            || {
                let report = backend.report();
                (report.accepted == report.closed).then_some(())
            },
        );
    }
}
