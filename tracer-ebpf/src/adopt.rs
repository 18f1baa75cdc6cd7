//! Connections that were there before the tracer, from `iter/task_file`, which visits every open file of every process:
//!
//! ```c
//! int bpf_iter_task_file(struct bpf_iter_meta *meta, struct task_struct *task, u32 fd, struct file *file)
//! ```
//!
//! Why this hook: it gives the owner with the socket, in every network namespace at once; `iter/tcp` gives neither. It
//! runs twice, once, when everything else is attached: what connects meanwhile has an entry already and is left alone.
//! Sockets without a file are not visited: closed by their process and on their way out, or held by io_uring alone.

use crate::cells::{at, cell, count, exchange, get, set, uncounted};
use crate::connections::{begin_at_present, is_full, make_entry, taken};
use crate::fields::Kernel;
use crate::layouts::has_entry_before;
use crate::lifecycle::{IPPROTO_TCP, address, place};
use crate::maps::LISTENERS;
use aya_ebpf::helpers::generated::bpf_sock_from_file;
use core::ptr::read_volatile;
use tracer_ebpf::adoption::{Found, is_queueless_listener, on_adopt};
use tracer_ebpf::transition::{Phase, State, tcp};
use tracer_ebpf::{CellKey, Listener, TaskFileContext};

/// First pass: ports whose children cannot be told by the length of their queue.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
fn listeners(ctx: *const TaskFileContext) -> i32 {
    if let Some((_, socket)) = tcp_socket(ctx)
        && is_queueless_listener(u32::from(socket.state()), socket.max_ack_backlog())
    {
        let listener = Listener { netns: socket.netns(), port: socket.num(), reserved: 0 };
        // More of them than the map holds: their children are then told by their ports.
        let _ = LISTENERS.insert(listener, 0, 0);
    }
    0
}

/// Second pass: connections.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
fn adopt(ctx: *const TaskFileContext) -> i32 {
    if let Some((task, socket)) = tcp_socket(ctx) {
        visit(task, socket);
    }
    0
}

/// The TCP socket of a file, and the task that has it.
#[inline(always)]
fn tcp_socket(ctx: *const TaskFileContext) -> Option<(Kernel, Kernel)> {
    // SAFETY: the kernel passes a context of this layout; each word is read once, outside of branches.
    let (task, file) =
        unsafe { (read_volatile(&raw const (*ctx).task), read_volatile(&raw const (*ctx).file)) };
    if task == 0 || file == 0 {
        return None;
    }
    // SAFETY: the file of the context, which is not null; the helper answers null when it is no socket.
    let socket = unsafe { bpf_sock_from_file(file as *mut _) };
    if socket.is_null() {
        return None;
    }
    let socket = Kernel::new(socket as u64).socket_sk();
    (!socket.is_null() && socket.protocol() == IPPROTO_TCP).then_some((Kernel::new(task), socket))
}

#[inline(always)]
fn visit(task: Kernel, socket: Kernel) -> Option<()> {
    // Of other families (SMC, Unix) the protocol field may say the same.
    let address = address(socket)?;
    let listener = Listener { netns: socket.netns(), port: socket.num(), reserved: 0 };
    // SAFETY: nobody removes entries; only whether there is one is asked.
    let queueless = unsafe { LISTENERS.get(listener) }.is_some();
    let backlog = socket.max_ack_backlog();
    let found = on_adopt(u32::from(socket.state()), backlog, queueless, socket.num(), socket.dport());
    if matches!(found, Found::Nothing) {
        return None;
    }
    if has_entry_before(socket) {
        // Its programs go on with it.
        return None;
    }
    let Some(connection) = make_entry(socket) else {
        if is_full() {
            uncounted!(over_limit);
        } else {
            uncounted!(no_storage);
        }
        return None;
    };
    let before = State(get!(connection, state));
    if !matches!(before.phase(), Phase::Idle) {
        // It connected after the other programs were attached, or several processes share it.
        return None;
    }
    taken(before);
    if matches!(found, Found::Undecided) {
        // Marked as over, so that it counts once, however many processes share it.
        if exchange(at!(connection, state), before.0, before.next_attempt().to(Phase::Ended).0) {
            uncounted!(undecided);
        }
        return None;
    }
    let key = CellKey {
        cgroup_id: task.cgroup_id(),
        command: task.command(),
        address,
        netns: socket.netns(),
        port: socket.dport(),
        reserved: 0,
    };
    let slot = place(&key);
    set!(connection, slot, slot);
    // When it began is not known: no durations.
    set!(connection, started_ns, 0);
    begin_at_present(connection, socket.tcp()?);
    let attempt = before.next_attempt();
    let after = if matches!(found, Found::Attempt) { attempt } else { attempt.to(Phase::Established) };
    let cell = cell(slot)?;
    if !exchange(at!(connection, state), before.0, after.0) {
        return None;
    }
    set!(cell, last_pid, task.tgid());
    if matches!(found, Found::Attempt) {
        count!(cell, attempts += 1_u8);
        return None;
    }
    count!(cell, adopted += 1_u8);
    // An end that came before the exchange found nothing to count, and comes no more. One that comes after it counts.
    if u32::from(socket.state()) == tcp::CLOSE
        && exchange(at!(connection, state), after.0, after.to(Phase::Ended).0)
    {
        count!(cell, closed += 1_u8);
    }
    None
}
