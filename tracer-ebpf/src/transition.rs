//! What an event means for a connection: decisions on values that were read, without the kernel.
//!
//! They rest on the connection's own phase, not on the TCP state that the kernel says it came from. So everything
//! counts once: simultaneous open and self-connect (which reach ESTABLISHED by SYN_RECV), a socket that connects again
//! after a refusal, AF_UNSPEC and reconnect, an event that was missed, and one that two programs see.

/// TCP states, from `include/net/tcp_states.h`; part of the kernel's user API (`enum` in `linux/bpf.h`).
pub mod tcp {
    #![expect(missing_docs, reason = "the kernel's own names")]
    pub const ESTABLISHED: u32 = 1;
    pub const SYN_SENT: u32 = 2;
    pub const SYN_RECV: u32 = 3;
    pub const CLOSE: u32 = 7;
    pub const CLOSE_WAIT: u32 = 8;
    pub const LISTEN: u32 = 10;
}

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// No attempt yet: the storage is new.
    Idle,
    /// An attempt was counted, its outcome was not.
    Connecting,
    /// Counted as established, not as closed.
    Established,
    /// Counted to the end.
    Ended,
}

/// Phase and number of the attempt on this socket, as one word that can be compared and exchanged. The number keeps a
/// late exchange from hitting the socket's next connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State(pub u64);

impl State {
    /// The phase.
    #[inline(always)]
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self.0 & 0xff {
            1 => Phase::Connecting,
            2 => Phase::Established,
            3 => Phase::Ended,
            _ => Phase::Idle,
        }
    }

    /// The same attempt in another phase.
    #[inline(always)]
    #[must_use]
    pub const fn to(self, phase: Phase) -> Self {
        let bits = match phase {
            Phase::Idle => 0,
            Phase::Connecting => 1,
            Phase::Established => 2,
            Phase::Ended => 3,
        };
        Self(self.0 & !0xff | bits)
    }

    /// The next attempt on the same socket.
    #[inline(always)]
    #[must_use]
    pub const fn next_attempt(self) -> Self {
        Self(self.0.wrapping_add(0x100)).to(Phase::Connecting)
    }
}

/// Which of the two programs on the hook sees an event. The kernel skips a program that would interrupt itself on the
/// same CPU; of two, one is not running then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watch {
    /// Runs first.
    First,
    /// Runs second, and finds counted what the first one saw. So does the first one, too, while the programs of two
    /// agents are attached: another one may run before it.
    Relief,
}

/// What to do when a socket enters SYN_SENT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connect {
    /// A new attempt.
    Begin,
    /// A new attempt; how the last one on this socket ended was missed: count it as failed for another reason first.
    FailThenBegin,
    /// A new attempt; how the last one on this socket ended was missed: count it as closed first.
    CloseThenBegin,
    /// The first program counted it.
    AlreadyCounted,
}

/// Decides on CLOSE→SYN_SENT.
#[inline(always)]
#[must_use]
pub const fn on_connect(watch: Watch, phase: Phase) -> Connect {
    match (watch, phase) {
        (_, Phase::Idle | Phase::Ended) => Connect::Begin,
        (Watch::Relief, _) => Connect::AlreadyCounted,
        (Watch::First, Phase::Established) => Connect::CloseThenBegin,
        (Watch::First, Phase::Connecting) => Connect::FailThenBegin,
    }
}

/// What to do on any other change of state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing to count.
    Nothing,
    /// The attempt is established.
    Establish,
    /// The attempt failed.
    Fail,
    /// The connection is over.
    Close,
    /// The connection is over, and that it was established was missed.
    EstablishAndClose,
}

/// Decides on a change of state from `old` to `new` ([`tcp`] states).
#[inline(always)]
#[must_use]
pub const fn on_change(phase: Phase, old: u32, new: u32) -> Step {
    match phase {
        Phase::Connecting => match new {
            tcp::ESTABLISHED => Step::Establish,
            tcp::CLOSE if old == tcp::SYN_SENT || old == tcp::SYN_RECV => Step::Fail,
            tcp::CLOSE => Step::EstablishAndClose,
            _ => Step::Nothing,
        },
        Phase::Established if new == tcp::CLOSE => Step::Close,
        _ => Step::Nothing,
    }
}

/// Decides on the destruction of a socket: what no event has told by then was hidden. A socket that has measured a
/// round trip was established.
#[inline(always)]
#[must_use]
pub const fn on_destroy(phase: Phase, has_round_trip: bool) -> Step {
    match phase {
        Phase::Connecting if has_round_trip => Step::EstablishAndClose,
        Phase::Connecting => Step::Fail,
        Phase::Established => Step::Close,
        Phase::Idle | Phase::Ended => Step::Nothing,
    }
}

