//! Which backends belong together, and what each should get.

mod sample;

pub use sample::{ExpectedSource, MemberSample, Method, PoolIdentity, PoolSample};
