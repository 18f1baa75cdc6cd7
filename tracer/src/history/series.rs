//! From rows to what each member got in a range of time.
//!
//! Rows come in the order of time, as they are stored, so that a range is one stretch of the file.

use super::bins::{BIN_SECONDS, bin_of};
use super::columns::number;
use super::durations::Durations;
use super::lookup::{Expected, Names};
use super::read::Unread;
use crate::chronicle::PoolName;
use crate::collect::{Failures, Histogram};
use crate::report::{Change, Counts, Gatherer, Point, PoolInForce, Range, Series, Span, goes_on};
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Rows, Statement, params};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// An interval that begins so long before a range may reach into it: a tick that came late, seconds.
const SLACK_SECONDS: f64 = 120.0;
/// Of a range that is longer nobody wants each second.
const BY_SECOND_SECONDS: f64 = 6.0 * 3_600.0;
/// Seconds stand for their ten seconds when they are as many but for this part.
const WHOLE: f64 = 0.99;

/// What is read of a member, in this order, behind what names the row.
const COLUMNS: &str = "attempts, decisions, established, closed, resets, resets_without_data, probes, sent_bytes, \
                       received_bytes, retransmits, exchanges, requests, failed_refused, failed_timed_out, \
                       failed_unreachable, failed_cancelled, failed_local, failed_other, response_times";

/// A range that is no longer has its points as they are.
const SHORT_SECONDS: f64 = 3.0 * 3_600.0;
/// Points that a long range has, about.
const MOST_POINTS: f64 = 100_000.0;
/// More processors do not make a disk faster.
const MOST_PARTS: usize = 4;

/// What was gathered.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) series: Vec<Series>,
    pub(super) counted: Vec<Span>,
    pub(super) intervals: u64,
    /// Length of the first that was counted, seconds.
    first_seconds: f64,
}

/// What all parts of a range have in common, so that it makes no difference how many they are.
struct Whole<'a> {
    range: Range,
    /// As much of it as may hold something.
    known: Range,
    /// So long are points, seconds; 0: as they come.
    step_seconds: i64,
    /// Moments that no point reaches over, in order.
    cuts: Vec<f64>,
    names: Names,
    expected: Expected<'a>,
}

/// How long points of a range are made in which there are so many members.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "saturates; thousands of members"
)]
fn step_seconds(length_seconds: f64, members: usize) -> i64 {
    if length_seconds <= SHORT_SECONDS {
        return 0;
    }
    // Of a whole history, whatever it holds, an hour at most.
    (length_seconds * members as f64 / MOST_POINTS).min(3_600.0) as i64
}

impl<'a> Whole<'a> {
    fn new(
        range: Range,
        known: Range,
        changes: &[Change],
        in_force: &'a [PoolInForce],
        names: Names,
    ) -> Self {
        let within = changes.iter().filter(|change| range.contains(change.time_seconds));
        let mut cuts: Vec<f64> =
            within.flat_map(|change| [change.time_seconds].into_iter().chain(change.since_seconds)).collect();
        cuts.sort_unstable_by(f64::total_cmp);
        let expected = Expected::new(in_force);
        let step_seconds = step_seconds(known.length_seconds(), names.members.len());
        Self { range, known, step_seconds, cuts, names, expected }
    }

    /// The parts that it is read in, the earliest first: which bins belong to each by when they begin. A short range is one.
    fn parts(&self, processors: usize) -> Vec<Range> {
        let length = self.known.length_seconds();
        let number = if length > BY_SECOND_SECONDS { processors.clamp(1, MOST_PARTS) } else { 1 };
        // No point is of two parts.
        #[expect(clippy::cast_precision_loss, reason = "an hour at most")]
        let step = self.step_seconds.max(BIN_SECONDS) as f64;
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let bound = |place: usize| match place {
            // What began before it, or as late as nobody expects, may reach into it.
            0 => self.range.from_seconds - SLACK_SECONDS,
            _ if place == number => self.range.to_seconds + SLACK_SECONDS,
            _ => ((self.known.from_seconds + length * place as f64 / number as f64) / step).floor() * step,
        };
        let part = |place| Range { from_seconds: bound(place), to_seconds: bound(place + 1) };
        (0..number).map(part).collect()
    }
}

