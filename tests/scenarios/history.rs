//! `tracer watch --history`: what is in the file, whatever happens to the agent and to the file system.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer, wait_until_closed};
use crate::support::http::Http;
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{Running, accepted, tracer, watch};
use crate::support::{require_root, turn, wait};
use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tracer::history::History;
use tracer::recording::{Event, Replay};
use tracer::report::{Material, Range};

/// How often an agent is killed; `TRACER_KILLS` says otherwise.
const KILLS: u32 = 8;
/// A busy machine is slow.
const SOON: Duration = Duration::from_secs(30);
/// The history is written once a second, each interval at once: of a killed agent so many may be on their way.
const ON_ITS_WAY: u64 = 2;

fn backends(block: Block) -> Vec<Backend> {
    (1..=3).map(|n| Backend::start(block.backend(n), Answer(300))).collect()
}

fn addresses(backends: &[Backend]) -> impl Iterator<Item = SocketAddr> {
    backends.iter().map(|backend| backend.address)
}

/// A file system in memory, mounted while this is there.
struct Mounted(PathBuf);

impl Mounted {
    #[track_caller]
    fn at(directory: &Path, options: &str) -> Self {
        let mount = ["-t", "tmpfs", "-o", options, "tracer-e2e"];
        let status = Command::new("mount").args(mount).arg(directory).status().unwrap();
        assert!(status.success(), "mount {options}: {status}");
        Self(directory.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // At once for whoever looks for it; for who has files open when they are closed.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Everything that is in a history.
#[track_caller]
fn all(file: &Path) -> Material {
    some(file).unwrap_or_else(|| panic!("there is nothing in {}", file.display()))
}

/// The same; `None` when there is nothing.
#[track_caller]
fn some(file: &Path) -> Option<Material> {
    let history = History::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let span = history.span().unwrap()?;
    let range = Range { from_seconds: span.from_seconds - 1.0, to_seconds: span.to_seconds };
    Some(history.material(range).unwrap())
}

/// Connections established to a backend, by a history.
fn established(material: &Material, backend: SocketAddr) -> u64 {
    let of_it =
        material.series.iter().filter(|series| series.backend == backend && series.pool.pool == "app");
    of_it.flat_map(|series| &series.points).filter_map(|point| point.counts.established).sum()
}

/// What SQLite says of a file, without putting anything in its place: the next agent finds what the last one left.
#[track_caller]
fn is_whole(file: &Path) -> Connection {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
    connection
}

/// A metric's value; `None` as long as it has none.
fn metric(http: Http, name: &str) -> Option<f64> {
    let body = http.get("/metrics").body;
    let line = body.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.map(|value| value.parse().unwrap())
}

#[track_caller]
fn wait_for_metric(http: Http, name: &str, wanted: impl Fn(f64) -> bool) {
    wait::until(name, SOON, || metric(http, name).filter(|value| wanted(*value)));
}

/// That what it said of its history on standard error are these lines, in their order, by a part of each.
#[track_caller]
fn said(stderr: &str, parts: &[&str]) {
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("history")).collect();
    let all = lines.len() == parts.len() && lines.iter().zip(parts).all(|(line, part)| line.contains(part));
    assert!(all, "should be {parts:?}: {lines:#?}");
}

#[test]
fn a_fault_and_its_totals_are_in_the_history_as_the_backends_saw_them() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let (backends, directory) = (backends(block), tempfile::tempdir().unwrap());
    let file = directory.path().join("history.db");
    let wrong = Nginx::at(block.balancer(1)).server(backends[0].address, "weight=10");
    let _nginx = wrong.servers(addresses(&backends[1..])).start();
    let mut running = watch(Pools::of_backends(&backends)).argument("--history").argument(&file).start();
    let told = Load::on(block.balancer(1)).run_while(|| {
        let told = running.event("skewed", SOON, |event| event["verdict"] == "skewed");
        // While it is written, others read it.
        let seen = all(&file);
        assert_eq!(seen.changes.len(), 1, "told and written at once");
        told
    });
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGTERM);
    ended.exits(0);
    let stopping = ended.events().pop().unwrap();
    assert!(!directory.path().join("history.db-wal").exists(), "all of it is in one file");
    let material = all(&file);
    for backend in &backends {
        assert_eq!(established(&material, backend.address), backend.report().accepted, "{}", backend.address);
    }
    let change = &material.changes[0];
    assert_eq!((change.verdict.as_str(), change.previous), ("skewed", None));
    assert_eq!((&change.check, change.summary.as_str()), (&told["check"], told["summary"].as_str().unwrap()));
    let guilty = &material.pools[0].members[0];
    assert_eq!((guilty.backend, guilty.weight), (backends[0].address, Some(1.0)), "by what was declared");
    let run = &material.runs[0];
    assert_eq!((run.reason.as_deref(), run.stop_seconds.is_some()), (Some("SIGTERM"), true));
    let by_second = material.series[0].points.iter().filter(|point| point.length_seconds < 1.9).count();
    assert!(by_second > 3, "the seconds before the verdict: {by_second}");
    let sum: rusqlite::Result<i64> =
        is_whole(&file)
            .query_row("SELECT sum(established) FROM by_member WHERE pool = 'app'", [], |row| row.get(0));
    assert_eq!(sum.unwrap(), stopping["totals"]["established"].as_i64().unwrap());
    said(&ended.stderr, &[]);
}

