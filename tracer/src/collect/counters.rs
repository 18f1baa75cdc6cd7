//! The counters of one backend, as numbers without a kernel.

use super::Histogram;
use std::ops::{AddAssign, Sub};
use tracer_ebpf::Cell;
use tracer_ebpf::histogram::BUCKETS;

/// Gives the counters, by name, to another macro: what has a field for each of them takes them from here.
macro_rules! each_counter {
    ($give_to:ident) => {
        $give_to! {
            /// Sockets that entered SYN_SENT.
            attempts,
            /// Attempts whose fate is not known, since their socket could keep no state.
            untracked,
            /// Attempts that were established.
            established,
            /// Connections that were there before the tracer: neither attempts nor established.
            adopted,
            /// Established and adopted connections that ended.
            closed,
            /// Closed by an RST from the backend.
            resets,
            /// Closed by an RST from the backend before it had sent a byte.
            resets_without_data,
            /// Closed without payload either way (TCP health checks).
            probes,
            /// Payload bytes to the backend.
            sent_bytes,
            /// Payload bytes from the backend.
            received_bytes,
            /// Segments sent, of all kinds.
            segments_sent,
            /// Segments received, of all kinds.
            segments_received,
            /// Segments sent again after the connection was established.
            retransmits,
            /// SYNs sent again.
            syn_retransmits,
            /// Transitions that were missed and made up for.
            repaired,
        }
    };
}

/// The same for the causes of failures, in the order of the ABI.
macro_rules! each_cause {
    ($give_to:ident) => {
        $give_to! {
            /// RST, or ICMP port unreachable.
            refused,
            /// The kernel gave up sending SYNs.
            timed_out,
            /// ICMP host or network unreachable.
            unreachable,
            /// The balancer gave up first.
            cancelled,
            /// The balancer's host had no local port left.
            local,
            /// Anything else.
            other,
        }
    };
}

pub(crate) use {each_cause, each_counter};

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// What was counted of a backend over some time. Words as in the architecture page.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $field: u64,)*
            /// Attempts that failed, by cause.
            pub failed: Failures,
            /// Time from SYN to established.
            pub connect_time: Histogram,
            /// Age of cancelled attempts when the balancer gave up.
            pub cancelled_age: Histogram,
            /// Requests with their response; means nothing where exchanges are not measured.
            pub exchanges: u64,
            /// From the last send before a response to the first read of it; likewise.
            pub response_time: Histogram,
            /// From SYN to the end of connections that were established and seen from their beginning, without probes and
            /// those whose end only a sweep noticed.
            pub lifetime: Histogram,
        }

        impl AddAssign<&Counters> for Counters {
            /// A recording can hold any number: sums stop at the largest instead of wrapping.
            fn add_assign(&mut self, other: &Counters) {
                $(self.$field = self.$field.saturating_add(other.$field);)*
                self.failed += &other.failed;
                self.connect_time += &other.connect_time;
                self.cancelled_age += &other.cancelled_age;
                self.exchanges = self.exchanges.saturating_add(other.exchanges);
                self.response_time += &other.response_time;
                self.lifetime += &other.lifetime;
            }
        }

        impl Sub for &Counters {
            type Output = Counters;
            /// What came since `earlier`. Counters only grow; one that shrank counts as nothing new.
            fn sub(self, earlier: &Counters) -> Counters {
                Counters {
                    $($field: self.$field.saturating_sub(earlier.$field),)*
                    failed: &self.failed - &earlier.failed,
                    connect_time: &self.connect_time - &earlier.connect_time,
                    cancelled_age: &self.cancelled_age - &earlier.cancelled_age,
                    exchanges: self.exchanges.saturating_sub(earlier.exchanges),
                    response_time: &self.response_time - &earlier.response_time,
                    lifetime: &self.lifetime - &earlier.lifetime,
                }
            }
        }
    };
}

each_counter!(counters);

impl Counters {
    /// Takes no memory of its own for what is the same as in `other`.
    pub(super) fn share(&mut self, other: &Self) {
        self.connect_time.share(&other.connect_time);
        self.cancelled_age.share(&other.cancelled_age);
        self.response_time.share(&other.response_time);
        self.lifetime.share(&other.lifetime);
    }
}

macro_rules! failures {
    ($($(#[$doc:meta])* $cause:ident,)*) => {
        /// Failed attempts by cause.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Failures {
            $($(#[$doc])* pub $cause: u64,)*
        }

        impl Failures {
            /// All causes together.
            #[must_use]
            pub fn total(&self) -> u64 {
                0_u64$(.saturating_add(self.$cause))*
            }

            /// Every cause with its name and count, in the order of the ABI.
            #[must_use]
            pub fn by_cause(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($cause), self.$cause),)*]
            }
        }

        impl AddAssign<&Failures> for Failures {
            fn add_assign(&mut self, other: &Failures) {
                $(self.$cause = self.$cause.saturating_add(other.$cause);)*
            }
        }

        impl Sub for &Failures {
            type Output = Failures;
            fn sub(self, earlier: &Failures) -> Failures {
                Failures { $($cause: self.$cause.saturating_sub(earlier.$cause),)* }
            }
        }
    };
}

