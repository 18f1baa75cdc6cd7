//! A balancer with four backends, all threads of this process: connections of a request and a response, at a rate that
//! changes every minute.

use std::{
    fmt::Write as _,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Connections a second, a minute each, and again from the start.
const RATES: [u32; 6] = [1_000, 1_000, 200, 2_000, 0, 500];
const PHASE: Duration = Duration::from_secs(60);
const BACKENDS: u8 = 4;
const CLIENTS: u32 = 8;
const REQUEST: usize = 100;
const RESPONSE: usize = 200;

/// Backends that listen.
pub(super) struct Load {
    backends: Vec<(SocketAddr, TcpListener)>,
}

/// The running load.
pub(super) struct Running {
    started: Instant,
    stopping: Arc<AtomicBool>,
    /// For the backends: no client is left, and the next connection is the last.
    last: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    backends: Vec<(SocketAddr, Arc<AtomicU64>, JoinHandle<()>)>,
}

/// Connections that each backend has accepted.
pub(super) type Accepted = Vec<(SocketAddr, u64)>;

impl Load {
    pub(super) fn prepare() -> io::Result<Self> {
        let listen = |last| {
            let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 90, last), 0))?;
            Ok((listener.local_addr()?, listener))
        };
        Ok(Self { backends: (1..=BACKENDS).map(listen).collect::<io::Result<_>>()? })
    }

    pub(super) fn pools_file(&self) -> String {
        let members = self.backends.iter().fold(String::new(), |mut text, (address, _)| {
            let _ = writeln!(text, "  {{ address = \"{address}\" }},");
            text
        });
        format!("[[pool]]\nname = \"soak\"\nmembers = [\n{members}]\n")
    }

    pub(super) fn start(self) -> Running {
        let (started, stopping) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let last = Arc::new(AtomicBool::new(false));
        let addresses: Vec<SocketAddr> = self.backends.iter().map(|(address, _)| *address).collect();
        let turn = Arc::new(AtomicUsize::new(0));
        let clients = (0..CLIENTS).map(|_| {
            let (stopping, addresses, turn) = (Arc::clone(&stopping), addresses.clone(), Arc::clone(&turn));
            thread::spawn(move || connect_at_rate(started, &stopping, &addresses, &turn))
        });
        let clients = clients.collect();
        let serve = |(address, listener): (SocketAddr, TcpListener)| {
            let (accepted, last) = (Arc::new(AtomicU64::new(0)), Arc::clone(&last));
            let counts = Arc::clone(&accepted);
            (address, accepted, thread::spawn(move || serve(&listener, &counts, &last)))
        };
        let backends = self.backends.into_iter().map(serve).collect();
        Running { started, stopping, last, clients, backends }
    }
}

impl Running {
    /// Connections a second at present.
    pub(super) fn rate(&self) -> u32 {
        rate(self.started.elapsed())
    }

    /// Ends it: no connection is left.
    pub(super) fn stop(self) -> Accepted {
        self.stopping.store(true, SeqCst);
        for client in self.clients {
            let _ = client.join();
        }
        self.last.store(true, SeqCst);
        let backends = self.backends.into_iter().map(|(address, accepted, thread)| {
            // Wakes `accept`, and is counted by the tracer like any other.
            let _ = TcpStream::connect(address).map(exchange);
            let _ = thread.join();
            (address, accepted.load(SeqCst))
        });
        backends.collect()
    }
}

fn rate(after: Duration) -> u32 {
    let phase = usize::try_from(after.as_secs() / PHASE.as_secs()).unwrap_or(0);
    RATES[phase % RATES.len()]
}

fn connect_at_rate(started: Instant, stopping: &AtomicBool, backends: &[SocketAddr], turn: &AtomicUsize) {
    let mut next = started;
    while !stopping.load(SeqCst) {
        let rate = rate(started.elapsed());
        if rate == 0 {
            thread::sleep(Duration::from_millis(20));
            next = Instant::now();
            continue;
        }
        next += Duration::from_secs(1) * CLIENTS / rate;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let backend = backends[turn.fetch_add(1, SeqCst) % backends.len()];
        // A port that is taken for a moment is the load's own affair: the backends count what came.
        let _ = TcpStream::connect(backend).and_then(exchange);
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
    fn the_rate_changes_every_minute_and_begins_again() {
        assert_eq!(rate(Duration::from_secs(59)), 1_000);
        assert_eq!(rate(Duration::from_secs(150)), 200);
        assert_eq!(rate(Duration::from_secs(360)), 1_000);
    }
}
