//! A balancer with four backends, all threads of this process: connections of a request and a response, at a rate that
//! changes. Both ends take down what they saw.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// Connections a second, a phase each, and again from the start.
const RATES: [u32; 6] = [1_000, 1_000, 200, 2_000, 0, 500];
const BACKENDS: u8 = 4;
const CLIENTS: u32 = 8;
const REQUEST: usize = 100;
const RESPONSE: usize = 200;
/// How far clients may fall behind without catching up: after a pause there is no burst.
const BEHIND: Duration = Duration::from_millis(100);
/// A port that a backend had is its own again within this time.
const REOPENED: Duration = Duration::from_secs(5);

/// What became of the connections to one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Truth {
    /// As the backend saw it.
    pub(super) accepted: u64,
    /// As the clients saw it.
    pub(super) established: u64,
    /// Likewise.
    pub(super) refused: u64,
    /// Attempts that failed otherwise, likewise.
    pub(super) other: u64,
}

/// Of every backend.
pub(super) type Truths = BTreeMap<SocketAddr, Truth>;

/// The same while it is counted.
#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    established: AtomicU64,
    refused: AtomicU64,
    other: AtomicU64,
}

/// A backend; it listens or not.
struct Backend {
    address: SocketAddr,
    counts: Arc<Counts>,
    serving: Mutex<Option<Serving>>,
}

/// The thread that serves, and what tells it that the next connection is the last.
struct Serving {
    last: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Backends that listen, and clients once they were started.
pub(super) struct Load {
    backends: Arc<Vec<Backend>>,
    clients: Vec<JoinHandle<()>>,
    turns: Arc<Turns>,
}

/// What the clients have in common.
struct Turns {
    started: Instant,
    phase: Duration,
    stopping: AtomicBool,
    next: AtomicUsize,
    /// Read by who connects, written by who wants that nobody does.
    gate: RwLock<()>,
}

impl Load {
    /// Backends that listen at ports of their own; `phase` is how long the load will stay as it is.
    pub(super) fn prepare(phase: Duration) -> Result<Self> {
        let backends: io::Result<Vec<_>> = (1..=BACKENDS).map(Backend::listen).collect();
        let turns = Turns {
            started: Instant::now(),
            phase,
            stopping: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            gate: RwLock::new(()),
        };
        let backends = Arc::new(backends.context("cannot listen on loopback")?);
        Ok(Self { backends, clients: Vec::new(), turns: Arc::new(turns) })
    }

    /// Begins to connect.
    pub(super) fn start(&mut self) {
        self.clients.extend((0..CLIENTS).map(|_| {
            let (backends, turns) = (Arc::clone(&self.backends), Arc::clone(&self.turns));
            thread::spawn(move || connect_at_rate(&backends, &turns))
        }));
    }

    pub(super) fn pools_file(&self) -> String {
        let members = self.backends.iter().fold(String::new(), |mut text, backend| {
            let _ = writeln!(text, "  {{ address = \"{}\" }},", backend.address);
            text
        });
        format!("[[pool]]\nname = \"soak\"\nmembers = [\n{members}]\n")
    }

    /// Connections a second at present.
    pub(super) fn rate(&self) -> u32 {
        self.turns.rate()
    }

    /// What both ends have seen so far.
    pub(super) fn truths(&self) -> Truths {
        self.backends.iter().map(|backend| (backend.address, backend.counts.now())).collect()
    }

    /// Does something while nobody connects and every exchange is over.
    pub(super) fn quietly<T>(&self, act: impl FnOnce() -> T) -> T {
        let _gate = self.turns.gate.write().unwrap_or_else(PoisonError::into_inner);
        act()
    }

    /// Nobody listens at this backend from now on. Not while clients connect: what is not accepted yet would be lost.
    pub(super) fn close(&self, number: usize) {
        let backend = &self.backends[number % self.backends.len()];
        self.quietly(|| backend.close());
    }

    /// It listens again.
    pub(super) fn open(&self, number: usize) -> Result<()> {
        let backend = &self.backends[number % self.backends.len()];
        backend.open().with_context(|| format!("cannot listen at {} again", backend.address))
    }

