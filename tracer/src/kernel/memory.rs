//! What counting takes of the kernel's memory.

use super::btf::Btf;
use super::object::Settings;
use aya::Ebpf;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use tracer_ebpf::{Connection, maps};

/// What the tables take, and how much fits into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Backends that have counters of their own at once.
    pub max_backends: u32,
    /// What the kernel says that their tables take, bytes, taken at the start and however many there are; `None` when it
    /// does not say.
    pub backends_bytes: Option<u64>,
    /// Connections that are followed at once.
    pub max_connections: u32,
    /// What one of them takes, bytes, as long as its socket is there; `None` when the kernel's types do not tell.
    pub connection_bytes: Option<u64>,
}

impl Memory {
    pub(super) fn of(ebpf: &Ebpf, btf: &Btf<'_>, settings: Settings) -> Self {
        let tables = [maps::CELLS, maps::SLOTS, maps::FREE];
        Self {
            max_backends: settings.max_backends,
            backends_bytes: tables.iter().map(|name| map_bytes(ebpf, name)).sum(),
            max_connections: settings.max_connections,
            connection_bytes: connection_bytes(btf),
        }
    }
}

/// What the kernel says that a map takes.
fn map_bytes(ebpf: &Ebpf, name: &str) -> Option<u64> {
    use aya::maps::Map;
    let (Map::Array(map) | Map::HashMap(map) | Map::Queue(map)) = ebpf.map(name)? else { return None };
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd())).ok()?;
    memlock(&info)
}

/// The figure in the text of `/proc/PID/fdinfo/FD`.
fn memlock(info: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
}

/// A socket's storage is two allocations: the socket's list of storages, unless it has one already, and the entry.
fn connection_bytes(btf: &Btf<'_>) -> Option<u64> {
    let list = u64::from(btf.size("bpf_local_storage")?);
    let before_value = u64::from(btf.member_offset("bpf_local_storage_elem", "sdata.data")?);
    Some(allocated(list) + allocated(before_value + size_of::<Connection>() as u64))
}

/// What an allocation of so many bytes takes: the kernel has caches of these sizes (`mm/slab_common.c`).
fn allocated(bytes: u64) -> u64 {
    match bytes {
        65..=96 => 96,
        129..=192 => 192,
        _ => bytes.max(8).next_power_of_two(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_says_what_it_takes() {
        assert_eq!(memlock("pos:\t0\nmap_type:\t2\nmemlock:\t6721536\nmap_id:\t7\n"), Some(6_721_536));
        assert_eq!(memlock("pos:\t0\n"), None);
    }

    #[test]
    fn allocations_are_rounded_to_the_caches_of_the_kernel() {
        for (bytes, taken) in [(1, 8), (64, 64), (65, 96), (97, 128), (136, 192), (193, 256), (300, 512)] {
            assert_eq!(allocated(bytes), taken, "{bytes}");
        }
    }

    #[test]
    fn the_running_kernel_tells_what_a_connection_takes() {
        let data = fs::read("/sys/kernel/btf/vmlinux").unwrap();
        let bytes = connection_bytes(&Btf::parse(&data).unwrap()).unwrap();
        assert!((128..=1024).contains(&bytes), "{bytes}");
    }
}
