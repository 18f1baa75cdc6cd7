//! Agents of two layouts at once. Each has maps of its own, so none of them knows what the other has counted: a new attempt is
//! counted by the programs that [`Switch`] names, and whoever has counted it follows it to its end. So the layout before
//! drains what it owns, and is detached when that is nothing.
//!
//! Programs of one tracepoint run in the order in which they were attached: those of the layout before come first, and
//! have seen an attempt when the new ones do. If the switch is turned between the two, both find themselves named; an
//! attempt that has an entry there is then theirs. (Only one that got no entry, in the same few nanoseconds, would count
//! twice.) They take away what they have of a socket that begins another connection, so an entry there means that
//! nothing else was begun.

use crate::cells::{get, set};
use crate::fields::{Kernel, map_pointer};
use crate::maps::{BEFORE, SWEEP_END, SWITCH};
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_sk_storage_get};
use core::ptr::{null_mut, read_volatile};
use tracer_ebpf::{SweepContext, Switch};

/// Written by userspace before loading, then frozen.
#[unsafe(no_mangle)]
static OWN_LAYOUT: u64 = 0;

/// Written by userspace before loading, then frozen.
#[unsafe(no_mangle)]
static HAS_BEFORE: u64 = 0;

/// How long after the switch was turned a program of the layout before may be in the middle of an attempt, microseconds. After
/// that an entry there is one that was forgotten: some kernels hide events.
const MOMENT_US: u64 = 1_000_000;

/// Whether these programs count an attempt that begins now. Where no other layout is pinned that is known when they are
/// loaded, and the verifier takes this out.
#[inline(always)]
pub(crate) fn counts_new(socket: Kernel) -> bool {
    // SAFETY: a static; volatile keeps the compiler from using the value that it has at compile time.
    let own = unsafe { read_volatile(&raw const OWN_LAYOUT) };
    if own == 0 {
        return true;
    }
    let Some(switch) = SWITCH.get_ptr_mut(0) else { return true };
    // SAFETY: a checked map value; one word, which userspace writes.
    let switch = Switch::of(unsafe { read_volatile(switch) });
    if u64::from(switch.layout) != own {
        return false;
    }
    if !has_before() {
        return true;
    }
    // SAFETY: a helper without arguments.
    let now_us = unsafe { bpf_ktime_get_ns() } / 1_000;
    now_us > switch.since_us + MOMENT_US || !has_entry_before(socket)
}

/// Whether the layout before has an entry in this socket.
#[inline(always)]
pub(crate) fn has_entry_before(socket: Kernel) -> bool {
    if !has_before() || !socket.has_storage() {
        return false;
    }
    // SAFETY: map and socket are what the helper expects; it answers null when there is no entry, and makes none.
    let entry = unsafe { bpf_sk_storage_get(map_pointer(&BEFORE), socket.as_ptr(), null_mut(), 0) };
    !entry.is_null()
}

#[inline(always)]
fn has_before() -> bool {
    // SAFETY: as in `counts_new`.
    unsafe { read_volatile(&raw const HAS_BEFORE) != 0 }
}

/// One socket of the layout before, whatever it knows of it.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
fn owned(ctx: *const SweepContext) -> i32 {
    // SAFETY: the kernel passes a context of this layout; each word is read once, outside of branches.
    let (sk, value) =
        unsafe { (read_volatile(&raw const (*ctx).sk), read_volatile(&raw const (*ctx).value)) };
    if sk != 0
        && value != 0
        && let Some(end) = SWEEP_END.get_ptr_mut(0)
    {
        // One run at a time.
        set!(end, owned, get!(end, owned) + 1);
    }
    0
}
