//! The room as a whole: what goes in comes out, whatever happens to the file.

mod files;
mod made;
mod scribes;
