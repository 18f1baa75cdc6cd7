//! The demo's clients, balancer and backends: threads of this process, real sockets on loopback.

use super::balancer::{Balancer, Choice};
use super::wire;
use super::{BACKENDS, VICTIM};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The first backend listens at 127.0.0.11, the next at 127.0.0.12.
const FIRST_BACKEND: u8 = 11;

/// What is to be built.
pub(super) struct Plan {
    /// How the balancer chooses.
    pub(super) choice: Choice,
    /// Whether it keeps its connections, and sends many requests over each.
    pub(super) keeps: bool,
    /// Whether nobody listens at the victim's address.
    pub(super) refuses: bool,
    /// How long each backend takes for a request.
    pub(super) takes: [Duration; BACKENDS],
}

/// Everything listens; nothing moves yet.
pub(super) struct Lab {
    front: TcpListener,
    address: SocketAddr,
    backends: Vec<Backend>,
    balancer: Balancer,
}

/// A backend: an address, a listener unless it refuses, and how long it takes.
struct Backend {
    address: SocketAddr,
    listener: Option<TcpListener>,
    takes: Duration,
}

/// The running demo; dropped, it ends and its threads are waited for.
pub(super) struct Traffic {
    running: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// What threads wait on in accept.
    listening: Vec<SocketAddr>,
}

impl Lab {
    /// Opens the listeners.
    pub(super) fn prepare(plan: &Plan) -> io::Result<Self> {
        let mut backends = Vec::new();
        for ((index, takes), last) in plan.takes.into_iter().enumerate().zip(FIRST_BACKEND..) {
            // Addresses of their own, as backends have them: who looks tells them apart.
            let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), 0))?;
            let address = listener.local_addr()?;
            let refuses = plan.refuses && index == VICTIM;
            backends.push(Backend { address, listener: (!refuses).then_some(listener), takes });
        }
        let addresses = std::array::from_fn(|index: usize| backends[index].address);
        let front = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = front.local_addr()?;
        Ok(Self { front, address, backends, balancer: Balancer::new(addresses, plan.choice, plan.keeps) })
    }

    pub(super) fn backends(&self) -> [SocketAddr; BACKENDS] {
        std::array::from_fn(|index| self.backends[index].address)
    }

    /// Sends `rate` requests a second through the balancer until the answer is dropped.
    pub(super) fn start(self, rate: u32) -> Traffic {
        let running = Arc::new(AtomicBool::new(true));
        let mut threads = Vec::new();
        let mut listening = vec![self.address];
        for Backend { address, listener, takes } in self.backends {
            let Some(listener) = listener else { continue };
            listening.push(address);
            threads.push(wire::serve(listener, Arc::clone(&running), move |mut stream| {
                loop {
                    wire::take_request(&mut stream)?;
                    thread::sleep(takes);
                    wire::answer(&mut stream)?;
                }
            }));
        }
        let balancer = self.balancer;
        threads.push(wire::serve(self.front, Arc::clone(&running), move |client| balancer.relay(client)));
        threads.extend(wire::clients(self.address, rate, &running));
        Traffic { running, threads, listening }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Relaxed);
        self.listening.drain(..).for_each(wire::wake);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
