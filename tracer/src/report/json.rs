//! A report as JSON, schema `tracer.report/1`: one object. What was not measured is `null`, never 0.

use super::findings::Report;
use crate::outputs::escape;

/// Indented, so that two of them can be compared line by line; newline at the end included.
///
/// # Errors
/// Never for this data; the serializer's type says it could.
pub(super) fn render(report: &Report) -> serde_json::Result<String> {
    let mut text = escape::json(&serde_json::to_string_pretty(report)?);
    text.push('\n');
    Ok(text)
}
