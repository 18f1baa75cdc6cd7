//! Reading a history, also while it is written.

use super::open::{OpenError, version};
use super::series::gather;
use crate::chronicle::PoolName;
use crate::collect::Uncounted;
use crate::detect::Verdict;
use crate::outputs::timestamp;
use crate::report::{Change, Gone, Made, Material, MemberInForce, PoolInForce, Range, Run, Span};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for who writes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no history, or cannot be opened.
    #[error(transparent)]
    Open(OpenError),
    /// There is no such file.
    #[error("there is no such file; name the one that `tracer watch --history` writes")]
    Missing,
    /// Nothing was ever written to it.
    #[error("there is nothing in it yet")]
    Empty,
    /// What was written last is beside it, and can be read only where it can be put in its place.
    #[error(
        "what was written last is in {0}, and nothing can be written there; copy both files to where it can"
    )]
    Unfinished(String),
    /// It is damaged, or the disk is.
    #[error("it cannot be read ({0}); `sqlite3 FILE .recover` reads what is left of a damaged one")]
    Reading(rusqlite::Error),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Open(OpenError::NoDatabase),
            _ => Self::Reading(error),
        }
    }
}

/// A history that is open for reading.
pub struct History {
    connection: Connection,
    /// What SQLite was told to open.
    name: PathBuf,
    flags: OpenFlags,
}

/// Words of this program that a file may spell otherwise, and rows that are lost by that.
#[derive(Default)]
pub(super) struct Unread(u64);

impl Unread {
    /// Both together.
    pub(super) fn add(&mut self, more: Self) {
        self.0 += more.0;
    }

    /// What a row gave, if it gave something.
    pub(super) fn some<T>(&mut self, read: Option<T>) -> Option<T> {
        self.0 += u64::from(read.is_none());
        read
    }
}

