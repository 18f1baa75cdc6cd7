//! An open history, and writing to it: everything that waits, in one transaction.

use super::bins::{BIN_SECONDS, Bin, Bins, Kept, bin_of};
use super::columns::{COLUMNS, names, whole};
use super::limits::Limits;
use super::open::{Identity, OpenError, Opened, open};
use super::ring::Second;
use super::scribe::Run;
use super::tick::{InForce, VerdictTold};
use crate::chronicle::PoolName;
use crate::detect::Verdict;
use rusqlite::{Connection, OptionalExtension as _, Statement, Transaction, params};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Everything is synced at least so often.
const SYNC_EVERY: Duration = Duration::from_secs(30);
/// That a pool or a member was there is written once in so many seconds.
const SEEN_SECONDS: i64 = 3_600;
/// So much goes at a time, seconds of what is oldest.
const STEP_SECONDS: i64 = 60;
/// And so long may it take of a second.
const PRUNING: Duration = Duration::from_millis(50);
/// Pages that are given back to the file system at a time.
const PAGES_AT_A_TIME: u32 = 64;

/// What waits to be written.
pub(super) struct Batch<'a> {
    pub(super) bins: &'a Bins,
    pub(super) seconds: &'a [Second],
    pub(super) verdicts: &'a [VerdictTold],
    /// What is expected of pools from some time on; `None`: the pool is gone.
    pub(super) in_force: &'a [(f64, PoolName, Option<Arc<InForce>>)],
    /// End of the last interval.
    pub(super) last_seconds: f64,
    /// Intervals that are in no batch.
    pub(super) lost: u64,
}

/// A history that is open for writing.
pub(super) struct Book {
    opened: Opened,
    run: i64,
    is_new: bool,
    names: Names,
    synced: Instant,
    /// Up to where names were let go of, seconds.
    names_pruned: i64,
}

/// Numbers of pools and members in the file, and until when it says that they were there.
#[derive(Default)]
struct Names {
    pools: HashMap<PoolName, Numbered>,
    members: HashMap<(Option<i64>, Option<SocketAddr>), Numbered>,
}

#[derive(Clone, Copy)]
struct Numbered {
    id: i64,
    seen: i64,
}

impl Book {
    /// Opens it, with a row for this run of the agent: the one that is there, or a new one.
    ///
    /// # Errors
    /// Those of [`open`].
    pub(super) fn open(path: &Path, run: &Run) -> Result<Self, OpenError> {
        let opened = open(path)?;
        let (id, is_new) = run_id(&opened.connection, run)?;
        Ok(Self { opened, run: id, is_new, names: Names::default(), synced: Instant::now(), names_pruned: 0 })
    }

    /// Whether the file's name still stands for it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        Identity::at(path) == Some(self.opened.identity)
    }

    /// Whether nothing of this run was in it.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Writes a batch: all of it or nothing.
    ///
    /// # Errors
    /// SQLite's; nothing is written then.
    pub(super) fn write(&mut self, batch: &Batch<'_>) -> rusqlite::Result<()> {
        let written = write(&mut self.opened.connection, self.run, &mut self.names, batch);
        if written.is_err() {
            // Numbers that were given in it are not in the file.
            self.names = Names::default();
        }
        written
    }

    /// What was written survives a power failure from now on, if it is time for that.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn sync(&mut self) -> rusqlite::Result<()> {
        if self.synced.elapsed() < SYNC_EVERY {
            return Ok(());
        }
        self.synced = Instant::now();
        checkpoint(&self.opened.connection, "PASSIVE")
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn bytes(&self) -> rusqlite::Result<u64> {
        Ok(sizes(&self.opened.connection)?.0)
    }

    /// Lets go of some of what is beyond the limits though nothing can be written: that takes less room than to write.
    pub(super) fn make_room(&mut self, limits: Limits, now_seconds: f64) {
        // What is in the log goes to its place, and the log can be begun anew. That nothing can be written is said already.
        let _ = checkpoint(&self.opened.connection, "PASSIVE").and_then(|()| self.prune(limits, now_seconds));
    }

    /// As on a full disk.
    #[cfg(test)]
    pub(super) fn grow_no_more(&self) {
        let connection = &self.opened.connection;
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    }

    /// Lets go of some of what is beyond the limits, the oldest first.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn prune(&mut self, limits: Limits, now_seconds: f64) -> rusqlite::Result<()> {
        let began = Instant::now();
        let oldest_allowed = now_seconds - limits.age.as_secs_f64();
        while began.elapsed() < PRUNING {
            let Some(oldest) = oldest(&self.opened.connection)? else { break };
            let (file, used) = sizes(&self.opened.connection)?;
            #[expect(clippy::cast_possible_truncation, reason = "saturates")]
            let step = (oldest.floor() as i64).saturating_add(STEP_SECONDS);
            // The ten seconds that are not over are never let go of: only what changes in them is written again.
            let until = step.min(bin_of(now_seconds, 0.0) - BIN_SECONDS);
            if (oldest < oldest_allowed || used > limits.bytes) && oldest.floor() < until as f64 {
                forget(&mut self.opened.connection, self.run, until)?;
                self.forget_names(until)?;
            } else if file > limits.bytes && file > used {
                let query = format!("PRAGMA incremental_vacuum({PAGES_AT_A_TIME})");
                self.opened.connection.prepare(&query)?.query([])?.next()?;
            } else {
                break;
            }
        }
        Ok(())
    }

    /// Pools and members of which there has been nothing for long, once in an hour of what is let go.
    fn forget_names(&mut self, until: i64) -> rusqlite::Result<()> {
        let until = until.saturating_sub(2 * SEEN_SECONDS);
        if until < self.names_pruned + SEEN_SECONDS {
            return Ok(());
        }
        self.names_pruned = until;
        let connection = &self.opened.connection;
        connection.execute("DELETE FROM members WHERE seen < ?1", [until])?;
        connection.execute("DELETE FROM pools WHERE seen < ?1", [until])?;
        self.names.pools.retain(|_, named| named.seen >= until);
        self.names.members.retain(|_, named| named.seen >= until);
        Ok(())
    }

    /// Writes how the run ended, puts everything in its place, and closes the file.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn close(self, time_seconds: f64, reason: &str) -> rusqlite::Result<()> {
        let connection = &self.opened.connection;
        let sql = "UPDATE runs SET ended = ?2, reason = ?3 WHERE id = ?1";
        connection.execute(sql, params![self.run, time_seconds, reason])?;
        checkpoint(connection, "TRUNCATE")
    }
}

