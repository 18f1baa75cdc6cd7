//! What the screen shows, and how it answers.

mod answers;
mod made;
mod pictures;
mod properties;
