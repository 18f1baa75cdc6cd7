//! From cumulative readings to what happened in an interval. Pure, but for the tick driver ([`Ticker`]).

mod buckets;
mod collector;
mod counters;
mod histogram;
mod sample;
mod ticker;

pub use crate::kernel::Balancer;
pub use collector::Collector;
pub use counters::{Counters, Failures, Stock};
pub(crate) use counters::{each_cause, each_counter};
pub use histogram::Histogram;
pub(crate) use sample::each_uncounted;
pub use sample::{BackendSample, Other, Sample, Uncounted};
pub use ticker::{TICK, Ticker};
