//! Attempts that fail: of one member next to the others, of the pool next to its own past, and who is left out for it.

mod ejection;
mod failing;
mod failures;
mod patience;
mod windows;

pub(in crate::detect) use ejection::{Ejection, Tried};
pub(in crate::detect) use failing::{CANCELLED, Health, LOCAL, RESET, Tally, limit, low};
pub(in crate::detect) use patience::Patience;
pub(in crate::detect) use windows::{LONGEST, WINDOWS_SECONDS};
