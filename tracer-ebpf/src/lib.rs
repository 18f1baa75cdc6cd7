//! What the eBPF object and userspace share: the layout of everything that lies in a map, the names of maps and
//! programs, and the decisions of the kernel side that need no kernel ([`transition`], [`adoption`], [`mod@exchange`],
//! [`histogram`]), so that they are tested on the host.
//!
//! # How counting is laid out
//!
//! * A **cell** ([`Cell`]) holds every counter of one (balancer, network namespace, backend). Cells lie in an array and
//!   are added to atomically: one cell whatever the number of CPUs.
//! * `SLOTS` maps a [`CellKey`] to its cell's place in the array. It is looked up once per attempt; the place is then
//!   kept in the socket, so that every later event of the connection costs no hash lookup.
//! * `FREE` is a queue of places not in use. When it is empty the attempt counts in the [overflow cell](OVERFLOW_SLOT).
//! * A **connection** ([`Connection`]) is the state kept in the socket's own storage. It dies with the socket. How many
//!   there are is kept in [`Tracked`], so that no more than [`MAX_CONNECTIONS`] take memory.
//! * Where maps and programs outlive the agent, [`Handover`] is what the next one finds. One of another layout finds
//!   [`described`] what lies where; which of the two counts a new attempt, [`Switch`] says.
//! * A place that is given to another backend gets a new **generation**; a connection whose generation is not the
//!   cell's counts into the overflow cell, never on another backend.
//!
//! Only integers and arrays of integers cross this boundary: no padding, no enum, no pointer. Sizes and offsets are
//! asserted below; a change of any of them is a change of [`ABI_VERSION`].
#![cfg_attr(target_arch = "bpf", no_std)]

pub mod adoption;
pub mod described;
pub mod exchange;
mod handover;
pub mod histogram;
mod offsets;
pub mod transition;

pub use handover::{Handover, Retiring, Switch};
pub use offsets::{MISSING, Offsets};

use core::mem::{offset_of, size_of};
use histogram::BUCKETS;

/// Version of the layout of everything in this file. The test `abi_version_is_tied_to_the_layout` fails when the
/// layout changes and this number does not.
pub const ABI_VERSION: u16 = 7;

/// Place of the cell for what could not get one of its own.
pub const OVERFLOW_SLOT: u32 = 0;

/// Names of the maps in the object.
pub mod maps {
    /// Socket storage of [`Connection`](crate::Connection).
    pub const CONNECTIONS: &str = "CONNECTIONS";
    /// Hash of [`CellKey`](crate::CellKey) to [`Slot`](crate::Slot).
    pub const SLOTS: &str = "SLOTS";
    /// Queue of unused [`Slot`](crate::Slot)s.
    pub const FREE: &str = "FREE";
    /// Array of [`Cell`](crate::Cell).
    pub const CELLS: &str = "CELLS";
    /// Array with one [`Uncounted`](crate::Uncounted).
    pub const UNCOUNTED: &str = "UNCOUNTED";
    /// Array with one [`SweepEnd`](crate::SweepEnd).
    pub const SWEEP_END: &str = "SWEEP_END";
    /// Array with one [`Tracked`](crate::Tracked).
    pub const TRACKED: &str = "TRACKED";
    /// For each CPU the cookie of the socket whose attempt was last counted without a [`Connection`](crate::Connection).
    pub const UNTRACKED: &str = "UNTRACKED";
    /// Array with one [`Handover`](crate::Handover).
    pub const HANDOVER: &str = "HANDOVER";
    /// Array of [`Cell`](crate::Cell), by place: what the agent has told of each, for the next agent. Of one element where
    /// there will be none.
    pub const TOLD: &str = "TOLD";
    /// Array of two [`Cell`](crate::Cell)s: see [`Retiring`](crate::Retiring).
    pub const RETIRED: &str = "RETIRED";

    /// Array with one text of [`LAYOUT_BYTES`](crate::LAYOUT_BYTES): [`described`](crate::described), a line each, for agents
    /// of other layouts.
    pub const LAYOUT: &str = "LAYOUT";
    /// Array with one word, a [`Switch`](crate::Switch): shared by agents of all layouts.
    pub const SWITCH: &str = "SWITCH";
    /// [`CONNECTIONS`] of the layout that counted before this one.
    pub const BEFORE: &str = "BEFORE";

