//! Numbers and times as HAProxy reads them.

use std::time::Duration;

/// A number as atol(3) reads it: what is behind the digits is ignored, and what has none is 0.
pub(super) fn leading_number(text: &str) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.bytes().take_while(u8::is_ascii_digit);
    let number =
        digits.fold(0_i64, |number, digit| number.saturating_mul(10).saturating_add((digit - b'0').into()));
    if negative { -number } else { number }
}

/// A time: a number of milliseconds, or of the unit behind it. Less than a millisecond is one.
pub(super) fn time(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "us" => number.div_ceil(1_000),
        "" | "ms" => number,
        "s" => number.checked_mul(1_000)?,
        "m" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        "d" => number.checked_mul(86_400_000)?,
        _ => return None,
    };
    // HAProxy keeps times in 31 bits.
    (milliseconds < 1 << 31).then(|| Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_atol_does() {
        for (text, number) in [
            ("10", 10),
            ("+10", 10),
            ("-3", -3),
            ("50%", 50),
            ("x", 0),
            ("", 0),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(leading_number(text), number, "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, milliseconds) in [
            ("2000", Some(2_000)),
            ("1500us", Some(2)),
            ("20ms", Some(20)),
            ("5s", Some(5_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("25d", None),
            ("", None),
            ("s", None),
            ("5x", None),
            ("-5", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(time(text), milliseconds.map(Duration::from_millis), "{text}");
        }
    }
}
