//! After an incident: what was found when, who got what before, during and after, and what would have ended the search.
//!
//! A [`Material`] is everything that a range of time holds, gathered by whoever has it: the history, or a recording that
//! is judged again. Pure: no clock, no file.
#![forbid(unsafe_code)]

mod gather;
mod material;

pub use gather::Gatherer;
pub use material::{
    Change, Counts, Made, Material, MemberInForce, Point, PoolInForce, Range, Run, Series, Span,
};
