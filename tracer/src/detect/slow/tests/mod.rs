//! Behaviour of the whole rule on generated traffic.

mod explore;
mod servers;
