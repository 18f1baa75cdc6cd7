//! What goes over the wire: the demo's clients, its backends, and how connections are made and served.

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// No connection of the demo takes longer, whatever goes wrong.
const PATIENCE: Duration = Duration::from_secs(2);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n";
const ANSWER: &Answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";

/// What a backend answers.
pub(super) type Answer = [u8; 44];

/// Clients that wait for an answer at a time.
const CLIENTS: usize = 16;
/// One request in so many comes from another address than all the others.
const ELSEWHERE: u32 = 16;

/// A connection from any address of this host.
pub(super) fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A connection from one address of this host.
fn connect_from(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // It limits connect(2) as well.
    let patience = TimeVal::milliseconds(i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX));
    socket::setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    socket::setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
    socket::bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0)))?;
    socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(socket.into())
}

/// Sends a request, and waits for the whole answer.
pub(super) fn ask(stream: &mut TcpStream) -> io::Result<Answer> {
    stream.write_all(REQUEST)?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Waits for a whole request.
pub(super) fn take_request(stream: &mut TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0; REQUEST.len()])
}

/// Sends what a backend answered.
pub(super) fn pass_on(stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    stream.write_all(answer)
}

/// A backend's answer to a request.
pub(super) fn answer(stream: &mut TcpStream) -> io::Result<()> {
    pass_on(stream, ANSWER)
}

/// Handles each connection on a thread of its own, until told to end; what wakes it is a last connection.
pub(super) fn serve(
    listener: TcpListener,
    running: Arc<AtomicBool>,
    handle: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> JoinHandle<()> {
    let served = move |stream: TcpStream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        handle(stream)
    };
    thread::spawn(move || {
        thread::scope(|scope| {
            for connection in listener.incoming() {
                if !running.load(Ordering::Relaxed) {
                    break;
                }
                // A connection that fails is part of the demo.
                let _ = connection.and_then(|stream| {
                    thread::Builder::new().spawn_scoped(scope, || {
                        let _ = served(stream);
                    })
                });
            }
        });
    })
}

/// Wakes who waits in accept.
pub(super) fn wake(listening: SocketAddr) {
    let _ = TcpStream::connect_timeout(&listening, PATIENCE);
}

/// Clients: evenly spaced requests, so many a second. One in [`ELSEWHERE`] comes from one of four addresses, all others
/// from the same.
pub(super) fn clients(front: SocketAddr, rate: u32, running: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let begin = Instant::now();
    let next = Arc::new(AtomicU32::new(0));
    let client = || {
        let (next, running) = (Arc::clone(&next), Arc::clone(running));
        move || loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let due = begin + Duration::from_secs(1) * number / rate;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if !running.load(Ordering::Relaxed) {
                return;
            }
            let _ = connect_from(address_of(number), front).and_then(|mut stream| ask(&mut stream));
        }
    };
    (0..CLIENTS).map(|_| thread::spawn(client())).collect()
}

/// Where a request comes from.
fn address_of(number: u32) -> Ipv4Addr {
    let last = if number.is_multiple_of(ELSEWHERE) { 2 + number / ELSEWHERE % 4 } else { 1 };
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 0, 0).to_bits() + last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn nearly_all_requests_come_from_one_address_and_some_from_each_of_four() {
        let mut from = BTreeMap::new();
        for number in 0..ELSEWHERE * 4 {
            *from.entry(address_of(number).octets()).or_insert(0) += 1;
        }
        let expected = [(1, 60), (2, 1), (3, 1), (4, 1), (5, 1)];
        assert_eq!(from, BTreeMap::from(expected.map(|(last, count)| ([127, 0, 0, last], count))));
    }

    #[test]
    fn a_client_connects_from_the_address_it_is_told() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let from = Ipv4Addr::new(127, 0, 0, 3);
        let _stream = connect_from(from, listener.local_addr().unwrap()).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), from);
    }
}
