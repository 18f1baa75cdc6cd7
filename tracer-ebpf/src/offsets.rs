//! Where the fields of the running kernel's structures lie.

/// An offset that the running kernel's BTF does not have.
pub const MISSING: u32 = u32::MAX;

macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Byte offsets of kernel structure fields, read from the running kernel's BTF by userspace before loading.
        /// The verifier sees them as constants; [`MISSING`] removes the code that needs the field.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets {
            $($(#[$doc])* pub $field: u32,)*
        }

        impl Offsets {
            /// Nothing known yet: what the object holds until userspace writes the real values.
            pub const UNKNOWN: Self = Self { $($field: MISSING,)* };
        }
    };
}

offsets! {
    /// `sock.__sk_common.skc_family`
    family,
    /// `sock.__sk_common.skc_state`
    state,
    /// `sock.__sk_common.skc_daddr`
    daddr,
    /// `sock.__sk_common.skc_v6_daddr`
    v6_daddr,
    /// `sock.__sk_common.skc_dport`
    dport,
    /// `sock.__sk_common.skc_net`
    net,
    /// `sock.__sk_common.skc_flags`
    flags,
    /// `sock.sk_protocol`
    protocol,
    /// `sock.sk_err`
    err,
    /// `sock.sk_err_soft`
    err_soft,
    /// `sock.sk_socket`
    socket,
    /// `sock.sk_bpf_storage`
    storage,
    /// `socket.state`
    socket_state,
    /// `net.ns.inum`
    net_inum,
    /// `tcp_sock.bytes_sent`
    bytes_sent,
    /// `tcp_sock.bytes_retrans`
    bytes_retrans,
    /// `tcp_sock.bytes_received`
    bytes_received,
    /// `tcp_sock.segs_out`
    segs_out,
    /// `tcp_sock.segs_in`
    segs_in,
    /// `tcp_sock.total_retrans`
    total_retrans,
    /// `tcp_sock.srtt_us`
    srtt_us,
    /// `tcp_sock.copied_seq`
    copied_seq,
    /// `tcp_sock.rcv_nxt`
    rcv_nxt,
    /// `socket.sk`
    socket_sk,
    /// `sock.sk_max_ack_backlog`
    max_ack_backlog,
    /// `sock.__sk_common.skc_num`
    num,
    /// `task_struct.tgid`
    tgid,
    /// `task_struct.cgroups`
    cgroups,
    /// `css_set.dfl_cgrp`
    dfl_cgrp,
    /// `cgroup.kn`
    kn,
    /// `kernfs_node.id`
    kernfs_id,
    /// `task_struct.group_leader`
    group_leader,
    /// `task_struct.comm`
    comm,
    /// `task_struct.flags`
    task_flags,
    /// `bpf_iter_meta.session_id`
    session_id,
    /// Value of `SOCK_DONE` in `enum sock_flags`: its bit in `flags` says that the peer's FIN was taken in
    sock_done,
}

impl Offsets {
    /// The offsets as the bytes of the read-only variable.
    #[must_use]
    pub fn as_words(&self) -> &[u32; size_of::<Self>() / 4] {
        // SAFETY: Offsets is repr(C) and made of u32 only, so it has the size, alignment and validity of the array.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_words_in_the_order_of_the_struct() {
        let mut offsets = Offsets::UNKNOWN;
        offsets.family = 16;
        offsets.sock_done = 1;
        let words = offsets.as_words();
        assert_eq!(words[0], 16);
        assert_eq!(words[words.len() - 1], 1);
        assert_eq!(words[1], MISSING);
    }
}
