//! tracer

pub mod agent;
pub mod cli;
pub mod collect;
pub mod detect;
pub mod kernel;
pub mod outputs;
pub mod pools;
