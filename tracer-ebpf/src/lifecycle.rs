//! The life of a connection, from `tp_btf/inet_sock_set_state`:
//!
//! ```c
//! void inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)
//! ```
//!
//! Why this hook: it fires for every TCP socket whatever opened it (system call, io_uring, kernel), in every network
//! namespace, and hands over the socket itself; kprobes and fentry are not to be had everywhere and cost more. It fires
//! before the state is written, for TCP, MPTCP, SCTP and DCCP.
//!
//! Why two programs: the kernel skips a program that would interrupt itself on the same CPU, as a softirq does that
//! brings packets for other sockets while a process connects or closes. Under packet steering one program alone was
//! skipped for 1 % of events. Both programs see every event, the second right after the first; while one is interrupted
//! the other is not running, and what both see counts once, since only a change of the connection's own phase counts. TCP
//! runs in processes and softirqs only, so there is no third level.
//!
//! While one agent takes over from another, two of each are attached (`Handover`). Of a connection's events but the first
//! one program counts whatever their number; at the first one `lifecycle`, too, then takes what has begun for counted.
//!
//! Where an agent of another layout takes over, both have programs attached for longer, and a new attempt is counted by those
//! that the switch names ([`layouts`](crate::layouts)).
//!
//! What remains: on some kernels a few events in 100,000 reach no program, though the tracepoint fires and no miss is
//! counted. What can be known of them is made up for, and counted as `repaired`: by the connection's next event, by its
//! destruction ([`destroy`]), or by a sweep, which no longer finds the connection (`kernel/vanished.rs` of the agent).

use crate::cells::{
    OVERFLOW, at, cell, claim, claim_wrapping, count, exchange, get, set, slot_of, uncounted,
};
use crate::connections::{begin_at_present, entry, is_full, make_entry, released, remove_entry, taken};
use crate::fields::Kernel;
use crate::layouts::counts_new;
use crate::log;
use crate::maps::{HANDOVER, UNTRACKED};
use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task_btf, bpf_get_socket_cookie,
    bpf_ktime_get_ns,
};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use core::mem::transmute;
use core::ptr::{read_volatile, write_volatile};
use tracer_ebpf::histogram::bucket_of;
use tracer_ebpf::transition::{
    Cause, Connect, Phase, State, Step, Watch, cause, on_change, on_connect, on_destroy, payload_received,
    payload_sent, reset_by_peer, tcp,
};
use tracer_ebpf::{Cell, CellKey, Connection, Slot};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
pub(crate) const IPPROTO_TCP: u16 = 6;

/// The arguments of the tracepoint, each read once and outside of branches: a context pointer that LLVM merges from two
/// branches is refused ("dereference of modified ctx ptr").
struct Change {
    socket: Kernel,
    old: u32,
    new: u32,
}

impl Change {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "an int argument in a word of the context")]
    fn read(ctx: &BtfTracePointContext) -> Self {
        let arguments: *const u64 = aya_ebpf::EbpfContext::as_ptr(ctx).cast();
        // SAFETY: the tracepoint has three arguments, each a word in the context.
        unsafe {
            Self {
                socket: Kernel::new(read_volatile(arguments)),
                old: read_volatile(arguments.add(1)) as u32,
                new: read_volatile(arguments.add(2)) as u32,
            }
        }
    }
}

/// Sees every change of state first.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn lifecycle(ctx: BtfTracePointContext) -> i32 {
    see(&ctx, Watch::First)
}

/// Sees every change of state after `lifecycle`, and counts what the kernel skipped that for.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn relief(ctx: BtfTracePointContext) -> i32 {
    see(&ctx, Watch::Relief)
}

#[inline(always)]
fn see(ctx: &BtfTracePointContext, watch: Watch) -> i32 {
    let change = Change::read(ctx);
    if change.new == tcp::SYN_SENT {
        if change.socket.protocol() == IPPROTO_TCP && begin(change.socket, watch).is_some() {
            log!(ctx, "attempt to port {}", change.socket.dport());
        }
    } else if change.new == tcp::CLOSE || (change.new == tcp::ESTABLISHED && change.old != tcp::CLOSE) {
        // What ends an attempt or a connection. Passive sockets come by here too and have no entry, which costs 5 ns.
        let step = step(change);
        if !matches!(step, Step::Nothing) {
            log!(ctx, "step {}", step as u8);
        }
    }
    0
}