    /// Ends it: no connection is left, and nobody listens.
    pub(super) fn stop(&mut self) {
        self.turns.stopping.store(true, SeqCst);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
        self.backends.iter().for_each(Backend::close);
    }
}

impl Turns {
    fn rate(&self) -> u32 {
        rate(self.started.elapsed(), self.phase)
    }
}

impl Counts {
    fn now(&self) -> Truth {
        Truth {
            accepted: self.accepted.load(SeqCst),
            established: self.established.load(SeqCst),
            refused: self.refused.load(SeqCst),
            other: self.other.load(SeqCst),
        }
    }
}

impl Backend {
    fn listen(last: u8) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 90, last), 0))?;
        let backend =
            Self { address: listener.local_addr()?, counts: Arc::default(), serving: Mutex::new(None) };
        backend.serve(listener);
        Ok(backend)
    }

    fn serve(&self, listener: TcpListener) {
        let (counts, last) = (Arc::clone(&self.counts), Arc::new(AtomicBool::new(false)));
        let serving = Serving {
            last: Arc::clone(&last),
            thread: thread::spawn(move || serve(&listener, &counts.accepted, &last)),
        };
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
    }

    fn open(&self) -> io::Result<()> {
        let began = Instant::now();
        loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => {
                    self.serve(listener);
                    return Ok(());
                }
                // Somebody's connection may have the port for a moment.
                Err(error) if error.kind() == ErrorKind::AddrInUse && began.elapsed() < REOPENED => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn close(&self) {
        let Some(serving) = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        serving.last.store(true, SeqCst);
        // Wakes `accept`, and is counted by the tracer like any other.
        self.connect();
        let _ = serving.thread.join();
    }

    /// A connection with its exchange.
    fn connect(&self) {
        let what = match TcpStream::connect(self.address) {
            Ok(stream) => {
                let _ = exchange(stream);
                &self.counts.established
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => &self.counts.refused,
            // Such as no port that is free.
            Err(_) => &self.counts.other,
        };
        what.fetch_add(1, SeqCst);
    }
}

fn rate(after: Duration, phase: Duration) -> u32 {
    let number = after.as_nanos() / phase.as_nanos().max(1);
    RATES[usize::try_from(number).unwrap_or(0) % RATES.len()]
}

fn connect_at_rate(backends: &[Backend], turns: &Turns) {
    let mut next = Instant::now();
    while !turns.stopping.load(SeqCst) {
        let rate = turns.rate();
        if rate == 0 {
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        let behind = Instant::now().checked_sub(BEHIND).unwrap_or(next);
        next = next.max(behind) + Duration::from_secs(1) * CLIENTS / rate;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let _gate = turns.gate.read().unwrap_or_else(PoisonError::into_inner);
        backends[turns.next.fetch_add(1, SeqCst) % backends.len()].connect();
    }
}

fn exchange(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(&[b'q'; REQUEST])?;
    stream.read_exact(&mut [0; RESPONSE])
}

fn serve(listener: &TcpListener, accepted: &AtomicU64, last: &AtomicBool) {
    while let Ok((mut stream, _)) = listener.accept() {
        accepted.fetch_add(1, SeqCst);
        let mut request = [0; REQUEST];
        if stream.read_exact(&mut request).is_ok() {
            // Who has gone does not wait for an answer.
            let _ = stream.write_all(&[b'r'; RESPONSE]);
        }
        if last.load(SeqCst) {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_changes_every_phase_and_begins_again() {
        let rate = |seconds| rate(Duration::from_secs(seconds), Duration::from_secs(60));
        assert_eq!([rate(59), rate(150), rate(360)], [1_000, 200, 1_000]);
    }

    #[test]
    fn both_ends_agree_and_a_backend_that_is_closed_refuses() {
        let mut load = Load::prepare(Duration::from_secs(60)).unwrap();
        load.start();
        thread::sleep(Duration::from_millis(200));
        load.close(1);
        thread::sleep(Duration::from_millis(200));
        let refused: Vec<bool> = load.truths().values().map(|truth| truth.refused > 0).collect();
        assert_eq!(refused.iter().filter(|refused| **refused).count(), 1);
        load.open(1).unwrap();
        let before: u64 = load.quietly(|| load.truths().values().map(|truth| truth.accepted).sum());
        thread::sleep(Duration::from_millis(200));
        load.stop();
        let after = load.truths();
        assert!(after.values().map(|truth| truth.accepted).sum::<u64>() > before + 4);
        assert!(after.values().all(|truth| truth.accepted == truth.established && truth.other == 0));
    }
}
