//! The last minutes, as the charts of the page need them: what a page shows of the past outlives its being loaded again.
#![forbid(unsafe_code)]

use super::check_json::timestamp;
use super::latest::Latest;
use crate::agent::Judged;
use crate::chronicle::PoolName;
use crate::detect::{Assessment, Finding, Signal, Verdict};
use crate::pools::MemberSample;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// Intervals that are kept: five minutes of ticks.
const KEPT: usize = 300;
/// Verdicts of a pool that are kept.
const MOST_VERDICTS: usize = 50;
/// Lines of a chart: more cannot be told apart.
const MOST_LINES: usize = 12;
/// Lines that are sent, of all charts together.
const MOST_SENT: usize = 240;

/// The last minutes. Bounded: `KEPT` intervals of 8 bytes for each member that there was in them.
#[derive(Debug, Default)]
pub struct Past {
    /// Intervals so far; they are numbered from 1.
    now: u64,
    /// The end of each that is kept, seconds since the epoch.
    times: VecDeque<f64>,
    pools: BTreeMap<PoolName, PoolPast>,
}

#[derive(Debug)]
struct PoolPast {
    verdict: Verdict,
    signal: Signal,
    /// The interval it was judged in last.
    seen: u64,
    /// With the interval from which on they stood.
    verdicts: VecDeque<(u64, Change)>,
    members: BTreeMap<SocketAddr, Series>,
}

/// A verdict, and since when it stood.
#[derive(Clone, Debug, Serialize)]
struct Change {
    time: String,
    verdict: Verdict,
    summary: String,
}

/// Of one member, up to the interval it was seen in last.
#[derive(Debug, Default)]
struct Series {
    seen: u64,
    finding: Option<Finding>,
    attempts: u64,
    points: VecDeque<Point>,
}

/// Not a number: not known.
#[derive(Clone, Copy, Debug)]
struct Point {
    share: f32,
    response_seconds: f32,
}

impl Point {
    const UNKNOWN: Self = Self { share: f32::NAN, response_seconds: f32::NAN };
}

/// What is sent of it. Every list of a member is as long as `times`; what is not known is null.
#[derive(Debug, Serialize)]
pub struct Told {
    #[serde(skip)]
    now: u64,
    times: Vec<f64>,
    pools: Vec<ToldPool>,
}

#[derive(Debug, Serialize)]
struct ToldPool {
    name: String,
    balancer: Option<String>,
    signal: Signal,
    verdicts: Vec<Change>,
    members: Vec<ToldMember>,
}

#[derive(Debug, Serialize)]
struct ToldMember {
    backend: SocketAddr,
    /// Of the interval, of the pool's signal.
    share: Vec<Option<f64>>,
    /// Median of the interval.
    response_seconds: Vec<Option<f64>>,
}

impl Told {
    /// The interval up to which it tells.
    #[must_use]
    pub fn until(&self) -> u64 {
        self.now
    }
}

impl Past {
    /// Takes in one more interval.
    pub fn take(&mut self, latest: &Latest) {
        self.now += 1;
        push(&mut self.times, latest.time_seconds, KEPT);
        for judged in &latest.report.pools {
            let Some(assessment) = &judged.assessment else { continue };
            let pool = self.pools.entry(PoolName::of(judged)).or_insert_with(|| PoolPast::new(assessment));
            pool.take(judged, assessment, self.now, latest.time_seconds);
        }
        let kept = |seen: u64| self.now.saturating_sub(seen) < KEPT as u64;
        self.pools.retain(|_, pool| kept(pool.seen));
        self.pools.values_mut().for_each(|pool| pool.members.retain(|_, series| kept(series.seen)));
    }

    /// What is news to who knows all up to an interval; 0: everything. Of many members those that matter most.
    #[must_use]
    pub fn since(&self, known: u64) -> Told {
        let news = self.now.saturating_sub(known).min(self.times.len() as u64);
        let (from, news) = (self.now - news, usize::try_from(news).unwrap_or(KEPT));
        let mut pools: Vec<_> = self.pools.iter().collect();
        pools.sort_by_key(|(_, pool)| pool.verdict);
        let mut left = MOST_SENT;
        let pools = pools.into_iter().map(|(name, pool)| {
            let members = pool.told(self.now, news, left.min(MOST_LINES));
            left -= members.len();
            let verdicts = pool.verdicts.iter().filter(|(at, _)| *at > from || known == 0);
            ToldPool {
                name: name.pool.clone(),
                balancer: name.balancer.clone(),
                signal: pool.signal,
                verdicts: verdicts.map(|(_, change)| change.clone()).collect(),
                members,
            }
        });
        Told {
            now: self.now,
            pools: pools.collect(),
            times: self.times.iter().skip(self.times.len() - news).copied().collect(),
        }
    }
}

