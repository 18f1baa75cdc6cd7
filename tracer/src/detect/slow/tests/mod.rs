//! Behaviour of the whole rule on generated traffic.

mod explore;
mod members;
mod pools;
mod servers;