/// Counts an attempt. `None`: not one of ours, or counted already.
#[inline(always)]
fn begin(socket: Kernel, watch: Watch) -> Option<()> {
    if !counts_new(socket) {
        return leave(socket, watch);
    }
    let entry = match watch {
        Watch::First => make_entry(socket),
        Watch::Relief => match entry(socket) {
            Some(connection) => Some(connection),
            None if was_counted_without_entry(socket) => return None,
            None => make_entry(socket),
        },
    };
    let before = entry.map_or(State(0), |connection| State(get!(connection, state)));
    let connect = connect(watch, before);
    if entry.is_none()
        && matches!(watch, Watch::First)
        && is_handed_over()
        && was_counted_without_entry(socket)
    {
        return None;
    }
    if matches!(connect, Connect::AlreadyCounted) {
        return None;
    }
    let key = key(socket)?;
    let Some(connection) = entry else { return begin_without_entry(socket, &key, watch) };
    taken(before);
    match connect {
        Connect::FailThenBegin => repair(connection, before, Step::Fail),
        Connect::CloseThenBegin => repair(connection, before, Step::Close),
        Connect::Begin | Connect::AlreadyCounted => {}
    }
    let slot = place(&key);
    set!(connection, slot, slot);
    // SAFETY: a helper without arguments.
    set!(connection, started_ns, unsafe { bpf_ktime_get_ns() });
    begin_at_present(connection, socket.tcp()?);
    // Last: the state makes the entry valid.
    set!(connection, state, before.next_attempt().0);
    attempt(slot)?;
    Some(())
}

/// What an attempt means for a socket that had others before.
#[inline(always)]
fn connect(watch: Watch, before: State) -> Connect {
    let connect = on_connect(watch, before.phase());
    if matches!(connect, Connect::FailThenBegin | Connect::CloseThenBegin) && is_handed_over() {
        return on_connect(Watch::Relief, before.phase());
    }
    connect
}

/// A socket that had a connection of ours begins one that another layout's programs count: without an entry here they know
/// that it is theirs. `None`, as nothing was counted.
#[inline(always)]
fn leave(socket: Kernel, watch: Watch) -> Option<()> {
    let connection = entry(socket)?;
    let before = State(get!(connection, state));
    match connect(watch, before) {
        // By the program before this one, a moment before it was switched.
        Connect::AlreadyCounted => return None,
        Connect::FailThenBegin => repair(connection, before, Step::Fail),
        Connect::CloseThenBegin => repair(connection, before, Step::Close),
        Connect::Begin => {}
    }
    remove_entry(socket, before);
    None
}

/// Counts an attempt whose socket gets no entry: what becomes of it is not known.
#[inline(always)]
fn begin_without_entry(socket: Kernel, key: &CellKey, watch: Watch) -> Option<()> {
    let cell = attempt(place(key))?;
    count!(cell, untracked += 1_u8);
    if is_full() {
        uncounted!(over_limit);
    } else {
        uncounted!(no_storage);
    }
    if matches!(watch, Watch::First)
        && let Some(untracked) = UNTRACKED.get_ptr_mut(0)
    {
        // SAFETY: this CPU's value of the map.
        unsafe { write_volatile(untracked, cookie(socket)) };
    }
    Some(())
}

/// Whether another program has just counted this attempt without an entry. Connecting is done by processes, so that
/// nothing on this CPU comes between the programs that could connect. The last of them takes the note away; which is the
/// last is not known while there may be more than two, and then it stays.
#[inline(always)]
fn was_counted_without_entry(socket: Kernel) -> bool {
    let Some(untracked) = UNTRACKED.get_ptr_mut(0) else { return false };
    // SAFETY: this CPU's value of the map.
    let counted = unsafe { read_volatile(untracked) } == cookie(socket);
    if !is_handed_over() {
        // SAFETY: as above.
        unsafe { write_volatile(untracked, 0) };
    }
    counted
}

/// What no other socket has, now or later. An address is another socket's as soon as this one is gone.
#[inline(always)]
fn cookie(socket: Kernel) -> u64 {
    // SAFETY: the argument of the tracepoint, which the verifier knows for a socket.
    unsafe { bpf_get_socket_cookie(socket.as_ptr()) }
}

/// Whether the programs of two agents may be attached. Asked only of what is rare, so that nobody else pays for it.
#[inline(always)]
fn is_handed_over() -> bool {
    let Some(handover) = HANDOVER.get_ptr_mut(0) else { return false };
    // SAFETY: a helper without arguments.
    get!(handover, overlap_until_ns) > unsafe { bpf_ktime_get_ns() }
}

/// The place of a pair's counters; the overflow cell when every place is taken.
#[inline(always)]
pub(crate) fn place(key: &CellKey) -> Slot {
    match slot_of(key) {
        Some(slot) => slot,
        None => {
            uncounted!(no_cell);
            OVERFLOW
        }
    }
}

