//! Which backends belong together, and what each should get.
//!
//! Pools are declared (a pools file: [`parse_pools_file`]; a balancer's configuration: [`crate::imports`]; both are
//! [`WrittenPools`] until their host names are resolved) or discovered. [`Pools`] sorts the backends of every
//! [`crate::collect::Sample`] into them. Pure, but for [`system_resolver`].
#![forbid(unsafe_code)]

mod address;
mod assumed;
mod balancer;
mod combined;
mod declared;
mod discovered;
mod filter;
mod grouping;
mod health_checks;
mod limits;
mod matching;
mod names;
mod pools_file;
mod regularity;
mod requests;
mod reuse;
mod sample;
mod shared;
mod sorted;
mod strangers;
mod uneven;
mod unmatched;
mod written;

pub use address::{MemberAddress, parse_address, parse_backend};
pub use balancer::{answers_to, label_answers_to};
pub use combined::combine;
pub use declared::{DeclaredMember, DeclaredPool, Former};
pub use discovered::Remembered;
pub use filter::{BackendRange, BackendRangeError, Filter};
pub use grouping::Pools;
pub use names::{Answers, Names, system_resolver};
pub use pools_file::parse_pools_file;
pub use reuse::Reuse;
pub use sample::{
    Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample, Recorded,
};
pub use uneven::{OutOfLine, far_below, out_of_line};
pub use written::{Backups, Family, Resolved, Role, Uses, WrittenMember, WrittenPool, WrittenPools};