/// The number of this run, and whether it is a new one: when it begins, and when the file is another than before.
fn run_id(connection: &Connection, run: &Run) -> rusqlite::Result<(i64, bool)> {
    let sql = "SELECT id FROM runs WHERE started = ?1 AND host = ?2";
    let there =
        connection.query_row(sql, params![run.started_seconds, run.host], |row| row.get(0)).optional()?;
    if let Some(id) = there {
        return Ok((id, false));
    }
    connection.execute(
        "INSERT INTO runs (started, host, version, detector, last) VALUES (?1, ?2, ?3, ?4, ?1)",
        params![run.started_seconds, run.host, run.version, run.detector],
    )?;
    Ok((connection.last_insert_rowid(), true))
}

fn checkpoint(connection: &Connection, how: &str) -> rusqlite::Result<()> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()))
}

/// Bytes of the file, and how many of them are used.
fn sizes(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (pages, free, size) = (number("page_count")?, number("freelist_count")?, number("page_size")?);
    let bytes = |pages: i64| u64::try_from(pages * size).unwrap_or(0);
    Ok((bytes(pages), bytes(pages - free)))
}

/// When what is oldest was; `None`: there is nothing. What still stands goes with nothing, declarations and verdicts: these
/// are told in an interval, which is counted.
fn oldest(connection: &Connection) -> rusqlite::Result<Option<f64>> {
    // Each is the first entry of a table that is sorted by time.
    let sql = "SELECT min(time) FROM (SELECT min(time) AS time FROM counted \
               UNION ALL SELECT min(time) FROM points UNION ALL SELECT min(time) FROM pool_points \
               UNION ALL SELECT min(time) FROM seconds UNION ALL SELECT min(time) FROM pool_seconds \
               UNION ALL SELECT min(time) FROM uncounted)";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

/// Lets go of everything before a time.
fn forget(connection: &mut Connection, run: i64, until: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for table in ["counted", "points", "pool_points", "seconds", "pool_seconds", "uncounted"] {
        transaction.prepare_cached(&format!("DELETE FROM {table} WHERE time < ?1"))?.execute([until])?;
    }
    super::standing::forget_verdicts(&transaction, until, until.saturating_sub(SEEN_SECONDS))?;
    // What is in force stays, however old it is.
    let sql = "DELETE FROM in_force WHERE time < ?1 AND (members IS NULL \
               OR EXISTS (SELECT 1 FROM in_force AS later WHERE later.pool = in_force.pool \
                          AND later.time > in_force.time AND later.time <= ?1) \
               OR NOT EXISTS (SELECT 1 FROM pools WHERE pools.id = in_force.pool AND pools.seen >= ?1 - ?2))";
    transaction.prepare_cached(sql)?.execute([until, SEEN_SECONDS])?;
    transaction.prepare_cached("DELETE FROM runs WHERE last < ?1 AND id <> ?2")?.execute([until, run])?;
    transaction.commit()
}

fn write(
    connection: &mut Connection,
    run: i64,
    names: &mut Names,
    batch: &Batch<'_>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let mut writing = Writing { transaction: &transaction, run, names };
    for (time, bin) in batch.bins.unwritten() {
        writing.bin(time, bin)?;
    }
    writing.seconds(batch.seconds)?;
    for told in batch.verdicts {
        writing.verdict(told)?;
    }
    for (time_seconds, pool, in_force) in batch.in_force {
        writing.in_force(*time_seconds, pool, in_force.as_deref())?;
    }
    let sql = "UPDATE runs SET last = max(last, ?2), lost = ?3 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(params![run, batch.last_seconds, whole(batch.lost)])?;
    transaction.commit()
}

/// Writes within a transaction.
struct Writing<'a> {
    transaction: &'a Transaction<'a>,
    run: i64,
    names: &'a mut Names,
}