/// Opens the history once more, to read it beside.
pub(super) type Again<'a> = &'a (dyn Fn() -> rusqlite::Result<Connection> + Sync);

/// Everything that was counted in a range. Of a long one each processor reads a part; what is read does not depend on how
/// many they are.
pub(super) fn gather(
    connection: &Connection,
    again: Again<'_>,
    range: Range,
    changes: &[Change],
    in_force: &[PoolInForce],
    processors: usize,
    unread: &mut Unread,
) -> rusqlite::Result<Gathered> {
    let known = known(connection, range)?;
    let names = Names::read(connection, unread)?;
    let whole = &Whole::new(range, known, changes, in_force, names);
    let mut parts = whole.parts(processors);
    let last = parts.pop().unwrap_or(range);
    std::thread::scope(|scope| {
        let others: Vec<_> = parts
            .into_iter()
            .map(|range| {
                scope.spawn(move || {
                    let mut unread = Unread::default();
                    part(&again()?, whole, range, &mut unread).map(|gathered| (gathered, unread))
                })
            })
            .collect();
        let last = part(connection, whole, last, unread);
        let mut all = Gathered::default();
        for other in others {
            let (gathered, more) = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            unread.add(more);
            all = all.then(gathered);
        }
        Ok(all.then(last?))
    })
}

/// As much of a range as may hold something.
fn known(connection: &Connection, range: Range) -> rusqlite::Result<Range> {
    let sql = "SELECT max(?1, ifnull((SELECT min(time) FROM counted), 0)), \
               min(?2, ifnull((SELECT max(time) FROM counted), 0) + ?3)";
    let between = params![range.from_seconds, range.to_seconds, SLACK_SECONDS];
    connection.query_row(sql, between, |row| Ok(Range { from_seconds: row.get(0)?, to_seconds: row.get(1)? }))
}

impl Gathered {
    /// With what came later.
    fn then(mut self, later: Self) -> Self {
        for series in later.series {
            let key = |series: &Series| (series.pool.clone(), series.backend);
            match self.series.binary_search_by_key(&key(&series), key) {
                Ok(place) => self.series[place].points.extend(series.points),
                Err(place) => self.series.insert(place, series),
            }
        }
        if self.counted.is_empty() {
            self.first_seconds = later.first_seconds;
        }
        let mut spans = later.counted.into_iter();
        if let Some(first) = spans.next() {
            match self.counted.last_mut() {
                Some(last) if goes_on(last.to_seconds, first.from_seconds, later.first_seconds) => {
                    last.to_seconds = first.to_seconds;
                }
                _ => self.counted.push(first),
            }
        }
        self.counted.extend(spans);
        self.intervals = self.intervals.saturating_add(later.intervals);
        self
    }
}

