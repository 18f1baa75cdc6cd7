//! Shares, failures and response times over time, as a chart shows them.

use super::figures::amount;
use super::material::{Point, Range, Series};
use super::stamp::Time;
use crate::detect::Signal;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Lengths that a step of a chart may have, seconds: those that people count in.
const STEPS: [f64; 17] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0,
    43_200.0, 86_400.0,
];
/// More steps than this cannot be told apart.
const MOST_STEPS: f64 = 150.0;

/// What each member of a pool got over time. Every list of a member is as long as `times`; what is not known is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverTime {
    /// Length of a step, seconds.
    pub step_seconds: f64,
    /// The middle of each step in which something was counted.
    pub times: Vec<Time>,
    /// New connections a second of the whole pool.
    pub connections_per_second: Vec<Option<f64>>,
    /// In the order of their addresses.
    pub members: Vec<MemberOverTime>,
}

/// One member over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemberOverTime {
    /// Which one.
    pub backend: SocketAddr,
    /// Its share of the pool's signal, 0 to 1.
    pub share: Vec<Option<f64>>,
    /// The share that it should have got.
    pub expected_share: Vec<Option<f64>>,
    /// Attempts that failed, a second.
    pub failures_per_second: Vec<Option<f64>>,
    /// Response time below which half of its exchanges lie, seconds.
    pub response_seconds: Vec<Option<f64>>,
}

/// The series of a pool, step by step.
pub(super) fn over_time(series: &[&Series], range: Range, signal: Signal) -> OverTime {
    let wanted = range.length_seconds() / MOST_STEPS;
    let step_seconds = STEPS.into_iter().find(|step| *step >= wanted).unwrap_or(wanted);
    // What a member got in each step that it was in.
    let mut steps: BTreeMap<u64, Vec<Option<Point>>> = BTreeMap::new();
    for (place, member) in series.iter().enumerate() {
        for point in &member.points {
            let middle = point.end_seconds - point.length_seconds / 2.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let step = ((middle - range.from_seconds) / step_seconds).max(0.0) as u64;
            let members = steps.entry(step).or_insert_with(|| vec![None; series.len()]);
            match &mut members[place] {
                Some(sum) => sum.add(point),
                none => *none = Some(point.clone()),
            }
        }
    }
    let none = |member: &&Series| MemberOverTime {
        backend: member.backend,
        share: Vec::new(),
        expected_share: Vec::new(),
        failures_per_second: Vec::new(),
        response_seconds: Vec::new(),
    };
    let mut over_time = OverTime {
        step_seconds,
        times: Vec::new(),
        connections_per_second: Vec::new(),
        members: series.iter().map(none).collect(),
    };
    for (step, members) in steps {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let middle = range.from_seconds + (step as f64 + 0.5) * step_seconds;
        over_time.times.push(Time(middle.min(range.to_seconds)));
        let there = || members.iter().flatten();
        // Of who was there: one of which it is not known leaves nobody's share known.
        let all = there().try_fold(0.0, |sum, point| Some(sum + amount(point, signal)?));
        let decisions = there().try_fold(0_u64, |sum, point| Some(sum + point.counts.decisions?));
        let seconds = there().map(|point| point.length_seconds).fold(0.0, f64::max);
        over_time.connections_per_second.push(decisions.map(|count| digits(per_second(count, seconds))));
        for (member, point) in over_time.members.iter_mut().zip(&members) {
            let amount = point.as_ref().and_then(|point| amount(point, signal));
            let share = amount.zip(all.filter(|all| *all > 0.0)).map(|(amount, all)| digits(amount / all));
            member.share.push(share);
            member.expected_share.push(point.as_ref().and_then(|point| point.expected_share).map(digits));
            let failed = point.as_ref().and_then(|point| point.counts.failed);
            member.failures_per_second.push(failed.map(|failed| digits(per_second(failed.total(), seconds))));
            let times = point.as_ref().and_then(|point| point.response.as_ref());
            member.response_seconds.push(times.and_then(|times| times.quantile(0.5)).map(digits));
        }
    }
    over_time
}

fn per_second(count: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let count = count as f64;
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

/// Four digits that count: nobody sees more in a chart.
fn digits(figure: f64) -> f64 {
    if figure == 0.0 || !figure.is_finite() {
        return 0.0;
    }
    let unit = 10_f64.powf(3.0 - figure.abs().log10().floor());
    (figure * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::super::material::Counts;
    use super::*;
    use crate::chronicle::PoolName;

    fn series(number: u8, ends: impl Iterator<Item = u32>, decisions: Option<u64>) -> Series {
        let point = |end: u32| Point {
            end_seconds: f64::from(end),
            length_seconds: 1.0,
            counts: Counts { decisions, ..Counts::default() },
            live: None,
            expected_share: Some(0.5),
            response: None,
        };
        Series {
            pool: PoolName { pool: "app".into(), balancer: None },
            backend: ([10, 0, 0, number], 80).into(),
            points: ends.map(point).collect(),
        }
    }

    #[test]
    fn steps_are_as_people_count_and_what_was_not_counted_has_none() {
        let ends = || (1..=100).chain(201..=300);
        let (one, other) = (series(1, ends(), Some(3)), series(2, ends(), Some(1)));
        let range = Range { from_seconds: 0.0, to_seconds: 300.0 };
        let found = over_time(&[&one, &other], range, Signal::Connections);
        assert_eq!((found.step_seconds, found.times.len()), (2.0, 100));
        assert!(found.times.iter().all(|time| !(100.0..=200.0).contains(&time.0)));
        assert!(found.members[0].share.iter().all(|share| *share == Some(0.75)));
        assert!(found.connections_per_second.iter().all(|rate| *rate == Some(4.0)));
        assert!(found.members[0].failures_per_second.iter().all(Option::is_none), "not measured");
    }

    #[test]
    fn a_member_that_was_not_there_keeps_nobody_from_a_share_and_one_that_is_not_known_does() {
        let range = Range { from_seconds: 0.0, to_seconds: 4.0 };
        let one = series(1, 1..=4, Some(2));
        let late = over_time(&[&one, &series(2, 3..=4, Some(2))], range, Signal::Connections);
        assert_eq!(late.members[0].share, [Some(1.0), Some(1.0), Some(0.5), Some(0.5)]);
        assert_eq!(late.members[1].share, [None, None, Some(0.5), Some(0.5)]);
        let unknown = over_time(&[&one, &series(2, 3..=4, None)], range, Signal::Connections);
        assert_eq!(unknown.members[0].share, [Some(1.0), Some(1.0), None, None]);
    }
}
