//! The calls of bpf(2) that aya cannot make: an iterator over a given map, a run of it, how long a program has run, opening
//! a pin that may be anything, and an array that belongs to no object.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_TRACE_ITER: u32 = 28;

/// `union bpf_attr` of `BPF_LINK_CREATE`, as far as iterators use it.
#[repr(C)]
struct LinkCreate {
    program: RawFd,
    target: u32,
    attach_type: u32,
    flags: u32,
    /// Address of an [`IteratorTarget`].
    iter_info: u64,
    iter_info_length: u32,
    reserved: u32,
}

/// `union bpf_iter_link_info`, a map.
#[repr(C)]
struct IteratorTarget {
    map: RawFd,
}

/// `union bpf_attr` of `BPF_ITER_CREATE`.
#[repr(C)]
struct IteratorCreate {
    link: RawFd,
    flags: u32,
}

/// Links an iterator program to the map it goes over.
///
/// # Errors
/// What bpf(2) answers.
pub(super) fn link_iterator(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let target = IteratorTarget { map: map.as_raw_fd() };
    let length = u32::try_from(size_of::<IteratorTarget>()).map_err(io::Error::other)?;
    let attributes = LinkCreate {
        program: program.as_raw_fd(),
        target: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
        iter_info: (&raw const target).addr() as u64,
        iter_info_length: length,
        reserved: 0,
    };
    // SAFETY: the attributes are of the command's layout; `target` outlives the call.
    unsafe { call(BPF_LINK_CREATE, &attributes) }
}

/// Opens one run of a linked iterator.
///
/// # Errors
/// What bpf(2) answers.
pub(super) fn open_iterator(link: BorrowedFd<'_>) -> io::Result<File> {
    let attributes = IteratorCreate { link: link.as_raw_fd(), flags: 0 };
    // SAFETY: the attributes are of the command's layout.
    unsafe { call(BPF_ITER_CREATE, &attributes) }.map(File::from)
}

/// Runs an iterator whose program writes no output to its end.
///
/// # Errors
/// What reading it says.
pub(super) fn run_iterator(mut run: File) -> io::Result<()> {
    let mut nothing = [0; 64];
    loop {
        match run.read(&mut nothing) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // The kernel pauses a long run with EAGAIN, and interrupts one for a signal.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

/// `struct bpf_prog_info` up to what is wanted of it; the kernel fills as much as there is room for.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    before: [u64; 24],
    run_time_ns: u64,
    run_count: u64,
}

/// `union bpf_attr` of `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoByDescriptor {
    descriptor: RawFd,
    length: u32,
    /// Address of a [`ProgramInfo`].
    info: u64,
}

/// How long a program has run so far; `None` where no run was measured.
///
/// # Errors
/// What bpf(2) answers.
pub(super) fn run_time(program: BorrowedFd<'_>) -> io::Result<Option<Duration>> {
    let mut info = ProgramInfo::default();
    let attributes = InfoByDescriptor {
        descriptor: program.as_raw_fd(),
        length: u32::try_from(size_of::<ProgramInfo>()).map_err(io::Error::other)?,
        info: (&raw mut info).expose_provenance() as u64,
    };
    // SAFETY: the attributes are of the command's layout; the kernel writes `length` bytes at most to `info`, which
    // outlives the call and is of integers only. All lengths and addresses in it are 0: nothing else is written.
    let answer = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw const attributes, size_of_val(&attributes))
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((info.run_count > 0).then(|| Duration::from_nanos(info.run_time_ns)))
}

/// The time of `bpf_ktime_get_ns`.
pub(super) fn ktime() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// `union bpf_attr` of `BPF_MAP_CREATE`, as far as an array uses it.
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_F_MMAPABLE: u32 = 1 << 10;

/// Makes an array that can be mapped into memory.
///
/// # Errors
/// What bpf(2) answers.
pub(super) fn create_array(value_bytes: u32, elements: u32) -> io::Result<OwnedFd> {
    let attributes = MapCreate {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: value_bytes,
        max_entries: elements,
        map_flags: BPF_F_MMAPABLE,
    };
    // SAFETY: the attributes are of the command's layout.
    unsafe { call(BPF_MAP_CREATE, &attributes) }
}

/// Pins an object at a path.
///
/// # Errors
/// What bpf(2) answers.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = ObjectPin {
        path: path.as_ptr().expose_provenance() as u64,
        descriptor: object.as_raw_fd(),
        flags: 0,
    };
    // SAFETY: the attributes are of the command's layout; the path outlives the call, which answers no descriptor.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_PIN, &raw const attributes, size_of_val(&attributes)) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `union bpf_attr` of `BPF_OBJ_PIN`.
#[repr(C)]
struct ObjectPin {
    /// Address of a path that ends at NUL.
    path: u64,
    descriptor: RawFd,
    flags: u32,
}

/// `union bpf_attr` of `BPF_OBJ_GET`.
#[repr(C)]
struct ObjectGet {
    /// Address of a path that ends at NUL.
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// Opens what is pinned at a path, whatever it is.
///
/// # Errors
/// What bpf(2) answers.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = ObjectGet { path: path.as_ptr().expose_provenance() as u64, descriptor: 0, flags: 0 };
    // SAFETY: the attributes are of the command's layout; the path outlives the call.
    unsafe { call(BPF_OBJ_GET, &attributes) }
}

/// bpf(2) for a command that answers a file descriptor.
///
/// # Safety
/// `T` is `repr(C)` without padding, and what `command` expects; addresses in it stay valid during the call.
unsafe fn call<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: as this function demands; the kernel reads `size_of::<T>()` bytes.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = RawFd::try_from(answer).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
