//! Finding the counters of a connection, and adding to them.

use crate::maps::{CELLS, FREE, SLOTS, TRACKED};
use aya_ebpf::bindings::BPF_NOEXIST;
use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg};
use core::ptr::read_volatile;
use tracer_ebpf::transition::widen;
use tracer_ebpf::{Cell, CellKey, OVERFLOW_SLOT, Slot};

/// Adds to a counter that other CPUs add to as well.
#[inline(always)]
pub(crate) fn add(counter: *mut u64, count: u64) {
    // SAFETY: the pointer comes from a map value that the verifier has checked; the addition is atomic.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, count) };
}

/// Address of a field of a map value: `at!(cell, closed)`.
macro_rules! at {
    ($value:expr, $field:ident) => {
        // SAFETY: the value comes from a map or a socket's storage and was checked against null, which the verifier
        // insists on; only the field's address is taken.
        unsafe { &raw mut (*$value).$field }
    };
}
pub(crate) use at;

/// Reads a field of a map value that others may write: `get!(connection, state)`.
macro_rules! get {
    ($value:expr, $field:ident) => {
        // SAFETY: a checked map value, see `at!`; volatile, since other CPUs write.
        unsafe { core::ptr::read_volatile(&raw const (*$value).$field) }
    };
}
pub(crate) use get;

/// Writes a field of a map value that others may read: `set!(connection, slot, slot)`.
macro_rules! set {
    ($value:expr, $field:ident, $new:expr) => {{
        let new = $new;
        // SAFETY: a checked map value, see `at!`; volatile, so that fields are written in the order of the text.
        unsafe { core::ptr::write_volatile(&raw mut (*$value).$field, new) }
    }};
}
pub(crate) use set;

/// Adds to fields of a cell: `count!(cell, established += 1)`.
macro_rules! count {
    ($cell:expr, $field:ident += $count:expr) => {
        $crate::cells::add($crate::cells::at!($cell, $field), u64::from($count))
    };
    ($cell:expr, $field:ident[$index:expr] += $count:expr) => {
        $crate::cells::add(
            $crate::cells::element($crate::cells::at!($cell, $field), $index),
            u64::from($count),
        )
    };
}
pub(crate) use count;

/// Address of one of a cell's counters that lie in an array.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "arrays of tens of counters")]
pub(crate) fn element<const N: usize>(array: *mut [u64; N], index: u32) -> *mut u64 {
    let last = N as u32 - 1;
    let index = if index > last { last } else { index };
    // SAFETY: the index is below N; bounded here so that the verifier sees it.
    unsafe { array.cast::<u64>().add(index as usize) }
}

/// Exchanges a word if it still is what was read.
#[inline(always)]
pub(crate) fn exchange(word: *mut u64, seen: u64, new: u64) -> bool {
    // SAFETY: the pointer comes from a map value that the verifier has checked.
    unsafe { atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(word, seen, new).1 }
}

/// Takes what a word holds, and leaves zero: of several takers one gets it.
#[inline(always)]
pub(crate) fn take(word: *mut u64) -> u64 {
    // SAFETY: the pointer comes from a map value that the verifier has checked.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(word, 0) }
}

/// A sweep and a close may both claim what a socket has sent; two of them meet at most, and the loser sees the new
/// value on its second try. More tries are for a second version of the programs during an upgrade.
const CLAIM_TRIES: u32 = 4;

/// Takes the growth of a kernel counter since it was last taken, for one claimer only, and never backwards.
#[inline(always)]
pub(crate) fn claim(last: *mut u64, now: u64) -> u64 {
    claim_with(last, |_| now)
}

/// The same for a 32-bit counter that wraps.
#[inline(always)]
pub(crate) fn claim_wrapping(last: *mut u64, now: u32) -> u64 {
    claim_with(last, |seen| widen(seen, now))
}

#[inline(always)]
fn claim_with(last: *mut u64, now: impl Fn(u64) -> u64) -> u64 {
    let mut tries = 0;
    while tries < CLAIM_TRIES {
        // SAFETY: `last` is a field of a checked map value.
        let seen = unsafe { read_volatile(last) };
        let now = now(seen);
        if now <= seen {
            return 0;
        }
        if exchange(last, seen, now) {
            return now - seen;
        }
        tries += 1;
    }
    0
}

/// Counts what could not be counted where it belongs.
macro_rules! uncounted {
    ($field:ident) => {
        if let Some(uncounted) = $crate::maps::UNCOUNTED.get_ptr_mut(0) {
            $crate::cells::add($crate::cells::at!(uncounted, $field), 1);
        }
    };
}
pub(crate) use uncounted;

/// The cell of a connection; the overflow cell when its place belongs to another backend by now.
#[inline(always)]
pub(crate) fn cell(slot: Slot) -> Option<*mut Cell> {
    let cell = CELLS.get_ptr_mut(slot.index)?;
    // Userspace changes the generation only when nothing of the cell has been live for two sweeps, so that a change
    // between this read and the addition cannot happen.
    if get!(cell, generation) == slot.generation {
        return Some(cell);
    }
    uncounted!(stale_cell);
    CELLS.get_ptr_mut(OVERFLOW_SLOT)
}

/// The place of a balancer and backend, a new one when they were not seen before. `None`: every place is taken.
#[inline(always)]
pub(crate) fn slot_of(key: &CellKey) -> Option<Slot> {
    // SAFETY: entries are only removed by userspace, and the value is copied out at once.
    if let Some(slot) = unsafe { SLOTS.get(key) } {
        return Some(*slot);
    }
    let Ok(Some(slot)) = FREE.pop() else {
        // Another CPU may have taken the last place for this very pair.
        // SAFETY: as above.
        return unsafe { SLOTS.get(key) }.copied();
    };
    if let Some(tracked) = TRACKED.get_ptr_mut(0) {
        add(at!(tracked, places), 1);
    }
    let cell = CELLS.get_ptr_mut(slot.index)?;
    // The place came from the queue, so nobody else writes its key.
    set!(cell, key, *key);
    if SLOTS.insert(key, slot, u64::from(BPF_NOEXIST)).is_ok() {
        return Some(slot);
    }
    // Another CPU was first, or the hash is out of memory: the place is free again.
    let _ = FREE.push(slot, 0);
    // SAFETY: as above.
    unsafe { SLOTS.get(key) }.copied()
}

/// Place of the overflow cell; its generation never changes.
pub(crate) const OVERFLOW: Slot = Slot { index: OVERFLOW_SLOT, generation: 0 };
