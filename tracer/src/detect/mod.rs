//! The judgement on a pool. Pure: no clock, no I/O, no aya.

mod assessment;

pub use assessment::{Assessment, Finding, MemberAssessment, Verdict};