/// What of a range was counted in bins that begin in a part of it.
fn part(
    connection: &Connection,
    whole: &Whole<'_>,
    part: Range,
    unread: &mut Unread,
) -> rusqlite::Result<Gathered> {
    let Whole { range, names, expected, .. } = whole;
    let mut merging = Merging::new(whole);
    let between = params![part.from_seconds, part.to_seconds];
    let order = "WHERE time >= ?1 AND time < ?2 ORDER BY time, run";
    let mut counted =
        connection.prepare(&format!("SELECT time, run, \"end\", seconds, intervals FROM counted {order}"))?;
    let mut pools = connection.prepare(&format!(
        "SELECT time, run, pool, \"end\", seconds, exchanges FROM pool_points {order}, pool"
    ))?;
    let mut points = connection
        .prepare(&format!("SELECT time, run, member, live_seconds, {COLUMNS} FROM points {order}, member"))?;
    let (mut pools, mut points) = (Sorted::new(pools.query(between)?)?, Sorted::new(points.query(between)?)?);
    let mut seconds = BySecond::of(connection, *range, whole.known.length_seconds())?;
    let (mut intervals, mut first_seconds) = (0, None);
    let mut rows = counted.query(between)?;
    while let Some(row) = rows.next()? {
        let key: Key = (row.get(0)?, row.get(1)?);
        let mut bin = Bin { key, pools: Vec::new() };
        pools.each_of(key, |row| {
            bin.pools.push(PoolBin::of(row)?);
            Ok(())
        })?;
        let (end_seconds, length_seconds): (f64, f64) = (row.get(2)?, row.get(3)?);
        let within = merging.counted(key.0, end_seconds, length_seconds);
        if within {
            intervals = u64::saturating_add(intervals, number(row, 4)?.unwrap_or(0));
            first_seconds.get_or_insert(length_seconds);
        }
        points.each_of(key, |row| {
            let Some(&(pool, backend)) = names.members.get(&row.get(2)?) else { return Ok(()) };
            if within && let Some(pool) = bin.pool(pool) {
                let live = row.get::<_, Option<f64>>(3)?;
                let length = pool.length_seconds;
                let point = point(row, 4, pool.end_seconds, length, live.map(|live| live / length), unread)?;
                pool.members.push((backend, point));
            }
            Ok(())
        })?;
        if within {
            if let Some(seconds) = &mut seconds {
                seconds.replace(&mut bin, names, unread)?;
            }
            for pool in bin.pools {
                let Some(name) = names.pools.get(&pool.id) else { continue };
                pool.add_to(&mut merging, name, expected);
            }
        }
    }
    let (series, counted, _) = merging.finish().finish();
    Ok(Gathered { series, counted, intervals, first_seconds: first_seconds.unwrap_or(0.0) })
}

/// Beginning and run.
type Key = (i64, i64);

/// Rows that begin with their key, in its order.
struct Sorted<'a>(Rows<'a>);

impl<'a> Sorted<'a> {
    fn new(mut rows: Rows<'a>) -> rusqlite::Result<Self> {
        rows.advance()?;
        Ok(Self(rows))
    }

    /// Gives the rows of a key, which is greater than the one before.
    fn each_of(
        &mut self,
        key: Key,
        mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        while let Some(row) = self.0.get() {
            let found: Key = (row.get(0)?, row.get(1)?);
            if found > key {
                break;
            }
            if found == key {
                take(row)?;
            }
            self.0.advance()?;
        }
        Ok(())
    }
}

/// Ten seconds.
struct Bin {
    key: Key,
    /// In the order of their numbers.
    pools: Vec<PoolBin>,
}

/// A pool in some time.
struct PoolBin {
    id: i64,
    end_seconds: f64,
    length_seconds: f64,
    exchanges: bool,
    members: Vec<(SocketAddr, Point)>,
    /// The same by the second, where it is known.
    seconds: Vec<PoolBin>,
}

impl Bin {
    fn pool(&mut self, id: i64) -> Option<&mut PoolBin> {
        let place = self.pools.binary_search_by_key(&id, |pool| pool.id).ok()?;
        self.pools.get_mut(place)
    }
}

