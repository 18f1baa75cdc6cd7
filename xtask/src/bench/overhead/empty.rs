//! A program that does nothing, on the hooks that tracer attaches to: what the hooks cost by themselves.
//!
//! It is assembled by hand and loaded without aya: compiled, it is the same two instructions, and this way nothing has to
//! be built that is never shipped.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use super::bpf;
use crate::{command::capture, machine::Machine};

/// A program, and the tracepoint that it is attached to.
pub(super) struct Hook {
    pub(super) name: &'static str,
    tracepoint: &'static str,
}

/// The first program on the hook that every way of following connections needs.
pub(super) const FIRST: &str = "empty_lifecycle";

/// What `tracer watch` attaches with defaults, in its order; sweep and adoption are iterators, which no connection runs.
pub(super) const HOOKS: &[Hook] = &[
    Hook { name: FIRST, tracepoint: "inet_sock_set_state" },
    Hook { name: "empty_relief", tracepoint: "inet_sock_set_state" },
    Hook { name: "empty_destroy", tracepoint: "tcp_destroy_sock" },
];

/// And what it attaches to measure exchanges.
pub(super) const HOOKS_OF_EXCHANGES: &[Hook] = &[
    Hook { name: "empty_receive", tracepoint: "tcp_rcv_space_adjust" },
    Hook { name: "empty_send", tracepoint: "sock_send_length" },
];

/// Programs that are attached; gone when dropped, or with this process.
pub(super) struct Empty {
    _programs: Vec<OwnedFd>,
    _links: Vec<OwnedFd>,
}

impl Empty {
    pub(super) fn attach<'a>(types: &Types, hooks: impl IntoIterator<Item = &'a Hook>) -> Result<Self> {
        let (mut programs, mut links) = (Vec::new(), Vec::new());
        for hook in hooks {
            let id = types.of(hook.tracepoint)?;
            let program =
                bpf::load_empty(hook.name, id).with_context(|| format!("cannot load {}", hook.name))?;
            let link = bpf::attach(program.as_fd())
                .with_context(|| format!("cannot attach {} to {}", hook.name, hook.tracepoint))?;
            programs.push(program);
            links.push(link);
        }
        Ok(Self { _programs: programs, _links: links })
    }
}

/// The types of the kernel, as bpftool lists them.
pub(super) struct Types(String);

impl Types {
    pub(super) fn of_this_kernel(machine: &Machine) -> Result<Self> {
        let mut bpftool = machine.command("bpftool");
        capture(bpftool.args(["btf", "dump", "file", "/sys/kernel/btf/vmlinux"])).map(Self)
    }

    /// The number of a tracepoint's type.
    fn of(&self, tracepoint: &str) -> Result<u32> {
        let typedef = format!("] TYPEDEF 'btf_trace_{tracepoint}' ");
        let line = self.0.lines().find_map(|line| line.split_once(&typedef));
        line.and_then(|(number, _)| number.strip_prefix('[')?.parse().ok())
            .with_context(|| format!("this kernel has no tracepoint {tracepoint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_tracepoint_is_that_of_its_type() {
        let types = Types(
            "[38236] FUNC_PROTO '(anon)' ret_type_id=0 vlen=4\n\
             \t'__data' type_id=93\n\
             [38237] TYPEDEF 'btf_trace_inet_sock_set_state' type_id=38238\n\
             [38300] TYPEDEF 'btf_trace_tcp_destroy_sock' type_id=38297\n"
                .to_owned(),
        );
        assert_eq!(types.of("inet_sock_set_state").unwrap(), 38237);
        assert_eq!(types.of("tcp_destroy_sock").unwrap(), 38300);
        let missing = types.of("sock_send_length").unwrap_err().to_string();
        assert_eq!(missing, "this kernel has no tracepoint sock_send_length");
    }
}
