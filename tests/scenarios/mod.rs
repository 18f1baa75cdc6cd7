//! What is tried, one file per kind of thing that connects.

mod bad_input;
mod commands;
mod ends;
mod haproxy;
mod harness;
mod nginx;
mod replay;
mod sockets;
mod steering;
