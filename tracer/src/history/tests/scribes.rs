//! What is written, and what is read of it.

use super::made::{Alone, LIMITS, START, app, attempts, interval, is_whole, material, query, scribe, told};
use crate::collect::{Histogram, Uncounted};
use crate::detect::Verdict;
use crate::history::{Describer, History, Limits, Scribe};
use crate::outputs::metrics::tests::{backend, pool};
use crate::report::Range;
use proptest::prelude::*;
use std::time::{Duration, Instant};

#[test]
fn what_was_counted_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let scribe = scribe(&path);
    let mut describer = Describer::default();
    for second in 1..=35 {
        let mut interval = interval(second, app(&[(1, 3), (2, u64::from(second))]));
        interval.uncounted = Some(Uncounted { memory: u64::from(second / 30), ..Uncounted::default() });
        let events = if second == 5 { told(&interval, None) } else { Vec::new() };
        assert!(scribe.take(describer.tick(&interval, &events).unwrap()));
    }
    assert!(scribe.finish(START + 35.0, "SIGTERM", Duration::from_secs(20)));
    assert!(!directory.path().join("history.db-wal").exists(), "everything is in its place");
    is_whole(&path);
    let material = material(&path, 100);
    assert_eq!((attempts(&material, 1), attempts(&material, 2)), (3 * 35, 35 * 36 / 2));
    assert_eq!((material.intervals, material.host.as_deref()), (35, Some("lb1")));
    assert_eq!(material.uncounted.unwrap().memory, 1);
    let counted = &material.counted;
    assert_eq!((counted.len(), counted[0].from_seconds, counted[0].to_seconds), (1, START, START + 35.0));
    let run = &material.runs[0];
    assert_eq!(
        (run.start_seconds, run.stop_seconds, run.reason.as_deref()),
        (START, Some(START + 35.0), Some("SIGTERM"))
    );
    let change = &material.changes[0];
    assert_eq!((change.time_seconds, change.verdict, change.previous), (START + 5.0, Verdict::Skewed, None));
    assert_eq!(
        (change.findings.as_slice(), change.check["verdict"].as_str()),
        (&[Verdict::Skewed][..], Some("skewed"))
    );
    let in_force = &material.pools[0];
    assert_eq!((in_force.time_seconds, in_force.source.as_str()), (START + 1.0, "pools.toml:1"));
    assert_eq!((in_force.members.len(), in_force.members[0].weight), (2, Some(1.0)));
    let point = &material.series[1].points[0];
    assert_eq!((point.live, point.expected_share, point.counts.exchanges), (Some(2.0), Some(0.5), None));
}

#[test]
fn who_had_nothing_has_zeros_and_what_was_not_measured_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let mut alone = Alone::new(&path);
    for second in 1..=20 {
        let mut pools = app(&[(1, 1), (2, 0), (3, 1)]);
        let members = &mut pools[0].sample.members;
        members[1].stock = Some(crate::collect::Stock::default());
        if second > 10 {
            members[2].stock = None;
            members[2].recorded = crate::pools::Recorded::without("attempts");
            members[0].exchanges.count = Some(7);
            members[0].exchanges.response_time = Some(Histogram::default());
        }
        alone.take(&interval(second, pools), &[]);
    }
    assert_eq!(query(&path, "SELECT count(*) FROM points"), 4, "of the second there is no row");
    alone.end(20);
    let material = material(&path, 20);
    let points = |number: u8| &material.series[usize::from(number) - 1].points;
    let counts = |number, at: usize| &points(number)[at].counts;
    assert_eq!(points(2).len(), 2);
    assert_eq!(
        (counts(2, 0).attempts, counts(2, 0).exchanges, points(2)[0].live),
        (Some(0), None, Some(0.0))
    );
    assert_eq!((counts(3, 0).attempts, points(3)[0].live), (Some(10), Some(2.0)));
    assert_eq!((counts(3, 1).attempts, counts(3, 1).established, points(3)[1].live), (None, Some(10), None));
    assert_eq!((counts(1, 0).exchanges, counts(1, 1).exchanges), (None, Some(70)));
}

