//! The room as a whole: what goes in comes out, whatever happens to the file.

mod files;
pub(super) mod made;
mod scribes;
