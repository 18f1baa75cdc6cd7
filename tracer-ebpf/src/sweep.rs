//! What every connection that is being counted does right now, from `iter/bpf_sk_storage_map` over `CONNECTIONS`:
//!
//! ```c
//! int bpf_iter_bpf_sk_storage_map(struct bpf_iter_meta *meta, struct bpf_map *map, struct sock *sk, void *value)
//! ```
//!
//! Why this hook: it visits exactly the sockets that have an entry, in every network namespace at once, and adds up in
//! the kernel; `iter/tcp` and sock_diag list one namespace each and every socket in it. Userspace reads the iterator to
//! its end and gets no bytes. At the end the program is called once more, without a socket.

use crate::cells::{at, cell, count, exchange, get, set};
use crate::connections::{has_moved, rtt_us};
use crate::fields::Kernel;
use crate::lifecycle::claim_traffic;
use crate::maps::{SWEEP_END, TRACKED};
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use core::ptr::read_volatile;
use tracer_ebpf::transition::{Cause, Found, Phase, State, on_sweep, tcp};
use tracer_ebpf::{Cell, Connection, Stock, SweepContext};

/// One socket of a sweep, or its end.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
fn sweep(ctx: *const SweepContext) -> i32 {
    // SAFETY: the kernel passes a context of this layout; each word is read once, outside of branches.
    let (meta, sk, value) = unsafe {
        (
            read_volatile(&raw const (*ctx).meta),
            read_volatile(&raw const (*ctx).sk),
            read_volatile(&raw const (*ctx).value),
        )
    };
    let meta = Kernel::new(meta);
    if sk == 0 || value == 0 {
        end(meta);
    } else {
        visit(meta.session_id(), Kernel::new(sk), value as *mut Connection);
    }
    0
}

/// Every socket has been visited: the figures of this session are whole.
#[inline(always)]
fn end(meta: Kernel) {
    let (Some(end), Some(tracked)) = (SWEEP_END.get_ptr_mut(0), TRACKED.get_ptr_mut(0)) else { return };
    let session = meta.session_id();
    // What came and went during the sweep is off by its own number until the next one: events after it count from here.
    set!(tracked, sockets, if get!(end, counting) == session { get!(end, visited) } else { 0 });
    set!(end, session, session);
}

/// Counts a socket that has an entry. Only the sweep writes here, one at a time, so plain additions do.
#[inline(always)]
fn visited(session: u64) {
    let Some(end) = SWEEP_END.get_ptr_mut(0) else { return };
    if get!(end, counting) != session {
        set!(end, counting, session);
        set!(end, visited, 0);
    }
    set!(end, visited, get!(end, visited) + 1);
}

#[inline(always)]
fn visit(session: u64, socket: Kernel, connection: *mut Connection) -> Option<()> {
    // The phase is read before the socket's state: an end that comes
    // between the two is then seen as CLOSE in a phase that the exchange below finds changed.
    let before = State(get!(connection, state));
    if before.0 != 0 {
        visited(session);
    }
    let state = u32::from(socket.state());
    let age_ns = if state == tcp::CLOSE && matches!(before.phase(), Phase::Connecting) {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_ns() }.saturating_sub(get!(connection, started_ns))
    } else {
        0
    };
    let found = on_sweep(before.phase(), state, age_ns);
    if matches!(found, Found::Nothing) {
        return None;
    }
    let cell = cell(get!(connection, slot))?;
    if let Some(after) = missed(found)
        && exchange(at!(connection, state), before.0, before.to(after).0)
    {
        // An exchange that fails has met the event itself, which has counted.
        make_up(cell, found);
    }
    if !matches!(found, Found::Pending | Found::MissedFailure) {
        let tcp = socket.tcp()?;
        if has_moved(connection, tcp) {
            set!(connection, rtt_us, rtt_us(tcp));
            claim_traffic(cell, connection, socket, tcp);
        }
        stock(cell, session, found, get!(connection, rtt_us));
    } else {
        stock(cell, session, found, 0);
    }
    Some(())
}

/// The phase that a missed event would have led to.
#[inline(always)]
fn missed(found: Found) -> Option<Phase> {
    match found {
        Found::MissedEstablishLive | Found::MissedEstablishClosing => Some(Phase::Established),
        Found::MissedFailure | Found::MissedClose => Some(Phase::Ended),
        Found::Nothing | Found::Pending | Found::Live | Found::Closing => None,
    }
}

/// Counts a missed event. How it came about is not known any more: no duration, no cause, no reset, no probe.
#[inline(always)]
fn make_up(cell: *mut Cell, found: Found) {
    match found {
        Found::MissedEstablishLive | Found::MissedEstablishClosing => count!(cell, established += 1_u8),
        Found::MissedFailure => count!(cell, failed[Cause::Other as u32] += 1_u8),
        Found::MissedClose => count!(cell, closed += 1_u8),
        Found::Nothing | Found::Pending | Found::Live | Found::Closing => {}
    }
    count!(cell, repaired += 1_u8);
}

/// Counts a socket into the cell's present stock. The first of a session starts it afresh. Only the sweep writes here,
/// one at a time, so plain additions do.
#[inline(always)]
fn stock(cell: *mut Cell, session: u64, found: Found, rtt_us: u32) {
    let stock = at!(cell, stock);
    if get!(stock, session) != session {
        set!(cell, stock, Stock { session, ..Stock::EMPTY });
    }
    match found {
        Found::Pending => set!(stock, pending, get!(stock, pending) + 1),
        Found::Live | Found::MissedEstablishLive => {
            set!(stock, live, get!(stock, live) + 1);
            set!(stock, rtt_sum_us, get!(stock, rtt_sum_us) + u64::from(rtt_us));
        }
        Found::Closing | Found::MissedEstablishClosing => set!(stock, closing, get!(stock, closing) + 1),
        Found::Nothing | Found::MissedFailure | Found::MissedClose => {}
    }
}
