//! The demo's balancer: whom it chooses, and what it does with its connections.

use super::BACKENDS;
use super::wire::{self, Answer};
use std::cmp::Reverse;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How the balancer chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// In turn, by weight.
    Turns([u32; BACKENDS]),
    /// Always the same backend for one client.
    ByClient,
    /// The one with the fewest connections; of several, the next in turn.
    FewestConnections,
}

/// Chooses one request after the other.
pub(super) struct Chooser {
    choice: Choice,
    /// How far each backend lags behind its weight.
    lag: [i64; BACKENDS],
    /// Requests that each backend is at work on.
    open: [usize; BACKENDS],
    /// Whose turn it is among equals.
    turn: usize,
}

impl Chooser {
    pub(super) fn new(choice: Choice) -> Self {
        Self { choice, lag: [0; BACKENDS], open: [0; BACKENDS], turn: 0 }
    }

    /// The backend for a client's request, which is open until [`Chooser::ended`].
    pub(super) fn choose(&mut self, client: IpAddr) -> usize {
        let chosen = match self.choice {
            Choice::Turns(weights) => self.in_turn(weights),
            Choice::ByClient => by_client(client),
            Choice::FewestConnections => self.least_busy(),
        };
        self.open[chosen] += 1;
        chosen
    }

    /// A request to this backend is over.
    pub(super) fn ended(&mut self, backend: usize) {
        self.open[backend] = self.open[backend].saturating_sub(1);
    }

    /// Each backend as often as its weight says, spread as nginx does it: the one that lags most behind its weight is
    /// next.
    fn in_turn(&mut self, weights: [u32; BACKENDS]) -> usize {
        for (lag, weight) in self.lag.iter_mut().zip(weights) {
            *lag += i64::from(weight);
        }
        let next = most(|index| (self.lag[index], Reverse(index)));
        self.lag[next] -= weights.into_iter().map(i64::from).sum::<i64>();
        next
    }

    fn least_busy(&mut self) -> usize {
        let after = |index: usize| (index + BACKENDS - self.turn) % BACKENDS;
        let next = most(|index| Reverse((self.open[index], after(index))));
        self.turn = (next + 1) % BACKENDS;
        next
    }
}

/// The backend with the highest rank.
fn most<R: Ord>(rank: impl Fn(usize) -> R) -> usize {
    (1..BACKENDS).fold(0, |best, index| if rank(index) > rank(best) { index } else { best })
}

/// The address modulo the number of backends, as HAProxy's `balance source` does it. That number divides 256, so that the
/// last byte tells it.
fn by_client(client: IpAddr) -> usize {
    let last = match client {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[15],
    };
    usize::from(last) % BACKENDS
}

/// Passes requests on.
pub(super) struct Balancer {
    backends: [SocketAddr; BACKENDS],
    chooser: Mutex<Chooser>,
    /// `None`: a connection for each request.
    kept: Option<Mutex<Kept>>,
}

impl Balancer {
    pub(super) fn new(backends: [SocketAddr; BACKENDS], choice: Choice, keeps: bool) -> Self {
        let kept = keeps.then(Mutex::default);
        Self { backends, chooser: Mutex::new(Chooser::new(choice)), kept }
    }

    /// Serves one client.
    pub(super) fn relay(&self, mut client: TcpStream) -> io::Result<()> {
        wire::take_request(&mut client)?;
        let chosen = lock(&self.chooser).choose(client.peer_addr()?.ip());
        let answer = self.ask(chosen);
        lock(&self.chooser).ended(chosen);
        wire::pass_on(&mut client, &answer?)
    }

    fn ask(&self, chosen: usize) -> io::Result<Answer> {
        match &self.kept {
            None => wire::ask(&mut wire::connect(self.backends[chosen])?),
            Some(kept) => lock(kept).ask(chosen, self.backends[chosen]),
        }
    }
}