/// Where a sweep counts a socket, and what it has to make up for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// Not counted: before its first attempt, or over.
    Nothing,
    /// No outcome yet.
    Pending,
    /// Live.
    Live,
    /// Closing.
    Closing,
    /// That it was established was missed; it is live.
    MissedEstablishLive,
    /// That it was established was missed; it is closing.
    MissedEstablishClosing,
    /// That it failed was missed.
    MissedFailure,
    /// That it closed was missed.
    MissedClose,
}

/// A tracepoint fires before the socket's state is written, so for a moment storage says Connecting and the socket
/// still CLOSE. An attempt older than this whose socket is closed has ended unseen.
const SETTLED_NS: u64 = 100_000_000;

/// Decides what a sweep makes of a socket in TCP state `state`, `age_ns` after its attempt began.
#[inline(always)]
#[must_use]
pub const fn on_sweep(phase: Phase, state: u32, age_ns: u64) -> Found {
    let opening = state == tcp::SYN_SENT || state == tcp::SYN_RECV;
    let live = state == tcp::ESTABLISHED || state == tcp::CLOSE_WAIT;
    match phase {
        Phase::Idle | Phase::Ended => Found::Nothing,
        Phase::Connecting if opening => Found::Pending,
        Phase::Connecting if state == tcp::CLOSE && age_ns < SETTLED_NS => Found::Pending,
        Phase::Connecting if state == tcp::CLOSE => Found::MissedFailure,
        Phase::Connecting if live => Found::MissedEstablishLive,
        Phase::Connecting => Found::MissedEstablishClosing,
        Phase::Established if live || opening => Found::Live,
        Phase::Established if state == tcp::CLOSE => Found::MissedClose,
        Phase::Established => Found::Closing,
    }
}

/// Why an attempt failed. The discriminant is the index into [`Cell::failed`](crate::Cell::failed).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Cause {
    /// RST or ICMP port unreachable.
    Refused = 0,
    /// The kernel gave up sending SYNs.
    TimedOut = 1,
    /// ICMP host or network unreachable.
    Unreachable = 2,
    /// The balancer gave up first.
    Cancelled = 3,
    /// No local port was left.
    Local = 4,
    /// Anything else, and what was missed.
    Other = 5,
}

/// Number of [`Cause`]s.
pub const CAUSES: usize = 6;

/// `SS_UNCONNECTED` of `include/uapi/linux/net.h`: `connect(2)` has not returned yet.
const SS_UNCONNECTED: u32 = 1;

/// Why an attempt went from SYN_SENT to CLOSE, from what the socket says at that moment.
///
/// `sk_err` 0 means that no RST came and the kernel did not give up. Then ICMP may have told of an unreachable host
/// while a process held the socket, which leaves a trace in `sk_err_soft` only. Else either the application gave up, or
/// `connect(2)` itself found no local port or no free pair of addresses and ports; that happens inside the call, so the
/// `struct socket` is still unconnected. `socket_state` 0: the socket has no owner any more, so that its destruction makes
/// up for a failure that was hidden. What hides one is a softirq's lot (a process that gives up is seen): an error ended
/// the attempt, and the application has taken it since (`SO_ERROR`).
#[inline(always)]
#[must_use]
pub const fn cause(sk_err: u32, sk_err_soft: u32, socket_state: u32) -> Cause {
    let error = if sk_err == 0 { sk_err_soft } else { sk_err };
    // errno values of include/uapi/asm-generic/errno.h, the same on every architecture that eBPF in Rust builds for.
    match error {
        111 => Cause::Refused,  // ECONNREFUSED
        110 => Cause::TimedOut, // ETIMEDOUT
        // ENETUNREACH, EHOSTDOWN, EHOSTUNREACH; over IPv6 also EACCES (prohibited by an administrator or a policy);
        // ENONET: the host is isolated.
        101 | 112 | 113 | 13 | 64 => Cause::Unreachable,
        0 => match socket_state {
            0 => Cause::Other,
            SS_UNCONNECTED => Cause::Local,
            _ => Cause::Cancelled,
        },
        _ => Cause::Other,
    }
}

/// Whether an established connection that reaches CLOSE was ended by an RST from the peer: the kernel then sets
/// ECONNRESET, or EPIPE when the peer's FIN had come before. Its own RSTs (linger 0, unread data) set nothing before
/// the state changes, and what an earlier connection of the socket left was cleared when this one began.
#[inline(always)]
#[must_use]
pub const fn reset_by_peer(sk_err: u32) -> bool {
    sk_err == 104 || sk_err == 32
}