impl PoolPast {
    fn new(assessment: &Assessment) -> Self {
        let Assessment { verdict, signal, .. } = *assessment;
        Self { verdict, signal, seen: 0, verdicts: VecDeque::new(), members: BTreeMap::new() }
    }

    fn take(&mut self, judged: &Judged, assessment: &Assessment, now: u64, time_seconds: f64) {
        (self.verdict, self.signal, self.seen) = (assessment.verdict, assessment.signal, now);
        if self.verdicts.back().is_none_or(|(_, last)| last.verdict != assessment.verdict) {
            let (verdict, summary) = (assessment.verdict, assessment.summary.to_string());
            let change = Change { time: timestamp(time_seconds), verdict, summary };
            push(&mut self.verdicts, (now, change), MOST_VERDICTS);
        }
        let members = &judged.sample.members;
        let counts: Vec<_> = members.iter().map(|member| count(member, assessment.signal)).collect();
        let all = counts.iter().copied().try_fold(0_u64, |sum, count| Some(sum.saturating_add(count?)));
        for ((at, member), count) in members.iter().enumerate().zip(counts) {
            let share = count.zip(all.filter(|all| *all > 0)).map(|(count, all)| count as f64 / all as f64);
            let times = member.exchanges.response_time.as_ref();
            let response = times.and_then(|times| times.quantile(0.5));
            #[expect(clippy::cast_possible_truncation, reason = "to be drawn; seven digits are enough")]
            let small = |figure: Option<f64>| figure.map_or(f32::NAN, |figure| figure as f32);
            let series = self.members.entry(member.backend).or_default();
            series.finding = assessment.members.get(at).and_then(|member| member.finding);
            series.attempts = member.total.attempts;
            series.take(Point { share: small(share), response_seconds: small(response) }, now);
        }
    }

    fn told(&self, now: u64, news: usize, most: usize) -> Vec<ToldMember> {
        let mut members: Vec<_> = self.members.iter().collect();
        // Who stands out, and then who has most of the traffic; drawn in the order of their addresses.
        members.sort_by_key(|(_, series)| (series.finding.is_none(), Reverse(series.attempts)));
        members.truncate(most);
        members.sort_by_key(|(backend, _)| **backend);
        members.into_iter().map(|(backend, series)| series.told(*backend, now, news)).collect()
    }
}

impl Series {
    fn take(&mut self, point: Point, now: u64) {
        // Intervals that it was not in, once it was.
        let missed = if self.seen == 0 { 0 } else { now.saturating_sub(self.seen + 1) };
        for _ in 0..missed.min(KEPT as u64) {
            push(&mut self.points, Point::UNKNOWN, KEPT);
        }
        push(&mut self.points, point, KEPT);
        self.seen = now;
    }

    fn told(&self, backend: SocketAddr, now: u64, news: usize) -> ToldMember {
        // The newest first: nothing is known of those since it was seen.
        let gone = usize::try_from(now.saturating_sub(self.seen)).unwrap_or(KEPT);
        let newest_first = std::iter::repeat_n(Point::UNKNOWN, gone).chain(self.points.iter().rev().copied());
        let mut points: Vec<_> = newest_first.chain(std::iter::repeat(Point::UNKNOWN)).take(news).collect();
        points.reverse();
        let column = |figure: fn(&Point) -> f32| points.iter().map(|point| rounded(figure(point))).collect();
        ToldMember {
            backend,
            share: column(|point| point.share),
            response_seconds: column(|point| point.response_seconds),
        }
    }
}

/// New connections, exchanges or present connections of the interval.
fn count(member: &MemberSample, signal: Signal) -> Option<u64> {
    match signal {
        Signal::Connections => (!member.recorded.unmeasured.contains("attempts")).then_some(member.decisions),
        Signal::Exchanges => member.requests,
        Signal::Live => member.stock.map(|stock| stock.live),
    }
}

