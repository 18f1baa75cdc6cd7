//! A backend for thousands of connections at once: one thread that accepts them, reads nothing, and sees them end.

use super::{backend, wait};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::Backlog;
use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

#[derive(Debug, Default)]
struct Shared {
    accepted: AtomicU64,
    closed: AtomicU64,
    stopping: AtomicBool,
}

/// Gone when dropped.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let listener = backend::listen(address, Backlog::new(4096).unwrap());
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = shared.clone();
            std::thread::spawn(move || serve(&listener, &shared))
        };
        Self { address, shared, thread: Some(thread) }
    }

    /// Connections that `accept` returned.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(SeqCst)
    }

    /// Waits until so many connections are over, since the start or since they were forgotten.
    #[track_caller]
    pub(crate) fn wait_until_closed(&self, connections: u64) {
        let what = format!("{}: {connections} connections closed", self.address);
        wait::until(&what, Duration::from_secs(20), || {
            let closed = self.shared.closed.load(SeqCst);
            assert!(closed <= connections, "{}: {closed} closed, {connections} opened", self.address);
            (closed == connections).then_some(())
        });
    }

    /// Begins to count anew.
    pub(crate) fn forget(&self) {
        self.shared.closed.store(0, SeqCst);
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.shared.stopping.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The listener's own mark among the events; descriptors are positive.
const LISTENER: u64 = 0;

fn serve(listener: &TcpListener, shared: &Shared) {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER)).unwrap();
    let mut open: HashMap<u64, TcpStream> = HashMap::new();
    let mut events = vec![EpollEvent::empty(); 512];
    while !shared.stopping.load(SeqCst) {
        let ready = match epoll.wait(&mut events, EpollTimeout::from(50_u16)) {
            Ok(ready) => ready,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => panic!("epoll: {error}"),
        };
        for event in &events[..ready] {
            if event.data() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    let mark = u64::try_from(stream.as_raw_fd()).unwrap();
                    let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
                    epoll.add(&stream, EpollEvent::new(interest, mark)).unwrap();
                    open.insert(mark, stream);
                    shared.accepted.fetch_add(1, SeqCst);
                }
            } else if let Some(stream) = open.get_mut(&event.data())
                && is_over(stream)
            {
                // Before it is dropped: a process that another test is just starting may hold the socket for a moment.
                let stream = open.remove(&event.data()).unwrap();
                epoll.delete(&stream).unwrap();
                shared.closed.fetch_add(1, SeqCst);
            }
        }
    }
}

fn is_over(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 256]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
