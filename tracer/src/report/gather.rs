//! Gathers what members got, interval by interval, in bounded memory: of a long time the points are made longer, but
//! none reaches over a moment that matters.

use super::material::{Point, Range, Series, Span, goes_on};
use crate::chronicle::PoolName;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// So many points are kept before they are made longer: more than a chart can show, of any number of members.
const MOST_POINTS: usize = 100_000;
/// The first length that points are made, seconds; then twice that, and so on.
const FIRST_STEP_SECONDS: f64 = 10.0;

/// Everything that was gathered of a range.
#[derive(Clone, Debug)]
pub struct Gatherer {
    range: Range,
    /// Moments that no point reaches over, the earliest first.
    cuts: Vec<f64>,
    step_seconds: f64,
    most: usize,
    points: usize,
    series: BTreeMap<PoolName, BTreeMap<SocketAddr, Vec<Point>>>,
    counted: Vec<Span>,
    intervals: u64,
}

impl Gatherer {
    /// Of what belongs to `range`, as [`Range::counts`] says.
    #[must_use]
    pub fn new(range: Range) -> Self {
        Self {
            range,
            cuts: Vec::new(),
            step_seconds: 0.0,
            most: MOST_POINTS,
            points: 0,
            series: BTreeMap::new(),
            counted: Vec::new(),
            intervals: 0,
        }
    }

    /// A moment that matters, such as an onset: no point that is made longer from now on reaches over it.
    pub fn cut(&mut self, time_seconds: f64) {
        let place = self.cuts.partition_point(|cut| *cut < time_seconds);
        if self.cuts.get(place) != Some(&time_seconds) {
            self.cuts.insert(place, time_seconds);
        }
    }

    /// It was counted then: one interval, whatever was in it. To be told once an interval, the earliest first. Gives
    /// whether it is within the range.
    pub fn counted(&mut self, end_seconds: f64, length_seconds: f64) -> bool {
        if !self.range.counts(end_seconds, length_seconds) {
            return false;
        }
        self.intervals += 1;
        let from_seconds = (end_seconds - length_seconds).max(self.range.from_seconds);
        let to_seconds = end_seconds.min(self.range.to_seconds);
        match self.counted.last_mut() {
            Some(span) if goes_on(span.to_seconds, from_seconds, length_seconds) => {
                span.to_seconds = span.to_seconds.max(to_seconds);
            }
            _ => self.counted.push(Span { from_seconds, to_seconds }),
        }
        true
    }

    /// What a member got in an interval, the earliest first; what is not within the range is left out.
    pub fn add(&mut self, pool: &PoolName, backend: SocketAddr, point: Point) {
        if !self.range.counts(point.end_seconds, point.length_seconds) {
            return;
        }
        if !self.series.contains_key(pool) {
            self.series.insert(pool.clone(), BTreeMap::new());
        }
        let Some(members) = self.series.get_mut(pool) else { return };
        let points = members.entry(backend).or_default();
        match points.last_mut() {
            Some(last) if is_one(&self.cuts, self.step_seconds, last, &point) => last.add(&point),
            _ => {
                points.push(point);
                self.points += 1;
            }
        }
        if self.points > self.most {
            self.lengthen();
        }
    }

    /// What every member got, when it was counted, and in how many intervals.
    #[must_use]
    pub fn finish(self) -> (Vec<Series>, Vec<Span>, u64) {
        let series = self.series.into_iter().flat_map(|(pool, members)| {
            members.into_iter().map(move |(backend, points)| Series { pool: pool.clone(), backend, points })
        });
        (series.collect(), self.counted, self.intervals)
    }

    /// Makes points longer. Where that does not help, because members are many, there may be more.
    fn lengthen(&mut self) {
        self.step_seconds = (self.step_seconds * 2.0).max(FIRST_STEP_SECONDS);
        let (cuts, step) = (&self.cuts, self.step_seconds);
        self.points = 0;
        for points in self.series.values_mut().flat_map(BTreeMap::values_mut) {
            let shorter = std::mem::take(points);
            for point in shorter {
                match points.last_mut() {
                    Some(last) if is_one(cuts, step, last, &point) => last.add(&point),
                    _ => points.push(point),
                }
            }
            self.points += points.len();
        }
        self.most = self.most.max(self.points.saturating_mul(2));
    }
}

/// Whether a point and a later one become one: when they end in the same step, and nothing that matters lies between, a gap
/// included.
fn is_one(cuts: &[f64], step_seconds: f64, earlier: &Point, later: &Point) -> bool {
    let step = |end: f64| (end / step_seconds).ceil();
    let before = |end: f64| cuts.partition_point(|cut| *cut < end);
    #[expect(clippy::float_cmp, reason = "whole numbers")]
    let same_step = step_seconds > 0.0 && step(earlier.end_seconds) == step(later.end_seconds);
    same_step
        && before(earlier.end_seconds) == before(later.end_seconds)
        && goes_on(earlier.end_seconds, later.start_seconds(), later.length_seconds)
}

