//! How a connection of the crowd ends: agreed between the crowd and its backends by the first byte of the request.

/// Bytes of a request; the first says how the connection is to end.
pub(crate) const REQUEST: usize = 10;
/// The byte of the first ending.
pub(crate) const FIRST: u8 = b'a';
/// Bytes of a reply.
pub(crate) const REPLY: usize = 20;

/// Who ends a connection, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The backend replies and closes.
    ServerCloses,
    /// The backend replies, the client closes.
    ClientCloses,
    /// The client is done sending, the backend replies and closes.
    HalfClose,
    /// The backend resets, without a byte in reply.
    ServerResets,
    /// The backend replies, gets one more byte, and resets.
    ServerResetsAfterData,
    /// The backend replies, the client resets.
    ClientResets,
    /// The client closes without payload.
    Empty,
    /// The client resets without payload.
    EmptyReset,
}
use Ending::*;

/// Every ending.
pub(crate) const ENDINGS: [Ending; 8] = [
    ServerCloses,
    ClientCloses,
    HalfClose,
    ServerResets,
    ServerResetsAfterData,
    ClientResets,
    Empty,
    EmptyReset,
];

impl Ending {
    /// Its place in [`ENDINGS`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}