    /// Every map that an agent leaves to the next one of its layout.
    pub const KEPT: [&str; 12] = [
        CONNECTIONS,
        SLOTS,
        FREE,
        CELLS,
        UNCOUNTED,
        SWEEP_END,
        TRACKED,
        UNTRACKED,
        HANDOVER,
        TOLD,
        RETIRED,
        LAYOUT,
    ];
    /// Of these, what an agent of another layout reads.
    pub const TOTALS: [&str; 7] = [CELLS, UNCOUNTED, TRACKED, HANDOVER, TOLD, RETIRED, LAYOUT];
}

/// Names of the programs in the object.
pub mod programs {
    /// `tp_btf/inet_sock_set_state`, every change of state.
    pub const LIFECYCLE: &str = "lifecycle";
    /// The same again, for what the kernel skips `LIFECYCLE` for.
    pub const RELIEF: &str = "relief";
    /// `tp_btf/tcp_destroy_sock`, for ends that neither of them saw.
    pub const DESTROY: &str = "destroy";
    /// `iter/bpf_sk_storage_map`.
    pub const SWEEP: &str = "sweep";
    /// `iter/bpf_sk_storage_map` over the connections of another layout.
    pub const OWNED: &str = "owned";
    /// `iter/task_file`, first pass: who listens.
    pub const LISTENERS: &str = "listeners";
    /// `iter/task_file`, second pass: connections from before.
    pub const ADOPT: &str = "adopt";
    /// `tp_btf/tcp_rcv_space_adjust`: a process has read.
    pub const RECEIVE: &str = "receive";
    /// `tp_btf/sock_send_length`: a process has sent.
    pub const SEND: &str = "send";
    /// `fentry/tcp_sendmsg_locked`: a process sends, on kernels without what `SEND` needs.
    pub const SEND_ENTRY: &str = "send_entry";
    /// `fentry/tcp_sendpage`: the same by sendfile(2) and splice(2), on kernels where that is another way.
    pub const SEND_PAGE: &str = "send_page";
}

/// Command under which connections of kernel threads are counted: of a network file system, a block device over TCP,
/// further subflows of MPTCP. Which worker the kernel takes for one, and what that is called, is chance.
pub const KERNEL: &str = "kernel";

/// [`KERNEL`] as it is in a key.
pub const KERNEL_COMMAND: [u8; 16] = {
    let mut command = [0; 16];
    command.split_at_mut(KERNEL.len()).0.copy_from_slice(KERNEL.as_bytes());
    command
};

/// Name of the read-only variable that holds [`Offsets`].
pub const OFFSETS: &str = "OFFSETS";

/// Name of the read-only variable that holds how many sockets may have a [`Connection`] at once, a `u64`.
pub const MAX_CONNECTIONS: &str = "MAX_CONNECTIONS";

/// Name of the read-only variable that holds what [`Switch::layout`] has to be for new attempts to be counted, a `u64`; 0:
/// nobody else counts.
pub const OWN_LAYOUT: &str = "OWN_LAYOUT";

/// Name of the read-only variable that says whether [`BEFORE`](maps::BEFORE) is another layout's, a `u64`: 0 or 1.
pub const HAS_BEFORE: &str = "HAS_BEFORE";

/// Bytes of [`LAYOUT`](maps::LAYOUT)'s text; what is not used of them is zero. Never changes: agents of every layout read it.
pub const LAYOUT_BYTES: usize = 4_096;

/// Which balancer talks to which backend: the key of a [`Cell`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CellKey {
    /// Id of the cgroup (v2) of the connecting task.
    pub cgroup_id: u64,
    /// `comm` of the thread-group leader, padded with NUL; of every kernel thread [`KERNEL_COMMAND`].
    pub command: [u8; 16],
    /// The backend's address; an IPv4 address as v4-mapped, so that both ways to reach it are one backend.
    pub address: [u8; 16],
    /// Inode number of the network namespace.
    pub netns: u32,
    /// The backend's port, host byte order.
    pub port: u16,
    /// Always zero.
    pub reserved: u16,
}

/// A place in `CELLS`, and which of its successive owners is meant.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Index into `CELLS`.
    pub index: u32,
    /// [`Cell::generation`] of the owner.
    pub generation: u32,
}

