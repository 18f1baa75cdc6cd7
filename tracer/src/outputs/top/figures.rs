//! Numbers in few columns. What is not known is a dash.

use crate::collect::Histogram;
use crate::outputs::check_text;

pub(super) use crate::detect::{duration, percent};

/// Stands for what was not measured.
pub(super) const UNKNOWN: &str = "—";

/// A figure as `show` writes it, or the dash.
pub(super) fn known<T>(figure: Option<T>, show: impl FnOnce(T) -> String) -> String {
    figure.map_or_else(|| UNKNOWN.to_owned(), show)
}

/// `73.7–79.7`, in percent
pub(super) fn interval([low, high]: [f64; 2]) -> String {
    // Of a thousand members, each has a tenth of a percent.
    let digits = if high < 0.1 { 2 } else { 1 };
    format!("{:.digits$}–{:.digits$}", low * 100.0, high * 100.0)
}

/// `0.2/s`, `120/s`, `12k/s`
pub(super) fn rate(per_second: f64) -> String {
    format!("{}/s", short(per_second))
}

/// A number in at most five characters as long as there is a letter for its size; below ten with a decimal.
pub(super) fn short(number: f64) -> String {
    const SIZES: [(f64, &str); 5] = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")];
    let size = SIZES.iter().find(|(size, _)| number >= *size);
    match size {
        // From ten thousand on in thousands.
        Some((_, "k")) => decimal(number / 1e3, "k"),
        Some((size, letter)) => decimal(number / size, letter),
        None if number < 9.95 && number.fract() != 0.0 => format!("{number:.1}"),
        None => format!("{number:.0}"),
    }
}

fn decimal(number: f64, letter: &str) -> String {
    if number < 9.95 { format!("{number:.1}{letter}") } else { format!("{number:.0}{letter}") }
}

/// A count, in full as long as that is short.
pub(super) fn count(count: u64) -> String {
    if count < 10_000 { count.to_string() } else { short(count as f64) }
}

/// `1.2 MB`
pub(super) fn bytes(bytes: f64) -> String {
    let text = if bytes < 1000.0 { format!("{bytes:.0}") } else { scaled(bytes) };
    let at = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    format!("{} {}B", &text[..at], &text[at..])
}

fn scaled(bytes: f64) -> String {
    if bytes < 1e6 { decimal(bytes / 1e3, "k") } else { short(bytes) }
}

/// The time below which half of them lie.
pub(super) fn median(times: Option<&Histogram>) -> String {
    known(times.and_then(|times| times.quantile(0.5)), check_text::seconds)
}

/// `1.2 ms/20 ms`: half of them and 99 of 100.
pub(super) fn quantiles(times: Option<&Histogram>) -> String {
    let quantile = |quantile| times.and_then(|times| times.quantile(quantile)).map(check_text::seconds);
    known(quantile(0.5).zip(quantile(0.99)), |(half, most)| format!("{half}/{most}"))
}

/// `12 refused, 3 cancelled`; with `causes` false the sum alone.
pub(super) fn failures(by_cause: Option<&[(&'static str, u64)]>, causes: bool) -> String {
    known(by_cause, |by_cause| {
        let some: Vec<_> = by_cause.iter().filter(|(_, count)| *count > 0).collect();
        if some.is_empty() {
            "0".to_owned()
        } else if causes {
            let parts =
                some.iter().map(|(cause, number)| format!("{} {}", count(*number), cause_word(cause)));
            parts.collect::<Vec<_>>().join(", ")
        } else {
            count(some.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count)))
        }
    })
}

/// A cause as it is said.
pub(super) fn cause_word(cause: &str) -> String {
    cause.replace('_', " ")
}

/// `12:04:07`, in UTC.
pub(super) fn clock(seconds: f64) -> String {
    let time = crate::outputs::check_json::timestamp(seconds);
    // `2026-01-01T12:04:07Z`; what is out of its range is a number.
    time.get(11..19).map_or_else(|| time.clone(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short_and_of_the_right_size() {
        let written = [
            (0.0, "0"),
            (0.25, "0.2"),
            (9.0, "9"),
            (120.4, "120"),
            (9999.0, "9999"),
            (12_345.0, "12k"),
            (1_234_567.0, "1.2M"),
            (4.2e9, "4.2G"),
            (2e12, "2.0T"),
        ];
        for (number, text) in written {
            assert_eq!(short(number), text);
        }
        assert_eq!(
            [0.0, 999.0, 1500.0, 25_000.0, 3e6].map(bytes),
            ["0 B", "999 B", "1.5 kB", "25 kB", "3.0 MB"]
        );
    }

    #[test]
    fn small_shares_have_more_digits() {
        assert_eq!(interval([0.737, 0.797]), "73.7–79.7");
        assert_eq!(interval([0.000_95, 0.001_12]), "0.10–0.11");
        assert_eq!([0.769, 0.001, 0.0].map(percent), ["76.9 %", "0.10 %", "0.0 %"]);
    }

    #[test]
    fn what_was_not_measured_is_a_dash_and_not_zero() {
        assert_eq!(failures(None, true), UNKNOWN);
        assert_eq!(failures(Some(&[("refused", 0)]), true), "0");
        assert_eq!(failures(Some(&[("refused", 2), ("timed_out", 1)]), true), "2 refused, 1 timed out");
        assert_eq!(failures(Some(&[("refused", 2), ("timed_out", 1)]), false), "3");
        assert_eq!(median(None), UNKNOWN);
    }
}
