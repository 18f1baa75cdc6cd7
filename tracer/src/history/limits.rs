//! How much is kept.

use std::time::Duration;

/// What is beyond these goes, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that the file may have; what is written and not yet in its place (WAL) comes to that, some megabytes.
    pub bytes: u64,
    /// How far back it may go.
    pub age: Duration,
}
