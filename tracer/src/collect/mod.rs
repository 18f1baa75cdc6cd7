//! From cumulative readings to what happened in an interval. Pure, but for the tick driver.

mod counters;
mod sample;

pub use crate::kernel::Balancer;
pub use counters::{Counters, Failures, Histogram, Stock};
pub use sample::{BackendSample, Sample, Uncounted};