impl History {
    /// Opens one, and changes nothing in it.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let absolute = std::path::absolute(path).map_err(|error| ReadError::Open(OpenError::File(error)))?;
        match std::fs::metadata(&absolute) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(ReadError::Missing),
            Err(error) => return Err(ReadError::Open(OpenError::File(error))),
            Ok(found) if !found.is_file() => return Err(ReadError::Open(OpenError::NoFile)),
            Ok(_) => {}
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let checked = Self::checked(absolute.clone(), flags);
        let Err(ReadError::Open(OpenError::Unusable(_) | OpenError::ReadOnly(_))) = &checked else {
            return checked;
        };
        // Where nothing can be written, SQLite refuses even to read, unless it is told that nobody else does.
        let mut log = absolute.clone().into_os_string();
        log.push("-wal");
        let log = PathBuf::from(log);
        if std::fs::metadata(&log).is_ok_and(|found| found.len() > 0) {
            return if can_write_beside(&absolute) {
                checked
            } else {
                Err(ReadError::Unfinished(log.display().to_string()))
            };
        }
        Self::checked(PathBuf::from(immutable(&absolute)), flags | OpenFlags::SQLITE_OPEN_URI)
    }

    fn checked(name: PathBuf, flags: OpenFlags) -> Result<Self, ReadError> {
        let connection = connect(&name, flags)?;
        match version(&connection).map_err(ReadError::Open)? {
            0 => Err(ReadError::Empty),
            _ => Ok(Self { connection, name, flags }),
        }
    }

    /// From the first interval that is in it to the last; `None`: there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn span(&self) -> Result<Option<Span>, ReadError> {
        let sql = "SELECT (SELECT \"end\" - seconds FROM counted ORDER BY time LIMIT 1), \
                   (SELECT \"end\" FROM counted ORDER BY time DESC LIMIT 1)";
        let span = |row: &Row<'_>| Ok((row.get::<_, Option<f64>>(0)?, row.get::<_, Option<f64>>(1)?));
        let (from, to) = self.connection.query_row(sql, [], span)?;
        Ok(from.zip(to).map(|(from_seconds, to_seconds)| Span { from_seconds, to_seconds }))
    }

    /// Every change of a verdict, the earliest first, with what a range is chosen by: `findings` and `summary` are empty,
    /// `check` is null.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn changes(&self) -> Result<Vec<Change>, ReadError> {
        // The evidence is most of a history's text.
        let sql = "SELECT verdicts.time, pools.name, pools.balancer, verdicts.verdict, verdicts.previous, \
                   verdicts.since, verdicts.since_start \
                   FROM verdicts JOIN pools ON pools.id = verdicts.pool ORDER BY verdicts.time, verdicts.run";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut changes = Vec::new();
        while let Some(row) = rows.next()? {
            changes.extend(bare_change(row)?);
        }
        Ok(changes)
    }

    /// When pools went that had a finding, the earliest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn gone(&self, changes: &[Change]) -> Result<Vec<Gone>, ReadError> {
        Ok(gone(&self.connection, changes, f64::INFINITY)?)
    }

    /// Everything that a range of time holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn material(&self, range: Range) -> Result<Material, ReadError> {
        // One moment of the file, whatever is written meanwhile.
        let moment = self.connection.unchecked_transaction()?;
        let mut unread = Unread::default();
        let changes = changes(&moment, range, &mut unread)?;
        let pools = in_force(&moment, range, &mut unread)?;
        let gone = gone(&moment, &changes, range.to_seconds)?;
        let (name, flags) = (self.name.as_path(), self.flags);
        let again = || connect(name, flags);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let gathered = gather(&moment, &again, range, &changes, &pools, processors, &mut unread)?;
        let (runs, host, mut remarks) = runs(&moment, range)?;
        if unread.0 > 0 {
            remarks
                .push(format!("{} rows of the history could not be understood and are left out", unread.0));
        }
        Ok(Material {
            made: Made::Then,
            host,
            range,
            runs,
            changes,
            pools,
            gone,
            series: gathered.series,
            counted: gathered.counted,
            intervals: gathered.intervals,
            uncounted: if gathered.intervals > 0 { Some(uncounted(&moment, range)?) } else { None },
            remarks,
        })
    }
}

fn connect(name: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(name, flags)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

/// Whether a file could be made beside it.
fn can_write_beside(path: &Path) -> bool {
    let directory = path.parent().unwrap_or(Path::new("/"));
    nix::unistd::access(directory, nix::unistd::AccessFlags::W_OK).is_ok()
}

/// A name for SQLite by which it takes a file as one that nobody writes to.
fn immutable(path: &Path) -> String {
    let mut name = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02x}");
        }
    }
    name + "?immutable=1"
}

const CHANGES: &str = "SELECT verdicts.time, pools.name, pools.balancer, verdicts.verdict, verdicts.previous, \
                       verdicts.since, verdicts.since_start, verdicts.summary, verdicts.check_json \
                       FROM verdicts JOIN pools ON pools.id = verdicts.pool";

/// The changes in a range, and of each pool what was told before it, back to the last time without a finding.
fn changes(connection: &Connection, range: Range, unread: &mut Unread) -> rusqlite::Result<Vec<Change>> {
    let sql = format!("{CHANGES} WHERE verdicts.time <= ?1 ORDER BY verdicts.time DESC, verdicts.run DESC");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([range.to_seconds])?;
    // Pools of which nothing earlier is needed: they had no finding before the range.
    let mut known = BTreeSet::new();
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        let (is_before, pool) = (!range.contains(row.get(0)?), pool_name(row, 1)?);
        if is_before && known.contains(&pool) {
            continue;
        }
        let found = unread.some(change(row)?);
        if is_before && found.as_ref().is_none_or(|change| !change.verdict.is_finding()) {
            known.insert(pool);
        }
        changes.extend(found);
    }
    changes.reverse();
    Ok(changes)
}

