//! What counting takes of the kernel's memory.

use super::btf::Btf;
use super::error::KernelError;
use super::memory_limit;
use super::object::Settings;
use aya::Ebpf;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use tracer_ebpf::{Cell, Connection, maps};

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
    /// The limit of this process's cgroup, bytes, where it allows fewer connections than were asked for.
    pub lowered_by_limit: Option<u64>,
}

impl Memory {
    /// What the user should know before counting begins.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        let limit = self.lowered_by_limit?;
        Some(format!(
            "--max-connections lowered to {}: the memory limit of this process's cgroup is {} MiB",
            self.max_connections,
            limit >> 20
        ))
    }

    pub(super) fn of(ebpf: &Ebpf, plan: &Plan) -> Self {
        let tables = [maps::CELLS, maps::SLOTS, maps::FREE, maps::TOLD];
        Self {
            max_backends: plan.settings.max_backends,
            backends_bytes: tables.iter().map(|name| map_bytes(ebpf, name)).sum(),
            max_connections: plan.settings.max_connections,
            connection_bytes: plan.connection_bytes,
            lowered_by_limit: plan.lowered_by_limit,
        }
    }
}

/// How much is counted, after a look at the memory limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) settings: Settings,
    connection_bytes: Option<u64>,
    lowered_by_limit: Option<u64>,
}

impl Plan {
    /// What was asked for, as far as the limit of this process's cgroup allows it.
    ///
    /// # Errors
    /// When it allows too few connections to be of use: the limit, and the one that would do, bytes.
    pub(super) fn new(settings: Settings, is_pinned: bool, btf: &Btf<'_>) -> Result<Self, KernelError> {
        Self::within(settings, is_pinned, memory_limit::own(), connection_bytes(btf))
    }

    fn within(
        settings: Settings,
        is_pinned: bool,
        limit: Option<u64>,
        connection_bytes: Option<u64>,
    ) -> Result<Self, KernelError> {
        let plan = Self { settings, connection_bytes, lowered_by_limit: None };
        let (Some(limit), Some(bytes)) = (limit, connection_bytes) else { return Ok(plan) };
        let charged = bytes * CHARGE_FACTOR;
        let told = if is_pinned { size_of::<Cell>() as u64 } else { 0 };
        let before = OWN_BYTES + (OWN_BYTES_PER_BACKEND + told) * u64::from(settings.max_backends);
        let fits = limit.saturating_sub(before) / charged;
        if fits >= u64::from(settings.max_connections) {
            return Ok(plan);
        }
        if fits < FEWEST_CONNECTIONS {
            let needed = before + charged * FEWEST_CONNECTIONS;
            return Err(KernelError::MemoryLimit { limit, needed });
        }
        let max_connections = u32::try_from(fits).unwrap_or(u32::MAX);
        Ok(Self { settings: Settings { max_connections, ..settings }, lowered_by_limit: Some(limit), ..plan })
    }
}

/// What a cgroup is charged for a connection, as a multiple of its allocations: pages of the kernel's caches are charged
/// whole, and kept for a while. Measured 1.4 to 3.4 on Linux 6.18 with 3,000 to 15,000 connections.
const CHARGE_FACTOR: u64 = 4;
/// What this process takes by itself, with room for a reload.
const OWN_BYTES: u64 = 16 << 20;
/// The tables' part in the kernel, copies of it here, and what is judged on them. Measured 22 KiB on Linux 6.18, where each of
/// a thousand backends has traffic.
const OWN_BYTES_PER_BACKEND: u64 = 24 << 10;
/// Fewer than this are of no use on a balancer.
const FEWEST_CONNECTIONS: u64 = 1_024;

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
    fn a_low_limit_lowers_the_connections_and_a_lower_one_is_refused() {
        let settings = Settings { max_backends: 1_024, max_connections: 100_000, ..Settings::default() };
        let within = |limit| Plan::within(settings, false, limit, Some(256));
        assert_eq!(within(None).unwrap().settings.max_connections, 100_000);
        assert_eq!(within(Some(1 << 30)).unwrap().lowered_by_limit, None);
        let lowered = within(Some(48 << 20)).unwrap();
        assert_eq!(lowered.settings.max_connections, (8 << 20) / 1024);
        assert_eq!(lowered.lowered_by_limit, Some(48 << 20));
        let pinned = Plan::within(settings, true, Some(48 << 20), Some(256)).unwrap();
        assert_eq!(
            pinned.settings.max_connections,
            ((8 << 20) - 1_024 * 3_016) / 1024,
            "what was told is kept"
        );
        let refused = within(Some(28 << 20)).unwrap_err().to_string();
        assert!(refused.contains("28 MiB") && refused.contains("41 MiB"), "{refused}");
    }

    #[test]
    fn the_running_kernel_tells_what_a_connection_takes() {
        let data = fs::read("/sys/kernel/btf/vmlinux").unwrap();
        let bytes = connection_bytes(&Btf::parse(&data).unwrap()).unwrap();
        assert!((128..=1024).contains(&bytes), "{bytes}");
    }
}
