//! Which place is whose: the hash and the queue, by bpf(2). That is avoided while programs count: it happens at a start,
//! and when the table is nearly full.

use aya::Ebpf;
use aya::maps::{HashMap, MapError, Queue};
use std::collections::HashSet;
use tracer_ebpf::{CellKey, Slot, maps};

/// Value that is written into a map, of the layout shared with the object.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Wire<T>(T);

// SAFETY: Slot is repr(C) and made of integers without padding, which the shared library asserts.
unsafe impl aya::Pod for Wire<Slot> {}
// SAFETY: as above.
unsafe impl aya::Pod for Wire<CellKey> {}

/// Puts a place at the end of the queue.
///
/// # Errors
/// What the kernel says.
pub(super) fn free(ebpf: &mut Ebpf, slot: Slot) -> Result<(), MapError> {
    queue(ebpf)?.push(Wire(slot), 0)
}

/// Takes a key out of the hash. Whether it is gone.
pub(super) fn unlist(ebpf: &mut Ebpf, key: CellKey) -> bool {
    matches!(hash(ebpf).map(|mut slots| slots.remove(&Wire(key))), Ok(Ok(()) | Err(MapError::KeyNotFound)))
}

/// The places that are some key's.
///
/// # Errors
/// What the kernel says.
pub(super) fn listed(ebpf: &mut Ebpf) -> Result<HashSet<u32>, MapError> {
    let slots = hash(ebpf)?;
    slots.iter().map(|entry| entry.map(|(_, Wire(slot))| slot.index)).collect()
}

/// The places in the queue, `most` at most: each is taken and put back. A program that takes one meanwhile changes their
/// order, so that any place may be the next to be given out.
///
/// # Errors
/// What the kernel says.
pub(super) fn queued(ebpf: &mut Ebpf, most: u32) -> Result<HashSet<u32>, MapError> {
    let mut queue = queue(ebpf)?;
    let mut seen = HashSet::new();
    for _ in 0..most {
        let Wire(slot) = match queue.pop(0) {
            Err(MapError::ElementNotFound) => break,
            popped => popped?,
        };
        queue.push(Wire(slot), 0)?;
        if !seen.insert(slot.index) {
            break;
        }
    }
    Ok(seen)
}

fn queue(ebpf: &mut Ebpf) -> Result<Queue<&mut aya::maps::MapData, Wire<Slot>>, MapError> {
    let map = ebpf.map_mut(maps::FREE).ok_or(MapError::ElementNotFound)?;
    Queue::try_from(map)
}

fn hash(ebpf: &mut Ebpf) -> Result<HashMap<&mut aya::maps::MapData, Wire<CellKey>, Wire<Slot>>, MapError> {
    let map = ebpf.map_mut(maps::SLOTS).ok_or(MapError::ElementNotFound)?;
    HashMap::try_from(map)
}
