//! Which kernel fields the programs read, and what is lost without each.

use super::btf::Btf;
use std::mem::offset_of;
use tracer_ebpf::{MISSING, Offsets, SweepContext, TaskFileContext};

/// What a field is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    /// Without it something would be counted wrongly: nothing is counted then. Every kernel tracer is tested on has it.
    Required,
    /// This is lost without it.
    For(&'static str),
}
use Need::{For, Required};

/// Direction and owner of a connection are decided wrongly without any of these.
pub(super) const ADOPTION: Need = For("connections from before the tracer");

/// Nothing could be told from a read.
pub(super) const EXCHANGES: Need = For("exchanges and response times");

/// A field of a kernel structure and its place in [`Offsets`].
struct Field {
    structure: &'static str,
    path: &'static str,
    place: fn(&mut Offsets) -> &mut u32,
    need: Need,
}

const fn field(
    structure: &'static str,
    path: &'static str,
    place: fn(&mut Offsets) -> &mut u32,
    need: Need,
) -> Field {
    Field { structure, path, place, need }
}

const FIELDS: &[Field] = &[
    field("sock", "__sk_common.skc_family", |o| &mut o.family, Required),
    field("sock", "__sk_common.skc_state", |o| &mut o.state, Required),
    field("sock", "__sk_common.skc_daddr", |o| &mut o.daddr, Required),
    field("sock", "__sk_common.skc_dport", |o| &mut o.dport, Required),
    field("sock", "__sk_common.skc_v6_daddr", |o| &mut o.v6_daddr, For("IPv6 backends")),
    field("sock", "__sk_common.skc_net.net", |o| &mut o.net, Required),
    field("net", "ns.inum", |o| &mut o.net_inum, Required),
    field("sock", "sk_protocol", |o| &mut o.protocol, Required),
    field("task_struct", "group_leader", |o| &mut o.group_leader, Required),
    field("task_struct", "comm", |o| &mut o.comm, Required),
    field("task_struct", "flags", |o| &mut o.task_flags, For("one name for what kernel threads connect")),
    field("sock", "sk_err", |o| &mut o.err, Required),
    field("sock", "sk_err_soft", |o| &mut o.err_soft, For("unreachable hosts while a process waits")),
    field("sock", "sk_socket", |o| &mut o.socket, Required),
    field("sock", "sk_bpf_storage", |o| &mut o.storage, For("a cheap look at sockets without an entry")),
    field("socket", "state", |o| &mut o.socket_state, Required),
    field("sock", "__sk_common.skc_flags", |o| &mut o.flags, Required),
    field("tcp_sock", "bytes_sent", |o| &mut o.bytes_sent, Required),
    field("tcp_sock", "bytes_retrans", |o| &mut o.bytes_retrans, Required),
    field("tcp_sock", "bytes_received", |o| &mut o.bytes_received, Required),
    field("tcp_sock", "segs_out", |o| &mut o.segs_out, For("segments sent")),
    field("tcp_sock", "segs_in", |o| &mut o.segs_in, For("segments received")),
    field("tcp_sock", "total_retrans", |o| &mut o.total_retrans, Required),
    field("tcp_sock", "srtt_us", |o| &mut o.srtt_us, For("round-trip times")),
    field("tcp_sock", "copied_seq", |o| &mut o.copied_seq, EXCHANGES),
    field("tcp_sock", "rcv_nxt", |o| &mut o.rcv_nxt, EXCHANGES),
    field("socket", "sk", |o| &mut o.socket_sk, ADOPTION),
    field("sock", "sk_max_ack_backlog", |o| &mut o.max_ack_backlog, ADOPTION),
    field("sock", "__sk_common.skc_num", |o| &mut o.num, ADOPTION),
    field("task_struct", "tgid", |o| &mut o.tgid, ADOPTION),
    field("task_struct", "cgroups", |o| &mut o.cgroups, ADOPTION),
    field("css_set", "dfl_cgrp", |o| &mut o.dfl_cgrp, ADOPTION),
    field("cgroup", "kn", |o| &mut o.kn, ADOPTION),
    field("kernfs_node", "id", |o| &mut o.kernfs_id, ADOPTION),
    field("bpf_iter_meta", "session_id", |o| &mut o.session_id, For("the sweep: live connections")),
];

/// A field that the running kernel does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MissingField {
    /// `structure.path`.
    pub(super) name: String,
    /// What it is for.
    pub(super) need: Need,
}

/// Reads every offset from the kernel's BTF. What is missing is [`MISSING`] and listed.
#[must_use]
pub(super) fn read(btf: &Btf<'_>) -> (Offsets, Vec<MissingField>) {
    let mut offsets = Offsets::UNKNOWN;
    let mut missing = Vec::new();
    for field in FIELDS {
        let offset = btf.member_offset(field.structure, field.path);
        *(field.place)(&mut offsets) = offset.unwrap_or(MISSING);
        if offset.is_none() {
            missing
                .push(MissingField { name: format!("{}.{}", field.structure, field.path), need: field.need });
        }
    }
    match btf.enumerator("sock_flags", "SOCK_DONE") {
        Some(bit) => offsets.sock_done = bit,
        None => missing.push(MissingField { name: "sock_flags.SOCK_DONE".into(), need: Required }),
    }
    (offsets, missing)
}

/// Whether the context of the sweep lies as the object was compiled for.
#[must_use]
pub(super) fn sweep_context_fits(btf: &Btf<'_>) -> bool {
    let context = "bpf_iter__bpf_sk_storage_map";
    let at = |member: &str| btf.member_offset(context, member).map(|offset| offset as usize);
    at("meta") == Some(offset_of!(SweepContext, meta))
        && at("sk") == Some(offset_of!(SweepContext, sk))
        && at("value") == Some(offset_of!(SweepContext, value))
}

/// The same for the two programs of adoption.
#[must_use]
pub(super) fn task_file_context_fits(btf: &Btf<'_>) -> bool {
    let context = "bpf_iter__task_file";
    let at = |member: &str| btf.member_offset(context, member).map(|offset| offset as usize);
    at("task") == Some(offset_of!(TaskFileContext, task))
        && at("file") == Some(offset_of!(TaskFileContext, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_offsets_has_a_field() {
        let mut offsets = Offsets::UNKNOWN;
        for (index, field) in FIELDS.iter().enumerate() {
            let place = (field.place)(&mut offsets);
            assert_eq!(*place, MISSING, "{}.{} shares its place", field.structure, field.path);
            *place = u32::try_from(index).unwrap();
        }
        let unfilled = offsets.as_words().iter().filter(|&&word| word == MISSING).count();
        assert_eq!(unfilled, 1, "all but the enumerator");
    }

    #[test]
    fn the_running_kernel_has_every_field() {
        let data = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        let btf = Btf::parse(&data).unwrap();
        let (_, missing) = read(&btf);
        assert_eq!(missing, []);
        assert!(sweep_context_fits(&btf));
        assert!(task_file_context_fits(&btf));
    }
}