#[test]
fn a_member_whose_connections_have_ended_is_not_shown_with_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let mut alone = Alone::new(&path);
    alone.take(&interval(1, app(&[(1, 4)])), &[]);
    let mut pools = app(&[(1, 0)]);
    pools[0].sample.members[0].stock = Some(crate::collect::Stock::default());
    alone.take(&interval(2, pools), &[]);
    assert_eq!(query(&path, "SELECT live FROM points"), 0);
    alone.end(2);
    assert_eq!(material(&path, 20).series[0].points[0].live, Some(1.0), "two for one second of two");
}

#[test]
fn changes_of_a_verdict_bring_the_seconds_around_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let mut alone = Alone::new(&path);
    for second in 1..=600 {
        let mut pools = app(&[(1, u64::from(second))]);
        pools.push(pool("other", "nginx", &[(9, 1)]));
        let interval = interval(second, pools);
        let events = match second {
            // That it is fine at first is no change.
            10 => {
                let mut fine = told(&interval, None);
                let crate::chronicle::What::Verdict { assessment, .. } = &mut fine[0].what else { panic!() };
                assessment.verdict = Verdict::Balanced;
                fine
            }
            300 | 310 => told(&interval, Some(Verdict::Balanced)),
            _ => Vec::new(),
        };
        alone.take(&interval, &events);
    }
    alone.end(600);
    let seconds = "SELECT count(*) FROM pool_seconds JOIN pools ON pools.id = pool WHERE name =";
    assert_eq!(query(&path, &format!("{seconds} 'app'")), 180 + 130, "from 121 to 430");
    assert_eq!(query(&path, &format!("{seconds} 'other'")), 0);
    assert_eq!(query(&path, "SELECT sum(attempts) FROM seconds"), (121..=430).sum::<i64>());
    let material = material(&path, 600);
    assert_eq!(attempts(&material, 1), 600 * 601 / 2, "nothing is counted twice");
    let by_second = material.series[0].points.iter().filter(|point| point.length_seconds < 1.5).count();
    assert!((290..=310).contains(&by_second), "{by_second}");
}

#[test]
fn what_was_handed_over_is_there_for_who_reads_a_moment_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let scribe = scribe(&path);
    let mut describer = Describer::default();
    for second in 1..=12 {
        assert!(scribe.take(describer.tick(&interval(second, app(&[(1, 5)])), &[]).unwrap()));
        let handed_over = Instant::now();
        while scribe.health().waiting > 0 {
            assert!(handed_over.elapsed() < Duration::from_secs(5), "written at once: {:?}", scribe.health());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(attempts(&material(&path, 100), 1), 5 * u64::from(second));
    }
    let health = scribe.health();
    assert_eq!((health.lost, health.failures, health.failing), (0, 0, false));
    assert!(health.bytes.unwrap() > 4_096);
}

#[test]
fn runs_within_the_same_ten_seconds_add_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    for second in [1, 2, 3] {
        let mut alone = Alone::at(&path, LIMITS, START + f64::from(second));
        alone.take(&interval(second, app(&[(1, 2)])), &[]);
        // Only the second says how it ended.
        if second == 2 {
            alone.end(second);
        } else {
            alone.desk.end(None);
        }
    }
    let material = material(&path, 20);
    assert_eq!((attempts(&material, 1), material.intervals), (6, 3));
    let stops: Vec<_> = material.runs.iter().map(|run| run.stop_seconds).collect();
    assert_eq!(stops, [None, Some(START + 2.0), None]);
}

#[test]
fn what_is_expected_is_written_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let mut alone = Alone::new(&path);
    for second in 1..=30 {
        let mut pools = app(&[(1, 1), (2, 1)]);
        if second >= 10 {
            pools[0].sample.members[1].weight = Some(3.0);
        }
        if second >= 20 {
            pools.clear();
        }
        alone.take(&interval(second, pools), &[]);
    }
    alone.end(30);
    assert_eq!(query(&path, "SELECT count(*) FROM in_force"), 3);
    assert_eq!(query(&path, "SELECT count(*) FROM in_force WHERE members IS NULL AND time = 1767225620"), 1);
    let material = material(&path, 30);
    let weights: Vec<_> = material.pools.iter().map(|pool| pool.members[1].weight).collect();
    assert_eq!(weights, [Some(1.0), Some(3.0)]);
    // The ten seconds in which it changed have what was expected at their end.
    let shares: Vec<_> = material.series[1].points.iter().map(|point| point.expected_share).collect();
    assert_eq!(shares, [Some(0.75), Some(0.75)]);
    assert_eq!((material.intervals, material.counted.len()), (30, 1), "it counted, though there was no pool");
}