impl Writing<'_> {
    fn bin(&mut self, time: i64, bin: &Bin) -> rusqlite::Result<()> {
        let mut points = self.transaction.prepare_cached(&insert_figures("points", true))?;
        let sql = "INSERT OR REPLACE INTO counted (time, run, \"end\", seconds, intervals) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.transaction.prepare_cached(sql)?.execute(params![
            time,
            self.run,
            bin.end_seconds,
            bin.seconds,
            whole(bin.intervals)
        ])?;
        let sql = "INSERT OR REPLACE INTO pool_points (time, run, pool, \"end\", seconds, exchanges, verdict) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let mut pool_points = self.transaction.prepare_cached(sql)?;
        for (name, pool) in &bin.pools {
            let id = self.pool(name, time)?;
            let verdict = pool.verdict.map(Verdict::as_str);
            let (end, seconds) = (pool.end_seconds, pool.seconds);
            pool_points.execute(params![time, self.run, id, end, seconds, pool.exchanges, verdict])?;
            for (backend, kept) in pool.members.iter().filter(|(_, kept)| kept.unwritten) {
                let member = self.member(Some(id), Some(*backend), time)?;
                self.point(&mut points, time, member, kept)?;
            }
        }
        if let Some(kept) = bin.other.as_ref().filter(|kept| kept.unwritten) {
            let member = self.member(None, None, time)?;
            self.point(&mut points, time, member, kept)?;
        }
        let figures: Vec<i64> = bin.uncounted.by_name().map(|(_, count)| whole(count)).collect();
        if figures.iter().any(|&figure| figure > 0) {
            let columns: Vec<_> = bin.uncounted.by_name().map(|(name, _)| format!("\"{name}\"")).collect();
            let sql = format!(
                "INSERT OR REPLACE INTO uncounted (time, run, {}) VALUES (?, ?{})",
                columns.join(", "),
                ", ?".repeat(columns.len())
            );
            let all = [time, self.run].into_iter().chain(figures);
            self.transaction.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(all))?;
        }
        Ok(())
    }

    fn point(&self, points: &mut Statement<'_>, time: i64, member: i64, kept: &Kept) -> rusqlite::Result<()> {
        points.raw_bind_parameter(1, time)?;
        points.raw_bind_parameter(2, self.run)?;
        points.raw_bind_parameter(3, member)?;
        kept.figures.bind(points, 4)?;
        points.raw_bind_parameter(4 + COLUMNS, kept.figures.live_seconds())?;
        points.raw_execute().map(drop)
    }

    fn seconds(&mut self, seconds: &[Second]) -> rusqlite::Result<()> {
        let mut points = self.transaction.prepare_cached(&insert_figures("seconds", false))?;
        let sql = "INSERT OR REPLACE INTO pool_seconds (time, run, pool, seconds, exchanges) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut pool_points = self.transaction.prepare_cached(sql)?;
        for second in seconds {
            let time = bin_of(second.time_seconds, 0.0);
            let pool = self.pool(&second.pool, time)?;
            let (end, length) = (second.time_seconds, second.interval_seconds);
            pool_points.execute(params![end, self.run, pool, length, second.exchanges])?;
            for (backend, figures) in &second.members {
                let member = self.member(Some(pool), Some(*backend), time)?;
                points.raw_bind_parameter(1, end)?;
                points.raw_bind_parameter(2, self.run)?;
                points.raw_bind_parameter(3, member)?;
                figures.bind(&mut points, 4)?;
                points.raw_execute()?;
            }
        }
        Ok(())
    }

    fn verdict(&mut self, told: &VerdictTold) -> rusqlite::Result<()> {
        let pool = self.pool(&told.pool, bin_of(told.time_seconds, 0.0))?;
        let sql = "INSERT OR REPLACE INTO verdicts \
                   (time, run, pool, verdict, previous, since, since_start, summary, check_json) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.transaction.prepare_cached(sql)?.execute(params![
            told.time_seconds,
            self.run,
            pool,
            told.verdict.as_str(),
            told.previous.map(Verdict::as_str),
            told.since_seconds,
            told.since_start,
            told.summary,
            told.check_json,
        ])?;
        Ok(())
    }

    fn in_force(
        &mut self,
        time_seconds: f64,
        name: &PoolName,
        in_force: Option<&InForce>,
    ) -> rusqlite::Result<()> {
        let pool = self.pool(name, bin_of(time_seconds, 0.0))?;
        let sql = "INSERT OR REPLACE INTO in_force (time, run, pool, source, expected, method, judged, note, members) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.transaction.prepare_cached(sql)?.execute(params![
            time_seconds,
            self.run,
            pool,
            in_force.map(|now| now.source.as_str()),
            in_force.map(|now| word(&now.expected)),
            in_force.map(|now| word(&now.method)),
            in_force.is_some_and(|now| now.judged),
            in_force.and_then(|now| now.note.as_deref()),
            in_force.map(|now| now.members.as_str()),
        ])?;
        Ok(())
    }

    /// A pool's number; it was there in the bin of this time.
    fn pool(&mut self, name: &PoolName, time: i64) -> rusqlite::Result<i64> {
        if let Some(known) = self.names.pools.get_mut(name) {
            return known.seen(time, self.transaction, "UPDATE pools SET seen = ?2 WHERE id = ?1");
        }
        let sql = "SELECT id, seen FROM pools WHERE name = ?1 AND ifnull(balancer, '') = ifnull(?2, '')";
        let found =
            self.transaction.prepare_cached(sql)?.query_row(params![name.pool, name.balancer], numbered);
        let mut numbered = match found.optional()? {
            Some(numbered) => numbered,
            None => {
                let sql = "INSERT INTO pools (name, balancer, seen) VALUES (?1, ?2, ?3)";
                let insert = params![name.pool, name.balancer, time];
                Numbered { id: self.transaction.prepare_cached(sql)?.insert(insert)?, seen: time }
            }
        };
        numbered.seen(time, self.transaction, "UPDATE pools SET seen = ?2 WHERE id = ?1")?;
        self.names.pools.insert(name.clone(), numbered);
        Ok(numbered.id)
    }

    /// A member's number; without pool and backend, that of what is nobody's.
    fn member(&mut self, pool: Option<i64>, backend: Option<SocketAddr>, time: i64) -> rusqlite::Result<i64> {
        const SEEN: &str = "UPDATE members SET seen = ?2 WHERE id = ?1";
        if let Some(known) = self.names.members.get_mut(&(pool, backend)) {
            return known.seen(time, self.transaction, SEEN);
        }
        let name = backend.map_or_else(|| OTHER.to_owned(), |backend| backend.to_string());
        let sql = "SELECT id, seen FROM members WHERE ifnull(pool, 0) = ifnull(?1, 0) AND backend = ?2";
        let found = self.transaction.prepare_cached(sql)?.query_row(params![pool, name], numbered);
        let mut numbered = match found.optional()? {
            Some(numbered) => numbered,
            None => {
                let sql = "INSERT INTO members (pool, backend, seen) VALUES (?1, ?2, ?3)";
                let id = self.transaction.prepare_cached(sql)?.insert(params![pool, name, time])?;
                Numbered { id, seen: time }
            }
        };
        numbered.seen(time, self.transaction, SEEN)?;
        self.names.members.insert((pool, backend), numbered);
        Ok(numbered.id)
    }
}

/// What the member is called that everything belongs to that is nobody's.
pub(super) const OTHER: &str = "other";

fn numbered(row: &rusqlite::Row<'_>) -> rusqlite::Result<Numbered> {
    Ok(Numbered { id: row.get(0)?, seen: row.get(1)? })
}

impl Numbered {
    /// It was there; written now and then.
    fn seen(&mut self, time: i64, transaction: &Transaction<'_>, update: &str) -> rusqlite::Result<i64> {
        if time >= self.seen.saturating_add(SEEN_SECONDS) {
            self.seen = time;
            transaction.prepare_cached(update)?.execute([self.id, time])?;
        }
        Ok(self.id)
    }
}

/// A statement that writes [`Figures`](super::columns::Figures).
fn insert_figures(table: &str, with_live_seconds: bool) -> String {
    let mut columns: Vec<&str> = ["time", "run", "member"].into_iter().chain(names()).collect();
    if with_live_seconds {
        columns.push("live_seconds");
    }
    let values = vec!["?"; columns.len()].join(", ");
    format!("INSERT OR REPLACE INTO {table} ({}) VALUES ({values})", columns.join(", "))
}

/// A word as it is in JSON.
fn word(of: &impl serde::Serialize) -> String {
    match serde_json::to_value(of) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
