//! Connections that are open now in a balancer's network namespace, as `/proc/PID/net/tcp` lists them: enough to compare a
//! limit with, without tracing anything.

use super::process::Process;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// State of an established connection in the kernel's list.
const ESTABLISHED: &str = "01";

/// How many connections are established to each remote address; v4-mapped IPv6 addresses are their IPv4 addresses.
pub(super) fn established(process: &Process) -> io::Result<BTreeMap<SocketAddr, u64>> {
    let mut counts = BTreeMap::new();
    for list in ["net/tcp", "net/tcp6"] {
        let file: File = match process.file(list, nix::fcntl::OFlag::O_RDONLY) {
            Ok(file) => file,
            // A kernel without IPv6.
            Err(error) if list == "net/tcp6" && error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines().skip(1) {
            if let Some(remote) = remote_of_established(&line?) {
                *counts.entry(remote).or_default() += 1;
            }
        }
    }
    Ok(counts)
}

/// The remote address of a line, when its connection is established.
fn remote_of_established(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let (remote, state) = (fields.next()?, fields.next()?);
    if state != ESTABLISHED {
        return None;
    }
    let (address, port) = remote.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Each word as the machine keeps it, which is network order read as a number.
    let word = |index: usize| {
        let digits = address.get(8 * index..8 * index + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index)?);
            }
            IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_of_this_machine_are_counted_by_where_they_go() {
        let this = Process::open(std::process::id()).unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let there = listener.local_addr().unwrap();
            let before = established(&this).unwrap();
            assert_eq!(before.get(&there), None, "listening is not established");
            let _open: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(there).unwrap()).collect();
            assert_eq!(established(&this).unwrap().get(&there), Some(&3));
        }
    }

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        // As a little-endian machine does.
        let four = "   1: 0100007F:E1A2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000 0 0 1";
        let mapped = "   2: 0:0 0000000000000000FFFF00000B00000A:0050 01 0";
        if cfg!(target_endian = "little") {
            assert_eq!(remote_of_established(four), Some("127.0.0.1:8080".parse().unwrap()));
            assert_eq!(remote_of_established(mapped), Some("10.0.0.11:80".parse().unwrap()));
        }
        assert_eq!(remote_of_established(&four.replace(" 01 ", " 06 ")), None);
    }

    proptest! {
        #[test]
        fn any_line_may_stand_there(line in "\\PC{0,80}", address in "[0-9A-Fé:]{0,40}") {
            let _ = remote_of_established(&line);
            let _ = remote_of_established(&format!("1: x {address} 01"));
        }
    }
}
