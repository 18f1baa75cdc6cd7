//! The text of metrics.

use super::families::Families;
use crate::outputs::Latest;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text form of Prometheus before it, version 0.0.4.
    Older,
}

impl Form {
    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Older => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Every metric of the latest.
///
/// # Errors
/// Never for this data; the encoder's type says it could.
pub fn render(latest: Arc<Latest>, form: Form) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("tracer");
    registry.register_collector(Box::new(Families(latest)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(match form {
        Form::OpenMetrics => text,
        Form::Older => older(&text),
    })
}

/// OpenMetrics in the older form: there a family has the name of its samples, and there are neither units nor an end.
fn older(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        // A line of a sample begins with its name, whatever its labels are.
        let Some(about) = line.strip_prefix("# ") else {
            out.push_str(line);
            continue;
        };
        if let Some((name, help)) = about.strip_prefix("HELP ").and_then(|rest| rest.split_once(' ')) {
            let kind = lines.peek().and_then(|line| line.trim_end().rsplit(' ').next());
            let (suffix, kind) = match kind {
                Some("counter") => ("_total", "counter"),
                Some("info") => ("_info", "gauge"),
                Some(kind) => ("", kind),
                None => ("", "untyped"),
            };
            out.push_str(&format!("# HELP {name}{suffix} {help}# TYPE {name}{suffix} {kind}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_form_names_families_as_their_samples() {
        let text = "# HELP t_a_bytes A.\n# TYPE t_a_bytes counter\n# UNIT t_a_bytes bytes\nt_a_bytes_total{l=\"# EOF\"} 1\n\
                    # HELP t_b B.\n# TYPE t_b info\nt_b_info{v=\"1\"} 1\n# HELP t_c C.\n# TYPE t_c gauge\nt_c 2\n# EOF\n";
        let expected = "# HELP t_a_bytes_total A.\n# TYPE t_a_bytes_total counter\nt_a_bytes_total{l=\"# EOF\"} 1\n\
                        # HELP t_b_info B.\n# TYPE t_b_info gauge\nt_b_info{v=\"1\"} 1\n# HELP t_c C.\n# TYPE t_c gauge\nt_c 2\n";
        assert_eq!(older(text), expected);
    }
}
