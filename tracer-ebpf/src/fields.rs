//! Typed reads of kernel structures.
//!
//! The pointers are BTF pointers: the verifier knows their types, allows plain loads at offsets that it sees as
//! constants (`OFFSETS` is frozen before loading), and makes a load from a bad address read as zero. A field that the
//! running kernel lacks reads as zero, and the code that needs it is removed.

use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use core::mem::transmute;
use core::ptr::{from_ref, read_volatile};
use tracer_ebpf::{KERNEL_COMMAND, MISSING, Offsets};

/// Written by userspace before loading, then frozen.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::UNKNOWN;

/// A pointer to a kernel structure, as the verifier follows it.
#[derive(Clone, Copy)]
pub(crate) struct Kernel(*const u8);

/// Reads `$field` of [`OFFSETS`] as the verifier wants it: at each use, from the map.
macro_rules! offset {
    ($field:ident) => {
        // SAFETY: OFFSETS is a static; volatile keeps the compiler from using the value it has at compile time.
        unsafe { read_volatile(&raw const OFFSETS.$field) }
    };
}

macro_rules! field {
    ($(#[$doc:meta])* $name:ident: $type:ty) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name(self) -> $type {
            self.read(offset!($name))
        }
    };
}

impl Kernel {
    #[inline(always)]
    pub(crate) const fn new(address: u64) -> Self {
        Self(address as *const u8)
    }

    #[inline(always)]
    pub(crate) const fn as_ptr(self) -> *mut core::ffi::c_void {
        self.0.cast_mut().cast()
    }

    #[inline(always)]
    fn read<T: Copy + Default>(self, offset: u32) -> T {
        if offset == MISSING {
            return T::default();
        }
        // SAFETY: the verifier checks type and bounds of the load; a fault reads as zero.
        unsafe { read_volatile(self.0.add(offset as usize).cast()) }
    }

    #[inline(always)]
    fn pointer(self, offset: u32) -> Self {
        Self::new(self.read(offset))
    }

    field!(/// Of a socket.
        family: u16);
    field!(/// Of a socket: its TCP state as written.
        state: u8);
    field!(/// Of a socket: IPv4 address of the peer, network byte order.
        daddr: u32);
    field!(/// Of a socket.
        protocol: u16);
    field!(/// Of a socket: pending error, positive errno.
        err: u32);
    field!(/// Of a socket: what ICMP told of while a process held the socket, positive errno.
        err_soft: u32);
    field!(/// Of a TCP socket.
        bytes_sent: u64);
    field!(/// Of a TCP socket.
        bytes_retrans: u64);
    field!(/// Of a TCP socket.
        bytes_received: u64);
    field!(/// Of a TCP socket.
        segs_out: u32);
    field!(/// Of a TCP socket.
        segs_in: u32);
    field!(/// Of a TCP socket.
        total_retrans: u32);
    field!(/// Of a TCP socket: smoothed round-trip time, eighths of a microsecond.
        srtt_us: u32);
    field!(/// Of a TCP socket: sequence number up to which processes have read.
        copied_seq: u32);
    field!(/// Of a TCP socket: sequence number that is expected next.
        rcv_nxt: u32);
    field!(/// Of an iterator's meta: a number no other run of an iterator has.
        session_id: u64);

    field!(/// Of a socket: length of the accept queue that it was made to listen with, or inherited from who did.
        max_ack_backlog: u32);
    field!(/// Of a socket: local port, host byte order.
        num: u16);
    field!(/// Of a task: process id.
        tgid: u32);

    /// Of a `struct socket`: the socket proper.
    #[inline(always)]
    pub(crate) fn socket_sk(self) -> Self {
        self.pointer(offset!(socket_sk))
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Of a task: id of its cgroup (v2), as `bpf_get_current_cgroup_id` gives it of the current one.
    #[inline(always)]
    pub(crate) fn cgroup_id(self) -> u64 {
        let cgroup = self.pointer(offset!(cgroups)).pointer(offset!(dfl_cgrp));
        cgroup.pointer(offset!(kn)).read(offset!(kernfs_id))
    }

    /// Of a socket: port of the peer, host byte order.
    #[inline(always)]
    pub(crate) fn dport(self) -> u16 {
        u16::from_be(self.read(offset!(dport)))
    }

    /// Of a socket: IPv6 address of the peer, as two words in network byte order.
    #[inline(always)]
    pub(crate) fn v6_daddr(self) -> [u64; 2] {
        let offset = offset!(v6_daddr);
        [self.read(offset), self.read(offset.wrapping_add(8))]
    }

    /// Of a socket: inode number of its network namespace.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        self.pointer(offset!(net)).read(offset!(net_inum))
    }

    /// Of a socket: state of its `struct socket`, 0 when it has none any more.
    #[inline(always)]
    pub(crate) fn socket_state(self) -> u32 {
        let socket = self.pointer(offset!(socket));
        if socket.0.is_null() { 0 } else { socket.read(offset!(socket_state)) }
    }

    /// Of a socket: whether the peer's FIN was taken in.
    #[inline(always)]
    pub(crate) fn fin_taken_in(self) -> bool {
        let flags: u64 = self.read(offset!(flags));
        flags >> (offset!(sock_done) & 63) & 1 == 1
    }

    /// Of a socket: whether programs keep anything in it. Where the kernel does not tell, `true`.
    #[inline(always)]
    pub(crate) fn has_storage(self) -> bool {
        let offset = offset!(storage);
        offset == MISSING || !self.pointer(offset).is_null()
    }

    /// Of a socket: the same as a TCP socket; `None` when it is not one.
    #[inline(always)]
    pub(crate) fn tcp(self) -> Option<Self> {
        // SAFETY: the helper takes any socket pointer and answers null when it is no TCP socket.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.as_ptr()) };
        if tcp.is_null() { None } else { Some(Self(tcp.cast_const().cast())) }
    }

    /// Of a task: whether it is a kernel thread. Workers of io_uring and vhost are threads of their process, and none.
    #[inline(always)]
    fn is_kernel_thread(self) -> bool {
        // PF_KTHREAD of include/linux/sched.h, the same since 2.6.31; a macro, which BTF does not know.
        const PF_KTHREAD: u32 = 0x0020_0000;
        let flags: u32 = self.read(offset!(task_flags));
        flags & PF_KTHREAD != 0
    }

    /// Of a task: what it is counted under, the command of its thread-group leader or [`KERNEL_COMMAND`].
    #[inline(always)]
    pub(crate) fn command(self) -> [u8; 16] {
        if self.is_kernel_thread() {
            return KERNEL_COMMAND;
        }
        let leader = self.pointer(offset!(group_leader));
        let offset = offset!(comm);
        let words: [u64; 2] = [leader.read(offset), leader.read(offset.wrapping_add(8))];
        // SAFETY: two words are sixteen bytes.
        unsafe { transmute::<[u64; 2], [u8; 16]>(words) }
    }
}

/// A map as the helpers want it.
#[inline(always)]
pub(crate) fn map_pointer<T>(map: &'static T) -> *mut core::ffi::c_void {
    from_ref(map).cast_mut().cast()
}
