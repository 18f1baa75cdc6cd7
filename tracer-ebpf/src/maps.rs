//! The maps. Sizes of `SLOTS`, `FREE` and `CELLS` are set by userspace before loading.
//!
//! What userspace reads each tick is mapped into its memory: that is no system call, and bpf(2) on a map keeps some
//! kernels from running tracepoint programs on that CPU meanwhile.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, HashMap, PerCpuArray, Queue},
};
use tracer_ebpf::{
    Cell, CellKey, Connection, Handover, LAYOUT_BYTES, Listener, MAX_LISTENERS, Slot, SweepEnd, Tracked,
    Uncounted,
};

#[btf_map]
pub(crate) static CONNECTIONS: SkStorage<Connection> = SkStorage::new();

#[map]
pub(crate) static SLOTS: HashMap<CellKey, Slot> = HashMap::with_max_entries(1, 0);

#[map]
pub(crate) static FREE: Queue<Slot> = Queue::with_max_entries(1, 0);

#[map]
pub(crate) static CELLS: Array<Cell> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub(crate) static UNCOUNTED: Array<Uncounted> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub(crate) static SWEEP_END: Array<SweepEnd> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub(crate) static TRACKED: Array<Tracked> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub(crate) static HANDOVER: Array<Handover> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Written and read by userspace alone. Its size is set before loading.
#[map]
pub(crate) static TOLD: Array<Cell> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Written and read by userspace alone.
#[map]
pub(crate) static RETIRED: Array<Cell> = Array::with_max_entries(2, BPF_F_MMAPABLE);

/// Written and read by userspace alone.
#[map]
pub(crate) static LAYOUT: Array<[u8; LAYOUT_BYTES]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// A [`Switch`](tracer_ebpf::Switch).
#[map]
pub(crate) static SWITCH: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Of another layout, where there is one: what its values are is not known here.
#[btf_map]
pub(crate) static BEFORE: SkStorage<u64> = SkStorage::new();

/// The cookie of the socket whose attempt was last counted without an entry on this CPU.
#[map]
pub(crate) static UNTRACKED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub(crate) static LISTENERS: HashMap<Listener, u8> =
    HashMap::with_max_entries(MAX_LISTENERS, BPF_F_NO_PREALLOC);