fn pool_name(row: &Row<'_>, first: usize) -> rusqlite::Result<PoolName> {
    Ok(PoolName { pool: row.get(first)?, balancer: row.get(first + 1)? })
}

/// A change; `None` when it says something that is not known here.
fn change(row: &Row<'_>) -> rusqlite::Result<Option<Change>> {
    let text: String = row.get(8)?;
    let Ok(check) = serde_json::from_str::<serde_json::Value>(&text) else { return Ok(None) };
    let Some(findings) = check.get("findings").and_then(serde_json::Value::as_array) else { return Ok(None) };
    let findings = findings.iter().filter_map(|name| verdict(name.as_str()?)).collect();
    let Some(bare) = bare_change(row)? else { return Ok(None) };
    Ok(Some(Change { findings, summary: row.get(7)?, check, ..bare }))
}

/// A change without its sentence and evidence, likewise.
fn bare_change(row: &Row<'_>) -> rusqlite::Result<Option<Change>> {
    let Some(found) = verdict(&row.get::<_, String>(3)?) else { return Ok(None) };
    Ok(Some(Change {
        time_seconds: row.get(0)?,
        pool: pool_name(row, 1)?,
        verdict: found,
        previous: row.get::<_, Option<String>>(4)?.as_deref().and_then(verdict),
        findings: Vec::new(),
        summary: String::new(),
        since_seconds: row.get(5)?,
        since_start: row.get(6)?,
        check: serde_json::Value::Null,
    }))
}

fn verdict(name: &str) -> Option<Verdict> {
    Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == name)
}

/// When pools went of which there was a finding, until some time: as it is written, and where the next run that counted
/// did not have them, with the run that had.
fn gone(connection: &Connection, changes: &[Change], until_seconds: f64) -> rusqlite::Result<Vec<Gone>> {
    let with_finding: BTreeSet<&PoolName> =
        changes.iter().filter(|change| change.verdict.is_finding()).map(|change| &change.pool).collect();
    let sql = "SELECT id, started, last FROM runs WHERE last > started ORDER BY started, id";
    let runs: Vec<(i64, f64, f64)> = connection
        .prepare(sql)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let sql = "SELECT in_force.time, in_force.run, in_force.members IS NULL \
               FROM pools JOIN in_force ON in_force.pool = pools.id \
               WHERE pools.name = ?1 AND ifnull(pools.balancer, '') = ifnull(?2, '') \
               ORDER BY in_force.time, in_force.run";
    let mut statement = connection.prepare(sql)?;
    let mut all = Vec::new();
    for pool in with_finding {
        let rows = statement.query_map(params![pool.pool, pool.balancer], |row| {
            Ok((row.get::<_, f64>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
        })?;
        let rows: Vec<(f64, i64, bool)> = rows.collect::<Result<_, _>>()?;
        let times = rows.iter().enumerate().filter_map(|(place, &(time, run, is_gone))| {
            let is_last = rows.get(place + 1).is_none_or(|(_, next, _)| *next != run);
            if is_gone || !is_last {
                return is_gone.then_some(time);
            }
            // A run that is so old that it is forgotten was before all others.
            let here = runs.iter().position(|(id, ..)| *id == run);
            let &(next, started, _) = runs.get(here.map_or(0, |here| here + 1))?;
            let went = !rows.iter().any(|(_, run, _)| *run == next);
            went.then(|| here.map_or(started, |here| runs[here].2))
        });
        let times = times.filter(|time| *time <= until_seconds);
        all.extend(times.map(|time_seconds| Gone { time_seconds, pool: pool.clone() }));
    }
    all.sort_by(|one, other| one.time_seconds.total_cmp(&other.time_seconds));
    Ok(all)
}

/// What was in force in a range, and of each pool what was when it began.
fn in_force(
    connection: &Connection,
    range: Range,
    unread: &mut Unread,
) -> rusqlite::Result<Vec<PoolInForce>> {
    let sql = "SELECT in_force.time, pools.name, pools.balancer, source, expected, method, members \
               FROM in_force JOIN pools ON pools.id = in_force.pool \
               WHERE in_force.time <= ?1 AND members IS NOT NULL ORDER BY in_force.time DESC, in_force.run DESC";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([range.to_seconds])?;
    let mut before = BTreeSet::new();
    let mut pools = Vec::new();
    while let Some(row) = rows.next()? {
        let (time, pool) = (row.get::<_, f64>(0)?, pool_name(row, 1)?);
        if range.contains(time) || before.insert(pool) {
            pools.extend(unread.some(pool_in_force(row)?));
        }
    }
    pools.reverse();
    Ok(pools)
}

fn pool_in_force(row: &Row<'_>) -> rusqlite::Result<Option<PoolInForce>> {
    #[derive(serde::Deserialize)]
    struct Member {
        backend: SocketAddr,
        weight: Option<f64>,
        at: Option<String>,
    }
    let members: Result<Vec<Member>, _> = serde_json::from_str(&row.get::<_, String>(6)?);
    let (expected, method): (Option<String>, Option<String>) = (row.get(4)?, row.get(5)?);
    let (Ok(members), Some(expected_source), Some(method)) = (members, word(expected), word(method)) else {
        return Ok(None);
    };
    let member = |Member { backend, weight, at }| MemberInForce { backend, weight, at };
    Ok(Some(PoolInForce {
        time_seconds: row.get(0)?,
        pool: pool_name(row, 1)?,
        source: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
        expected_source,
        method,
        members: members.into_iter().map(member).collect(),
    }))
}

/// A word as it is in JSON.
fn word<T: DeserializeOwned>(text: Option<String>) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(text?)).ok()
}

