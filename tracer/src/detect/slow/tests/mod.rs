//! Behaviour of the whole rule on generated traffic.

mod held;
mod members;
mod pools;
mod servers;
