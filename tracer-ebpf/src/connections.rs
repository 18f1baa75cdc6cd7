//! The state of a connection, kept in its socket.

use crate::cells::{add, at, get, set};
use crate::fields::{Kernel, map_pointer};
use crate::maps::{CONNECTIONS, TRACKED};
use aya_ebpf::bindings::BPF_SK_STORAGE_GET_F_CREATE;
use aya_ebpf::helpers::generated::{bpf_sk_storage_delete, bpf_sk_storage_get};
use core::ptr::{null_mut, read_volatile};
use tracer_ebpf::Connection;
use tracer_ebpf::transition::{State, payload_sent};

/// Written by userspace before loading, then frozen.
#[unsafe(no_mangle)]
static MAX_CONNECTIONS: u64 = 0;

/// The connection's entry in its socket. Most sockets that come by have none, and a load tells it for less than the helper.
#[inline(always)]
pub(crate) fn entry(socket: Kernel) -> Option<*mut Connection> {
    if socket.has_storage() { storage(socket, 0) } else { None }
}

/// The same; makes one where there is none. `None`: there is no memory for it, or [`MAX_CONNECTIONS`] have one.
#[inline(always)]
pub(crate) fn make_entry(socket: Kernel) -> Option<*mut Connection> {
    storage(socket, if is_full() { 0 } else { BPF_SK_STORAGE_GET_F_CREATE })
}

#[inline(always)]
fn storage(socket: Kernel, flags: u32) -> Option<*mut Connection> {
    // SAFETY: map and socket are what the helper expects; it answers null when there is no entry.
    let entry = unsafe {
        bpf_sk_storage_get(map_pointer(&CONNECTIONS), socket.as_ptr(), null_mut(), u64::from(flags))
    };
    if entry.is_null() { None } else { Some(entry.cast()) }
}

/// Whether as many sockets have an entry as may.
#[inline(always)]
#[expect(clippy::cast_possible_wrap, reason = "below zero for a moment; the limit is far below 2^63")]
pub(crate) fn is_full() -> bool {
    // SAFETY: MAX_CONNECTIONS is a static; volatile keeps the compiler from using the value it has at compile time.
    let most = unsafe { read_volatile(&raw const MAX_CONNECTIONS) };
    TRACKED.get_ptr_mut(0).is_some_and(|tracked| get!(tracked, sockets) as i64 >= most as i64)
}

/// Counts an entry that is used for the first time. One socket may have many attempts.
#[inline(always)]
pub(crate) fn taken(before: State) {
    if before.0 == 0
        && let Some(tracked) = TRACKED.get_ptr_mut(0)
    {
        add(at!(tracked, sockets), 1);
    }
}

/// The socket of an entry is going away, and the entry with it.
#[inline(always)]
pub(crate) fn released() {
    if let Some(tracked) = TRACKED.get_ptr_mut(0) {
        add(at!(tracked, sockets), u64::MAX);
    }
}

/// Takes an entry out of its socket.
#[inline(always)]
pub(crate) fn remove_entry(socket: Kernel, before: State) {
    if before.0 != 0 {
        released();
    }
    // SAFETY: map and socket are what the helper expects; nothing of the entry is used after this.
    unsafe { bpf_sk_storage_delete(map_pointer(&CONNECTIONS), socket.as_ptr()) };
}

/// Takes what the socket has sent and received so far as counted; nothing is awaited. Segments come first, as in
/// `claim_traffic`.
#[inline(always)]
pub(crate) fn begin_at_present(connection: *mut Connection, tcp: Kernel) {
    set!(connection, sent_ns, 0);
    set!(connection, segments_sent, u64::from(tcp.segs_out()));
    set!(connection, segments_received, u64::from(tcp.segs_in()));
    set!(connection, rtt_us, rtt_us(tcp));
    set!(connection, sent_bytes, payload_sent(tcp.bytes_sent(), tcp.bytes_retrans()));
    set!(connection, received_bytes, tcp.bytes_received());
    set!(connection, retransmits, u64::from(tcp.total_retrans()));
}

/// The kernel keeps eight times the smoothed round-trip time.
#[inline(always)]
pub(crate) fn rtt_us(tcp: Kernel) -> u32 {
    tcp.srtt_us() >> 3
}

/// Whether any segment was sent or received since traffic was last claimed. It takes two cache lines of the socket where
/// all figures take four more, and with many connections waiting for them is what a sweep takes.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low half is what the kernel counts")]
pub(crate) fn has_moved(connection: *mut Connection, tcp: Kernel) -> bool {
    let sent = get!(connection, segments_sent) as u32 != tcp.segs_out();
    sent || get!(connection, segments_received) as u32 != tcp.segs_in()
}
