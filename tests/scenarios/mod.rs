//! What is tried, one file per kind of thing that connects.

mod aborts;
mod adoption;
mod bad_input;
mod bounds;
mod causes;
mod commands;
mod ends;
mod haproxy;
mod harness;
mod import_nginx;
mod million;
mod nginx;
mod replay;
mod sockets;
mod steering;
mod watch;