#[test]
fn an_agent_that_is_killed_at_any_moment_leaves_every_interval_that_it_wrote() {
    require_root();
    let (_turn, block) = (turn::traffic(), Block::new());
    let (backends, directory) = (backends(block), tempfile::tempdir().unwrap());
    let file = directory.path().join("history.db");
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let kills = std::env::var("TRACER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut written = 0;
    Load::on(block.balancer(1)).run_while(|| {
        for kill in 1..=kills {
            let samples = directory.path().join(format!("{kill}.jsonl"));
            let running = watch(Pools::of_backends(&backends)).argument("--history").argument(&file);
            let running = running.argument("--samples").argument(&samples).start();
            std::thread::sleep(Duration::from_millis(fastrand::u64(200..5_000)));
            running.signal(Signal::SIGKILL);
            running.wait_for_kill();
            written += equals_recording(&file, &samples, kill);
        }
    });
    println!("{kills} kills, {written} intervals in the history");
    assert!(written > u64::from(kills), "{written} intervals of {kills} runs");
    // The next one goes on where they were, and ends well.
    let before = all(&file);
    let accepted_before = accepted(&backends);
    let running = watch(Pools::of_backends(&backends)).argument("--history").argument(&file).start();
    Load::on(block.balancer(1)).run_for(Duration::from_secs(2));
    wait_until_closed(&backends);
    running.stop(Signal::SIGTERM).exits(0);
    assert!(!directory.path().join("history.db-wal").exists());
    is_whole(&file);
    let material = all(&file);
    let sum =
        |material: &Material| addresses(&backends).map(|backend| established(material, backend)).sum::<u64>();
    assert_eq!(sum(&material) - sum(&before), accepted(&backends) - accepted_before);
    // Also of an agent that was killed before its first interval.
    let runs: (u32, u32) = is_whole(&file)
        .query_row("SELECT count(*), count(ended) FROM runs", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(runs, (kills + 1, 1));
}

/// That the last run in a history has just what its recording has, up to what was on its way. Gives its intervals.
///
/// The recording is written in the tick itself, line by line: what it has happened before the kill.
#[track_caller]
fn equals_recording(file: &Path, samples: &Path, kill: u32) -> u64 {
    let history = is_whole(file);
    let last: (i64, i64) = history
        .query_row(
            "SELECT id, (SELECT ifnull(sum(intervals), 0) FROM counted WHERE run = id) FROM runs ORDER BY started DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let (run, intervals) = (last.0, u64::try_from(last.1).unwrap());
    let mut recorded: Vec<Vec<(String, u64, u64)>> = Vec::new();
    for event in Replay::new(std::io::BufReader::new(std::fs::File::open(samples).unwrap())) {
        if let Ok(Event::Interval(interval)) = event {
            let members =
                interval.pools.iter().filter(|pool| pool.pool.name == "app").flat_map(|pool| &pool.members);
            recorded.push(
                members
                    .map(|member| {
                        (member.backend.to_string(), member.delta.attempts, member.delta.established)
                    })
                    .collect(),
            );
        }
    }
    let ticks = recorded.len() as u64;
    // An interval goes to the scribe before it goes to the recording.
    assert!(
        intervals <= ticks + 1 && intervals + ON_ITS_WAY >= ticks,
        "kill {kill}: {intervals} intervals in the history, {ticks} in the recording"
    );
    let mut sums = std::collections::BTreeMap::<String, (u64, u64)>::new();
    for (backend, attempts, established) in
        recorded.iter().take(usize::try_from(intervals).unwrap()).flatten()
    {
        let sum = sums.entry(backend.clone()).or_default();
        *sum = (sum.0 + attempts, sum.1 + established);
    }
    let sql = "SELECT ifnull(sum(attempts), 0), ifnull(sum(established), 0) FROM by_member \
               WHERE run = ?1 AND pool = 'app' AND backend = ?2";
    for (backend, wanted) in sums {
        let found: (i64, i64) = history
            .query_row(sql, rusqlite::params![run, backend], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        let found = (u64::try_from(found.0).unwrap(), u64::try_from(found.1).unwrap());
        // What the history has besides was in the tick in which the agent was killed.
        let enough =
            if intervals > ticks { found.0 >= wanted.0 && found.1 >= wanted.1 } else { found == wanted };
        assert!(
            enough,
            "kill {kill}: {backend} has {found:?}, not {wanted:?}, in {intervals} intervals of {ticks}"
        );
    }
    intervals
}

/// Watches these backends with a history in a directory, and with metrics.
fn watching(backends: &[Backend], file: &Path) -> (Running, Http) {
    let watch = watch(Pools::of_backends(backends)).argument("--history").argument(file);
    let running = watch.arguments(&["--listen", "0"]).start();
    let http = Http::of(&running);
    (running, http)
}

#[test]
fn on_a_full_disk_everything_else_goes_on_and_nothing_is_lost() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let (backends, directory) = (backends(block), tempfile::tempdir().unwrap());
    let disk = Mounted::at(directory.path(), "size=8m");
    let file = directory.path().join("history.db");
    let wrong = Nginx::at(block.balancer(1)).server(backends[0].address, "weight=10");
    let _nginx = wrong.servers(addresses(&backends[1..])).start();
    let (mut running, http) = watching(&backends, &file);
    Load::on(block.balancer(1)).run_while(|| {
        let mut filler = std::fs::File::create(directory.path().join("filler")).unwrap();
        while filler.write_all(&[0; 4_096]).is_ok() {}
        wait_for_metric(http, "tracer_history_failing", |failing| failing > 0.0);
        running.event("skewed, on a full disk", SOON, |event| event["verdict"] == "skewed");
        wait_for_metric(http, "tracer_history_waiting_intervals", |waiting| waiting >= 3.0);
        assert!(metric(http, "tracer_history_write_failures_total") >= Some(3.0));
        drop(filler);
        std::fs::remove_file(directory.path().join("filler")).unwrap();
        wait_for_metric(http, "tracer_history_failing", |failing| failing == 0.0);
    });
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGTERM);
    ended.exits(0);
    said(&ended.stderr, &["the disk is full", "written again, with"]);
    assert!(!ended.stderr.contains("lost"), "{}", ended.stderr);
    is_whole(&file);
    let material = all(&file);
    for backend in &backends {
        assert_eq!(established(&material, backend.address), backend.report().accepted, "{}", backend.address);
    }
    println!("{} connections", accepted(&backends));
    assert_eq!(material.changes.len(), 1);
    drop(disk);
}

#[test]
fn a_file_system_that_goes_away_and_is_read_only_is_waited_for() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let (backends, directory) = (backends(block), tempfile::tempdir().unwrap());
    let file = directory.path().join("history.db");
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses(&backends)).start();
    let (running, http) = watching(&backends, &file);
    Load::on(block.balancer(1)).run_while(|| {
        wait::until("something is in it", SOON, || some(&file).filter(|all| all.intervals > 2));
        let another = Mounted::at(directory.path(), "size=1m,ro");
        wait_for_metric(http, "tracer_history_failing", |failing| failing > 0.0);
        wait_for_metric(http, "tracer_history_waiting_intervals", |waiting| waiting >= 3.0);
        drop(another);
        wait_for_metric(http, "tracer_history_failing", |failing| failing == 0.0);
    });
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGTERM);
    ended.exits(0);
    said(&ended.stderr, &["the file is gone", "it can only be read", "written again, with"]);
    is_whole(&file);
    let material = all(&file);
    for backend in &backends {
        assert_eq!(established(&material, backend.address), backend.report().accepted, "{}", backend.address);
    }
    assert_eq!((material.runs.len(), material.counted.len()), (1, 1), "it is the same run, without a gap");
}

