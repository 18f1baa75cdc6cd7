//! Files that are something else, are damaged, or vanish.

use super::made::{
    Alone, LIMITS, START, app, attempts, interval, is_whole, material, query, run, scribe, told,
};
use crate::history::columns::names;
use crate::history::{History, OpenError, ReadError, Scribe};
use crate::report::Range;
use proptest::prelude::*;
use rusqlite::Connection;
use std::path::Path;
use std::time::{Duration, Instant};

/// Why a history at this path is refused; that the file is left as it was.
#[track_caller]
fn refused(path: &Path) -> OpenError {
    let before = std::fs::read(path).ok();
    let error = Scribe::start(path, LIMITS, run(START), |_| {}).unwrap_err();
    assert_eq!(std::fs::read(path).ok(), before, "left as it was: {error}");
    assert!(!error.is_waited_for(), "{error}");
    error
}

#[test]
fn what_is_no_history_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "{\"schema\":\"tracer.sample/1\"}\n".repeat(100)).unwrap();
    assert!(matches!(refused(&path), OpenError::NoDatabase));
    assert!(matches!(History::open(&path), Err(ReadError::Open(OpenError::NoDatabase))));

    std::fs::remove_file(&path).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE runs (id); PRAGMA user_version = 1")
        .unwrap();
    assert!(matches!(refused(&path), OpenError::OtherProgram));
    assert!(matches!(History::open(&path), Err(ReadError::Open(OpenError::OtherProgram))));

    assert!(matches!(refused(directory.path()), OpenError::NoFile));
    assert!(matches!(refused(&directory.path().join("no/such/file")), OpenError::File(_)));
    assert!(matches!(History::open(&directory.path().join("no")), Err(ReadError::Missing)));
}

#[test]
fn what_a_newer_tracer_wrote_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    Alone::new(&path).end(0);
    query(&path, "PRAGMA user_version");
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    assert!(matches!(refused(&path), OpenError::Newer(2)));
    assert!(matches!(History::open(&path), Err(ReadError::Open(OpenError::Newer(2)))));
}

#[test]
fn an_empty_file_is_taken_and_says_nothing_yet() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    std::fs::write(&path, "").unwrap();
    assert!(matches!(History::open(&path), Err(ReadError::Empty)));
    let mut alone = Alone::new(&path);
    alone.take(&interval(1, app(&[(1, 1)])), &[]);
    alone.end(1);
    assert_eq!(attempts(&material(&path, 10), 1), 1);
}

#[test]
fn one_tracer_writes_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let first = scribe(&path);
    let second = Scribe::start(&path, LIMITS, run(START), |_| {});
    assert!(matches!(second, Err(OpenError::InUse)));
    assert!(first.finish(START, "end", Duration::from_secs(20)));
    assert!(scribe(&path).finish(START, "end", Duration::from_secs(20)));
}

/// A history with something of everything.
fn written(path: &Path) {
    let mut alone = Alone::new(path);
    for second in 1..=100 {
        let interval = interval(second, app(&[(1, 3), (2, 5), (3, 0)]));
        let events = if second % 40 == 0 { told(&interval, None) } else { Vec::new() };
        alone.take(&interval, &events);
    }
    alone.end(100);
}

