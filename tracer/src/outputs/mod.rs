//! What is found, shown: text, JSON, metrics, a page, a screen. Takes nouns of the other rooms and gives text, or the
//! cells of a terminal; decides nothing.

mod audit;
mod audit_json;
mod audit_text;
mod check;
mod check_json;
mod check_text;
mod doctor;
pub mod escape;
mod event_json;
#[cfg(test)]
mod event_tests;
mod event_text;
pub(crate) mod fault;
pub mod gzip;
mod latest;
pub mod metrics;
pub mod page;
mod past;
pub mod top;
mod totals;

pub use audit::{AuditReport, AuditedOrigin};
pub use audit_json::render as audit_json;
pub use audit_text::{Reader, render as audit_text};
pub use check::CheckReport;
pub(crate) use check_json::timestamp;
pub use check_json::{render as check_json, render_pool as pool_json};
pub use check_text::render as check_text;
pub(crate) use check_text::{seconds, uncounted};
pub use doctor::{json as doctor_json, text as doctor_text};
pub use event_json::render as event_json;
pub use event_text::render as event_text;
pub(crate) use fault::whose_fault;
pub use latest::{Latest, Own};
pub use past::{Past, Told};
