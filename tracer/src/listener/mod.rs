//! HTTP: what is known now, to whoever asks: a page, metrics, health, pools. Read-only.
//!
//! It has a thread and a runtime of its own, and is given each interval when it is over: a client can neither hold up the
//! tick nor another client. What is answered is decided in `answer`, who may stay in `connections`; `server` does it.
#![forbid(unsafe_code)]

mod answer;
mod connections;
mod negotiation;
mod server;
#[cfg(test)]
mod tests;

use crate::outputs::{Latest, Past};
use crate::privilege::Keep;
use answer::Reach;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// Where to listen: `9477` is that port of loopback, other addresses are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(SocketAddr);

impl FromStr for ListenAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port = text.parse().map(|port| (IpAddr::from(Ipv4Addr::LOCALHOST), port).into());
        let address = port.or_else(|_| text.parse());
        address.map(Self).map_err(|_| "not an address: write a port, or IP:PORT, as in 127.0.0.1:9477")
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The latest interval, with when it came.
#[derive(Clone, Debug)]
struct Published {
    latest: Arc<Latest>,
    at: Instant,
}

/// Listens for as long as the process lives.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    latest: watch::Sender<Option<Published>>,
    past: Arc<Mutex<Past>>,
}

impl Listener {
    /// Listens from now on; until something is published, it has nothing to say but that.
    ///
    /// # Errors
    /// What the kernel says of the address, or of one thread more.
    pub fn start(ListenAddress(address): ListenAddress) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let (latest, published) = watch::channel(None);
        let reach = if address.ip().to_canonical().is_loopback() { Reach::Loopback } else { Reach::Beyond };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let past = Arc::new(Mutex::new(Past::default()));
        let remembered = Arc::clone(&past);
        let serve = move || {
            Keep::of_listener().hold();
            runtime.block_on(server::serve(socket, reach, published, remembered));
        };
        std::thread::Builder::new().name("listener".into()).spawn(serve)?;
        Ok(Self { address, latest, past })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether other hosts can reach it.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        !self.address.ip().to_canonical().is_loopback()
    }

    /// Answers with this from now on.
    pub fn publish(&self, latest: Arc<Latest>) {
        lock(&self.past).take(&latest);
        self.latest.send_replace(Some(Published { latest, at: Instant::now() }));
    }
}

/// What is locked is whole after every step: a panic while it was held leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
