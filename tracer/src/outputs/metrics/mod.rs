//! Metrics: what was counted so far ([`Ledger`]), and the text of it ([`render`]) as OpenMetrics or in the older form.
//! Names, units and labels are a contract.
#![forbid(unsafe_code)]

mod durations;
mod families;
mod ledger;
#[cfg(test)]
mod shipped_tests;
#[cfg(test)]
pub(crate) mod tests;
mod text;

pub use ledger::Ledger;
pub use text::{Form, render, write};
