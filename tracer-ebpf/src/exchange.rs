//! What a read of a socket means for the exchanges on it: decisions on values that were read, without the kernel.

use crate::transition::Phase;

/// Sequence number up to which processes have read payload. The kernel takes the peer's FIN for a byte, which is read
/// when nothing else is left: `copied_seq` then is `rcv_nxt`, and `fin_taken_in`.
#[inline(always)]
#[must_use]
pub const fn read_up_to(copied_seq: u32, rcv_nxt: u32, fin_taken_in: bool) -> u32 {
    copied_seq.wrapping_sub((fin_taken_in && copied_seq == rcv_nxt) as u32)
}

/// Whether a send begins to await a response: on a connection that is being counted, from the first SYN on, which may
/// carry data. Of one that is over nobody knows any more whose it was.
#[inline(always)]
#[must_use]
pub const fn awaits(phase: Phase) -> bool {
    matches!(phase, Phase::Connecting | Phase::Established)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fin_is_no_payload() {
        assert_eq!(read_up_to(100, 101, true), 100, "a byte before the FIN is left");
        assert_eq!(read_up_to(101, 101, true), 100, "the FIN was read");
        assert_eq!(read_up_to(101, 101, false), 101, "all that came was read");
        assert_eq!(read_up_to(0, 0, true), u32::MAX, "sequence numbers wrap");
    }

    #[test]
    fn only_what_is_counted_awaits() {
        assert!(awaits(Phase::Established) && awaits(Phase::Connecting));
        assert!(!awaits(Phase::Idle) && !awaits(Phase::Ended));
    }
}