#[test]
fn a_file_that_was_cut_or_overwritten_is_waited_for_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    written(&path);
    let whole = std::fs::read(&path).unwrap();
    let mut broken = whole.clone();
    broken[4_096..].fill(0x5a);
    for damaged in [&whole[..whole.len() / 2], &broken] {
        std::fs::write(&path, damaged).unwrap();
        let mut alone = Alone::at(&path, LIMITS, START + 200.0);
        let said = alone.said();
        assert!(said.len() == 1 && said[0].contains("the history is damaged"), "{said:?}");
        assert!(said[0].contains(".recover") && said[0].contains("everything else goes on"), "{said:?}");
        assert!(alone.health().failing, "{:?}", alone.health());
        alone.take(&interval(201, app(&[(1, 1)])), &[]);
        assert_eq!(std::fs::read(&path).unwrap(), *damaged, "left as it was");
        assert!(matches!(
            History::open(&path).and_then(|history| history.span()),
            Err(ReadError::Open(_) | ReadError::Reading(_))
        ));
        std::fs::remove_file(&path).unwrap();
        let began = Instant::now();
        let mut second = 201;
        while alone.health().failing {
            second += 1;
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}, {:?}", alone.health(), alone.said());
            alone.take(&interval(second, app(&[(1, 1)])), &[]);
            std::thread::sleep(Duration::from_millis(20));
        }
        alone.end(second);
        let attempts: i64 = query(&path, "SELECT sum(attempts) FROM points");
        assert_eq!(attempts, i64::from(second - 200), "nothing that waited is lost");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_deleted_file_is_begun_anew_with_what_is_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let mut alone = Alone::new(&path);
    for second in 1..=24 {
        let interval = interval(second, app(&[(1, 1)]));
        let events = if second == 5 || second == 9 { told(&interval, None) } else { Vec::new() };
        alone.take(&interval, &events);
    }
    // As people do it: what SQLite has beside it stays.
    std::fs::remove_file(&path).unwrap();
    assert!(directory.path().join("history.db-wal").exists());
    for second in 25..=40 {
        alone.take(&interval(second, app(&[(1, 1)])), &[]);
    }
    let said = alone.said();
    assert!(said.len() == 1 && said[0].contains("the file is gone; a new one is begun"), "{said:?}");
    assert_eq!(alone.health().lost, 0);
    alone.end(40);
    let material = material(&path, 100);
    // The ten seconds that were not over are in memory, and so in the new file.
    assert_eq!(attempts(&material, 1), 20);
    assert_eq!((material.pools.len(), material.runs.len()), (1, 1));
    let told: Vec<f64> = material.changes.iter().map(|change| change.time_seconds - START).collect();
    assert_eq!(told, [9.0], "what stands is told in the new one, too");
}

#[test]
fn damage_while_it_runs_is_said_once_and_what_waits_is_written_once_it_is_moved_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    written(&path);
    let mut alone = Alone::at(&path, LIMITS, START + 100.0);
    alone.take(&interval(101, app(&[(1, 1)])), &[]);
    let sql = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'damaged' WHERE name = 'points'; \
               PRAGMA schema_version = 1000";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let began = Instant::now();
    let mut second = 101;
    while alone.health().failures < 3 {
        second += 1;
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}, {:?}", alone.health(), alone.said());
        alone.take(&interval(second, app(&[(1, 1)])), &[]);
        std::thread::sleep(Duration::from_millis(20));
    }
    let health = alone.health();
    assert!(health.failing && health.waiting > 0 && health.lost == 0, "{health:?}");
    assert_eq!(alone.said().len(), 1, "{:?}", alone.said());
    assert!(alone.said()[0].contains("the history is damaged"), "{:?}", alone.said());
    std::fs::rename(&path, directory.path().join("damaged.db")).unwrap();
    while alone.health().failing {
        second += 1;
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}, {:?}", alone.health(), alone.said());
        alone.take(&interval(second, app(&[(1, 1)])), &[]);
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = alone.said();
    assert!(said.len() == 2 && said[1].contains("written again, with"), "{said:?}");
    let waited = alone.health();
    assert_eq!((waited.waiting, waited.lost), (0, 0));
    alone.end(second);
    is_whole(&path);
    let material = material(&path, second);
    assert!(attempts(&material, 1) >= u64::from(second - 110), "what waited is there: {second} s");
}

