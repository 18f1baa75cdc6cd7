//! The backends of a crowd: very many connections on few threads, each ended as its request says.

#[path = "../clients/ending.rs"]
mod ending;

use super::backend::listen;
use super::netns::Namespace;
use ending::FIRST;
pub(crate) use ending::{ENDINGS, Ending, REPLY, REQUEST};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{self, Backlog, MsgFlags, SockFlag, sockopt};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

/// What one backend has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Connections that `accept` returned.
    pub(crate) accepted: AtomicU64,
    /// Those that are over.
    pub(crate) closed: AtomicU64,
    /// Payload read.
    pub(crate) received_bytes: AtomicU64,
    /// Payload written.
    pub(crate) sent_bytes: AtomicU64,
}

/// Servers on threads of their own; gone when dropped.
pub(crate) struct Backends {
    seen: Arc<Vec<Seen>>,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Backends {
    /// Listens on all of `addresses`, with `threads` threads that have as many of them each.
    pub(crate) fn start_in(namespace: &Namespace, addresses: &[SocketAddr], threads: usize) -> Self {
        let seen: Arc<Vec<Seen>> = Arc::new(addresses.iter().map(|_| Seen::default()).collect());
        let stopping = Arc::new(AtomicBool::new(false));
        let mut servers: Vec<_> = (0..threads).map(|_| Server::new(seen.clone())).collect();
        for (number, address) in addresses.iter().enumerate() {
            let listener = namespace.run(|| listen(*address, Backlog::MAXALLOWABLE));
            servers[number % threads].listen(number, listener);
        }
        let run = |server: Server| {
            let stopping = stopping.clone();
            std::thread::spawn(move || server.run(&stopping))
        };
        let threads = servers.into_iter().map(run).collect();
        Self { seen, stopping, threads }
    }

    /// What each has seen, in the order of the addresses.
    pub(crate) fn seen(&self) -> &[Seen] {
        &self.seen
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        self.stopping.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One thread's part.
struct Server {
    epoll: Epoll,
    seen: Arc<Vec<Seen>>,
    listeners: Vec<(usize, TcpListener)>,
    /// By descriptor.
    open: Vec<Option<Connection>>,
}

struct Connection {
    fd: OwnedFd,
    backend: usize,
    ending: Option<Ending>,
    registered: bool,
}

/// Set in what epoll says of a listener, whose place is in the low half.
const IS_LISTENER: u64 = 1 << 32;

impl Server {
    fn new(seen: Arc<Vec<Seen>>) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        Self { epoll, seen, listeners: Vec::new(), open: Vec::new() }
    }

    fn listen(&mut self, backend: usize, listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let event = EpollEvent::new(EpollFlags::EPOLLIN, IS_LISTENER | self.listeners.len() as u64);
        self.epoll.add(&listener, event).unwrap();
        self.listeners.push((backend, listener));
    }

    fn run(mut self, stopping: &AtomicBool) {
        let mut events = vec![EpollEvent::empty(); 512];
        while !stopping.load(Relaxed) {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::from(100_u8)) {
                Err(Errno::EINTR) => 0,
                ready => ready.unwrap(),
            };
            for event in &events[..ready] {
                let place = usize::try_from(event.data() & u64::from(u32::MAX)).unwrap();
                if event.data() & IS_LISTENER == 0 {
                    self.hear(place);
                } else {
                    self.accept(place);
                }
            }
        }
    }

    fn accept(&mut self, listener: usize) {
        loop {
            let (backend, listener) = &self.listeners[listener];
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let number = match socket::accept4(listener.as_raw_fd(), flags) {
                Err(Errno::EAGAIN) => return,
                number => number.unwrap(),
            };
            // SAFETY: the descriptor is new, and nobody else has it.
            let fd = unsafe { OwnedFd::from_raw_fd(number) };
            self.seen[*backend].accepted.fetch_add(1, Relaxed);
            let place = usize::try_from(number).unwrap();
            if place >= self.open.len() {
                self.open.resize_with(place + 1, || None);
            }
            self.open[place] = Some(Connection { fd, backend: *backend, ending: None, registered: false });
            self.hear(place);
        }
    }

    /// Takes in what has come.
    fn hear(&mut self, place: usize) {
        let connection = self.open[place].as_mut().unwrap();
        let seen = &self.seen[connection.backend];
        let mut request = [0; REQUEST + 1];
        loop {
            let read = match socket::recv(connection.fd.as_raw_fd(), &mut request, MsgFlags::empty()) {
                Ok(read) => read,
                Err(Errno::EAGAIN) => break,
                // The client's way to end it.
                Err(Errno::ECONNRESET) => return self.end(place),
                other => panic!("{:?}: {other:?}", connection.ending),
            };
            seen.received_bytes.fetch_add(read as u64, Relaxed);
            match (connection.ending, read) {
                (Some(Ending::HalfClose), 0) => {
                    connection.reply(seen);
                    return self.end(place);
                }
                (_, 0) => return self.end(place),
                (None, REQUEST) => {
                    let ending = ENDINGS[usize::from(request[0] - FIRST)];
                    connection.ending = Some(ending);
                    match ending {
                        Ending::ServerResets => return self.reset(place),
                        Ending::HalfClose => {}
                        Ending::ServerCloses => {
                            connection.reply(seen);
                            return self.end(place);
                        }
                        _ => connection.reply(seen),
                    }
                }
                (Some(Ending::ServerResetsAfterData), 1) => return self.reset(place),
                other => panic!("a request of {other:?} bytes"),
            }
        }
        if !connection.registered {
            connection.registered = true;
            self.epoll.add(&connection.fd, EpollEvent::new(EpollFlags::EPOLLIN, place as u64)).unwrap();
        }
    }

    fn reset(&mut self, place: usize) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        socket::setsockopt(&self.open[place].as_ref().unwrap().fd, sockopt::Linger, &linger).unwrap();
        self.end(place);
    }

    fn end(&mut self, place: usize) {
        let connection = self.open[place].take().unwrap();
        let backend = connection.backend;
        if connection.registered {
            // A process that another test is just starting may hold the socket for a moment, and epoll would go on with it.
            self.epoll.delete(&connection.fd).unwrap();
        }
        drop(connection);
        self.seen[backend].closed.fetch_add(1, Relaxed);
    }
}

impl Connection {
    fn reply(&self, seen: &Seen) {
        let sent = socket::send(self.fd.as_raw_fd(), &[b'x'; REPLY], MsgFlags::MSG_NOSIGNAL);
        assert_eq!(sent, Ok(REPLY), "{:?}", self.ending);
        seen.sent_bytes.fetch_add(REPLY as u64, Relaxed);
    }
}