/// Three digits that count: nobody sees more in a chart.
fn rounded(figure: f32) -> Option<f64> {
    let figure = f64::from(figure);
    let size = figure.abs().log10().floor();
    match size.is_finite() {
        true => {
            let unit = 10_f64.powf(2.0 - size);
            Some((figure * unit).round() / unit)
        }
        false => (figure == 0.0).then_some(0.0),
    }
}

/// Appends, and lets go of the oldest beyond `most`.
fn push<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::metrics::tests::{backend, latest, pool};
    use serde_json::{Value, json};

    fn told(past: &Past, known: u64) -> Value {
        serde_json::to_value(past.since(known)).unwrap()
    }

    #[test]
    fn who_knows_nothing_is_told_all_and_who_knows_is_told_what_is_news() {
        let mut past = Past::default();
        past.take(&latest(vec![pool("app", "nginx", &[(1, 30), (2, 10)])]));
        past.take(&latest(vec![pool("app", "nginx", &[(1, 10), (2, 10)])]));
        let all = told(&past, 0);
        assert_eq!(all["times"].as_array().unwrap().len(), 2);
        assert_eq!(all["pools"][0]["members"][0]["share"], json!([0.75, 0.5]));
        assert_eq!(all["pools"][0]["members"][0]["response_seconds"], json!([null, null]), "not measured");
        assert_eq!(all["pools"][0]["verdicts"][0]["verdict"], "skewed");
        assert_eq!(all["pools"][0]["verdicts"].as_array().unwrap().len(), 1, "it stood all the while");
        let news = told(&past, 1);
        assert_eq!(news["pools"][0]["members"][1]["share"], json!([0.5]));
        assert_eq!(news["pools"][0]["verdicts"], json!([]));
        assert_eq!(told(&past, past.since(0).until())["times"], json!([]));
    }

    #[test]
    fn of_when_a_member_was_not_there_nothing_is_known() {
        let mut past = Past::default();
        for members in [&[(1, 10)][..], &[(1, 10), (2, 30)], &[(1, 10)], &[(1, 10), (2, 10)], &[(1, 10)]] {
            past.take(&latest(vec![pool("app", "nginx", members)]));
        }
        let members = &told(&past, 0)["pools"][0]["members"];
        assert_eq!(members[1]["backend"], backend(2).to_string());
        assert_eq!(members[1]["share"], json!([null, 0.75, null, 0.5, null]));
    }

    #[test]
    fn what_is_long_over_is_forgotten() {
        let mut past = Past::default();
        past.take(&latest(vec![pool("gone", "nginx", &[(1, 1)]), pool("app", "nginx", &[(9, 1)])]));
        for _ in 0..KEPT * 2 {
            past.take(&latest(vec![pool("app", "nginx", &[(1, 1)])]));
        }
        assert_eq!((past.times.len(), past.pools.len()), (KEPT, 1));
        let members = &past.pools.values().next().unwrap().members;
        assert_eq!((members.len(), members[&backend(1)].points.len()), (1, KEPT));
        assert!(serde_json::to_string(&past.since(0)).unwrap().len() < 10_000);
    }

    #[test]
    fn of_many_members_those_that_stand_out_are_told() {
        let members: Vec<(u8, u64)> = (1..=100).map(|number| (number, 10)).collect();
        let mut judged = pool("app", "nginx", &members);
        judged.assessment.as_mut().unwrap().members[77].finding = Some(Finding::Over);
        let mut past = Past::default();
        past.take(&latest(vec![judged]));
        let members = &told(&past, 0)["pools"][0]["members"];
        assert_eq!(members.as_array().unwrap().len(), MOST_LINES);
        assert!(
            members.as_array().unwrap().iter().any(|member| member["backend"] == backend(78).to_string())
        );
    }

    #[test]
    fn figures_have_three_digits_that_count() {
        assert_eq!([0.123_456, 12.345, 0.000_043_21].map(rounded), [Some(0.123), Some(12.3), Some(4.32e-5)]);
        assert_eq!([0.0, f32::NAN, f32::INFINITY].map(rounded), [Some(0.0), None, None]);
    }
}
