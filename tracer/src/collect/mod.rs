//! From cumulative readings to what happened in an interval. Pure, but for the tick driver ([`Ticker`]).

mod collector;
mod counters;
mod sample;
mod ticker;

pub use crate::kernel::Balancer;
pub use collector::Collector;
pub use counters::{Counters, Failures, Histogram, Stock};
pub use sample::{BackendSample, Other, Sample, Uncounted};
pub use ticker::{TICK, Ticker};
