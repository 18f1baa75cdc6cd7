//! What each map that is kept looks like, by its name.

use super::described::Shape;
use tracer_ebpf::{
    Cell, CellKey, Connection, Handover, LAYOUT_BYTES, Slot, SweepEnd, Tracked, Uncounted, maps,
};

/// `enum bpf_map_type` of `linux/bpf.h`.
const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PERCPU_ARRAY: u32 = 6;
const QUEUE: u32 = 22;
pub(super) const SK_STORAGE: u32 = 24;

/// `BPF_F_*` of `linux/bpf.h`.
const NO_PREALLOC: u32 = 1;
const MMAPABLE: u32 = 1 << 10;

/// Bytes of an array's index.
const INDEX: u32 = 4;

/// What the map looks like that agents of all layouts share.
pub(super) const SWITCH: Shape = array(8, 1);

/// An array that can be mapped.
const fn array(value: u32, max_entries: u32) -> Shape {
    Shape { kind: ARRAY, key: INDEX, value, max_entries, flags: MMAPABLE }
}

/// What a kept map looks like where so many backends have a place.
pub(super) fn of(name: &str, max_backends: u32) -> Option<Shape> {
    let places = max_backends.checked_add(1)?;
    Some(match name {
        maps::CONNECTIONS => Shape {
            kind: SK_STORAGE,
            key: INDEX,
            value: bytes::<Connection>(),
            max_entries: 0,
            flags: NO_PREALLOC,
        },
        maps::SLOTS => Shape {
            kind: HASH,
            key: bytes::<CellKey>(),
            value: bytes::<Slot>(),
            max_entries: max_backends,
            flags: 0,
        },
        maps::FREE => {
            Shape { kind: QUEUE, key: 0, value: bytes::<Slot>(), max_entries: max_backends, flags: 0 }
        }
        maps::CELLS | maps::TOLD => array(bytes::<Cell>(), places),
        maps::RETIRED => array(bytes::<Cell>(), 2),
        maps::UNCOUNTED => array(bytes::<Uncounted>(), 1),
        maps::SWEEP_END => array(bytes::<SweepEnd>(), 1),
        maps::TRACKED => array(bytes::<Tracked>(), 1),
        maps::HANDOVER => array(bytes::<Handover>(), 1),
        maps::LAYOUT => array(bytes::<[u8; LAYOUT_BYTES]>(), 1),
        maps::UNTRACKED => Shape { kind: PERCPU_ARRAY, key: INDEX, value: 8, max_entries: 1, flags: 0 },
        _ => return None,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "some kilobytes at most")]
const fn bytes<T>() -> u32 {
    size_of::<T>() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kept_map_has_a_shape() {
        for name in maps::KEPT {
            assert!(of(name, 64).is_some(), "{name}");
        }
        assert_eq!(of(maps::SLOTS, u32::MAX), None, "no room for the overflow cell");
    }
}
