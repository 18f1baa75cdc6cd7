//! nginx's lengths of time: `30s`, `1h30m`, `500ms`; seconds when there is no unit.

use std::time::Duration;

/// Units from the longest on, which is the order they have to be in, in milliseconds.
const UNITS: &[(&[u8], u64)] = &[
    (b"y", 31_536_000_000),
    (b"M", 2_592_000_000),
    (b"w", 604_800_000),
    (b"d", 86_400_000),
    (b"h", 3_600_000),
    (b"m", 60_000),
    (b"s", 1_000),
    (b"ms", 1),
];

/// A number of nginx: digits, and what fits its integers.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number <= i64::MAX.unsigned_abs()).then_some(number)
}

/// A length of time.
pub(super) fn duration(text: &[u8]) -> Option<Duration> {
    let mut rest = text;
    let mut milliseconds = 0_u64;
    let mut units = UNITS;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (count, after) = rest.split_at(digits);
        let letters = after.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (unit, after) = after.split_at(letters);
        let unit = if unit.is_empty() && after.is_empty() { b"s" } else { unit };
        let place = units.iter().position(|&(name, _)| name == unit)?;
        let (_, length) = units.get(place)?;
        milliseconds = milliseconds.checked_add(number(count)?.checked_mul(*length)?)?;
        units = units.get(place + 1..)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_nginx_s() {
        for (text, seconds) in [("5", 5.0), ("0", 0.0), ("1h30m", 5400.0), ("500ms", 0.5), ("1m30", 90.0)] {
            assert_eq!(duration(text.as_bytes()), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "s", "5x", "1s1h", "1s1s", "-1", "99999999999999999999", "9999999999999999y", "1.5s"]
        {
            assert_eq!(duration(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_digits_that_fit() {
        assert_eq!(number(b"007"), Some(7));
        assert_eq!(number(b"9223372036854775807"), Some(9_223_372_036_854_775_807));
        for text in ["", "+1", "1 ", "9223372036854775808", "99999999999999999999999"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }
}