#[test]
fn a_range_has_what_ended_in_it_and_what_stood_when_it_began() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let mut alone = Alone::new(&path);
    for second in 1..=200 {
        let interval = interval(second, app(&[(1, 1)]));
        let events = if second == 40 || second == 60 { told(&interval, None) } else { Vec::new() };
        alone.take(&interval, &events);
    }
    let history = History::open(&path).unwrap();
    let material =
        history.material(Range { from_seconds: START + 100.0, to_seconds: START + 150.0 }).unwrap();
    assert_eq!((attempts(&material, 1), material.intervals), (50, 50));
    // Back to the first of those that stood when it began.
    let told: Vec<f64> = material.changes.iter().map(|change| change.time_seconds - START).collect();
    assert_eq!(told, [40.0, 60.0]);
    assert_eq!((material.pools.len(), material.runs.len()), (1, 1));
    assert_eq!(history.changes().unwrap().len(), 2);
    let span = history.span().unwrap().unwrap();
    assert_eq!((span.from_seconds, span.to_seconds), (START, START + 200.0));
    let nothing = history.material(Range { from_seconds: 0.0, to_seconds: 100.0 }).unwrap();
    assert_eq!((nothing.intervals, nothing.uncounted, nothing.series.len()), (0, None, 0));
}

#[test]
fn a_long_range_is_read_in_parts_and_has_the_same_totals() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let mut alone = Alone::new(&path);
    let mut describer = Describer::default();
    // Nine hours, one in the middle without an agent, and a verdict at an odd moment.
    let seconds = (10..=32_400).step_by(10).filter(|second| !(14_400..18_000).contains(second));
    for second in seconds.clone() {
        let mut interval = interval(second, app(&[(1, 3), (2, u64::from(second % 70))]));
        interval.interval_seconds = 10.0;
        let events = if second == 7_010 { told(&interval, None) } else { Vec::new() };
        alone.desk.take(describer.tick(&interval, &events).unwrap());
        if second % 600 == 0 {
            alone.desk.write();
        }
    }
    alone.end(32_400);
    let material = material(&path, 32_400);
    let second: u64 = seconds.clone().map(|second| u64::from(second % 70)).sum();
    assert_eq!(
        (attempts(&material, 1), attempts(&material, 2)),
        (3 * seconds.clone().count() as u64, second)
    );
    assert_eq!(material.intervals, seconds.count() as u64);
    let gap: Vec<_> =
        material.counted.iter().map(|span| (span.from_seconds - START, span.to_seconds - START)).collect();
    assert_eq!(gap, [(0.0, 14_390.0), (17_990.0, 32_400.0)]);
    for series in &material.series {
        let ends = |pair: &[crate::report::Point]| (pair[0].end_seconds, pair[1].start_seconds());
        assert!(series.points.windows(2).map(ends).all(|(end, start)| end <= start), "in order, apart");
        let over = |point: &crate::report::Point| {
            point.start_seconds() < START + 7_000.0 && point.end_seconds > START + 7_010.0
        };
        assert!(!series.points.iter().any(over), "none reaches over the verdict");
    }
}

/// Nine hours of ticks that do not fall on whole seconds, in a file.
fn nine_hours_of_odd_ticks(path: &std::path::Path) {
    let mut alone = Alone::at(path, LIMITS, START + 3.4);
    let mut describer = Describer::default();
    for second in 4..=32_400 {
        let mut interval = interval(second, app(&[(1, 3), (2, 1)]));
        interval.time_seconds += 0.4;
        let events = if second == 7_010 { told(&interval, None) } else { Vec::new() };
        alone.desk.take(describer.tick(&interval, &events).unwrap());
        if second % 600 == 0 {
            alone.desk.write();
        }
    }
    alone.end(32_400);
}

