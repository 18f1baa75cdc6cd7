//! The calls of bpf(2) that the bench makes itself: the smallest program there is, and the switch for run times.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use nix::libc;

// linux/bpf.h: enum bpf_cmd, bpf_prog_type, bpf_attach_type, bpf_stats_type.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_ENABLE_STATS: libc::c_long = 32;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_RAW_TP: u32 = 23;
const BPF_STATS_RUN_TIME: u32 = 0;

/// `w0 = 0; exit`: byte for byte what rustc and bpf-linker make of an aya program that returns 0, compiled as tracer's
/// object is; the verifier takes nothing less.
const EMPTY: [[u8; 8]; 2] = [[0xb4, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
const LICENSE: &[u8; 4] = b"GPL\0";

/// `union bpf_attr` of `BPF_PROG_LOAD`, up to the last field that is used.
#[repr(C)]
#[derive(Default)]
struct ProgramLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
    btf: u32,
    function_record_size: u32,
    function_records: u64,
    function_count: u32,
    line_record_size: u32,
    line_records: u64,
    line_count: u32,
    attach_btf_id: u32,
}

/// `union bpf_attr` of `BPF_RAW_TRACEPOINT_OPEN`. A program of type tracing names its hook itself.
#[repr(C)]
struct TracepointOpen {
    name: u64,
    program: RawFd,
    reserved: u32,
}

/// `union bpf_attr` of `BPF_ENABLE_STATS`.
#[repr(C)]
struct EnableStats {
    kind: u32,
}

/// Loads a program that does nothing, for the tracepoint whose type in the kernel's BTF has this number. Of `name`, 15
/// bytes are used.
///
/// # Errors
/// What bpf(2) answers.
pub(super) fn load_empty(name: &str, tracepoint: u32) -> io::Result<OwnedFd> {
    let mut attributes = ProgramLoad {
        program_type: BPF_PROG_TYPE_TRACING,
        instruction_count: u32::try_from(EMPTY.len()).map_err(io::Error::other)?,
        instructions: EMPTY.as_ptr().addr() as u64,
        license: LICENSE.as_ptr().addr() as u64,
        attach_type: BPF_TRACE_RAW_TP,
        attach_btf_id: tracepoint,
        ..ProgramLoad::default()
    };
    // The last byte stays 0.
    for (to, from) in attributes.name[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the attributes are of the command's layout; instructions and licence are static.
    unsafe { call(BPF_PROG_LOAD, &attributes) }
}

/// Attaches such a program, as long as the answer is kept.
///
/// # Errors
/// What bpf(2) answers.
pub(super) fn attach(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let attributes = TracepointOpen { name: 0, program: program.as_raw_fd(), reserved: 0 };
    // SAFETY: the attributes are of the command's layout.
    unsafe { call(BPF_RAW_TRACEPOINT_OPEN, &attributes) }
}

/// Has the kernel measure how long programs run, as long as the answer is kept: however this process ends, it is as
/// before then. That costs on every run, so throughput is measured without.
///
/// # Errors
/// What bpf(2) answers.
pub(in crate::bench) fn measure_run_times() -> io::Result<OwnedFd> {
    // SAFETY: the attributes are of the command's layout.
    unsafe { call(BPF_ENABLE_STATS, &EnableStats { kind: BPF_STATS_RUN_TIME }) }
}

/// bpf(2) for a command that answers a file descriptor.
///
/// # Safety
/// `T` is `repr(C)` without padding, and what `command` expects; addresses in it stay valid during the call.
pub(in crate::bench) unsafe fn call<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: as this function demands; the kernel reads `size_of::<T>()` bytes.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = RawFd::try_from(answer).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
