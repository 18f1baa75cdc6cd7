//! Connects by io_uring.

use super::{Outcome, finish, new_socket};
use io_uring::squeue::Flags;
use io_uring::{IoUring, opcode, types};
use nix::errno::Errno;
use nix::sys::socket::{SockaddrLike as _, SockaddrStorage};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

/// Milliseconds that the kernel's polling thread goes on without work.
const IDLE: u32 = 50;

/// Who in the kernel calls `connect`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The process, in its own system call.
    Process,
    /// A worker thread of the process.
    Worker,
    /// The thread that polls the queue.
    Poller,
}

/// Whether this host lets a process have a ring at all.
pub(super) fn available(by: By) -> Outcome {
    ring(by).map(drop)
}

fn ring(by: By) -> nix::Result<IoUring> {
    let mut builder = IoUring::builder();
    if by == By::Poller {
        builder.setup_sqpoll(IDLE);
    }
    builder.build(8).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap()))
}

/// Connects, then goes on as any other connection.
pub(super) fn exchange(by: By, to: SocketAddr) -> Outcome {
    let (mut ring, fd, to) = (ring(by)?, new_socket(), SockaddrStorage::from(to));
    let flags = if by == By::Worker { Flags::ASYNC } else { Flags::empty() };
    let connect = opcode::Connect::new(types::Fd(fd.as_raw_fd()), to.as_ptr(), to.len()).build().flags(flags);
    // SAFETY: socket and address live until the completion, which is waited for.
    unsafe { ring.submission().push(&connect) }.unwrap();
    ring.submit_and_wait(1).unwrap();
    let done = ring.completion().next().unwrap();
    if done.result() < 0 {
        return Err(Errno::from_raw(-done.result()));
    }
    finish(fd.into())
}
