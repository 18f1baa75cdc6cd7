//! Multipath TCP.

use super::Outcome;
use nix::errno::Errno;
use nix::sys::socket::SockaddrStorage;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// `SOL_MPTCP` and `MPTCP_INFO` of linux/mptcp.h, which libc does not have.
const SOL_MPTCP: libc::c_int = 284;
const MPTCP_INFO: libc::c_int = 1;
const DEADLINE: Duration = Duration::from_secs(5);

/// Sends ten bytes, waits until there are so many subflows besides the first, sends ten more, and waits for the other
/// side to be done.
pub(super) fn exchange(subflows: u8, to: SocketAddr) -> Outcome {
    // SAFETY: a system call without pointers.
    let number = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP) };
    // SAFETY: the descriptor is new, and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(Errno::result(number)?) };
    nix::sys::socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(to))?;
    let mut stream = TcpStream::from(fd);
    stream.write_all(b"0123456789").unwrap();
    let start = Instant::now();
    while additional_subflows(&stream)? < subflows {
        assert!(start.elapsed() < DEADLINE, "no {subflows} further subflows within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    super::finish(stream)
}

/// `mptcpi_subflows`, the first byte of `struct mptcp_info`.
fn additional_subflows(stream: &TcpStream) -> nix::Result<u8> {
    let (mut info, mut length) = ([0_u8; 128], 128);
    // SAFETY: the kernel writes at most `length` bytes to `info`, which has as many.
    let result = unsafe {
        libc::getsockopt(stream.as_raw_fd(), SOL_MPTCP, MPTCP_INFO, info.as_mut_ptr().cast(), &raw mut length)
    };
    Errno::result(result)?;
    Ok(info[0])
}
