//! Clients of a balancer: requests at a rate, for a time, on threads of their own.

use super::netns::Namespace;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Longer than any balancer here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says that it is over when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What to send where.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    target: SocketAddr,
    per_second: u32,
    threads: usize,
    keep_alive: bool,
    patience: Duration,
    addresses: u16,
    namespace: Option<&'a Namespace>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Requests sent.
    pub(crate) sent: u64,
    /// Those answered with 200.
    pub(crate) answered: u64,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
}

impl<'a> Load<'a> {
    pub(crate) fn on(target: SocketAddr) -> Self {
        Self {
            target,
            per_second: 250,
            threads: 16,
            keep_alive: false,
            patience: PATIENCE,
            addresses: 0,
            namespace: None,
        }
    }

    pub(crate) fn per_second(mut self, requests: u32) -> Self {
        self.per_second = requests;
        self
    }

    /// So many requests at a time at most: for balancers that keep a client waiting.
    pub(crate) fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// One connection per thread, instead of one per request.
    pub(crate) fn keep_alive(mut self) -> Self {
        self.keep_alive = true;
        self
    }

    /// How long a client waits for an answer before it goes away.
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Has the requests come from so many addresses of loopback in turn.
    pub(crate) fn clients_at(mut self, addresses: u16) -> Self {
        self.addresses = addresses;
        self
    }

    pub(crate) fn within(mut self, namespace: &'a Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Sends requests for this long, and waits for the last answer.
    pub(crate) fn run_for(self, duration: Duration) -> Outcome {
        self.run(&AtomicU64::new(0), |due| due < duration)
    }

    /// Sends requests while something else is done, and waits for the last answer.
    pub(crate) fn run_while<T>(self, other: impl FnOnce() -> T) -> T {
        self.run_beside(|_| other())
    }

    /// The same; what else is done may ask how many requests were sent so far.
    pub(crate) fn run_beside<T>(self, other: impl FnOnce(&dyn Fn() -> u64) -> T) -> T {
        let (sent, over) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| self.run(&sent, |_| !over.load(SeqCst)));
            // Also if it panics: the scope waits for the threads.
            let _over = Over(&over);
            other(&|| sent.load(SeqCst))
        })
    }

    /// Sends requests as long as those that are due at this time are wanted.
    fn run(self, next: &AtomicU64, wanted: impl Fn(Duration) -> bool + Sync) -> Outcome {
        let (answered, start) = (AtomicU64::new(0), Instant::now());
        let per_second = f64::from(self.per_second);
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    if let Some(namespace) = self.namespace {
                        namespace.enter();
                    }
                    let mut connection = None;
                    loop {
                        let number = next.fetch_add(1, SeqCst);
                        #[expect(
                            clippy::cast_precision_loss,
                            reason = "a number of requests, far below 2^52"
                        )]
                        let due = Duration::from_secs_f64(number as f64 / per_second);
                        if !wanted(due) {
                            next.fetch_sub(1, SeqCst);
                            break;
                        }
                        std::thread::sleep(due.saturating_sub(start.elapsed()));
                        if self.request(number, &mut connection).unwrap_or(false) {
                            answered.fetch_add(1, SeqCst);
                        } else {
                            connection = None;
                        }
                    }
                });
            }
        });
        let outcome =
            Outcome { sent: next.load(SeqCst), answered: answered.into_inner(), took: start.elapsed() };
        println!("load on {}: {outcome:?}", self.target);
        outcome
    }

    /// A connection to the target, for the request of this number.
    fn connect(self, number: u64) -> std::io::Result<TcpStream> {
        if self.addresses == 0 {
            return TcpStream::connect(self.target);
        }
        let host = u16::try_from(number % u64::from(self.addresses)).unwrap();
        let [high, low] = host.to_be_bytes();
        let from = SocketAddrV4::new(Ipv4Addr::new(127, 20, high, low), 0);
        let fd = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        socket::bind(fd.as_raw_fd(), &SockaddrIn::from(from))?;
        socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(self.target))?;
        Ok(fd.into())
    }

    fn request(self, number: u64, connection: &mut Option<TcpStream>) -> std::io::Result<bool> {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => {
                let stream = self.connect(number)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(self.patience))?;
                stream
            }
        };
        let kind = if self.keep_alive { "keep-alive" } else { "close" };
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: pool\r\nConnection: {kind}\r\n\r\n").as_bytes())?;
        let mut response = Vec::new();
        if self.keep_alive {
            let mut part = [0; 8192];
            while !complete(&response) {
                let read = stream.read(&mut part)?;
                if read == 0 {
                    return Ok(false);
                }
                response.extend_from_slice(&part[..read]);
            }
            // nginx ends a connection after a thousand requests, and says so with the last.
            *connection = (!says_close(&response)).then_some(stream);
        } else {
            stream.read_to_end(&mut response)?;
        }
        Ok(response.starts_with(b"HTTP/1.1 200"))
    }
}

/// Whether the server ends the connection after this response.
fn says_close(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response).to_ascii_lowercase();
    text.split("\r\n\r\n").next().is_some_and(|head| head.lines().any(|line| line == "connection: close"))
}

/// Whether head and body are there, by Content-Length.
fn complete(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
    body.len() >= length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}
