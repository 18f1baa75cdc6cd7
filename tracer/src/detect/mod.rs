//! The judgement on a pool. Pure: no clock, no I/O, no aya.
//!
//! One [`PoolJudge`] per pool takes a [`crate::pools::PoolSample`] per tick and gives an [`Assessment`]. The mathematics
//! is that of detector.md; each file names its section:
//!
//! | file | question |
//! |---|---|
//! | `judge` | one tick through all of it |
//! | `roster` | who is in the pool, and what is each due? |
//! | `spread` | does a signal (new connections, exchanges) follow the shares, since when, and who departs? |
//! | `reuse` | which of the two is it that the balancer distributes? |
//! | `live` | who holds the connections that do not end? |
//! | `health` | who fails, and who is left out for it? |
//! | `absence`, `stray` | who gets nothing, and who gets something and should not? |
//! | `slow` | who answers slowly, and does the whole pool? |
//! | `explanation` | does a member get less, or more, because of how long it holds its connections? |
//! | `uneven` | are the declared weights themselves likely a typing error? |
//! | `rules` | one rule a verdict: found, clear, or not enough evidence; and which verdict it is |
//! | `standing`, `interval` | shares over the time judged |
//! | `words` | how figures are said |
//! | `exact` | how is an infinite number written down? |

#![forbid(unsafe_code)]

mod absence;
mod assessment;
mod exact;
mod explanation;
mod health;
mod interval;
mod judge;
mod live;
mod reuse;
mod roster;
mod rules;
mod settings;
mod slow;
mod spread;
mod standing;
mod stray;
#[cfg(test)]
mod tests;
mod uneven;
mod words;

pub use assessment::{Assessment, Finding, MemberAssessment, Signal, Verdict};
pub use judge::PoolJudge;
pub use settings::Settings;
pub(crate) use words::{duration, percent};