/// Per-connection state in the socket's storage.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// [`transition::State`]: phase in the low byte, number of the attempt on this socket above. Only ever changed by
    /// compare-exchange or, for a new attempt, written last.
    pub state: u64,
    /// Cell this connection counts in.
    pub slot: Slot,
    /// `segs_out` that are in the cell already, widened to 64 bits. A sweep needs no more than what stands up to here of a
    /// connection on which nothing moved: it is to lie in one cache line.
    pub segments_sent: u64,
    /// `segs_in` that are in the cell already, widened.
    pub segments_received: u64,
    /// Smoothed round-trip time when a sweep last saw that something had moved, microseconds.
    pub rtt_us: u32,
    /// [`exchange::read_up_to`] at `sent_ns`.
    pub read_up_to: u32,
    /// `ktime` of the attempt, nanoseconds; 0 when it began before anybody watched.
    pub started_ns: u64,
    /// Payload bytes sent that are in the cell already.
    pub sent_bytes: u64,
    /// Payload bytes received that are in the cell already.
    pub received_bytes: u64,
    /// `total_retrans` that are in the cell already, widened.
    pub retransmits: u64,
    /// `ktime` when the balancer last sent and has read nothing since, nanoseconds; 0 when nothing is awaited.
    pub sent_ns: u64,
}

/// Present sockets of one cell, as the last sweep that visited it found them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Which sweep. Anything else than [`SweepEnd::session`] means that the last sweep found no socket of this cell.
    pub session: u64,
    /// Attempts without an outcome yet.
    pub pending: u32,
    /// ESTABLISHED or CLOSE_WAIT.
    pub live: u32,
    /// FIN_WAIT1, FIN_WAIT2, CLOSING, LAST_ACK.
    pub closing: u32,
    /// Always zero.
    pub reserved: u32,
    /// Sum of the smoothed round-trip times of the live connections, microseconds.
    pub rtt_sum_us: u64,
}

impl Stock {
    /// No socket.
    pub const EMPTY: Self = Self { session: 0, pending: 0, live: 0, closing: 0, reserved: 0, rtt_sum_us: 0 };
}

/// Every counter of one balancer and backend, cumulative.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Whose counters these are. All zero: unused, or the overflow cell.
    pub key: CellKey,
    /// How many owners this place has had.
    pub generation: u32,
    /// Process id (thread group) of the last attempt.
    pub last_pid: u32,
    /// Sockets that entered SYN_SENT, those without state of their own (`untracked`) included.
    pub attempts: u64,
    /// Attempts whose socket got no storage: what became of them is not known.
    pub untracked: u64,
    /// Attempts that were established.
    pub established: u64,
    /// Connections that were there before the tracer: neither attempts nor established.
    pub adopted: u64,
    /// Attempts that failed, by [`transition::Cause`].
    pub failed: [u64; transition::CAUSES],
    /// Established and adopted connections that ended.
    pub closed: u64,
    /// Closed by an RST from the backend.
    pub resets: u64,
    /// Closed by an RST from the backend before it had sent a byte.
    pub resets_without_data: u64,
    /// Closed with no payload either way, and not by an RST from the backend; not adopted ones.
    pub probes: u64,
    /// Payload bytes to the backend, each counted once however often it was sent.
    pub sent_bytes: u64,
    /// Payload bytes from the backend.
    pub received_bytes: u64,
    /// Segments sent, of all kinds.
    pub segments_sent: u64,
    /// Segments received, of all kinds.
    pub segments_received: u64,
    /// Segments sent again after the connection was established.
    pub retransmits: u64,
    /// SYNs sent again.
    pub syn_retransmits: u64,
    /// Transitions that no program saw and that a sweep or a later event made up for.
    pub repaired: u64,
    /// Requests with their response, since they are measured.
    pub exchanges: u64,
    /// SYN_SENT to ESTABLISHED, in [`histogram`] buckets.
    pub connect_time: [u64; BUCKETS],
    /// Age of cancelled attempts, in [`histogram`] buckets.
    pub cancelled_age: [u64; BUCKETS],
    /// From the last send before a response to the first read of it, in [`histogram`] buckets.
    pub response_time: [u64; BUCKETS],
    /// From the attempt to the end of established connections, in [`histogram`] buckets. Those left out: adopted ones,
    /// whose beginning nobody saw; those whose end only a sweep or the socket's next attempt made up for; and `probes`,
    /// which were not opened to be held.
    pub lifetime: [u64; BUCKETS],
    /// Present sockets.
    pub stock: Stock,
}

