//! Addresses that no other scenario has: the tracer sees the whole host, and two scenarios' servers are called the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};

static NEXT: AtomicU8 = AtomicU8::new(1);

/// One scenario's addresses: a /24 of loopback, and for namespaces a /24 of 10.0.0.0/8 and a /64 of fd00::/8. Another
/// run of the tests at the same time has others, as far as its process id differs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    run: u8,
    scenario: u8,
}

/// Below the ephemeral ports, as those of the backends: no client's own port stands in the way.
const BALANCER_PORT: u16 = 9_000;

impl Block {
    pub(crate) fn new() -> Self {
        let run = u8::try_from(std::process::id() % 200).unwrap() + 50;
        Self { run, scenario: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// The port of this scenario's backends, and of no other's: nginx of another scenario is the same balancer, and
    /// what it sends to this port would be in the pool.
    pub(crate) fn port(self) -> u16 {
        10_000 + u16::from(self.run - 50) % 80 * 256 + u16::from(self.scenario)
    }

    /// Backend number `n`, on loopback.
    pub(crate) fn backend(self, n: u8) -> SocketAddr {
        (Ipv4Addr::new(127, self.run, self.scenario, n), self.port()).into()
    }

    /// Where balancer number `n` listens, on loopback.
    pub(crate) fn balancer(self, n: u8) -> SocketAddr {
        (Ipv4Addr::new(127, self.run, self.scenario, 200 + n), BALANCER_PORT).into()
    }

    /// All loopback addresses of this scenario, as a filter.
    pub(crate) fn network(self) -> String {
        format!("127.{}.{}.0/24", self.run, self.scenario)
    }

    /// Backend number `n`, behind a namespace's router.
    pub(crate) fn remote(self, n: u8) -> SocketAddr {
        (Ipv4Addr::new(10, self.run, self.scenario, n), self.port()).into()
    }

    /// Backend number `n` of a namespace, in IPv6.
    pub(crate) fn remote_v6(self, n: u8) -> SocketAddr {
        let address = Ipv6Addr::new(0xfd00, self.run.into(), self.scenario.into(), 0, 0, 0, 0, u16::from(n));
        (address, self.port()).into()
    }

    /// A short name for a namespace of this scenario, with the process that it ends with.
    pub(crate) fn name(self, what: &str) -> String {
        format!("tracer-e2e-{}-{}{what}", std::process::id(), self.scenario)
    }
}

/// An IPv4 address in the form it has on an IPv6 socket.
pub(crate) fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped(), address.port()).into(),
        IpAddr::V6(_) => address,
    }
}