#[cfg(test)]
mod tests {
    use super::super::material::Counts;
    use super::*;

    const RANGE: Range = Range { from_seconds: 0.0, to_seconds: 1e6 };

    fn point(end_seconds: f64, attempts: u64) -> Point {
        Point {
            end_seconds,
            length_seconds: 1.0,
            counts: Counts { attempts: Some(attempts), ..Counts::default() },
            live: Some(2.0),
            expected_share: Some(0.5),
            response: None,
        }
    }

    fn app() -> PoolName {
        PoolName { pool: "app".into(), balancer: Some("nginx".into()) }
    }

    fn backend(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 80))
    }

    #[test]
    fn of_a_long_time_points_are_fewer_and_their_sums_the_same() {
        let mut gatherer = Gatherer::new(RANGE);
        gatherer.cut(77_777.0);
        for second in 1..=150_000_u32 {
            assert!(gatherer.counted(f64::from(second), 1.0));
            gatherer.add(&app(), backend(1), point(f64::from(second), 3));
        }
        let (series, counted, intervals) = gatherer.finish();
        let points = &series[0].points;
        assert!(points.len() < MOST_POINTS, "{}", points.len());
        assert_eq!(points.iter().filter_map(|point| point.counts.attempts).sum::<u64>(), 450_000);
        assert!((points.iter().map(|point| point.length_seconds).sum::<f64>() - 150_000.0).abs() < 1e-6);
        assert!(points.iter().all(|point| point.live == Some(2.0)));
        let ends_at = |time: f64| points.iter().any(|point| (point.end_seconds - time).abs() < 1e-9);
        assert!(ends_at(77_777.0), "nothing reaches over the cut");
        assert_eq!(counted, [Span { from_seconds: 0.0, to_seconds: 150_000.0 }]);
        assert_eq!(intervals, 150_000);
    }

    #[test]
    fn a_gap_stays_one() {
        let mut gatherer = Gatherer::new(RANGE);
        for second in (1..=60).chain(91..=120) {
            gatherer.counted(f64::from(second), 1.0);
            gatherer.add(&app(), backend(1), point(f64::from(second), 1));
        }
        gatherer.step_seconds = 500.0;
        gatherer.lengthen();
        let (series, counted, _) = gatherer.finish();
        let spans = [(0.0, 60.0), (90.0, 120.0)];
        assert_eq!(counted, spans.map(|(from_seconds, to_seconds)| Span { from_seconds, to_seconds }));
        let lengths: Vec<f64> = series[0].points.iter().map(|point| point.length_seconds).collect();
        assert_eq!(lengths, [60.0, 30.0]);
    }

    #[test]
    fn what_is_not_in_the_range_is_left_out() {
        let mut gatherer = Gatherer::new(Range { from_seconds: 10.0, to_seconds: 20.0 });
        for second in 5..=25 {
            gatherer.counted(f64::from(second), 1.0);
            gatherer.add(&app(), backend(1), point(f64::from(second), 1));
        }
        let (series, counted, intervals) = gatherer.finish();
        assert_eq!((series[0].points.len(), intervals), (10, 10));
        assert_eq!(counted, [Span { from_seconds: 10.0, to_seconds: 20.0 }]);
    }

    #[test]
    fn an_interval_over_the_end_counts_whole_unless_without_it_there_is_no_gap() {
        let counted = |to_seconds: f64| {
            let mut gatherer = Gatherer::new(Range { from_seconds: 83.0, to_seconds });
            for number in 8..20 {
                let end_seconds = f64::from(number) * 10.0 + 0.4;
                gatherer.counted(end_seconds, 10.0);
                gatherer.add(&app(), backend(1), Point { length_seconds: 10.0, ..point(end_seconds, 1) });
            }
            let (series, counted, intervals) = gatherer.finish();
            let [span] = counted.as_slice() else { panic!("{counted:?}") };
            assert_eq!(u64::try_from(series[0].points.len()).unwrap(), intervals);
            (intervals, span.from_seconds, span.to_seconds)
        };
        assert_eq!(counted(155.0), (8, 83.0, 155.0));
        assert_eq!(counted(152.0), (7, 83.0, 150.4));
        assert_eq!(counted(150.4), (7, 83.0, 150.4));
        assert_eq!(counted(86.0), (1, 83.0, 86.0), "both ends lie in it");
    }

    #[test]
    fn what_was_not_measured_stays_unknown() {
        let mut gatherer = Gatherer::new(RANGE);
        gatherer.step_seconds = 10.0;
        gatherer.add(&app(), backend(1), point(1.0, 1));
        gatherer.add(&app(), backend(1), point(2.0, 1));
        let (series, ..) = gatherer.finish();
        let counts = &series[0].points[0].counts;
        assert_eq!((series[0].points.len(), counts.attempts), (1, Some(2)));
        assert_eq!((counts.exchanges, counts.failed), (None, None));
    }
}
