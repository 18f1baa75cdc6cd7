//! What happened on the host in one interval: the noun that goes from `collect` to `pools`.

use super::{Counters, Stock};
use crate::kernel::Balancer;
use std::net::SocketAddr;
use std::sync::Arc;

/// One interval of everything that was traced.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// End of the interval: seconds since the epoch, on a clock that never goes back.
    pub time_seconds: f64,
    /// Length of the interval, seconds.
    pub interval_seconds: f64,
    /// Every balancer and backend seen since the start, each pair once.
    pub backends: Vec<BackendSample>,
    /// What is counted together: see [`Other`].
    pub other: Other,
    /// Whether connections from before were not looked for: how many there are is then not known.
    pub adopted_unknown: bool,
    /// Whether exchanges were measured: without that their counters say nothing.
    pub exchanges: bool,
    /// Whether some of the interval's attempts went there since the table of backends was full: what a backend that has
    /// no counters got is then not known.
    pub crowded: bool,
    /// What could not be counted where it belongs.
    pub uncounted: Uncounted,
}

/// Everything that is counted and is nobody's any more: attempts for which the table of backends had no place, and
/// totals of backends that had to make room for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Other {
    /// Counted since the start.
    pub total: Counters,
    /// Counted in the interval, for want of a place in the table. What moved here with a backend that made room is not
    /// in it: that happened before.
    pub delta: Counters,
    /// Whether exchanges were measured.
    pub exchanges: bool,
    /// Present sockets; `None` when the sweep did not finish.
    pub stock: Option<Stock>,
}

/// One balancer's connections to one backend in one interval.
#[derive(Clone, Debug)]
pub struct BackendSample {
    /// What opened the connections.
    pub balancer: Arc<Balancer>,
    /// Where to.
    pub backend: SocketAddr,
    /// Counted in the interval.
    pub delta: Counters,
    /// Counted since the start.
    pub total: Counters,
    /// Present sockets; `None` when the sweep did not finish.
    pub stock: Option<Stock>,
}

/// Gives the figures of [`Uncounted`], by name, to another macro.
macro_rules! each_uncounted {
    ($give_to:ident) => {
        $give_to! {
            /// Connections that are counted in [`Other`](crate::collect::Other), since the table of backends was full.
            backends,
            /// Connections that could not be followed, since their socket could keep no state: `memory` and `limit`
            /// together, and events of connections that outlived their backend's counters.
            connections,
            /// Of these, for want of memory: the limit of socket options.
            memory,
            /// Of these, since as many were followed as may be.
            limit,
            /// Connections from before the tracer of which is not known who opened them; counted nowhere else.
            undecided,
            /// Events that no program saw, as far as a later event or a sweep found them out and made up for them.
            recursion_misses,
        }
    };
}

pub(crate) use each_uncounted;

macro_rules! uncounted {
    ($($(#[$doc:meta])* $figure:ident,)*) => {
        /// What could not be counted where it belongs, since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
        pub struct Uncounted {
            $($(#[$doc])* pub $figure: u64,)*
        }

        impl Uncounted {
            /// What came since `earlier`.
            #[must_use]
            pub fn since(self, earlier: Self) -> Self {
                Self { $($figure: self.$figure.saturating_sub(earlier.$figure),)* }
            }

            /// Both together. A recording can hold any number: sums stop at the largest.
            #[must_use]
            pub fn and(self, more: Self) -> Self {
                Self { $($figure: self.$figure.saturating_add(more.$figure),)* }
            }

            /// Each figure with its name in JSON.
            pub fn by_name(self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($figure), self.$figure),)*].into_iter()
            }
        }
    };
}

each_uncounted!(uncounted);
