//! Of which time a report is: what was typed, and what is chosen when nothing was.

use super::episodes::{Episode, worst};
use super::material::Range;
use super::words::moment;
use std::str::FromStr;

/// A moment as it was typed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// Seconds since the epoch.
    At(f64),
    /// A time of day in UTC, seconds since midnight.
    Clock(f64),
    /// So many seconds before now; of a recording, before its end.
    Ago(f64),
}

/// Which range was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wanted {
    /// From when.
    pub from: Option<Moment>,
    /// Until when.
    pub to: Option<Moment>,
    /// What happened around then.
    pub around: Option<Moment>,
}

const DAY: f64 = 86_400.0;
/// What is shown before and after an incident: half of its length, but no less and no more than this, seconds.
const MARGIN_SECONDS: [f64; 2] = [300.0, 3600.0];
/// Around a moment at which nothing was found, seconds before and after.
const AROUND_SECONDS: f64 = 1800.0;
/// An incident that began or ended so long from the moment that was named is meant, seconds.
const NEAR_SECONDS: f64 = 3600.0;

impl FromStr for Moment {
    type Err = String;

    /// `2026-01-01T12:00:00Z` (with any offset), `12:00`, `12:00:30`, `-2h`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(ago) = text.strip_prefix('-') {
            let ago: jiff::SignedDuration =
                ago.parse().map_err(|_| "not a time ago; write it as -2h or -90m".to_owned())?;
            return Ok(Self::Ago(ago.as_secs_f64()));
        }
        let civil: Result<jiff::civil::Time, _> = text.parse();
        if let Ok(time) = civil
            && text.contains(':')
            && text.len() <= "12:00:00".len()
        {
            let seconds = |part: i8, unit: f64| f64::from(part) * unit;
            return Ok(Self::Clock(
                seconds(time.hour(), 3600.0) + seconds(time.minute(), 60.0) + seconds(time.second(), 1.0),
            ));
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| {
            "not a time; write it as 2026-01-01T12:00:00Z, as 12:00 (UTC), or as -2h".to_owned()
        })?;
        Ok(Self::At(time.as_duration().as_secs_f64()))
    }
}

impl Moment {
    /// Seconds since the epoch; a time of day is the last one before now.
    fn before(self, now_seconds: f64) -> f64 {
        match self {
            Self::At(time) => time,
            Self::Ago(seconds) => now_seconds - seconds,
            Self::Clock(clock) => {
                let today = (now_seconds / DAY).floor() * DAY + clock;
                if today <= now_seconds { today } else { today - DAY }
            }
        }
    }

    /// The same, but a time of day is the first one after `from_seconds`.
    fn after(self, from_seconds: f64, now_seconds: f64) -> f64 {
        match self {
            Self::Clock(clock) => {
                let same_day = (from_seconds / DAY).floor() * DAY + clock;
                if same_day > from_seconds { same_day } else { same_day + DAY }
            }
            other => other.before(now_seconds),
        }
    }
}

impl Wanted {
    /// The range that is meant: what was typed; else around the moment that was typed; else, of the last day that is
    /// `known`, the time around the worst that was found, or the whole day. `now_seconds` is what `-2h` and a time of day count
    /// from.
    ///
    /// # Errors
    /// When it has no length, or nothing of it is known.
    pub fn choose(&self, known: Range, now_seconds: f64, episodes: &[Episode]) -> Result<Range, String> {
        let range = match (self.from, self.to, self.around) {
            (None, None, None) => {
                let from_seconds = known.from_seconds.max(known.to_seconds - DAY);
                let last_day = Range { from_seconds, ..known };
                let recent = episodes.iter().filter(|episode| episode.reaches_into(&last_day));
                worst(recent, known.to_seconds)
                    .map_or(last_day, |episode| within(known, around_episode(episode, known.to_seconds)))
            }
            (_, _, Some(around)) => within(known, self::around(around.before(now_seconds), known, episodes)),
            (from, to, None) => {
                let from_seconds = from.map_or(known.from_seconds, |from| from.before(now_seconds));
                let to = to.map(|to| match from {
                    Some(_) => to.after(from_seconds, now_seconds),
                    None => to.before(now_seconds),
                });
                Range { from_seconds, to_seconds: to.unwrap_or(known.to_seconds) }
            }
        };
        let said =
            |range: Range| format!("{} and {} UTC", moment(range.from_seconds), moment(range.to_seconds));
        let remedy = "give --from and --to within, or --around";
        if range.to_seconds <= range.from_seconds {
            let known = said(known);
            return Err(format!(
                "there is no time between {}; something is known between {known}: {remedy}",
                said(range)
            ));
        }
        if range.to_seconds <= known.from_seconds || range.from_seconds >= known.to_seconds {
            let known = said(known);
            return Err(format!(
                "nothing was counted between {}, but between {known}: {remedy}",
                said(range)
            ));
        }
        Ok(range)
    }
}

/// An incident, with what was before and after it.
fn around_episode(episode: &Episode, until_seconds: f64) -> Range {
    let [least, most] = MARGIN_SECONDS;
    let margin = (episode.lasted_seconds(until_seconds) / 2.0).clamp(least, most);
    Range {
        from_seconds: episode.onset_seconds - margin,
        to_seconds: episode.cleared_seconds.unwrap_or(until_seconds) + margin,
    }
}

/// The incident at or near a moment; else the time around it.
fn around(time_seconds: f64, known: Range, episodes: &[Episode]) -> Range {
    let distance = |episode: &Episode| {
        let end = episode.cleared_seconds.unwrap_or(known.to_seconds);
        (episode.onset_seconds - time_seconds).max(time_seconds - end).max(0.0)
    };
    let nearest = episodes.iter().map(distance).fold(f64::INFINITY, f64::min);
    let near = episodes.iter().filter(|episode| distance(episode) <= nearest && nearest <= NEAR_SECONDS);
    worst(near, known.to_seconds).map_or(
        Range { from_seconds: time_seconds - AROUND_SECONDS, to_seconds: time_seconds + AROUND_SECONDS },
        |episode| around_episode(episode, known.to_seconds),
    )
}

