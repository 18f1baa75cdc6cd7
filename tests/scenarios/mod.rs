//! What is tried, one file per kind of thing that connects.

mod aborts;
mod adoption;
mod audit;
mod auto;
mod bad_input;
mod bounds;
mod causes;
mod commands;
mod discovery;
mod ends;
mod exchanges;
mod faults;
mod haproxy;
mod harness;
mod import_haproxy;
mod import_nginx;
mod lifetimes;
mod million;
mod nginx;
mod quiet;
mod replay;
mod runtime;
mod sockets;
mod steering;
mod uneven;
mod watch;
