//! Exchanges: a request and its response on a connection. The balancer sends, after it has received or first; the next
//! read of payload ends the exchange. Needs no look at the payload, so it works under TLS.
//!
//! The send edge, the better first:
//!
//! ```c
//! void sock_send_length(struct sock *sk, int ret, int flags)                        // tracepoint, from Linux 6.3
//! int tcp_sendmsg_locked(struct sock *sk, struct msghdr *msg, size_t size)          // function
//! int tcp_sendpage(struct sock *sk, struct page *page, int offset, size_t size, …)  // function, up to Linux 6.4
//! ```
//!
//! The tracepoint fires when a send has returned, with what it took, for every system call and io_uring; the functions are
//! seen at their entry, under the socket's lock, before it is known whether there is room. A request that goes out with the
//! SYN (TCP Fast Open) is not seen at the functions: there is no connection yet. The receive edge:
//!
//! ```c
//! void tcp_rcv_space_adjust(struct sock *sk)
//! ```
//!
//! Why this hook: every way to read TCP payload comes by here (recvmsg, splice, kernel TLS, sockmap), with the socket
//! locked, after the payload was copied. splice(2) comes by with nothing read, and for the FIN, and a peek leaves everything
//! unread: what counts is that the sequence number has moved on since the send.
//!
//! What is not seen: where one thread sends and another reads, a response that is read before the send has returned.

use crate::cells::{at, cell, count, get, set, take};
use crate::connections::entry;
use crate::fields::Kernel;
use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::{btf_tracepoint, fentry};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext};
use core::ptr::read_volatile;
use tracer_ebpf::exchange::{awaits, read_up_to};
use tracer_ebpf::histogram::bucket_of;
use tracer_ebpf::transition::State;

/// A process has sent.
#[btf_tracepoint(function = "sock_send_length")]
#[expect(clippy::cast_possible_truncation, reason = "an int argument in a word of the context")]
pub(crate) fn send(ctx: BtfTracePointContext) -> i32 {
    let arguments: *const u64 = ctx.as_ptr().cast();
    // SAFETY: the tracepoint has three arguments, each a word in the context.
    let (socket, sent) =
        unsafe { (Kernel::new(read_volatile(arguments)), read_volatile(arguments.add(1)) as i32) };
    if sent > 0 {
        sends(socket);
    }
    0
}

/// A process sends, by any way but the next.
#[fentry(function = "tcp_sendmsg_locked")]
pub(crate) fn send_entry(ctx: FEntryContext) -> i32 {
    let arguments: *const u64 = ctx.as_ptr().cast();
    // SAFETY: the function has three arguments, each a word in the context.
    let (socket, size) = unsafe { (Kernel::new(read_volatile(arguments)), read_volatile(arguments.add(2))) };
    if size > 0 {
        sends(socket);
    }
    0
}

/// A process sends pages of a file or a pipe.
#[fentry(function = "tcp_sendpage")]
pub(crate) fn send_page(ctx: FEntryContext) -> i32 {
    let arguments: *const u64 = ctx.as_ptr().cast();
    // SAFETY: the first argument of the function is a word in the context.
    sends(Kernel::new(unsafe { read_volatile(arguments) }));
    0
}

/// A process has read, or tried to.
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub(crate) fn receive(ctx: BtfTracePointContext) -> i32 {
    let arguments: *const u64 = ctx.as_ptr().cast();
    // SAFETY: the tracepoint has one argument, a word in the context.
    reads(Kernel::new(unsafe { read_volatile(arguments) }));
    0
}

/// Notes the last send before a response. Sockets of other protocols have no entry.
#[inline(always)]
fn sends(socket: Kernel) -> Option<()> {
    let connection = entry(socket)?;
    if !awaits(State(get!(connection, state)).phase()) {
        return None;
    }
    set!(connection, read_up_to, position(socket)?);
    // Last: it makes the position valid.
    // SAFETY: a helper without arguments.
    set!(connection, sent_ns, unsafe { bpf_ktime_get_ns() });
    Some(())
}

/// Counts an exchange at the first read of a response.
#[inline(always)]
fn reads(socket: Kernel) -> Option<()> {
    let connection = entry(socket)?;
    if get!(connection, sent_ns) == 0 || position(socket)? == get!(connection, read_up_to) {
        return None;
    }
    // Of two threads that read one response, one counts it.
    let sent_ns = take(at!(connection, sent_ns));
    if sent_ns == 0 {
        return None;
    }
    // SAFETY: a helper without arguments.
    let response_ns = unsafe { bpf_ktime_get_ns() }.saturating_sub(sent_ns);
    let cell = cell(get!(connection, slot))?;
    count!(cell, exchanges += 1_u8);
    count!(cell, response_time[bucket_of(response_ns)] += 1_u8);
    Some(())
}

/// How far processes have read.
#[inline(always)]
fn position(socket: Kernel) -> Option<u32> {
    let tcp = socket.tcp()?;
    Some(read_up_to(tcp.copied_seq(), tcp.rcv_nxt(), socket.fin_taken_in()))
}
