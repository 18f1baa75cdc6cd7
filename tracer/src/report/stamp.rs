//! A time in the report's JSON.

use crate::outputs::timestamp;
use serde::{Serialize, Serializer};

/// Seconds since the epoch; in JSON RFC 3339 in UTC, whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Time(pub f64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&timestamp(self.0))
    }
}
