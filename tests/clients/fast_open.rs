//! TCP Fast Open, in both of its forms.

use super::{Outcome, finish, new_socket};
use nix::errno::Errno;
use nix::sys::socket::{self, SockaddrLike as _, SockaddrStorage};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

const PAYLOAD: &[u8] = b"0123456789";

/// `MSG_FASTOPEN`: one call that connects and sends.
pub(super) fn in_one_call(to: SocketAddr) -> Outcome {
    let (fd, to) = (new_socket(), SockaddrStorage::from(to));
    // SAFETY: payload and address are as long as said.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            PAYLOAD.as_ptr().cast(),
            PAYLOAD.len(),
            libc::MSG_FASTOPEN,
            to.as_ptr(),
            to.len(),
        )
    };
    assert_eq!(usize::try_from(Errno::result(sent)?), Ok(PAYLOAD.len()));
    read_to_end(fd)
}

/// `TCP_FASTOPEN_CONNECT`: with a cookie `connect` sends nothing yet, the first `write` does.
pub(super) fn by_option(to: SocketAddr) -> Outcome {
    finish(deferred(to)?.into())
}

/// The same, closed before anything was written.
pub(super) fn unsent(to: SocketAddr) -> Outcome {
    deferred(to).map(drop)
}

fn deferred(to: SocketAddr) -> nix::Result<OwnedFd> {
    let (fd, on) = (new_socket(), 1);
    // SAFETY: the value is as long as said.
    let set = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN_CONNECT,
            (&raw const on).cast(),
            size_of_val(&on).try_into().unwrap(),
        )
    };
    Errno::result(set)?;
    super::connect(&fd, to)?;
    Ok(fd)
}

fn read_to_end(fd: OwnedFd) -> Outcome {
    socket::shutdown(fd.as_raw_fd(), socket::Shutdown::Write)?;
    while nix::unistd::read(&fd, &mut [0; 64])? > 0 {}
    Ok(())
}