impl Cell {
    /// Nobody's, nothing counted.
    pub const EMPTY: Self = Self {
        key: CellKey { cgroup_id: 0, command: [0; 16], address: [0; 16], netns: 0, port: 0, reserved: 0 },
        generation: 0,
        last_pid: 0,
        attempts: 0,
        untracked: 0,
        established: 0,
        adopted: 0,
        failed: [0; transition::CAUSES],
        closed: 0,
        resets: 0,
        resets_without_data: 0,
        probes: 0,
        sent_bytes: 0,
        received_bytes: 0,
        segments_sent: 0,
        segments_received: 0,
        retransmits: 0,
        syn_retransmits: 0,
        repaired: 0,
        exchanges: 0,
        connect_time: [0; BUCKETS],
        cancelled_age: [0; BUCKETS],
        response_time: [0; BUCKETS],
        lifetime: [0; BUCKETS],
        stock: Stock::EMPTY,
    };

    /// Adds what another one has counted.
    pub fn add_counters(&mut self, more: &Self) {
        macro_rules! add {
            ($($counter:ident)*; $($array:ident)*) => {
                $(self.$counter = self.$counter.wrapping_add(more.$counter);)*
                $(for (sum, more) in self.$array.iter_mut().zip(&more.$array) {
                    *sum = sum.wrapping_add(*more);
                })*
            };
        }
        add!(
            attempts untracked established adopted closed resets resets_without_data probes sent_bytes received_bytes
            segments_sent segments_received retransmits syn_retransmits repaired exchanges;
            failed connect_time cancelled_age response_time lifetime
        );
    }
}

/// What could not be counted where it belongs, cumulative over all cells.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uncounted {
    /// Attempts counted in the overflow cell because every cell was taken.
    pub no_cell: u64,
    /// Connections whose socket got no storage (memory limit of the cgroup, or of socket options).
    pub no_storage: u64,
    /// Connections whose socket got no storage since [`MAX_CONNECTIONS`] had some.
    pub over_limit: u64,
    /// Events of connections whose cell had been given to another backend.
    pub stale_cell: u64,
    /// Connections from before the tracer of which is not known who opened them: this host or its peer.
    pub undecided: u64,
}

impl Uncounted {
    /// Of both together.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self {
            no_cell: self.no_cell.wrapping_add(more.no_cell),
            no_storage: self.no_storage.wrapping_add(more.no_storage),
            over_limit: self.over_limit.wrapping_add(more.over_limit),
            stale_cell: self.stale_cell.wrapping_add(more.stale_cell),
            undecided: self.undecided.wrapping_add(more.undecided),
        }
    }
}

/// Written by a sweep when it has seen every socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepEnd {
    /// Session of the last sweep that reached its end.
    pub session: u64,
    /// Session of the sweep that `visited` belongs to.
    pub counting: u64,
    /// Sockets with a [`Connection`] that it has visited, those whose connection is over included.
    pub visited: u64,
    /// Sockets that [`OWNED`](programs::OWNED) has visited, since userspace last wrote zero here.
    pub owned: u64,
}

/// How many sockets have a [`Connection`], and how many places were given out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Counted up when a socket gets one and down when the socket is destroyed; each sweep that reaches its end sets it
    /// right, since an event may be hidden. As `i64`: it may be below zero for a moment.
    pub sockets: u64,
    /// How often a place was taken. They are given out in the order of their indices, and what comes back goes to the end:
    /// no place beyond this number has ever been in use, and nobody need look there.
    pub places: u64,
}

/// A port that somebody listens on without a queue; see [`adoption`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Host byte order.
    pub port: u16,
    /// Always zero.
    pub reserved: u16,
}

/// Listeners without a queue that are remembered; the children of others are told by their ports.
pub const MAX_LISTENERS: u32 = 1_024;

/// The context of the [`SWEEP`](programs::SWEEP) program, `struct bpf_iter__bpf_sk_storage_map`. The verifier wants
/// literal offsets into a context, so they stand here, and userspace compares them with the running kernel's BTF.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SweepContext {
    /// `struct bpf_iter_meta *`
    pub meta: u64,
    /// `struct bpf_map *`
    pub map: u64,
    /// `struct sock *`; 0 when every socket has been visited.
    pub sk: u64,
    /// The socket's [`Connection`].
    pub value: u64,
}

