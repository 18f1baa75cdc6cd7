//! Tests of the whole room: behaviour on generated traffic, properties, and the reference's own numbers.

mod balancer;
mod behaviour;
mod doubts;
mod failures;
mod golden;
mod outages;
mod passed_over;
mod properties;
mod signals;
mod soak;
mod state;
mod uneven;