#[test]
fn what_cannot_be_a_history_is_refused_before_anything_is_traced() {
    require_root();
    let directory = tempfile::tempdir().unwrap();
    let _disk = Mounted::at(directory.path(), "size=8m");
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "not a database\n".repeat(100)).unwrap();
    let other = directory.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let refused = |file: &Path, part: &str| {
        let began = Instant::now();
        let ended = tracer(["watch", "--history"]).argument(file).spawn().finish();
        ended.exits(2).ensure(ended.stderr.contains(part), format!("should say `{part}`"));
        ended.ensure(ended.stderr.contains(&format!("--history {}: ", file.display())), "names the file");
        assert!(began.elapsed() < Duration::from_secs(5), "at once");
    };
    refused(&text, "the file is no history, and is left as it is");
    refused(&other, "a database of another program");
    refused(directory.path(), "no regular file");
    refused(Path::new("/nonexistent/history.db"), "name a file in a directory that exists");
}

#[test]
fn a_history_that_is_damaged_or_cannot_be_written_keeps_nobody_from_watching() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let (backends, directory) = (backends(block), tempfile::tempdir().unwrap());
    let _disk = Mounted::at(directory.path(), "size=8m");
    let file = directory.path().join("history.db");
    let remount = |how: &str| {
        let status = Command::new("mount").args(["-o", how]).arg(directory.path()).status().unwrap();
        assert!(status.success(), "{how}");
    };
    let (running, _) = watching(&backends, &file);
    wait::until("something is in it", SOON, || some(&file));
    running.stop(Signal::SIGTERM).exits(0);
    let damaged = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    damaged.set_len(damaged.metadata().unwrap().len() / 2).unwrap();
    drop(damaged);
    remount("remount,ro");
    let wrong = Nginx::at(block.balancer(1)).server(backends[0].address, "weight=10");
    let _nginx = wrong.servers(addresses(&backends[1..])).start();
    let (mut running, http) = watching(&backends, &file);
    Load::on(block.balancer(1)).run_while(|| {
        wait_for_metric(http, "tracer_history_failing", |failing| failing > 0.0);
        running.event("skewed, without a history", SOON, |event| event["verdict"] == "skewed");
        remount("remount,rw");
        std::fs::rename(&file, directory.path().join("damaged.db")).unwrap();
        wait_for_metric(http, "tracer_history_failing", |failing| failing == 0.0);
    });
    wait_until_closed(&backends);
    let ended = running.stop(Signal::SIGTERM);
    ended.exits(0);
    said(&ended.stderr, &["everything else goes on", "written again, with"]);
    let material = all(&file);
    for backend in &backends {
        assert_eq!(established(&material, backend.address), backend.report().accepted, "{}", backend.address);
    }
    assert_eq!(material.changes.len(), 1);
}

