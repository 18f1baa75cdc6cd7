//! The screen of `tracer top`: what it shows, how it answers keys, and how it is drawn. Pure: [`World`] takes intervals,
//! [`View`] takes keys, [`draw`] fills a buffer; whoever owns the terminal shows that.
//!
//! | file | question |
//! |---|---|
//! | `world` | what is known of the pools now, and was in the last minutes? |
//! | `trend` | what did a member do lately? |
//! | `share` | who gets what part, of what is looked at? |
//! | `rows` | which pools and members are shown, in what order? |
//! | `view`, `keys` | what does the operator look at, and what does a key do? |
//! | `columns` | what fits into this width? |
//! | `bar`, `figures`, `words` | how is a share, a number, a verdict said? |
//! | `draw` | the screen as a whole; `overview`, `detail`, `facts`, `help` its parts |
//! | `look` | what becomes of it without colours, and without UTF-8? |

mod bar;
mod columns;
mod detail;
mod draw;
mod facts;
mod figures;
mod help;
mod keys;
mod look;
mod members;
mod overview;
mod rows;
mod share;
#[cfg(test)]
mod tests;
mod trend;
mod view;
mod words;
mod world;

pub use draw::draw;
pub use keys::{Key, key};
pub use look::Look;
pub use view::{Effect, View};
pub use world::World;
