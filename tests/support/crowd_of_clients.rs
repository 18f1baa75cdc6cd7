//! Clients with an address each, one connection per client: for balancers that choose by client.

use super::netns::Namespace;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Clients at work at once, and how many begin in a second at most.
const AT_ONCE: usize = 8;
const PER_SECOND: f64 = 300.0;
/// Longer than any balancer here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a request from each of so many clients, which differ in the first three octets of their addresses, and waits for
/// every answer.
#[track_caller]
pub(crate) fn send(namespace: &Namespace, target: SocketAddr, clients: u16) {
    let (next, answered, start) = (AtomicU16::new(0), AtomicU16::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                namespace.enter();
                loop {
                    let number = next.fetch_add(1, SeqCst);
                    if number >= clients {
                        break;
                    }
                    let due = Duration::from_secs_f64(f64::from(number) / PER_SECOND);
                    std::thread::sleep(due.saturating_sub(start.elapsed()));
                    let [high, low] = number.to_be_bytes();
                    let client = Ipv4Addr::new(127, 16 + high, low, 1);
                    match request(client, target) {
                        Ok(true) => _ = answered.fetch_add(1, SeqCst),
                        other => println!("client {client}: {other:?}"),
                    }
                }
            });
        }
    });
    println!("{clients} clients in {:?}", start.elapsed());
    assert_eq!(answered.into_inner(), clients, "harness: every client gets its answer");
}

fn request(client: Ipv4Addr, target: SocketAddr) -> std::io::Result<bool> {
    let fd = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(client, 0)))?;
    socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(target))?;
    let mut stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: pool\r\nConnection: close\r\n\r\n")?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    Ok(response.starts_with(b"HTTP/1.1 200"))
}
