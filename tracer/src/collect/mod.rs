//! From cumulative readings to what happened in an interval. Pure, but for the tick driver ([`Ticker`]).

mod buckets;
mod collector;
mod counters;
mod sample;
mod ticker;

pub use crate::kernel::Balancer;
pub use collector::Collector;
pub use counters::{Counters, Failures, Histogram, Stock};
pub(crate) use counters::{each_cause, each_counter};
pub(crate) use sample::each_uncounted;
pub use sample::{BackendSample, Other, Sample, Uncounted};
pub use ticker::{TICK, Ticker};