/// A connection to each backend, for one request after the other.
#[derive(Default)]
struct Kept {
    connections: [Option<TcpStream>; BACKENDS],
    asked: u32,
}

/// Requests after which all kept connections are renewed: so many that every backend gets some in between.
const RENEWED_AFTER: u32 = 50;

impl Kept {
    fn ask(&mut self, chosen: usize, backend: SocketAddr) -> io::Result<Answer> {
        if self.asked.is_multiple_of(RENEWED_AFTER) {
            self.connections = Default::default();
        }
        self.asked = self.asked.wrapping_add(1);
        let mut connection = match self.connections[chosen].take() {
            Some(connection) => connection,
            None => wire::connect(backend)?,
        };
        // One that failed is not kept.
        let answer = wire::ask(&mut connection)?;
        self.connections[chosen] = Some(connection);
        Ok(answer)
    }
}

/// What is guarded is whole after every step: a thread that panicked leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// The next choices, each request being over before the next comes.
    fn choices(choice: Choice, requests: usize) -> Vec<usize> {
        let mut chooser = Chooser::new(choice);
        let mut one = || {
            let chosen = chooser.choose(CLIENT);
            chooser.ended(chosen);
            chosen
        };
        (0..requests).map(|_| one()).collect()
    }

    #[test]
    fn turns_follow_the_weights_and_are_spread() {
        let round = [1, 1, 0, 1, 2, 1, 1];
        assert_eq!(
            choices(Choice::Turns([1, 5, 1, 0]), 14),
            round.repeat(2),
            "as nginx's smooth round robin"
        );
        assert_eq!(choices(Choice::Turns([1, 1, 1, 1]), 8), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert!(!choices(Choice::Turns([1, 0, 1, 1]), 100).contains(&1), "weight 0 has no turn");
    }

    #[test]
    fn a_client_stays_with_its_backend_and_others_go_elsewhere() {
        let of = |client: [u8; 4]| Chooser::new(Choice::ByClient).choose(client.into());
        assert_eq!(choices(Choice::ByClient, 5), [of([127, 0, 0, 1]); 5]);
        assert_eq!([2, 3, 4, 5].map(|last| of([127, 0, 0, last])), [2, 3, 0, 1]);
        assert!(Chooser::new(Choice::ByClient).choose(Ipv6Addr::LOCALHOST.into()) < BACKENDS);
    }

    #[test]
    fn the_fewest_connections_are_chosen_and_equals_take_turns() {
        assert_eq!(choices(Choice::FewestConnections, 6), [0, 1, 2, 3, 0, 1]);
        let mut chooser = Chooser::new(Choice::FewestConnections);
        let open: Vec<usize> = (0..4).map(|_| chooser.choose(CLIENT)).collect();
        assert_eq!(open, [0, 1, 2, 3]);
        chooser.ended(2);
        assert_eq!(chooser.choose(CLIENT), 2, "all others have one");
        chooser.ended(1);
        chooser.ended(3);
        assert_eq!([chooser.choose(CLIENT), chooser.choose(CLIENT)], [3, 1], "from where it was on");
        assert_eq!(chooser.choose(CLIENT), 2, "all have one again");
    }

    #[test]
    fn kept_connections_carry_many_requests_and_are_renewed_together() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (running, accepted) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&accepted);
        let serving = wire::serve(listener, Arc::clone(&running), move |mut stream| {
            count.fetch_add(1, Ordering::SeqCst);
            loop {
                wire::take_request(&mut stream)?;
                wire::answer(&mut stream)?;
            }
        });
        let mut kept = Kept::default();
        for _ in 0..RENEWED_AFTER {
            kept.ask(0, address).unwrap();
            kept.ask(1, address).unwrap();
        }
        drop(kept);
        running.store(false, Ordering::Relaxed);
        wire::wake(address);
        serving.join().unwrap();
        assert_eq!(accepted.load(Ordering::SeqCst), 4, "to two backends, renewed once");
    }
}
