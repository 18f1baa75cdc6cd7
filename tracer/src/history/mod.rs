//! What happened, kept in a file for afterwards: SQLite, for [`report`](crate::report) and for whoever has a question and
//! `sqlite3`. The tables are described where they are made: `schema/1.sql`.
//!
//! ```text
//!  Interval<Judged>, Event ─► Tick ─► queue ─► scribe: Bins (10 s) ─┐
//!                                                      Ring (1 s) ──┴─► Book (one transaction a second) ─► file
//!                                                                                                           │
//!                                                                    Material ◄─ read ◄────────────────────┘
//! ```
//!
//! - The tick makes a [`Tick`] and puts it into a bounded queue; everything that touches the file is done by one thread of
//!   its own ([`Scribe`]), however long a disk takes.
//! - Each interval is in the file within a second: the ten seconds that are not over yet are written again and again, with
//!   what has been added. So an agent that is killed loses what was on its way, and nothing that was written.
//! - WAL, `synchronous=NORMAL`: a commit is in the page cache, which survives the agent's end, however it ends, and no
//!   balancer waits for our fsync. Each half minute everything is synced: that much a power failure takes at most, and
//!   what is left is whole.
//! - While the file cannot be written, intervals wait in memory, ten seconds together, up to a bound; they are written when
//!   it can be again. What is beyond the bound is lost, counted and said.
//! - Size and age are limited: what is oldest goes, some at a time.
//! - One tracer writes at a time (a lock, `flock`); root and its group may read meanwhile.

mod bins;
mod book;
mod columns;
mod desk;
mod durations;
mod limits;
mod lookup;
mod open;
mod read;
mod ring;
mod scribe;
mod series;
mod standing;
#[cfg(test)]
mod tests;
mod tick;

pub use limits::Limits;
pub use open::OpenError;
pub use read::{History, ReadError};
pub use scribe::{Health, Run, Scribe};
pub(crate) use tick::DISCOVERED_EVERY_SECONDS;
pub use tick::{Describer, Tick};
