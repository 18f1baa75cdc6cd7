//! What a socket that was there before the tracer counts as: decisions on values that were read, without the kernel.

use crate::transition::tcp;

/// What a socket from before counts as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// Not a connection, or one that somebody else opened to this host.
    Nothing,
    /// One attempt: it is connecting at this moment.
    Attempt,
    /// An adopted connection.
    Connection,
    /// A connection of which is not known who opened it.
    Undecided,
}

/// Lower end of the range from which Linux by default takes ports for those who ask for none.
const EPHEMERAL: u16 = 32_768;

/// Decides what a socket counts as, in TCP state `state`.
///
/// Who opened it: a socket that `accept(2)` gave is a copy of the listening one, the length of its queue
/// (`sk_max_ack_backlog`) included, which is zero in a socket that never listened. Only `listen(fd, 0)` leaves a zero in
/// its children; such ports are listed before (`queueless`). When that listener is gone by now, only the ports are left
/// to judge by: an unusual one here and a usual one there look like a client that came in.
#[inline(always)]
#[must_use]
pub const fn on_adopt(state: u32, backlog: u32, queueless: bool, local_port: u16, remote_port: u16) -> Found {
    let connected = match state {
        tcp::SYN_SENT => return Found::Attempt,
        tcp::SYN_RECV => false,
        // ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING
        1 | 4 | 5 | 8 | 9 | 11 => true,
        _ => return Found::Nothing,
    };
    if backlog != 0 || queueless {
        Found::Nothing
    } else if !connected {
        Found::Attempt
    } else if local_port < EPHEMERAL && remote_port >= EPHEMERAL {
        Found::Undecided
    } else {
        Found::Connection
    }
}

/// Whether a listening socket's children must be told by their port.
#[inline(always)]
#[must_use]
pub const fn is_queueless_listener(state: u32, backlog: u32) -> bool {
    state == tcp::LISTEN && backlog == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSE_WAIT: u32 = tcp::CLOSE_WAIT;
    const FIN_WAIT2: u32 = 5;
    const TIME_WAIT: u32 = 6;

    #[test]
    fn what_this_host_opened_is_adopted() {
        for state in [tcp::ESTABLISHED, CLOSE_WAIT, FIN_WAIT2] {
            assert_eq!(on_adopt(state, 0, false, 40_000, 8080), Found::Connection);
        }
        assert_eq!(on_adopt(tcp::ESTABLISHED, 0, false, 1024, 8080), Found::Connection, "source port chosen");
        assert_eq!(on_adopt(tcp::ESTABLISHED, 0, false, 40_000, 50_000), Found::Connection);
    }

    #[test]
    fn what_was_accepted_is_not() {
        assert_eq!(on_adopt(tcp::ESTABLISHED, 128, false, 8080, 40_000), Found::Nothing);
        assert_eq!(on_adopt(tcp::ESTABLISHED, 128, false, 50_000, 40_000), Found::Nothing, "listener gone");
        assert_eq!(on_adopt(tcp::ESTABLISHED, 0, true, 8080, 40_000), Found::Nothing, "listen(fd, 0)");
        assert_eq!(on_adopt(tcp::SYN_RECV, 128, false, 8080, 40_000), Found::Nothing, "TCP Fast Open");
    }

    #[test]
    fn what_is_connecting_is_one_attempt() {
        assert_eq!(on_adopt(tcp::SYN_SENT, 0, false, 40_000, 8080), Found::Attempt);
        assert_eq!(on_adopt(tcp::SYN_RECV, 0, false, 40_000, 8080), Found::Attempt, "simultaneous open");
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        assert_eq!(on_adopt(tcp::ESTABLISHED, 0, false, 8080, 40_000), Found::Undecided);
    }

    #[test]
    fn what_is_no_connection_is_nothing() {
        for state in [tcp::CLOSE, tcp::LISTEN, TIME_WAIT, 0, 12, 99] {
            assert_eq!(on_adopt(state, 0, false, 40_000, 8080), Found::Nothing);
        }
        assert!(is_queueless_listener(tcp::LISTEN, 0));
        assert!(!is_queueless_listener(tcp::LISTEN, 1));
        assert!(!is_queueless_listener(tcp::ESTABLISHED, 0));
    }
}
