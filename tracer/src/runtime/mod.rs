//! What was changed in a running HAProxy since it read its configuration: weights, drains, addresses, servers added and
//! removed, as its stats socket tells (`show servers state`). Read only, in bounded time and memory.
#![forbid(unsafe_code)]

mod apply;
mod ask;
mod parse;

pub use apply::apply;
pub use ask::{PATIENCE, open, server_states};

use std::net::SocketAddr;

/// A server as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// Its backend.
    pub backend: String,
    /// Its name.
    pub server: String,
    /// Where it is; `None`: nowhere, as one whose name does not resolve, or no TCP address.
    pub address: Option<SocketAddr>,
    /// Its weight as users know it, 0 to 256.
    pub user_weight: u32,
    /// Somebody took it out: it is drained or in maintenance, or has no address. Not one that a health check found down:
    /// that one should get its share and does not.
    pub out: bool,
}