/// As much of it as is known.
fn within(known: Range, range: Range) -> Range {
    Range {
        from_seconds: range.from_seconds.max(known.from_seconds),
        to_seconds: range.to_seconds.min(known.to_seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::super::episodes::{episodes, tests::change};
    use super::*;
    use crate::detect::Verdict;

    /// 2026-01-02T06:00:00Z
    const NOW: f64 = 1_767_333_600.0;
    const KNOWN: Range = Range { from_seconds: NOW - DAY, to_seconds: NOW };

    fn chosen(from: Option<&str>, to: Option<&str>, around: Option<&str>) -> Result<[f64; 2], String> {
        let moment = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        let wanted = Wanted { from: moment(from), to: moment(to), around: moment(around) };
        let told = [
            change("app", NOW - 9000.0, Verdict::Skewed, Some(NOW - 9010.0)),
            change("app", NOW - 8000.0, Verdict::Balanced, None),
            change("db", NOW - 50_000.0, Verdict::BackendSlow, Some(NOW - 60_000.0)),
            change("db", NOW - 40_000.0, Verdict::Balanced, None),
        ];
        let range = wanted.choose(KNOWN, NOW, &episodes(&told, &[]))?;
        Ok([range.from_seconds - NOW, range.to_seconds - NOW])
    }

    #[test]
    fn times_are_taken_as_people_write_them() {
        assert_eq!("2026-01-02T06:00:00Z".parse(), Ok(Moment::At(NOW)));
        assert_eq!("2026-01-02T08:00:00+02:00".parse(), Ok(Moment::At(NOW)));
        assert_eq!("04:30".parse(), Ok(Moment::Clock(16_200.0)));
        assert_eq!("04:30:01".parse(), Ok(Moment::Clock(16_201.0)));
        assert_eq!("-2h".parse(), Ok(Moment::Ago(7200.0)));
        assert_eq!("-90m".parse(), Ok(Moment::Ago(5400.0)));
        for wrong in ["", "yesterday", "25:00", "2026-01-02", "-", "2h", "12"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_of_day_is_the_last_one_and_the_end_comes_after_the_beginning() {
        assert_eq!(chosen(Some("05:00"), Some("05:30"), None), Ok([-3600.0, -1800.0]));
        assert_eq!(chosen(Some("23:00"), Some("01:00"), None), Ok([-25_200.0, -18_000.0]));
        assert_eq!(chosen(Some("-2h"), None, None), Ok([-7200.0, 0.0]));
        assert_eq!(chosen(None, Some("-2h"), None), Ok([-DAY, -7200.0]));
    }

    #[test]
    fn without_a_time_the_worst_is_meant_and_with_one_what_was_near_it() {
        let skewed = Ok([-9010.0 - 505.0, -8000.0 + 505.0]);
        assert_eq!(chosen(None, None, None), skewed);
        assert_eq!(chosen(None, None, Some("-7500s")), skewed, "shortly after it");
        assert_eq!(chosen(None, None, Some("-45000s")), Ok([-63_600.0, -36_400.0]));
        assert_eq!(chosen(None, None, Some("-20000s")), Ok([-21_800.0, -18_200.0]), "nothing was found then");
    }

    #[test]
    fn a_range_without_anything_says_what_there_is() {
        let empty = chosen(Some("2026-01-02T05:00:00Z"), Some("2026-01-02T05:00:00Z"), None).unwrap_err();
        assert!(empty.starts_with("there is no time between 2026-01-02 05:00:00"), "{empty}");
        let earlier = chosen(Some("2020-01-01T00:00:00Z"), Some("2020-01-02T00:00:00Z"), None).unwrap_err();
        assert!(
            earlier.contains("but between 2026-01-01 06:00:00 and 2026-01-02 06:00:00 UTC: give --from"),
            "{earlier}"
        );
    }

    #[test]
    fn when_nothing_was_found_the_last_day_is_meant() {
        let long = Range { from_seconds: NOW - 30.0 * DAY, to_seconds: NOW };
        assert_eq!(Wanted::default().choose(long, NOW, &[]), Ok(KNOWN));
        let short = Range { from_seconds: NOW - 60.0, to_seconds: NOW };
        assert_eq!(Wanted::default().choose(short, NOW, &[]), Ok(short));
    }

    #[test]
    fn what_is_long_over_is_not_meant_unless_it_is_named() {
        let told = [
            change("app", NOW - 5.0 * DAY, Verdict::PoolFailing, Some(NOW - 5.0 * DAY)),
            change("app", NOW - 5.0 * DAY + 600.0, Verdict::Balanced, None),
            change("app", NOW - 600.0, Verdict::BackendSlow, Some(NOW - 610.0)),
            change("app", NOW - 500.0, Verdict::Balanced, None),
        ];
        let long = Range { from_seconds: NOW - 30.0 * DAY, to_seconds: NOW };
        let recent = Wanted::default().choose(long, NOW, &episodes(&told, &[])).unwrap();
        assert_eq!([recent.from_seconds - NOW, recent.to_seconds - NOW], [-910.0, -200.0]);
        let around = Wanted { around: Some(Moment::Ago(5.0 * DAY)), ..Wanted::default() };
        let named = around.choose(long, NOW, &episodes(&told, &[])).unwrap();
        assert!((named.from_seconds - (NOW - 5.0 * DAY - 300.0)).abs() < 1e-6);
    }
}
