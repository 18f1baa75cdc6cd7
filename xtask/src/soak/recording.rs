//! What a recording says of the tick.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// An interval, as `watch --samples` wrote it down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tick {
    /// Its end, seconds since the epoch.
    pub(super) at: f64,
    /// Its length, seconds; it should be one.
    pub(super) seconds: f64,
}

impl Tick {
    /// How much it is off. A tick that was left out is a second.
    pub(super) fn lag(self) -> f64 {
        self.seconds - 1.0
    }

    /// Whether any of it was in this time.
    pub(super) fn touches(self, (from, to): (f64, f64)) -> bool {
        self.at >= from && self.at - self.seconds <= to
    }
}

/// Reads the lines that `watch --samples` wrote.
pub(super) fn ticks(text: &str) -> Result<Vec<Tick>> {
    let mut ticks = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).context("a line of the recording is no JSON")?;
        if line["schema"] != "tracer.sample/1" {
            continue;
        }
        let number = |name: &str| line[name].as_f64().with_context(|| format!("a sample without {name}"));
        ticks.push(Tick { at: number("time")?, seconds: number("interval_seconds")? });
    }
    Ok(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_and_what_else_is_there_is_not() {
        let line = |time: f64, seconds: f64| {
            format!(
                "{{\"schema\":\"tracer.sample/1\",\"time\":{time},\"interval_seconds\":{seconds},\"pools\":[]}}\n"
            )
        };
        let text = format!("{{\"schema\":\"tracer.state/1\"}}\n{}{}", line(10.0, 1.0), line(11.5, 1.5));
        let found = ticks(&text).unwrap();
        assert_eq!(found, [Tick { at: 10.0, seconds: 1.0 }, Tick { at: 11.5, seconds: 1.5 }]);
        assert!((found[1].lag() - 0.5).abs() < 1e-9);
        assert!(ticks("{\"schema\":\"tracer.sample/1\"}\n").is_err());
    }

    #[test]
    fn an_interval_touches_a_time_that_it_has_a_part_of() {
        let tick = Tick { at: 12.0, seconds: 2.0 };
        assert!(tick.touches((11.0, 11.5)) && tick.touches((5.0, 10.5)) && tick.touches((11.9, 20.0)));
        assert!(!tick.touches((5.0, 9.0)) && !tick.touches((13.0, 14.0)));
    }
}