/// Runs that reach into a range, the host, and what is to be said of them.
fn runs(connection: &Connection, range: Range) -> rusqlite::Result<(Vec<Run>, Option<String>, Vec<String>)> {
    let sql = "SELECT started, ended, reason, version, host, lost, last FROM runs \
               WHERE started <= ?2 AND max(last, ifnull(ended, last)) > ?1 ORDER BY started, id";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params![range.from_seconds, range.to_seconds])?;
    let (mut runs, mut host, mut remarks) = (Vec::new(), None, Vec::new());
    while let Some(row) = rows.next()? {
        host = Some(row.get(4)?);
        let lost: u64 = u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0);
        if lost > 0 {
            remarks.push(format!(
                "{lost} intervals of the run that began at {} could not be written, and are missing",
                timestamp(row.get(0)?)
            ));
        }
        runs.push(Run {
            start_seconds: row.get(0)?,
            stop_seconds: row.get(1)?,
            reason: row.get(2)?,
            version: Some(row.get(3)?),
        });
    }
    if host.is_none() {
        let sql = "SELECT host FROM runs ORDER BY started DESC LIMIT 1";
        host = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    }
    Ok((runs, host, remarks))
}

fn uncounted(connection: &Connection, range: Range) -> rusqlite::Result<Uncounted> {
    let sql = "SELECT ifnull(sum(backends), 0), ifnull(sum(connections), 0), ifnull(sum(memory), 0), \
               ifnull(sum(\"limit\"), 0), ifnull(sum(undecided), 0), ifnull(sum(recursion_misses), 0) \
               FROM uncounted WHERE time >= ?1 AND time < ?2";
    let figure =
        |row: &Row<'_>, at| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(at)?).unwrap_or(0));
    connection.query_row(sql, params![range.from_seconds - 10.0, range.to_seconds], |row| {
        Ok(Uncounted {
            backends: figure(row, 0)?,
            connections: figure(row, 1)?,
            memory: figure(row, 2)?,
            limit: figure(row, 3)?,
            undecided: figure(row, 4)?,
            recursion_misses: figure(row, 5)?,
        })
    })
}
