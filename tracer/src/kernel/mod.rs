//! The host: the eBPF object loaded and attached, its maps read, balancers named. Decides nothing.
//!
//! The only room that touches aya, bpf(2), BTF, the BPF file system, `/proc` and the cgroup file system. With pins (`pins/`)
//! maps and programs outlive the process, and the next one goes on from them (`succession`, `handing`, `repair`), also where
//! its maps are laid out otherwise (`layout`, `others`). One thread owns a [`Tracer`] and
//! calls [`Tracer::read`] each tick.

mod adoption;
mod balancer;
mod bpf;
mod btf;
mod capabilities;
mod cells;
mod error;
mod exchanges;
mod handing;
mod layout;
#[cfg(any(test, fuzzing))]
pub mod left;
#[cfg(debug_assertions)]
mod log;
mod mapped;
mod memory;
mod memory_limit;
mod object;
mod offsets;
mod others;
mod pins;
mod places;
mod refusal;
mod repair;
mod report;
mod retirement;
mod snapshot;
mod succession;
mod support;
mod tables;
mod vanished;

pub use balancer::Balancer;
pub(crate) use balancer::unified_path;
pub use error::KernelError;
pub use exchanges::Exchanges;
pub use memory::Memory;
pub use object::{Settings, Tracer};
#[cfg(any(test, fuzzing))]
pub use pins::taken_for;
pub use pins::{PinError, Pins};
pub use report::{Intent, Outcome, ProgramReport};
pub(crate) use snapshot::sum;
pub use snapshot::{Reading, Snapshot};
pub use succession::Inheritance;
pub use support::{Support, survey};
