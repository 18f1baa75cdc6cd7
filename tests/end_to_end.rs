//! The tracer against real servers: nginx and HAProxy as Debian ships them, backends that report what they accepted.
//!
//! Every scenario has its own addresses, its own servers and its own tracer, so they run side by side; what they do to
//! the machine (servers, namespaces, directories) is undone when they end, by a panic too. They need root.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it has to be")]

mod scenarios;
mod support;