#[test]
fn while_nothing_can_be_written_so_much_waits_and_the_rest_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    let mut alone = Alone::new(&path);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let members: Vec<_> = (0..=255).map(|number| (number, 1)).collect();
    let mut describer = crate::history::Describer::default();
    for second in 1..=5_000 {
        alone.desk.take(describer.tick(&interval(second, app(&members)), &[]).unwrap());
    }
    let health = alone.health();
    assert!(health.lost > 500 && health.waiting > 3_500, "{health:?}");
    assert_eq!(health.lost + health.waiting, 5_000);
    alone.desk.write();
    assert!(alone.health().failing, "{:?}", alone.said());
    other.execute_batch("ROLLBACK").unwrap();
    alone.desk.write();
    let said = alone.said();
    let lost = format!(
        "written again, with {} intervals that waited; {} intervals since the start are lost",
        health.waiting, health.lost
    );
    assert!(said.len() == 2 && said[1].contains(&lost), "{said:?}");
    alone.end(5_000);
    let material = material(&path, 5_000);
    assert_eq!((attempts(&material, 7), material.intervals), (health.waiting, health.waiting));
    assert!(material.remarks[0].contains("could not be written"), "{:?}", material.remarks);
}

#[test]
fn the_schema_has_a_column_for_everything_that_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    written(&path);
    let connection = Connection::open(&path).unwrap();
    for (table, more) in [("points", Some("live_seconds")), ("seconds", None)] {
        let mut statement =
            connection.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
        let columns: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let wanted: Vec<_> = ["time", "run", "member"].into_iter().chain(names()).chain(more).collect();
        assert_eq!(columns, wanted, "{table}");
    }
    assert_eq!(
        query(&path, "SELECT sum(attempts) FROM by_member WHERE pool = 'app' AND backend = '10.0.0.1:80'"),
        300
    );
    assert_eq!(query(&path, "SELECT count(*) FROM by_pool WHERE name = 'app' AND balancer = 'nginx'"), 10);
    assert_eq!(query(&path, "SELECT count(*) FROM changes WHERE check_json ->> 'verdict' = 'skewed'"), 2);
    assert_eq!(query(&path, "SELECT count(*) FROM responses"), 0, "nothing was measured");
    assert_eq!(query(&path, "PRAGMA user_version"), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is in a file: reading and writing give something or refuse, and never panic.
    #[test]
    fn any_damage_is_refused_or_read(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.db");
        written(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        damage.iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) = *byte);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(history) = History::open(&path) {
            let _ = history.material(Range { from_seconds: START, to_seconds: START + 100.0 });
            let _ = (history.changes(), history.span());
        }
        if let Ok(scribe) = Scribe::start(&path, LIMITS, run(START + 200.0), |_| {}) {
            let mut describer = crate::history::Describer::default();
            let _ = scribe.take(describer.tick(&interval(201, app(&[(1, 1)])), &[]).unwrap());
            prop_assert!(scribe.finish(START + 201.0, "end", Duration::from_secs(20)));
        }
    }

    /// Content that somebody else wrote into a whole file.
    #[test]
    fn hostile_rows_are_left_out_or_read(
        text in ".{0,20}", number in any::<i64>(), real in any::<f64>(), table in 0..6_usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.db");
        written(&path);
        let connection = Connection::open(&path).unwrap();
        let real = if real.is_nan() { 0.0 } else { real };
        let sql = [
            "UPDATE verdicts SET verdict = ?1, check_json = ?1, summary = ?1",
            "UPDATE members SET backend = ?1 WHERE id = 1",
            "UPDATE points SET attempts = ?2, live = ?2, live_seconds = ?3, response_times = ?1",
            "UPDATE pool_points SET seconds = ?3, \"end\" = ?3, exchanges = ?2",
            "UPDATE in_force SET members = ?1, expected = ?1, time = ?3",
            "UPDATE counted SET intervals = ?2, seconds = ?3",
        ][table];
        let named = rusqlite::named_params! { "?1": text, "?2": number, "?3": real };
        let mut statement = connection.prepare(sql).unwrap();
        for (name, value) in named {
            if let Ok(Some(at)) = statement.parameter_index(name) {
                statement.raw_bind_parameter(at, value).unwrap();
            }
        }
        statement.raw_execute().unwrap();
        let material = History::open(&path).unwrap().material(Range { from_seconds: START, to_seconds: START + 100.0 });
        prop_assert!(material.is_ok(), "{:?}", material.err());
    }
}