/// Counts an attempt of the current process.
#[inline(always)]
fn attempt(slot: Slot) -> Option<*mut Cell> {
    let cell = cell(slot)?;
    count!(cell, attempts += 1_u8);
    // SAFETY: a helper without arguments.
    let process_id = (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32;
    // Last writer wins: any recent process will do for the sentence.
    set!(cell, last_pid, process_id);
    Some(cell)
}

/// Who connects where. `None`: neither IPv4 nor IPv6.
#[inline(always)]
fn key(socket: Kernel) -> Option<CellKey> {
    let address = address(socket)?;
    // SAFETY: the helper answers the current task, whose type the verifier knows.
    let task = Kernel::new(unsafe { bpf_get_current_task_btf() } as u64);
    Some(CellKey {
        // SAFETY: no arguments.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        command: task.command(),
        address,
        netns: socket.netns(),
        port: socket.dport(),
        reserved: 0,
    })
}

/// Address of the peer, an IPv4 address as v4-mapped. `None`: neither IPv4 nor IPv6.
#[inline(always)]
pub(crate) fn address(socket: Kernel) -> Option<[u8; 16]> {
    match socket.family() {
        AF_INET => {
            let words = [0, 0, 0xffff_u32.to_be(), socket.daddr()];
            // SAFETY: four words are sixteen bytes; both words written are in network byte order.
            Some(unsafe { transmute::<[u32; 4], [u8; 16]>(words) })
        }
        // SAFETY: two words are sixteen bytes.
        AF_INET6 => Some(unsafe { transmute::<[u64; 2], [u8; 16]>(socket.v6_daddr()) }),
        _ => None,
    }
}

/// Counts the end of the socket's last attempt, which nobody saw.
#[inline(always)]
fn repair(connection: *mut Connection, before: State, step: Step) {
    let Some(cell) = cell(get!(connection, slot)) else { return };
    if matches!(step, Step::Close) {
        count!(cell, closed += 1_u8);
    } else {
        count!(cell, failed[Cause::Other as u32] += 1_u8);
    }
    count!(cell, repaired += 1_u8);
    exchange(at!(connection, state), before.0, before.to(Phase::Ended).0);
}

/// Counts a change of state of a connection that has an entry.
#[inline(always)]
fn step(change: Change) -> Step {
    let Some(connection) = entry(change.socket) else { return Step::Nothing };
    let before = State(get!(connection, state));
    apply(change.socket, connection, before, on_change(before.phase(), change.old, change.new))
}

/// A TCP socket is destroyed: once for each, at its very end. Where a process closes it, after a failure or a reset, this
/// comes later and elsewhere than the event that was hidden, which is made up for here. A socket that was closed before
/// ends in the softirq that ends the connection, and both may be hidden together.
///
/// ```c
/// void tcp_destroy_sock(struct sock *sk)
/// ```
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn destroy(ctx: BtfTracePointContext) -> i32 {
    let arguments: *const u64 = aya_ebpf::EbpfContext::as_ptr(&ctx).cast();
    // SAFETY: the tracepoint has one argument, a word in the context.
    let socket = Kernel::new(unsafe { read_volatile(arguments) });
    make_up(socket);
    0
}

#[inline(always)]
fn make_up(socket: Kernel) -> Option<()> {
    let connection = entry(socket)?;
    let before = State(get!(connection, state));
    if before.0 != 0 {
        released();
    }
    if matches!(before.phase(), Phase::Idle | Phase::Ended) {
        return None;
    }
    let step = on_destroy(before.phase(), socket.tcp()?.srtt_us() != 0);
    let slot = get!(connection, slot);
    // `EstablishAndClose` counts itself as made up for.
    if !matches!(apply(socket, connection, before, step), Step::Nothing | Step::EstablishAndClose) {
        count!(cell(slot)?, repaired += 1_u8);
    }
    Some(())
}

/// Counts a step, if nobody else has.
#[inline(always)]
fn apply(socket: Kernel, connection: *mut Connection, before: State, step: Step) -> Step {
    let after = match step {
        Step::Nothing => return step,
        Step::Establish => Phase::Established,
        Step::Fail | Step::Close | Step::EstablishAndClose => Phase::Ended,
    };
    // Who exchanges the state counts; another CPU or program finds it changed.
    if !exchange(at!(connection, state), before.0, before.to(after).0) {
        return Step::Nothing;
    }
    let Some(cell) = cell(get!(connection, slot)) else {
        return Step::Nothing;
    };
    let Some(tcp) = socket.tcp() else { return Step::Nothing };
    match step {
        Step::Nothing => {}
        Step::Establish => {
            count!(cell, established += 1_u8);
            if let Some(age_ns) = age_ns(connection) {
                count!(cell, connect_time[bucket_of(age_ns)] += 1_u8);
            }
            syn_retransmits(cell, connection, tcp);
        }
        Step::Fail => {
            let cause = cause(socket.err(), socket.err_soft(), socket.socket_state());
            fail(cell, connection, cause);
            syn_retransmits(cell, connection, tcp);
        }
        Step::EstablishAndClose => {
            count!(cell, established += 1_u8);
            count!(cell, repaired += 1_u8);
            close(cell, connection, socket, tcp);
        }
        Step::Close => close(cell, connection, socket, tcp),
    }
    step
}

/// Nanoseconds since the attempt began; `None` when it began before the tracer.
#[inline(always)]
fn age_ns(connection: *mut Connection) -> Option<u64> {
    let started_ns = get!(connection, started_ns);
    // SAFETY: a helper without arguments.
    (started_ns != 0).then(|| unsafe { bpf_ktime_get_ns() }.wrapping_sub(started_ns))
}

/// SYNs that were sent again: all that was retransmitted before the connection was established.
#[inline(always)]
fn syn_retransmits(cell: *mut Cell, connection: *mut Connection, tcp: Kernel) {
    let again = claim_wrapping(at!(connection, retransmits), tcp.total_retrans());
    if again != 0 {
        count!(cell, syn_retransmits += again);
    }
}

/// Counts a failed attempt. The causes stand as constants so that the verifier sees where each is counted.
#[inline(always)]
fn fail(cell: *mut Cell, connection: *mut Connection, cause: Cause) {
    match cause {
        Cause::Refused => count!(cell, failed[Cause::Refused as u32] += 1_u8),
        Cause::TimedOut => count!(cell, failed[Cause::TimedOut as u32] += 1_u8),
        Cause::Unreachable => count!(cell, failed[Cause::Unreachable as u32] += 1_u8),
        Cause::Cancelled => {
            count!(cell, failed[Cause::Cancelled as u32] += 1_u8);
            if let Some(age_ns) = age_ns(connection) {
                count!(cell, cancelled_age[bucket_of(age_ns)] += 1_u8);
            }
        }
        Cause::Local => count!(cell, failed[Cause::Local as u32] += 1_u8),
        Cause::Other => count!(cell, failed[Cause::Other as u32] += 1_u8),
    }
}

/// Counts the end of an established connection, with its final figures. How long it was held is known to the moment,
/// but where a socket's destruction had to make up for a hidden end: then until that, a sweep later at most.
#[inline(always)]
fn close(cell: *mut Cell, connection: *mut Connection, socket: Kernel, tcp: Kernel) {
    count!(cell, closed += 1_u8);
    let (sent, received) = claim_traffic(cell, connection, socket, tcp);
    if reset_by_peer(socket.err()) {
        count!(cell, resets += 1_u8);
        if received == 0 {
            count!(cell, resets_without_data += 1_u8);
        }
    } else if sent == 0 && received == 0 && get!(connection, started_ns) != 0 {
        // A health check is opened and closed; what was there before and idle all the time is none.
        count!(cell, probes += 1_u8);
        return;
    }
    if let Some(age_ns) = age_ns(connection) {
        count!(cell, lifetime[bucket_of(age_ns)] += 1_u8);
    }
}

/// Adds what a connection has sent and received since this was last done. Answers its payload bytes in all.
///
/// Segments are read first, so that who finds them as they were has all bytes: the kernel counts a segment that it sends
/// after its bytes, and acknowledges what it receives by another.
#[inline(always)]
pub(crate) fn claim_traffic(
    cell: *mut Cell,
    connection: *mut Connection,
    socket: Kernel,
    tcp: Kernel,
) -> (u64, u64) {
    let (segments_sent, segments_received) = (tcp.segs_out(), tcp.segs_in());
    // What was sent is read before what was sent again: bytes sent again between the two are then taken off too early
    // and made up for by the next claim. The other way round they would count twice for good: claims never go back.
    let bytes_sent = tcp.bytes_sent();
    let sent = payload_sent(bytes_sent, tcp.bytes_retrans());
    let received = payload_received(tcp.bytes_received(), socket.fin_taken_in());
    let growth = claim(at!(connection, sent_bytes), sent);
    if growth != 0 {
        count!(cell, sent_bytes += growth);
    }
    let growth = claim(at!(connection, received_bytes), received);
    if growth != 0 {
        count!(cell, received_bytes += growth);
    }
    let growth = claim_wrapping(at!(connection, segments_sent), segments_sent);
    if growth != 0 {
        count!(cell, segments_sent += growth);
    }
    let growth = claim_wrapping(at!(connection, segments_received), segments_received);
    if growth != 0 {
        count!(cell, segments_received += growth);
    }
    let growth = claim_wrapping(at!(connection, retransmits), tcp.total_retrans());
    if growth != 0 {
        count!(cell, retransmits += growth);
    }
    (sent, received)
}