#[test]
fn ticks_at_odd_times_and_the_ends_of_a_range_make_no_gap() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    nine_hours_of_odd_ticks(&path);
    let history = History::open(&path).unwrap();
    let span = history.span().unwrap().unwrap();
    let known = [span.from_seconds - START, span.to_seconds - START];
    assert!((known[0] - 3.4).abs() < 1e-3 && (known[1] - 32_400.4).abs() < 1e-3, "{known:?}");
    for [from, to] in [known, [0.0, 32_399.0], [1_003.0, 1_187.0], [1_003.0, 30_006.5]] {
        let range = Range { from_seconds: START + from, to_seconds: START + to };
        let report = crate::report::Report::of(history.material(range).unwrap()).unwrap();
        let gaps: Vec<_> = report.gaps.iter().map(|gap| (gap.from.0 - START, gap.to.0 - START)).collect();
        let before_the_first = from < 3.0;
        assert_eq!(gaps.len(), usize::from(before_the_first), "{from} to {to}: {gaps:?}");
        let counted: u64 = history.material(range).unwrap().intervals;
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let more = counted as f64 - (to - from.max(3.4));
        assert!((-2.0..=20.0).contains(&more), "{from} to {to}: {more} too many");
    }
}

#[test]
fn on_how_many_processors_a_range_is_read_makes_no_difference() {
    use crate::history::{read::Unread, series::gather};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    nine_hours_of_odd_ticks(&path);
    let connection = rusqlite::Connection::open(&path).unwrap();
    // So many members are in it that its points are made longer.
    let sql = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300) \
               INSERT INTO members (pool, backend, seen) SELECT 1, '10.9.0.1:' || n, 0 FROM n";
    connection.execute(sql, []).unwrap();
    let range = Range { from_seconds: START, to_seconds: START + 32_395.0 };
    let known = material(&path, 32_395);
    // The onset of what is told in the first part is in its middle.
    let changes =
        vec![crate::report::Change { since_seconds: Some(START + 25_555.0), ..known.changes[0].clone() }];
    let gathered = |processors| {
        let again = || rusqlite::Connection::open(&path);
        let mut unread = Unread::default();
        gather(&connection, &again, range, &changes, &known.pools, processors, &mut unread).unwrap()
    };
    let one = gathered(1);
    let points = &one.series[0].points;
    assert!((100..1_000).contains(&points.len()), "{}", points.len());
    assert_eq!(one.counted.len(), 1);
    for processors in [2, 3, 4] {
        let more = gathered(processors);
        assert_eq!((&more.series, more.intervals), (&one.series, one.intervals), "{processors}");
        assert_eq!(more.counted, one.counted, "{processors}");
    }
}

#[test]
fn what_is_too_much_goes_the_oldest_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let members: Vec<_> = (1..=50).map(|number| (number, 10)).collect();
    let limits = Limits { bytes: 1 << 20, ..LIMITS };
    let mut alone = Alone::at(&path, limits, START);
    let mut describer = Describer::default();
    for second in (10..=20_000).step_by(10) {
        alone.desk.take(describer.tick(&interval(second, app(&members)), &[]).unwrap());
        alone.desk.write();
        let bytes = alone.health().bytes.unwrap();
        assert!(bytes <= (1 << 20) + 64 * 4_096, "after {second} s it has {bytes} bytes");
    }
    assert_eq!((alone.said(), alone.health().failures), (vec![], 0));
    alone.end(20_000);
    is_whole(&path);
    let span = History::open(&path).unwrap().span().unwrap().unwrap();
    assert!(span.from_seconds > START + 10_000.0 && span.to_seconds >= START + 20_000.0, "{span:?}");
    let material =
        History::open(&path).unwrap().material(Range { to_seconds: f64::MAX, from_seconds: 0.0 }).unwrap();
    assert_eq!(material.pools.len(), 1, "what is in force stays, however old it is");
    assert_eq!(material.series.len(), 50);
    assert_eq!(
        material.series[49].points.iter().map(|point| point.counts.attempts.unwrap()).sum::<u64>(),
        10 * material.intervals
    );
}

#[test]
fn what_still_grows_stays_however_small_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let mut alone = Alone::at(&path, Limits { bytes: 1 << 20, ..LIMITS }, START);
    let members: Vec<_> = (0..=255).map(|number| (number, 1)).collect();
    let many = |attempts: bool| -> Vec<_> {
        let members = if attempts { members.as_slice() } else { &members[..1] };
        (0..60).map(|number| pool(&format!("pool-{number}"), "nginx", members)).collect()
    };
    for second in 1..=60 {
        // Everybody has something once in ten seconds, and what is written then is not written again.
        alone.take(&interval(second, many(second % 10 == 1)), &[]);
    }
    alone.end(60);
    is_whole(&path);
    assert_eq!(query(&path, "SELECT count(*) FROM points WHERE time = 1767225650"), 60 * 256);
    assert!(query(&path, "SELECT min(time) FROM points") > 1_767_225_600, "the oldest went");
}

