//! Behaviour of the whole rule on generated traffic.

mod members;
mod pools;
mod servers;
