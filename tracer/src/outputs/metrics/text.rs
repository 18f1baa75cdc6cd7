//! The text of metrics.

use super::families::Families;
use crate::outputs::Latest;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::fmt;
use std::io;
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
pub fn render(latest: Arc<Latest>, form: Form) -> io::Result<String> {
    let mut text = Vec::new();
    write(latest, form, &mut text)?;
    String::from_utf8(text).map_err(io::Error::other)
}

/// Writes every metric of the latest, piece by piece: all of them at once are megabytes.
///
/// # Errors
/// Those of `out`.
pub fn write(latest: Arc<Latest>, form: Form, out: impl io::Write) -> io::Result<()> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(latest)));
    let mut pieces =
        Pieces { piece: String::with_capacity(2 * PIECE), form, help: String::new(), out, error: None };
    let encoded = encode(&mut pieces, &registry);
    if let Some(error) = pieces.error {
        return Err(error);
    }
    encoded.map_err(io::Error::other)?;
    pieces.hand_over(pieces.piece.len())
}

/// Small enough to be still near the processor when it is handed over, bytes.
const PIECE: usize = 1 << 15;

/// Takes the text as it is made, and hands over whole lines.
struct Pieces<W> {
    piece: String,
    form: Form,
    /// What the family means whose kind comes next.
    help: String,
    out: W,
    error: Option<io::Error>,
}

impl<W: io::Write> fmt::Write for Pieces<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.piece.push_str(text);
        if self.piece.len() < PIECE {
            return Ok(());
        }
        let lines = self.piece.rfind('\n').map_or(0, |end| end + 1);
        self.hand_over(lines).map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}

impl<W: io::Write> Pieces<W> {
    /// Hands over the first `length` bytes, which are whole lines.
    fn hand_over(&mut self, length: usize) -> io::Result<()> {
        let lines = &self.piece[..length];
        match self.form {
            Form::OpenMetrics => self.out.write_all(lines.as_bytes())?,
            Form::Older => older(lines, &mut self.help, &mut self.out)?,
        }
        self.piece.drain(..length);
        Ok(())
    }
}

/// Lines of OpenMetrics in the older form: there a family has the name of its samples, and there are neither units nor an
/// end. `help` is what the family means whose kind comes next.
fn older(text: &str, help: &mut String, out: &mut impl io::Write) -> io::Result<()> {
    let mut rest = text;
    while !rest.is_empty() {
        // Up to the next line that is no sample; these are few.
        let samples = about(rest).unwrap_or(rest.len());
        out.write_all(&rest.as_bytes()[..samples])?;
        rest = &rest[samples..];
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        if let Some(text) = line.strip_prefix("# HELP ") {
            text.clone_into(help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|text| text.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            let help = help.split_once(' ').map_or("", |(_, help)| help);
            write!(out, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n")?;
        }
    }
    Ok(())
}

/// Where the first line begins that is no sample.
fn about(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'#', bytes).find(|&at| at == 0 || bytes[at - 1] == b'\n')
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
        let mut out = Vec::new();
        older(text, &mut String::new(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    /// A line a write, however it is cut.
    struct Lines(Vec<u8>, usize);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = self.1.max(bytes.len());
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn much_text_comes_in_pieces_that_are_the_same_together() {
        let line = |number: u32| format!("t_a_total{{l=\"{number}\"}} {number}\n");
        let lines: String = (0..20_000).map(line).collect();
        let whole = format!(
            "# HELP t_a A.\n# TYPE t_a counter\n{lines}# HELP t_c C.\n# TYPE t_c gauge\n{lines}# EOF\n"
        );
        for (form, expected) in [
            (Form::OpenMetrics, whole.clone()),
            (
                Form::Older,
                whole
                    .replace("t_a A", "t_a_total A")
                    .replace("t_a counter", "t_a_total counter")
                    .replace("# EOF\n", ""),
            ),
        ] {
            let out = Lines(Vec::new(), 0);
            let mut pieces = Pieces { piece: String::new(), form, help: String::new(), out, error: None };
            for part in whole.as_bytes().chunks(7) {
                fmt::Write::write_str(&mut pieces, std::str::from_utf8(part).unwrap()).unwrap();
            }
            pieces.hand_over(pieces.piece.len()).unwrap();
            assert!(pieces.out.1 <= PIECE + 7, "{}", pieces.out.1);
            assert!(String::from_utf8(pieces.out.0).unwrap() == expected, "{form:?}");
        }
    }
}
