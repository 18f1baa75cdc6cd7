//! What the kernel counts of TCP in a network namespace.

use std::fs::File;
use std::io::{Read, Seek};

/// The counters of the namespace that this was made in, wherever it is read.
#[derive(Debug)]
pub(crate) struct Netstat(File);

impl Netstat {
    pub(crate) fn here() -> Self {
        Self(File::open("/proc/thread-self/net/netstat").unwrap())
    }

    /// One of `TcpExt`.
    pub(crate) fn tcp(&self, name: &str) -> u64 {
        let mut text = String::new();
        let mut counters = &self.0;
        counters.rewind().unwrap();
        counters.read_to_string(&mut text).unwrap();
        let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let found = names.zip(values).find(|(found, _)| *found == name);
        found.unwrap_or_else(|| panic!("no counter {name}")).1.parse().unwrap()
    }
}

/// TCP sockets of the calling thread's namespace that listen or have a connection; TIME_WAIT is not among them.
pub(crate) fn sockets_in_use() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/sockstat").unwrap();
    let tcp = text.lines().find_map(|line| line.strip_prefix("TCP: inuse ")).unwrap();
    tcp.split(' ').next().unwrap().parse().unwrap()
}
