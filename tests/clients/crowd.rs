//! A crowd of connections, for the end-to-end tests: `crowd NAME` takes NAME as its command. A line
//! `COUNT SEED WINDOW BACKENDS REFUSING` (the last two are addresses with commas between) makes it open so many
//! connections in all, at most WINDOW at a time, to addresses, with lifetimes and endings by chance. It answers with how
//! many of each ending it had with each backend, then how often each of REFUSING refused, as JSON.
#![expect(clippy::unwrap_used, reason = "part of the tests: what fails here fails the test")]

#[path = "ending.rs"]
mod ending;

use ending::{ENDINGS, Ending, FIRST, REPLY, REQUEST};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, sockopt};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// Connections that are begun before the answers to others are looked at.
const BATCH: usize = 64;
/// One attempt in so many goes to an address that refuses.
const REFUSED_ONE_IN: usize = 25;

fn main() {
    let name = std::env::args_os().nth(1).expect("usage: crowd NAME");
    std::fs::write("/proc/self/comm", name.as_bytes()).expect("a process may name itself");
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line.expect("commands are text");
        let words: Vec<_> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<usize>().unwrap();
        let addresses = |at: usize| words[at].split(',').map(|it| it.parse().unwrap()).collect();
        let mut crowd = Crowd::new(number(1) as u64, addresses(3), addresses(4));
        crowd.run(number(0), number(2));
        println!("{}", serde_json::to_string(&(crowd.ended, crowd.refused)).unwrap());
    }
}

/// One connection.
struct Connection {
    fd: OwnedFd,
    backend: usize,
    ending: Ending,
    replied: bool,
    registered: bool,
}

impl Connection {
    /// Whether the client ends it, once it has the reply if there is one.
    fn ends_here(&self) -> bool {
        use Ending::*;
        matches!(self.ending, ClientCloses | ClientResets | Empty | EmptyReset)
    }
}

struct Crowd {
    chance: fastrand::Rng,
    backends: Vec<SocketAddr>,
    refusing: Vec<SocketAddr>,
    epoll: Epoll,
    /// By descriptor.
    open: Vec<Option<Connection>>,
    count: usize,
    /// When which descriptor has lived long enough to ask for its end.
    due: BinaryHeap<Reverse<(Instant, i32)>>,
    /// By backend and ending.
    ended: Vec<[u64; ENDINGS.len()]>,
    /// By refusing address.
    refused: Vec<u64>,
}

impl Crowd {
    fn new(seed: u64, backends: Vec<SocketAddr>, refusing: Vec<SocketAddr>) -> Self {
        Self {
            chance: fastrand::Rng::with_seed(seed),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap(),
            open: Vec::new(),
            count: 0,
            due: BinaryHeap::new(),
            ended: vec![[0; ENDINGS.len()]; backends.len()],
            refused: vec![0; refusing.len()],
            backends,
            refusing,
        }
    }

    fn run(&mut self, total: usize, window: usize) {
        let mut begun = 0;
        let mut events = vec![EpollEvent::empty(); 512];
        while begun < total || self.count > 0 {
            let batch = BATCH.min(total - begun).min(window - self.count);
            (0..batch).for_each(|_| self.begin());
            begun += batch;
            self.ask_those_due();
            let timeout = if begun < total && self.count < window || self.count == 0 {
                EpollTimeout::ZERO
            } else if let Some(Reverse((due, _))) = self.due.peek() {
                // Rounded up: a timeout that is too short would spin.
                let wait = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                EpollTimeout::try_from(wait).unwrap()
            } else {
                EpollTimeout::NONE
            };
            let ready = match self.epoll.wait(&mut events, timeout) {
                Err(Errno::EINTR) => 0,
                ready => ready.unwrap(),
            };
            for event in &events[..ready] {
                self.hear(i32::try_from(event.data()).unwrap());
            }
        }
    }