#[test]
fn a_history_on_a_medium_that_nothing_can_be_written_to_is_read() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let (backends, directory) = (backends(block), tempfile::tempdir().unwrap());
    let _disk = Mounted::at(directory.path(), "size=4m");
    let file = directory.path().join("history.db");
    let remount = |how: &str| {
        let status = Command::new("mount").args(["-o", how]).arg(directory.path()).status().unwrap();
        assert!(status.success(), "{how}");
    };
    let (running, _) = watching(&backends, &file);
    wait::until("something is in it", SOON, || some(&file));
    running.stop(Signal::SIGTERM).exits(0);
    remount("remount,ro");
    assert!(all(&file).intervals > 0);
    remount("remount,rw");
    let (running, _) = watching(&backends, &file);
    wait::until("more is in it", SOON, || some(&file).filter(|all| all.runs.len() > 1));
    running.signal(Signal::SIGKILL);
    running.wait_for_kill();
    remount("remount,ro");
    assert_eq!(all(&file).runs.len(), 2, "with what is beside it");
    // What SQLite would need to make before it can read what was written last.
    remount("remount,rw");
    std::fs::remove_file(directory.path().join("history.db-shm")).unwrap();
    remount("remount,ro");
    let error = History::open(&file).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("history.db-wal, and nothing can be written there; copy both"), "{error}");
}
