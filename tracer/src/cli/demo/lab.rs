//! The demo's clients, balancer and backends: threads of this process, real sockets on loopback.

use super::BACKENDS;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Everything listens; nothing moves yet.
pub(super) struct Lab {
    front: TcpListener,
    backends: Vec<Backend>,
    /// Backends in the order in which the balancer takes them.
    turns: Vec<SocketAddr>,
}

/// A backend: an address, and a listener unless it refuses.
struct Backend {
    address: SocketAddr,
    listener: Option<TcpListener>,
}

/// The running demo; dropped, it ends and its threads are waited for.
pub(super) struct Traffic {
    running: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// What threads wait on in accept.
    listening: Vec<SocketAddr>,
}

/// No connection of the demo takes longer, whatever goes wrong.
const PATIENCE: Duration = Duration::from_secs(2);

impl Lab {
    /// Opens the listeners. With `refusing`, the victim's address is free and nobody listens there.
    pub(super) fn prepare(weights: [u32; BACKENDS], refusing: bool) -> io::Result<Self> {
        let loopback = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let mut backends = Vec::new();
        for index in 0..BACKENDS {
            let listener = loopback()?;
            let address = listener.local_addr()?;
            let refuses = refusing && index == super::VICTIM;
            backends.push(Backend { address, listener: (!refuses).then_some(listener) });
        }
        let addresses = backends.iter().map(|backend| backend.address);
        let turns = weighted_turns(&addresses.zip(weights).collect::<Vec<_>>());
        Ok(Self { front: loopback()?, backends, turns })
    }

    pub(super) fn backends(&self) -> [SocketAddr; BACKENDS] {
        std::array::from_fn(|index| self.backends[index].address)
    }

    /// Sends `rate` connections a second through the balancer until the answer is dropped.
    pub(super) fn start(self, rate: u32) -> Traffic {
        let running = Arc::new(AtomicBool::new(true));
        let mut threads = Vec::new();
        let mut listening = Vec::new();
        for listener in self.backends.into_iter().filter_map(|backend| backend.listener) {
            listening.extend(listener.local_addr());
            threads.push(serve(listener, Arc::clone(&running), answer));
        }
        let Ok(front) = self.front.local_addr() else { return Traffic { running, threads, listening } };
        listening.push(front);
        let mut turns = self.turns.into_iter().cycle();
        threads.push(serve(self.front, Arc::clone(&running), move |client| {
            turns.next().map_or(Ok(()), |backend| relay(client, backend))
        }));
        threads.push(clients(front, rate, Arc::clone(&running)));
        Traffic { running, threads, listening }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Relaxed);
        // A connection wakes each accept.
        for address in &self.listening {
            let _ = TcpStream::connect_timeout(address, PATIENCE);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Each backend as often as its weight says, spread as nginx does it: the one that lags most behind its weight is next.
fn weighted_turns(members: &[(SocketAddr, u32)]) -> Vec<SocketAddr> {
    let total: i64 = members.iter().map(|&(_, weight)| i64::from(weight)).sum();
    let mut lag = vec![0; members.len()];
    (0..total)
        .filter_map(|_| {
            for (lag, &(_, weight)) in lag.iter_mut().zip(members) {
                *lag += i64::from(weight);
            }
            let next = (0..members.len()).max_by_key(|&index| (lag[index], std::cmp::Reverse(index)))?;
            lag[next] -= total;
            Some(members[next].0)
        })
        .collect()
}

/// Handles connections one after the other, until told to end.
fn serve(
    listener: TcpListener,
    running: Arc<AtomicBool>,
    mut handle: impl FnMut(TcpStream) -> io::Result<()> + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        for connection in listener.incoming() {
            if !running.load(Ordering::Relaxed) {
                break;
            }
            // A connection that fails is part of the demo.
            let _ = connection.and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                handle(stream)
            });
        }
    })
}

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\n\r\nhello\n";

/// A backend: reads the request, answers, closes.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = [0; REQUEST.len()];
    stream.read_exact(&mut request)?;
    stream.write_all(ANSWER)
}

/// The balancer: one connection to the backend for each client.
fn relay(mut client: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let mut request = [0; REQUEST.len()];
    client.read_exact(&mut request)?;
    let mut upstream = TcpStream::connect_timeout(&backend, PATIENCE)?;
    upstream.set_read_timeout(Some(PATIENCE))?;
    upstream.write_all(&request)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    client.write_all(&answer)
}

/// Clients: evenly spaced requests, so many a second.
fn clients(front: SocketAddr, rate: u32, running: Arc<AtomicBool>) -> JoinHandle<()> {
    thread::spawn(move || {
        let begin = Instant::now();
        for number in 0_u32.. {
            let due = begin + Duration::from_secs(1) * number / rate;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if !running.load(Ordering::Relaxed) {
                return;
            }
            let _ = request(front);
        }
    })
}

fn request(front: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&front, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_the_weights_and_are_spread() {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let turns = weighted_turns(&[(address(1), 1), (address(2), 5), (address(3), 1)]);
        let ports: Vec<u16> = turns.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [2, 2, 1, 2, 3, 2, 2], "as nginx's smooth weighted round robin");
        assert_eq!(weighted_turns(&[(address(1), 0)]), []);
    }
}