#[test]
fn what_is_too_old_goes_and_a_file_that_is_too_large_gets_smaller() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let members: Vec<_> = (1..=100).map(|number| (number, 10)).collect();
    let mut alone = Alone::new(&path);
    for second in (10..=5_000).step_by(10) {
        alone.take(&interval(second, app(&members)), &[]);
    }
    alone.end(5_000);
    let before = std::fs::metadata(&path).unwrap().len();
    assert!(before > 3 << 20, "{before}");
    let limits = Limits { bytes: 1 << 20, age: Duration::from_secs(600) };
    let mut alone = Alone::at(&path, limits, START + 5_000.0);
    for second in 5_001..5_100 {
        alone.take(&interval(second, app(&members)), &[]);
    }
    alone.end(5_100);
    is_whole(&path);
    let oldest = query(&path, "SELECT min(time) FROM counted");
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
    let start = START as i64;
    assert!((4_430..=4_560).contains(&(oldest - start)), "{oldest}");
    assert!(std::fs::metadata(&path).unwrap().len() <= (1 << 20) + 64 * 4_096);
    assert_eq!(query(&path, "SELECT count(*) FROM runs"), 2);
}

#[test]
fn a_scribe_that_does_not_keep_up_costs_intervals_and_not_the_tick() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let scribe = scribe(&path);
    // Somebody else writes: the scribe waits for that, a quarter of a second each time.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut describer = Describer::default();
    let members: Vec<_> = (0..=255).map(|number| (number, 1)).collect();
    let tick = describer.tick(&interval(1, app(&members)), &[]).unwrap();
    let began = Instant::now();
    let taken = (0..20_000).filter(|_| scribe.take(tick.clone())).count();
    let lost = u64::try_from(20_000 - taken).unwrap();
    assert!(lost > 0 && scribe.health().lost == lost, "bounded: {:?}", scribe.health());
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    assert!(Scribe::finish(scribe, START + 1.0, "end", Duration::from_secs(20)));
    assert_eq!(query(&path, "SELECT lost FROM runs"), i64::try_from(lost).unwrap());
    assert_eq!(query(&path, "SELECT sum(attempts) FROM points"), 256 * i64::try_from(taken).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever happens, totals are those of the intervals, and what is not known anywhere is not known in the sum.
    #[test]
    fn totals_are_those_of_the_intervals(
        seconds in prop::collection::vec(
            (1..25_u32, prop::collection::vec((0..6_u8, 0..1_000_u64, any::<bool>()), 0..6)), 1..40),
        restart in prop::option::of(0..40_usize),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.db");
        let mut alone = Alone::new(&path);
        let (mut time, mut attempts, mut closed) = (0, [0; 6], [0; 6]);
        for (place, (step, members)) in seconds.into_iter().enumerate() {
            time += step;
            let mut members = members;
            members.sort_by_key(|(number, ..)| *number);
            members.dedup_by_key(|(number, ..)| *number);
            let counts: Vec<_> = members.iter().map(|(number, count, _)| (*number, *count)).collect();
            let mut interval = interval(time, app(&counts));
            for (sample, (_, _, known)) in interval.pools[0].sample.members.iter_mut().zip(&members) {
                if !known {
                    sample.stock = None;
                }
                sample.delta.closed = sample.delta.attempts / 2;
            }
            for (number, count) in counts {
                attempts[usize::from(number)] += count;
                closed[usize::from(number)] += count / 2;
            }
            if restart == Some(place) {
                alone.desk.end(None);
                alone = Alone::at(&path, LIMITS, START + f64::from(time));
            }
            alone.take(&interval, &[]);
        }
        alone.end(time);
        is_whole(&path);
        let material = material(&path, time);
        for series in &material.series {
            let number = (0..6).find(|number| backend(*number) == series.backend).unwrap();
            let sum = |of: fn(&crate::report::Counts) -> Option<u64>| -> u64 {
                series.points.iter().map(|point| of(&point.counts).unwrap()).sum()
            };
            prop_assert_eq!(sum(|counts| counts.attempts), attempts[usize::from(number)]);
            prop_assert_eq!(sum(|counts| counts.closed), closed[usize::from(number)]);
        }
    }
}
