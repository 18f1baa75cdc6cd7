//! The maps. Sizes of `SLOTS`, `FREE` and `CELLS` are set by userspace before loading.

use aya_ebpf::{
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, HashMap, Queue},
};
use tracer_ebpf::{Cell, CellKey, Connection, Slot, SweepEnd, Uncounted};

#[btf_map]
pub(crate) static CONNECTIONS: SkStorage<Connection> = SkStorage::new();

#[map]
pub(crate) static SLOTS: HashMap<CellKey, Slot> = HashMap::with_max_entries(1, 0);

#[map]
pub(crate) static FREE: Queue<Slot> = Queue::with_max_entries(1, 0);

#[map]
pub(crate) static CELLS: Array<Cell> = Array::with_max_entries(1, 0);

#[map]
pub(crate) static UNCOUNTED: Array<Uncounted> = Array::with_max_entries(1, 0);

#[map]
pub(crate) static SWEEP_END: Array<SweepEnd> = Array::with_max_entries(1, 0);
