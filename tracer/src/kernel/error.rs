//! Why this host cannot be traced. Every variant ends in exit code 4, but for pins that the user can do something about.

use super::pins::PinError;
use std::io;

/// Why this host cannot be traced.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Capabilities are missing.
    #[error(
        "missing {}: run tracer as root, or give it what it needs: setcap cap_bpf,cap_perfmon=ep /path/to/tracer",
        .0.join(" and ")
    )]
    Capabilities(Vec<&'static str>),
    /// The kernel describes no types.
    #[error(
        "cannot read {path}: {source}; tracer needs a kernel built with CONFIG_DEBUG_INFO_BTF, as distributions' kernels \
         since Linux 5.11 are"
    )]
    NoBtf {
        /// Where they are looked for.
        path: &'static str,
        /// What reading it says.
        source: io::Error,
    },
    /// The kernel's types cannot be read.
    #[error("the kernel's type information (BTF) is broken: {0}; reinstall the kernel package")]
    BrokenBtf(String),
    /// A field that nothing works without.
    #[error("this kernel has no {}, without which nothing can be counted; Linux 6.1 or newer has", .0.join(", "))]
    MissingFields(Vec<String>),
    /// The object's maps cannot be made.
    #[error("cannot create the counters in the kernel: {}{}", .0, counters_hint(.0))]
    Maps(String),
    /// The cgroup of this process allows too little memory.
    #[error(
        "the memory limit of this process's cgroup, {} MiB, is too low: raise it (MemoryMax= of the unit) to {} MiB or \
         more, or lower --max-backends",
        .limit >> 20, .needed.div_ceil(1 << 20)
    )]
    MemoryLimit {
        /// The limit, bytes.
        limit: u64,
        /// The least that would do, bytes.
        needed: u64,
    },
    /// A required program does not load or attach.
    #[error("the kernel refuses the program `{program}`: {reason}{}", hint(.reason))]
    Program {
        /// Name of the program.
        program: &'static str,
        /// What the kernel says.
        reason: String,
    },
    /// Nothing can be pinned, or what is cannot be used.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// The object and this code do not belong together.
    #[error("the eBPF object has no {0}: this build is broken")]
    Object(&'static str),
}

/// What to do when the maps cannot be made.
fn counters_hint(reason: &str) -> &'static str {
    if is_forbidden(reason) {
        hint(reason)
    } else {
        "; if memory is short, lower --max-backends (`tracer doctor` says what they take)"
    }
}

fn is_forbidden(reason: &str) -> bool {
    reason.contains("Operation not permitted") || reason.contains("Permission denied")
}

/// What to do about a refusal, where it is known.
fn hint(reason: &str) -> &'static str {
    if is_forbidden(reason) {
        "; a security module, a container or the kernel's lockdown may forbid it: `tracer doctor` tells more"
    } else {
        "; tracer is tested on Linux 6.1 and newer, `tracer doctor` tells what this kernel supports"
    }
}
