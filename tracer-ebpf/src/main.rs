//! The eBPF object: counts every TCP connection that the host opens, in the kernel, per balancer and backend.
//!
//! * `lifecycle`: two programs on `tp_btf/inet_sock_set_state`, `lifecycle` and `relief`, and `destroy` on
//!   `tp_btf/tcp_destroy_sock`.
//! * `sweep`: the program of `iter/bpf_sk_storage_map`, which visits every connection that is being counted.
//! * `adopt`: two programs on `iter/task_file`, `listeners` and `adopt`, for connections from before.
//! * `exchanges`: `send` on `tp_btf/sock_send_length`, or `send_entry` and `send_page` on the functions that send, and
//!   `receive` on `tp_btf/tcp_rcv_space_adjust`.
//! * `layouts`: who counts while agents of two layouts have programs attached, and `owned`, the program of
//!   `iter/bpf_sk_storage_map` that says whether the one before still has connections.
//! * `connections`: the state kept in sockets; `cells`: finding a connection's counters and adding to them; `maps`: the maps; `fields`: reading kernel
//!   structures at offsets that userspace found in the running kernel's BTF.
//!
//! Everything that can be decided without a kernel is in the library half and tested on the host.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        internal_features,
        reason = "the target has atomics only as intrinsics: it says atomic-cas = false"
    )
)]

#[cfg(target_arch = "bpf")]
mod adopt;
#[cfg(target_arch = "bpf")]
mod cells;
#[cfg(target_arch = "bpf")]
mod connections;
#[cfg(target_arch = "bpf")]
mod exchanges;
#[cfg(target_arch = "bpf")]
mod fields;
#[cfg(target_arch = "bpf")]
mod layouts;
#[cfg(target_arch = "bpf")]
mod lifecycle;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod sweep;

/// A line through aya-log in the debug build, nothing otherwise.
#[cfg(target_arch = "bpf")]
macro_rules! log {
    ($($line:tt)*) => {
        #[cfg(feature = "log")]
        ::aya_log_ebpf::debug!($($line)*);
    };
}
#[cfg(target_arch = "bpf")]
pub(crate) use log;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier refuses a program that could get here.
    loop {}
}

/// Some helpers (task and socket access) are for programs under a licence that is compatible with the GPL.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// On the host the object is empty, so that `cargo clippy --workspace` and an editor work.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