/// Payload bytes sent, each once: `bytes_sent` counts payload at every transmission.
#[inline(always)]
#[must_use]
pub const fn payload_sent(bytes_sent: u64, bytes_retrans: u64) -> u64 {
    bytes_sent.saturating_sub(bytes_retrans)
}

/// Payload bytes received: `bytes_received` counts the FIN as one.
#[inline(always)]
#[must_use]
pub const fn payload_received(bytes_received: u64, fin_taken_in: bool) -> u64 {
    bytes_received.saturating_sub(fin_taken_in as u64)
}

/// A 32-bit kernel counter that wraps, continued from its last value as 64 bits. A counter that seems to have gone back
/// by less than half its range was read late, by one who lost a race: it has not moved.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is compared")]
pub const fn widen(seen: u64, now: u32) -> u64 {
    let growth = now.wrapping_sub(seen as u32);
    if growth > u32::MAX / 2 { seen } else { seen.wrapping_add(growth as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Phase::*;

    const FIN_WAIT1: u32 = 4;
    const FIN_WAIT2: u32 = 5;
    const LAST_ACK: u32 = 9;

    /// Runs the state changes of one socket and counts (attempts, established, failed, closed).
    fn count(changes: &[(u32, u32)]) -> (u32, u32, u32, u32) {
        let mut state = State(0);
        let (mut attempts, mut established, mut failed, mut closed) = (0, 0, 0, 0);
        for &(old, new) in changes {
            if new == tcp::SYN_SENT {
                match on_connect(Watch::First, state.phase()) {
                    Connect::Begin => {}
                    Connect::FailThenBegin => failed += 1,
                    Connect::CloseThenBegin => closed += 1,
                    Connect::AlreadyCounted => continue,
                }
                attempts += 1;
                state = state.next_attempt();
                continue;
            }
            match on_change(state.phase(), old, new) {
                Step::Nothing => {}
                Step::Establish => {
                    established += 1;
                    state = state.to(Established);
                }
                Step::Fail => {
                    failed += 1;
                    state = state.to(Ended);
                }
                Step::Close => {
                    closed += 1;
                    state = state.to(Ended);
                }
                Step::EstablishAndClose => {
                    established += 1;
                    closed += 1;
                    state = state.to(Ended);
                }
            }
        }
        (attempts, established, failed, closed)
    }

    #[test]
    fn every_way_through_tcp_counts_once() {
        use tcp::*;
        let open = [(CLOSE, SYN_SENT), (SYN_SENT, ESTABLISHED)];
        let active = [(ESTABLISHED, FIN_WAIT1), (FIN_WAIT1, FIN_WAIT2), (FIN_WAIT2, CLOSE)];
        let passive = [(ESTABLISHED, CLOSE_WAIT), (CLOSE_WAIT, LAST_ACK), (LAST_ACK, CLOSE)];
        let refused = [(CLOSE, SYN_SENT), (SYN_SENT, CLOSE)];
        let crossed = [(CLOSE, SYN_SENT), (SYN_SENT, SYN_RECV), (SYN_RECV, ESTABLISHED)];
        assert_eq!(count(&[&open[..], &active].concat()), (1, 1, 0, 1), "active close");
        assert_eq!(count(&[&open[..], &passive].concat()), (1, 1, 0, 1), "passive close");
        assert_eq!(count(&[&open[..], &[(ESTABLISHED, CLOSE)]].concat()), (1, 1, 0, 1), "reset");
        assert_eq!(count(&crossed), (1, 1, 0, 0), "simultaneous open");
        assert_eq!(count(&[&refused[..], &refused, &open].concat()), (3, 1, 2, 0), "again after refusal");
        assert_eq!(count(&[&open[..], &[(ESTABLISHED, CLOSE)], &open].concat()), (2, 2, 0, 1), "AF_UNSPEC");
        assert_eq!(
            count(&[(CLOSE, SYN_SENT), (SYN_SENT, CLOSE), (CLOSE, CLOSE)]),
            (1, 0, 1, 0),
            "closed twice"
        );
    }

    #[test]
    fn what_was_missed_is_made_up_for() {
        use tcp::*;
        assert_eq!(count(&[(CLOSE, SYN_SENT), (LAST_ACK, CLOSE)]), (1, 1, 0, 1), "established missed");
        assert_eq!(count(&[(CLOSE, SYN_SENT), (CLOSE, SYN_SENT)]), (2, 0, 1, 0), "failure missed");
        let open = [(CLOSE, SYN_SENT), (SYN_SENT, ESTABLISHED)];
        assert_eq!(count(&[&open[..], &open].concat()), (2, 2, 0, 1), "close missed");
        assert_eq!(on_sweep(Connecting, ESTABLISHED, 0), Found::MissedEstablishLive);
        assert_eq!(on_sweep(Connecting, FIN_WAIT2, 0), Found::MissedEstablishClosing);
        assert_eq!(on_sweep(Connecting, CLOSE, SETTLED_NS), Found::MissedFailure);
        assert_eq!(on_sweep(Established, CLOSE, 0), Found::MissedClose);
    }

    #[test]
    fn a_destroyed_socket_is_counted_to_its_end() {
        assert_eq!(on_destroy(Connecting, false), Step::Fail);
        assert_eq!(on_destroy(Connecting, true), Step::EstablishAndClose);
        assert_eq!(on_destroy(Established, true), Step::Close);
        assert_eq!(on_destroy(Ended, true), Step::Nothing, "the usual case");
        assert_eq!(on_destroy(Idle, false), Step::Nothing);
    }

    #[test]
    fn a_sweep_during_an_event_repairs_nothing() {
        assert_eq!(on_sweep(Connecting, tcp::CLOSE, 0), Found::Pending, "state not written yet");
        assert_eq!(on_sweep(Established, tcp::SYN_SENT, 0), Found::Live, "state not written yet");
        assert_eq!(on_sweep(Ended, tcp::ESTABLISHED, 0), Found::Nothing, "state not written yet");
        assert_eq!(on_sweep(Idle, tcp::CLOSE, u64::MAX), Found::Nothing);
    }

    #[test]
    fn the_second_program_counts_only_what_the_first_did_not_see() {
        let state = State(0).next_attempt();
        assert_eq!(on_connect(Watch::Relief, State(0).phase()), Connect::Begin);
        assert_eq!(on_connect(Watch::Relief, state.to(Ended).phase()), Connect::Begin);
        assert_eq!(on_connect(Watch::Relief, state.phase()), Connect::AlreadyCounted);
        assert_eq!(on_change(state.to(Established).phase(), tcp::SYN_SENT, tcp::ESTABLISHED), Step::Nothing);
        assert_eq!(on_change(state.to(Ended).phase(), LAST_ACK, tcp::CLOSE), Step::Nothing);
    }

    #[test]
    fn the_number_tells_attempts_on_one_socket_apart() {
        let first = State(0).next_attempt();
        let second = first.to(Ended).next_attempt();
        assert_eq!(second.phase(), Connecting);
        assert_ne!(first, second);
        assert_eq!(first.to(Established).to(Connecting), first);
    }

    #[test]
    fn causes_follow_the_error_then_the_moment() {
        assert_eq!(cause(111, 0, 2), Cause::Refused);
        assert_eq!(cause(110, 0, 2), Cause::TimedOut);
        assert_eq!(cause(113, 0, 1), Cause::Unreachable);
        assert_eq!(cause(101, 0, 1), Cause::Unreachable);
        assert_eq!(cause(13, 0, 2), Cause::Unreachable, "prohibited, over IPv6");
        assert_eq!(cause(0, 113, 2), Cause::Unreachable, "ICMP while the socket was held");
        assert_eq!(cause(111, 113, 2), Cause::Refused, "what ended it comes first");
        assert_eq!(cause(0, 0, SS_UNCONNECTED), Cause::Local);
        assert_eq!(cause(0, 0, 2), Cause::Cancelled);
        assert_eq!(cause(0, 0, 0), Cause::Other, "hidden, and the application has taken the error");
        assert_eq!(cause(113, 0, 0), Cause::Unreachable, "hidden, and the error is still there");
        assert_eq!(cause(92, 0, 2), Cause::Other);
    }

    #[test]
    fn only_an_rst_from_the_peer_is_a_reset() {
        assert!(reset_by_peer(104));
        assert!(reset_by_peer(32));
        assert!(!reset_by_peer(0));
        assert!(!reset_by_peer(110));
    }

    #[test]
    fn a_counter_that_wraps_goes_on() {
        assert_eq!(widen(10, 15), 15);
        assert_eq!(widen(u64::from(u32::MAX), 4), u64::from(u32::MAX) + 5);
        assert_eq!(widen(20, 15), 20, "read late");
    }

    #[test]
    fn payload_leaves_out_what_tcp_adds() {
        assert_eq!(payload_sent(300, 100), 200);
        assert_eq!(payload_sent(0, 100), 0, "counted as retransmitted before it was counted as sent");
        assert_eq!(payload_received(101, true), 100);
        assert_eq!(payload_received(100, false), 100);
    }
}
