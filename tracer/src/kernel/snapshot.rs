//! What was read in one tick: cumulative, as the kernel has it.

use super::balancer::Balancer;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use tracer_ebpf::{Cell, Slot, SweepEnd, Uncounted};

/// Every counter at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When reading ended.
    pub taken: Instant,
    /// One for each cell in use. Several may be of one balancer and backend: a restarted unit has a new cgroup.
    pub readings: Vec<Reading>,
    /// Counters of all that has no cell of its own, since every one was taken; its key says nothing.
    pub overflow: Cell,
    /// What the kernel could not count where it belongs.
    pub uncounted: Uncounted,
    /// Whether connections from before were looked for; without it nothing is known of them.
    pub adopts: bool,
    /// Whether exchanges were measured up to now: without that their counters say nothing.
    pub exchanges: bool,
    /// The sweep of this tick; `None` when it did not come to its end. Stocks of other sessions are then not current.
    pub sweep: Option<SweepEnd>,
}

/// One cell.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Whose connections.
    pub balancer: Arc<Balancer>,
    /// Where to.
    pub backend: SocketAddr,
    /// Which of the successive cells this is: counters of another place or generation begin at zero again.
    pub slot: Slot,
    /// How often and how much; 3 KiB, so it is handed on and not copied.
    pub cell: Box<Cell>,
}

/// Together. What lies in pinned maps may be any number: sums stop at the largest.
pub(crate) fn sum(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

/// The backend's address; a v4-mapped address is its IPv4 address.
#[must_use]
pub(super) fn backend(address: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::from(address).to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 11];
        assert_eq!(backend(mapped, 80).to_string(), "10.0.0.11:80");
        let mut native = [0; 16];
        native[15] = 1;
        assert_eq!(backend(native, 443).to_string(), "[::1]:443");
    }
}