/// The context of [`LISTENERS`](programs::LISTENERS) and [`ADOPT`](programs::ADOPT), `struct bpf_iter__task_file`; see
/// [`SweepContext`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TaskFileContext {
    /// `struct bpf_iter_meta *`
    pub meta: u64,
    /// `struct task_struct *`; 0 when every file has been visited.
    pub task: u64,
    /// Descriptor, in the low half.
    pub descriptor: u64,
    /// `struct file *`
    pub file: u64,
}

/// `true` when there is no byte of padding: the fields' sizes add up to the struct's.
macro_rules! no_padding {
    ($type:ty, $($size:expr),+) => {
        assert!(size_of::<$type>() == 0 $(+ $size)+, concat!(stringify!($type), " has padding"));
    };
}

const HISTOGRAM_BYTES: usize = 8 * BUCKETS;

const _: () = {
    no_padding!(CellKey, 8, 16, 16, 4, 2, 2);
    no_padding!(Slot, 4, 4);
    no_padding!(Connection, 8, 8, 8, 8, 4, 4, 8, 8, 8, 8, 8);
    no_padding!(Stock, 8, 4, 4, 4, 4, 8);
    no_padding!(Cell, 48, 4, 4, 8 * 16, 8 * transition::CAUSES, 4 * HISTOGRAM_BYTES, 32);
    no_padding!(Uncounted, 8, 8, 8, 8, 8);
    no_padding!(SweepEnd, 8, 8, 8, 8);
    no_padding!(Tracked, 8, 8);
    no_padding!(Handover, 8, 8, 8, 8, 8, 40, 4 * maps::KEPT.len().next_multiple_of(2));
    no_padding!(Listener, 4, 2, 2);
    no_padding!(TaskFileContext, 8, 8, 8, 8);
    no_padding!(SweepContext, 8, 8, 8, 8);
    assert!(size_of::<Connection>() == 80);
    assert!(size_of::<CellKey>() == 48);
    assert!(offset_of!(Cell, generation) == 48);
    assert!(offset_of!(Cell, attempts) == 56);
    assert!(offset_of!(Cell, failed) == 88);
    assert!(offset_of!(Cell, connect_time) == 232);
    assert!(offset_of!(Cell, stock) == size_of::<Cell>() - 32);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_added() {
        let (first, last) = (offset_of!(Cell, attempts) / 8, offset_of!(Cell, stock) / 8);
        let mut words = [0_u64; size_of::<Cell>() / 8];
        words[first..last].fill(3);
        // SAFETY: a cell is made of integers without padding, as many bytes.
        let cell: Cell = unsafe { core::mem::transmute(words) };
        let mut sum = cell;
        sum.add_counters(&cell);
        // SAFETY: as above.
        let sum: [u64; size_of::<Cell>() / 8] = unsafe { core::mem::transmute(sum) };
        assert!(sum[first..last].iter().all(|&count| count == 6), "{sum:?}");
    }

    /// A fingerprint of the layout. When this fails, the layout changed: raise [`ABI_VERSION`], then take the new value.
    #[test]
    fn abi_version_is_tied_to_the_layout() {
        let layout = format!(
            "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
            size_of::<CellKey>(),
            size_of::<Slot>(),
            size_of::<Connection>(),
            offset_of!(Connection, rtt_us),
            offset_of!(Connection, retransmits),
            offset_of!(Connection, sent_ns),
            size_of::<Cell>(),
            offset_of!(Cell, repaired),
            offset_of!(Cell, cancelled_age),
            offset_of!(Cell, response_time),
            offset_of!(Cell, lifetime),
            size_of::<Uncounted>(),
            size_of::<SweepEnd>(),
            size_of::<Tracked>(),
            size_of::<Handover>(),
            offset_of!(Handover, told),
            size_of::<Listener>(),
            BUCKETS,
            transition::CAUSES,
        );
        assert_eq!(
            (ABI_VERSION, layout.as_str()),
            (7, "48 8 80 32 64 72 3016 216 920 1608 2296 40 32 16 128 40 8 86 6")
        );
    }
}