    /// Connects, which on loopback is over at once.
    fn begin(&mut self) {
        let fd = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        if self.chance.usize(..REFUSED_ONE_IN) == 0 {
            let which = self.chance.usize(..self.refusing.len());
            let outcome = socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(self.refusing[which]));
            assert_eq!(outcome, Err(Errno::ECONNREFUSED), "{}", self.refusing[which]);
            self.refused[which] += 1;
            return;
        }
        let backend = self.chance.usize(..self.backends.len());
        let ending = ENDINGS[self.chance.usize(..ENDINGS.len())];
        let address = self.backends[backend];
        socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(address))
            .unwrap_or_else(|errno| panic!("{address}: {errno}"));
        let number = fd.as_raw_fd();
        let place = usize::try_from(number).unwrap();
        if place >= self.open.len() {
            self.open.resize_with(place + 1, || None);
        }
        self.open[place] = Some(Connection { fd, backend, ending, replied: false, registered: false });
        self.count += 1;
        match self.lifetime() {
            Duration::ZERO => self.ask(number),
            lifetime => self.due.push(Reverse((Instant::now() + lifetime, number))),
        }
    }

    /// Half of them end at once, most of the rest within a few hundredths of a second, a few after seconds.
    fn lifetime(&mut self) -> Duration {
        Duration::from_millis(match self.chance.u8(..100) {
            0..50 => 0,
            50..99 => self.chance.u64(1..40),
            _ => self.chance.u64(40..2000),
        })
    }

    fn ask_those_due(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((due, number))) = self.due.peek() {
            if due > now {
                return;
            }
            self.due.pop();
            self.ask(number);
        }
    }

    /// Sends the request, or ends what has none.
    fn ask(&mut self, number: i32) {
        let place = usize::try_from(number).unwrap();
        let connection = self.open[place].as_mut().unwrap();
        if matches!(connection.ending, Ending::Empty | Ending::EmptyReset) {
            return self.end(place);
        }
        send(&connection.fd, &[FIRST + connection.ending as u8; REQUEST]);
        if connection.ending == Ending::HalfClose {
            socket::shutdown(number, socket::Shutdown::Write).unwrap();
        }
        self.hear(number);
    }

    /// Takes in what has come.
    fn hear(&mut self, number: i32) {
        let place = usize::try_from(number).unwrap();
        let connection = self.open[place].as_mut().unwrap();
        let mut reply = [0; REPLY + 1];
        loop {
            match socket::recv(number, &mut reply, MsgFlags::MSG_DONTWAIT) {
                Ok(REPLY) if connection.ends_here() => return self.end(place),
                Ok(REPLY) if connection.ending == Ending::ServerResetsAfterData => {
                    send(&connection.fd, b"!");
                    connection.replied = true;
                }
                Ok(REPLY) => connection.replied = true,
                Ok(0) => {
                    let done = matches!(connection.ending, Ending::ServerCloses | Ending::HalfClose);
                    assert!(done && connection.replied, "{:?} ended by FIN", connection.ending);
                    return self.end(place);
                }
                Err(Errno::ECONNRESET) => {
                    let reset = matches!(
                        (connection.ending, connection.replied),
                        (Ending::ServerResets, false) | (Ending::ServerResetsAfterData, true)
                    );
                    assert!(reset, "{:?} ended by RST", connection.ending);
                    return self.end(place);
                }
                Err(Errno::EAGAIN) => break,
                other => panic!("{:?}: {other:?}", connection.ending),
            }
        }
        if !connection.registered {
            connection.registered = true;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, u64::try_from(number).unwrap());
            self.epoll.add(&connection.fd, event).unwrap();
        }
    }

    /// Closes it, in the way that its ending wants.
    fn end(&mut self, place: usize) {
        let connection = self.open[place].take().unwrap();
        if matches!(connection.ending, Ending::ClientResets | Ending::EmptyReset) {
            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
            socket::setsockopt(&connection.fd, sockopt::Linger, &linger).unwrap();
        }
        self.ended[connection.backend][connection.ending.index()] += 1;
        self.count -= 1;
    }
}

fn send(fd: &OwnedFd, bytes: &[u8]) {
    assert_eq!(socket::send(fd.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL), Ok(bytes.len()));
}
