//! The judgement on a pool. Pure: no clock, no I/O, no aya.
//!
//! One [`PoolJudge`] per pool takes a [`crate::pools::PoolSample`] per tick and gives an [`Assessment`]. The mathematics
//! is that of detector.md, on the signal "new connections"; each file names its section:
//!
//! | file | question |
//! |---|---|
//! | `roster` | who is in the pool, and what is each due? |
//! | `bank`, `odds` | does a member get more or less than the margin allows? |
//! | `dispersion`, `calibration` | how much do this pool's counts scatter anyway? |
//! | `diffuse` | are many members slightly off? |
//! | `skew`, `attribution` | since when, which ones, and by how much? |
//! | `missing`, `ejection`, `unexpected`, `failing`, `failures` | the rules beside the bank |
//! | `history`, `interval` | shares over the time judged |
//! | `judge` | one tick through all of it |
//! | `uneven` | are the declared weights themselves likely a typing error? |
//! | `lifetime` | is it a slow backend that least connections gives less? |
//! | `doubt` | what speaks against "balanced" before it is sure? |
//! | `exact` | how is an infinite number written down? |
//! | `conclusion`, `sentence` | the verdict, and how it is said |

#![forbid(unsafe_code)]

mod assessment;
mod attribution;
mod bank;
mod calibration;
mod conclusion;
mod diffuse;
mod dispersion;
mod doubt;
mod ejection;
mod exact;
mod failing;
mod failures;
mod history;
mod interval;
mod judge;
mod lifetime;
mod missing;
mod odds;
mod roster;
mod sentence;
mod settings;
mod skew;
#[cfg_attr(not(test), expect(dead_code, reason = "the judge does not ask it yet"))]
mod slow;
mod standing;
#[cfg(test)]
mod tests;
mod uneven;
mod unexpected;

pub use assessment::{Assessment, Finding, MemberAssessment, Verdict};
pub use judge::PoolJudge;
pub use settings::Settings;
