//! How times and figures are said in a report. All times are UTC.

use crate::outputs::{seconds, timestamp};

/// Stands for what was not measured.
pub(super) const UNKNOWN: &str = "—";

/// A figure as `show` writes it, or the dash.
pub(super) fn known<T>(figure: Option<T>, show: impl FnOnce(T) -> String) -> String {
    figure.map_or_else(|| UNKNOWN.to_owned(), show)
}

/// `2026-01-01 12:04:07`
pub(super) fn moment(time_seconds: f64) -> String {
    let time = timestamp(time_seconds);
    time.get(..19).map_or_else(|| time.clone(), |time| time.replace('T', " "))
}

/// `2026-01-01`
pub(super) fn day(time_seconds: f64) -> String {
    let time = timestamp(time_seconds);
    time.get(..10).map_or_else(|| time.clone(), ToOwned::to_owned)
}

/// `12:04:07`
pub(super) fn clock(time_seconds: f64) -> String {
    let time = timestamp(time_seconds);
    time.get(11..19).map_or_else(|| time.clone(), ToOwned::to_owned)
}

/// `45 s`, `4 min 12 s`, `3 h 4 min`, `2 days 3 h`: a review wants to know more exactly than a screen.
pub(super) fn lasted(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and is not negative"
    )]
    let whole = seconds.max(0.0).round() as u64;
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 => two(whole / 60, "min", whole % 60, "s"),
        7200..172_800 => two(whole / 3600, "h", whole % 3600 / 60, "min"),
        _ => two(whole / 86_400, "days", whole % 86_400 / 3600, "h"),
    }
}

/// `120`, `4.5`, `0.024`: what is little is not nothing.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 10.0 => format!("{rate:.0}"),
        rate if rate >= 0.1 || rate <= 0.0 => format!("{rate:.1}"),
        rate => {
            // Two digits that count.
            let digits = (-rate.log10()).ceil().clamp(0.0, 9.0) + 1.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 10")]
            let digits = digits as usize;
            format!("{rate:.digits$}")
        }
    }
}

/// `1.2 ms/20 ms`: half of the exchanges, and 99 of 100.
pub(super) fn quantiles([half, most]: [f64; 2]) -> String {
    format!("{}/{}", seconds(half), seconds(most))
}

/// `1 member`, `2 members`
pub(super) fn count(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_in_two_units() {
        let said = [0.4, 119.4, 120.0, 252.0, 7199.0, 11_040.0, 172_800.0, 183_600.0].map(lasted);
        assert_eq!(
            said,
            ["0 s", "119 s", "2 min", "4 min 12 s", "119 min 59 s", "3 h 4 min", "2 days", "2 days 3 h"]
        );
    }

    #[test]
    fn a_small_rate_is_not_zero() {
        assert_eq!([123.4, 4.5, 0.0, 0.024_1, 0.000_9].map(rate), ["123", "4.5", "0.0", "0.024", "0.00090"]);
    }

    #[test]
    fn times_are_in_utc() {
        let time = 1_767_225_600.9;
        assert_eq!((moment(time), clock(time)), ("2026-01-01 00:00:00".into(), "00:00:00".into()));
        assert_eq!(moment(1e300), timestamp(1e300), "what is out of range is a number");
    }
}