each_cause!(failures);

impl From<[u64; tracer_ebpf::transition::CAUSES]> for Failures {
    fn from([refused, timed_out, unreachable, cancelled, local, other]: [u64; 6]) -> Self {
        Self { refused, timed_out, unreachable, cancelled, local, other }
    }
}

/// More connections than any backend has had: a million a second take nine years. What lies in pinned maps may be any number,
/// and those of thousands of backends are added up.
const MOST: u64 = 1 << 48;

impl From<&Cell> for Counters {
    fn from(cell: &Cell) -> Self {
        let times = |counts: &[u64; BUCKETS]| {
            // Every tick asks this of every backend; MOST is a single bit.
            let is_fine = counts.iter().fold(0, |any, count| any | count) < MOST;
            if is_fine {
                Histogram::from(counts)
            } else {
                Histogram::from(&counts.map(|count| count.min(MOST)))
            }
        };
        Self {
            attempts: cell.attempts.min(MOST),
            untracked: cell.untracked.min(MOST),
            established: cell.established.min(MOST),
            adopted: cell.adopted.min(MOST),
            closed: cell.closed.min(MOST),
            resets: cell.resets.min(MOST),
            resets_without_data: cell.resets_without_data.min(MOST),
            probes: cell.probes.min(MOST),
            sent_bytes: cell.sent_bytes,
            received_bytes: cell.received_bytes,
            segments_sent: cell.segments_sent,
            segments_received: cell.segments_received,
            retransmits: cell.retransmits,
            syn_retransmits: cell.syn_retransmits,
            repaired: cell.repaired.min(MOST),
            failed: cell.failed.map(|count| count.min(MOST)).into(),
            connect_time: times(&cell.connect_time),
            cancelled_age: times(&cell.cancelled_age),
            exchanges: cell.exchanges.min(MOST),
            response_time: times(&cell.response_time),
            lifetime: times(&cell.lifetime),
        }
    }
}

/// The sockets of a backend at one moment, counted by a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Attempts without an outcome yet.
    pub pending: u64,
    /// ESTABLISHED or CLOSE_WAIT.
    pub live: u64,
    /// FIN_WAIT, CLOSING, LAST_ACK.
    pub closing: u64,
    /// Sum of smoothed round-trip times of the live ones, microseconds.
    pub rtt_sum_us: u64,
}

impl From<&tracer_ebpf::Stock> for Stock {
    fn from(stock: &tracer_ebpf::Stock) -> Self {
        Self {
            pending: stock.pending.into(),
            live: stock.live.into(),
            closing: stock.closing.into(),
            rtt_sum_us: stock.rtt_sum_us,
        }
    }
}

impl AddAssign for Stock {
    fn add_assign(&mut self, other: Self) {
        self.pending = self.pending.saturating_add(other.pending);
        self.live = self.live.saturating_add(other.live);
        self.closing = self.closing.saturating_add(other.closing);
        self.rtt_sum_us = self.rtt_sum_us.saturating_add(other.rtt_sum_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_thousands_of_backends_can_be_added_up_whatever_they_are() {
        let mut cell = Cell { attempts: u64::MAX, exchanges: 7, sent_bytes: u64::MAX, ..Cell::EMPTY };
        (cell.failed[0], cell.response_time[3]) = (u64::MAX, u64::MAX);
        let counters = Counters::from(&cell);
        let counts = [counters.attempts, counters.failed.refused, counters.response_time.counts()[3]];
        assert!(counts.iter().all(|count| count.checked_mul(4_096 * 8).is_some()), "{counts:?}");
        assert_eq!((counters.exchanges, counters.sent_bytes), (7, u64::MAX), "these only ever saturate");
    }

    #[test]
    fn sums_and_differences_undo_each_other() {
        let mut total = Counters { attempts: 5, probes: 1, ..Counters::default() };
        total.failed.refused = 2;
        let before = total.clone();
        let mut more = Counters { attempts: 7, closed: 3, ..Counters::default() };
        more.connect_time.counts_mut()[4] = 9;
        more.exchanges = 2;
        more.response_time.counts_mut()[5] = 2;
        more.lifetime.counts_mut()[6] = 3;
        total += &more;
        assert_eq!(&total - &before, more);
        assert_eq!(&before - &total, Counters::default(), "never below zero");
    }
}
