//! tracer
pub mod collect;
pub mod detect;
pub mod pools;