impl PoolBin {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(2)?,
            end_seconds: row.get(3)?,
            length_seconds: row.get(4)?,
            exchanges: row.get(5)?,
            members: Vec::new(),
            seconds: Vec::new(),
        })
    }

    fn add_to(self, merging: &mut Merging<'_>, name: &PoolName, expected: &Expected<'_>) {
        if !self.seconds.is_empty() {
            self.seconds.into_iter().for_each(|second| second.add_to(merging, name, expected));
            return;
        }
        let shares = expected.at(name, self.end_seconds);
        let there: HashSet<SocketAddr> = self.members.iter().map(|(backend, _)| *backend).collect();
        let nothing = nothing(self.end_seconds, self.length_seconds, self.exchanges);
        for (backend, expected_share) in shares {
            // A member of which there is no row had nothing.
            if !there.contains(backend) {
                merging.add(
                    self.id,
                    name,
                    *backend,
                    Point { expected_share: *expected_share, ..nothing.clone() },
                );
            }
        }
        for (backend, point) in self.members {
            let share = shares.binary_search_by_key(&backend, |(backend, _)| *backend).ok();
            let expected_share = share.and_then(|place| shares[place].1);
            merging.add(self.id, name, backend, Point { expected_share, ..point });
        }
    }
}

/// Puts points of a long range together before they are gathered: hundreds of members in a day are millions.
struct Merging<'a> {
    gatherer: Gatherer,
    whole: &'a Whole<'a>,
    /// Which step it is, and how many cuts were before it.
    step: (i64, usize),
    end_seconds: f64,
    points: HashMap<(i64, SocketAddr), Point>,
}

impl<'a> Merging<'a> {
    fn new(whole: &'a Whole<'a>) -> Self {
        let mut gatherer = Gatherer::new(whole.range);
        whole.cuts.iter().for_each(|&cut| gatherer.cut(cut));
        Self { gatherer, whole, step: (0, 0), end_seconds: 0.0, points: HashMap::new() }
    }

    /// It was counted then; whether that is within the range.
    fn counted(&mut self, time: i64, end_seconds: f64, length_seconds: f64) -> bool {
        let cuts = self.whole.cuts.partition_point(|cut| *cut < end_seconds);
        let step = (time.checked_div_euclid(self.whole.step_seconds).unwrap_or(0), cuts);
        let is_gap = !goes_on(self.end_seconds, end_seconds - length_seconds, length_seconds);
        if step != self.step || is_gap {
            self.flush();
        }
        (self.step, self.end_seconds) = (step, end_seconds);
        self.gatherer.counted(end_seconds, length_seconds)
    }

    fn add(&mut self, pool: i64, name: &PoolName, backend: SocketAddr, point: Point) {
        if self.whole.step_seconds == 0 {
            self.gatherer.add(name, backend, point);
            return;
        }
        match self.points.entry((pool, backend)) {
            Entry::Occupied(mut earlier) => earlier.get_mut().add(&point),
            Entry::Vacant(place) => {
                place.insert(point);
            }
        }
    }

    fn flush(&mut self) {
        for ((pool, backend), point) in self.points.drain() {
            if let Some(name) = self.whole.names.pools.get(&pool) {
                self.gatherer.add(name, backend, point);
            }
        }
    }

    fn finish(mut self) -> Gatherer {
        self.flush();
        self.gatherer
    }
}

/// What a member got of whom it is known that it got nothing.
fn nothing(end_seconds: f64, length_seconds: f64, exchanges: bool) -> Point {
    let none = Some(0);
    let measured = exchanges.then_some(0);
    let counts = Counts {
        attempts: none,
        decisions: none,
        established: none,
        closed: none,
        resets: none,
        resets_without_data: none,
        probes: none,
        sent_bytes: none,
        received_bytes: none,
        retransmits: none,
        exchanges: measured,
        requests: measured,
        failed: Some(Failures::default()),
    };
    let response = exchanges.then(Histogram::default);
    Point { end_seconds, length_seconds, counts, live: Some(0.0), expected_share: None, response }
}

