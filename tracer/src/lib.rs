//! tracer
pub mod collect;
pub mod detect;
pub mod kernel;
pub mod pools;
