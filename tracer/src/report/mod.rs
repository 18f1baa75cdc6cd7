//! After an incident: what was found when, who got what before, during and after, and what would have ended the search.
//!
//! ```text
//!  history ─┐
//!           ├─► Material ─► Report ─► JSON
//!  again ───┘                  └────► Document ─► HTML, Markdown
//! ```
//!
//! | file | takes → gives |
//! |---|---|
//! | `material` | everything that a range of time holds, whoever has it |
//! | `gather` | intervals → what members got, in bounded memory |
//! | `again` | a recording → verdicts as a watch would tell them, and the material of a range of it |
//! | `range` | times as they were typed, and what was found → the range that is meant |
//! | `episodes` | changes of verdicts → incidents, from onset to clearing |
//! | `findings` | material → [`Report`]: incidents with `timeline`, `figures` before, during and after, `over_time`, and what was expected (`configuration`) |
//! | `compose`, `document` | report → the draft of a post-mortem, with places to fill in |
//! | `markdown`, `html`, `json` | these → text |
//!
//! Pure: no clock, no file. Verdicts, onset and time to detect are those that were told; where a recording was judged
//! again, the report says so.
#![forbid(unsafe_code)]

mod again;
mod compose;
mod configuration;
mod document;
mod episodes;
mod figures;
mod findings;
mod gather;
mod html;
mod json;
mod markdown;
mod material;
mod over_time;
mod range;
mod stamp;
#[cfg(test)]
mod tests;
mod timeline;
mod words;

pub use again::{Again, judge};
pub use configuration::{Expected, ExpectedChange, ExpectedMember};
pub use episodes::{Episode, episodes};
pub use figures::{Figures, Phase};
pub use findings::{Incident, Member, PoolLine, Report};
pub use gather::Gatherer;
pub(crate) use material::goes_on;
pub use material::{
    Change, Counts, Made, Material, MemberInForce, Point, PoolInForce, Range, Run, Series, Span,
};
pub use over_time::{MemberOverTime, OverTime};
pub use range::{Moment, Wanted};
pub use stamp::Time;
pub use timeline::{Gap, Kind, Moment as Happening};

use document::Document;

/// A report for a browser or a printer: one file that loads nothing.
#[must_use]
pub fn html(report: &Report) -> String {
    html::render(&Document::of(report))
}

/// A report for a ticket.
#[must_use]
pub fn markdown(report: &Report) -> String {
    markdown::render(&Document::of(report))
}

/// A report for a program: one JSON object.
///
/// # Errors
/// Never for this data; the serializer's type says it could.
pub fn json(report: &Report) -> serde_json::Result<String> {
    json::render(report)
}
