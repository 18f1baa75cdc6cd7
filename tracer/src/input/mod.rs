//! Files that the user wrote: read without ever blocking on what is no file, and problems in them located.

mod place;
mod problem;
mod read_file;
mod stamp;
mod syntax;

pub use place::Place;
pub use problem::InputError;
pub(crate) use problem::{Position, Positions};
pub use read_file::read_file;
pub(crate) use read_file::{MAX_BYTES, explain, read_file_up_to, refuse_other_than_file};
pub use stamp::Stamp;
pub(crate) use syntax::{toml_problem, utf8};