/// A row's figures, which begin at column `first`.
fn point(
    row: &Row<'_>,
    first: usize,
    end_seconds: f64,
    length_seconds: f64,
    live: Option<f64>,
    unread: &mut Unread,
) -> rusqlite::Result<Point> {
    let mut at = first;
    let mut next = || {
        at += 1;
        number(row, at - 1)
    };
    let mut counts = Counts {
        attempts: next()?,
        decisions: next()?,
        established: next()?,
        closed: next()?,
        resets: next()?,
        resets_without_data: next()?,
        probes: next()?,
        sent_bytes: next()?,
        received_bytes: next()?,
        retransmits: next()?,
        exchanges: next()?,
        requests: next()?,
        failed: None,
    };
    let causes = [next()?, next()?, next()?, next()?, next()?, next()?];
    if causes.iter().any(Option::is_some) {
        counts.failed = Some(Failures::from(causes.map(Option::unwrap_or_default)));
    }
    let response = match row.get_ref(at)? {
        ValueRef::Text(text) => {
            let mut histogram = Histogram::default();
            let read =
                std::str::from_utf8(text).is_ok_and(|text| Durations::add_text_to(&mut histogram, text));
            unread.some(read.then_some(histogram))
        }
        _ => None,
    };
    Ok(Point { end_seconds, length_seconds, counts, live, expected_share: None, response })
}

/// What is known by the second.
struct BySecond<'a> {
    pools: Statement<'a>,
    points: Statement<'a>,
}

impl<'a> BySecond<'a> {
    /// `None`: nothing is, or nobody wants it.
    fn of(connection: &'a Connection, range: Range, length_seconds: f64) -> rusqlite::Result<Option<Self>> {
        if length_seconds > BY_SECOND_SECONDS {
            return Ok(None);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM pool_seconds WHERE time > ?1 AND time <= ?2)";
        let between = params![range.from_seconds, range.to_seconds];
        let there: bool = connection.query_row(sql, between, |row| row.get(0))?;
        if !there {
            return Ok(None);
        }
        let of = "WHERE run = ?1 AND time > ?2 AND time <= ?3 ORDER BY time";
        Ok(Some(Self {
            pools: connection.prepare(&format!(
                "SELECT time, run, pool, time, seconds, exchanges FROM pool_seconds {of}, pool"
            ))?,
            points: connection
                .prepare(&format!("SELECT time, run, member, live, {COLUMNS} FROM seconds {of}, member"))?,
        }))
    }

    /// Gives seconds to each pool of ten seconds of which all are there.
    fn replace(&mut self, bin: &mut Bin, names: &Names, unread: &mut Unread) -> rusqlite::Result<()> {
        let (time, run) = bin.key;
        #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch")]
        let begin = time as f64;
        let end = bin.pools.iter().fold(begin, |end, pool| end.max(pool.end_seconds));
        let mut rows = self.pools.query(params![run, begin, end])?;
        while let Some(row) = rows.next()? {
            let second = PoolBin::of(row)?;
            if bin_of(second.end_seconds, second.length_seconds) == time
                && let Some(pool) = bin.pool(second.id)
            {
                pool.seconds.push(second);
            }
        }
        for pool in &mut bin.pools {
            let length: f64 = pool.seconds.iter().map(|second| second.length_seconds).sum();
            if length < pool.length_seconds * WHOLE {
                pool.seconds.clear();
            }
        }
        if bin.pools.iter().all(|pool| pool.seconds.is_empty()) {
            return Ok(());
        }
        let mut rows = self.points.query(params![run, begin, end])?;
        while let Some(row) = rows.next()? {
            let ended: f64 = row.get(0)?;
            let Some(&(pool, backend)) = names.members.get(&row.get(2)?) else { continue };
            let Some(pool) = bin.pool(pool) else { continue };
            let place = pool.seconds.binary_search_by(|second| second.end_seconds.total_cmp(&ended));
            if let Some(second) = place.ok().and_then(|place| pool.seconds.get_mut(place)) {
                #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
                let live = number(row, 3)?.map(|live| live as f64);
                let point = point(row, 4, ended, second.length_seconds, live, unread)?;
                second.members.push((backend, point));
            }
        }
        Ok(())
    }
}
