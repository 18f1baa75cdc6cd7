//! Which backends belong together, and what each should get.
//!
//! Pools are declared (a pools file: [`parse_pools_file`], then [`PoolsFile::resolve`]) or discovered. [`Pools`] sorts
//! the backends of every [`crate::collect::Sample`] into them. Pure, but for [`system_resolver`].
#![forbid(unsafe_code)]

mod address;
mod assumed;
mod balancer;
mod declared;
mod discovered;
mod filter;
mod grouping;
mod health_checks;
mod matching;
mod pools_file;
mod regularity;
mod sample;
mod sorted;
mod strangers;
mod unmatched;

pub use address::{MemberAddress, parse_backend};
pub use balancer::{answers_to, label_answers_to};
pub use declared::{DeclaredMember, DeclaredPool, PoolsFile, system_resolver};
pub use filter::{BackendRange, BackendRangeError, Filter};
pub use grouping::Pools;
pub use pools_file::parse_pools_file;
pub use sample::{Exchanges, ExpectedSource, MemberSample, Method, PoolIdentity, PoolSample, Recorded};
