//! Running balancers whose configuration can be read: which there are, and their files as they see them themselves.
//!
//! Any local user can start a process named `nginx -c /secret`. So a process is believed only when it is root's in every
//! respect and runs an executable that nobody else can have written ([`discover`]), and a file is read only through that
//! process's own root, and only a regular one of root's that nobody else can write ([`ProcessSurroundings`]). Nothing is
//! ever executed. Whatever is not believed is a problem that says why.
//!
//! The crate `procfs` is not taken: it opens by number, and nearly everything here has to be read relative to one
//! directory that is held open, so that a number that is given to another process deceives nobody.
#![forbid(unsafe_code)]

mod arguments;
mod candidate;
mod established;
mod finding;
mod kind;
mod names;
mod paths;
mod process;
mod reload;
mod surroundings;
mod trust;

pub use finding::{Discovery, Found, discover};
pub use kind::Kind;
pub use names::balancer_names;
pub use reload::{NotReloaded, not_reloaded};
pub use surroundings::ProcessSurroundings;
