//! What the scenarios are made of, one file per thing.

pub(crate) mod acceptor;
pub(crate) mod address;
pub(crate) mod backend;
pub(crate) mod bpf;
pub(crate) mod bpffs;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod crowd;
pub(crate) mod crowd_of_clients;
pub(crate) mod exchanges;
pub(crate) mod haproxy;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod measured;
pub(crate) mod memory_cgroup;
pub(crate) mod monitoring;
pub(crate) mod netns;
pub(crate) mod netstat;
pub(crate) mod nginx;
pub(crate) mod optmem;
pub(crate) mod pools;
pub(crate) mod server;
pub(crate) mod slow_path;
pub(crate) mod tmux;
pub(crate) mod tracer;
pub(crate) mod turn;
pub(crate) mod wait;

/// Fails, and says what is missing, where the machine's namespaces and programs cannot be touched.
#[track_caller]
pub(crate) fn require_root() {
    use caps::{CapSet, Capability};
    let held = caps::read(None, CapSet::Effective).unwrap();
    let missing: Vec<_> =
        [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN, Capability::CAP_BPF, Capability::CAP_PERFMON]
            .into_iter()
            .filter(|capability| !held.contains(capability))
            .collect();
    assert!(missing.is_empty(), "end-to-end tests need root; missing: {missing:?} (run them with sudo -E)");
}
