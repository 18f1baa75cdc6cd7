//! The file of a history: making it, and making sure that it is one.

use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;
use tracer_ebpf::histogram::{BUCKETS, upper_bound_ns};

/// `trac`, in the header of the file.
const APPLICATION: i64 = 0x7472_6163;
/// From nothing to the version of the schema that is known here, step by step: the first makes version 1.
const STEPS: [&str; 1] = [include_str!("schema/1.sql")];
/// Version of the schema.
#[expect(clippy::cast_possible_wrap, reason = "a handful of steps")]
pub(super) const VERSION: i64 = STEPS.len() as i64;
/// What was traced is for who runs the host.
const MODE: u32 = 0o640;
/// How long to wait for somebody else who writes, by hand.
const PATIENCE: Duration = Duration::from_millis(250);
/// Tables that every use begins with: small ones.
const CHECKED: [&str; 3] = ["runs", "pools", "members"];

/// Why a history cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened or made.
    #[error("{0}; name a file in a directory that exists and can be written to")]
    File(#[from] io::Error),
    /// A directory, a device.
    #[error("this is no regular file; name one that is, or one that is not there yet")]
    NoFile,
    /// A tracer has it open for writing.
    #[error("another tracer is writing to it; name another file")]
    InUse,
    /// Something else than SQLite's.
    #[error("the file is no history, and is left as it is; name another")]
    NoDatabase,
    /// SQLite's, of another program.
    #[error("this is a database of another program, and is left as it is; name another file")]
    OtherProgram,
    /// Written by a tracer that is newer than this one.
    #[error(
        "it was written by a newer tracer (schema {0}, this one knows up to {VERSION}); use that one, or name another file"
    )]
    Newer(i64),
    /// It does not hold together.
    #[error(
        "the history is damaged ({0}); move it away, and a new one is begun; `sqlite3 FILE .recover` reads what is left of it"
    )]
    Damaged(String),
    /// It may be read only.
    #[error(
        "it can only be read ({0}); name a file on a file system that can be written to, or let it be written to"
    )]
    ReadOnly(String),
    /// The disk is full, or something else that passes.
    #[error("{0}")]
    Passing(String),
    /// Anything else that SQLite says.
    #[error("SQLite cannot use it: {0}; name another file")]
    Unusable(String),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NoDatabase,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged(error.to_string()),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(error.to_string()),
            Some(
                ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory,
            ) => Self::Passing(Self::of_writing(&error)),
            _ => Self::Unusable(error.to_string()),
        }
    }
}

impl OpenError {
    /// What went wrong in writing, with its remedy.
    pub(super) fn of_writing(error: &rusqlite::Error) -> String {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NoDatabase.to_string(),
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged(error.to_string()).to_string(),
            Some(ErrorCode::ReadOnly) => format!("it can only be read ({error}); let it be written to"),
            Some(ErrorCode::DiskFull) => {
                format!("the disk is full ({error}); make room, or lower --history-size")
            }
            _ => error.to_string(),
        }
    }

    /// Whether it is waited for, since it is over without that anybody changes what was asked for: the disk has room again or
    /// can be written to, the damaged file is moved away. Nothing else is to wait for that: an agent begins and counts.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        match self {
            Self::Passing(_) | Self::Damaged(_) | Self::ReadOnly(_) => true,
            Self::File(error) => matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::Interrupted
            ),
            _ => false,
        }
    }
}

/// Which file a name stood for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of the file of this name now; `None`: there is none.
    pub(super) fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|found| Self { device: found.dev(), inode: found.ino() })
    }
}

/// A history that is open for writing.
pub(super) struct Opened {
    /// Dropped before the lock: closing any other handle of the file lets go of SQLite's own locks.
    pub(super) connection: Connection,
    pub(super) identity: Identity,
    _lock: File,
}

/// Opens a history for writing, makes it if there is none, and keeps other tracers from it as long as it is open.
///
/// # Errors
/// When it cannot be opened, or is something else; then it is left as it was.
pub(super) fn open(path: &Path) -> Result<Opened, OpenError> {
    let path = std::path::absolute(path)?;
    if std::fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
        return Err(OpenError::NoFile);
    }
    let lock = File::options().read(true).write(true).create(true).truncate(false).mode(MODE).open(&path);
    let lock = lock.map_err(|error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            OpenError::ReadOnly(error.to_string())
        }
        _ => OpenError::File(error),
    })?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse,
        TryLockError::Error(error) => OpenError::File(error),
    })?;
    let found = lock.metadata()?;
    let identity = Identity { device: found.dev(), inode: found.ino() };
    if found.len() == 0 {
        forget_former(&path);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // Links between tables are for the reader; looking each of them up is not for the writer.
    connection.pragma_update(None, "foreign_keys", false)?;
    let version = version(&connection)?;
    if version == 0 {
        // So that the file can become smaller again; to be said before there is anything in it.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::Passing(format!(
            "its file system has no write-ahead log: journal_mode is {mode}"
        )));
    }
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    migrate(&mut connection, version)?;
    check(&connection)?;
    Ok(Opened { connection, identity, _lock: lock })
}

/// What is beside a file that is new was of another one that had its name, and would be taken for part of this one.
fn forget_former(path: &Path) {
    for end in ["-wal", "-shm", "-journal"] {
        let mut former = path.as_os_str().to_owned();
        former.push(end);
        // That there is none is as it should be; one that cannot be removed is SQLite's to complain of.
        let _ = std::fs::remove_file(former);
    }
}

/// The version of its schema; 0 when there is nothing in it yet.
///
/// # Errors
/// When it is not ours, or of a newer tracer.
pub(super) fn version(connection: &Connection) -> Result<i64, OpenError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (application, version) = (number("application_id")?, number("user_version")?);
    match (application, version) {
        (0, 0) if tables == 0 => Ok(0),
        (APPLICATION, 1..=VERSION) => Ok(version),
        (APPLICATION, newer) if newer > VERSION => Err(OpenError::Newer(newer)),
        (APPLICATION, wrong) => Err(OpenError::Damaged(format!("its schema has the version {wrong}"))),
        _ => Err(OpenError::OtherProgram),
    }
}

/// Takes the schema from its version to the newest, all or nothing.
fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    if from == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for step in STEPS.iter().skip(usize::try_from(from).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    if from == 0 {
        let mut bucket =
            transaction.prepare("INSERT INTO buckets (bucket, upper_seconds) VALUES (?1, ?2)")?;
        for number in 0..BUCKETS {
            #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a minute")]
            let upper = upper_bound_ns(number).map(|nanoseconds| nanoseconds as f64 / 1e9);
            bucket.execute((i64::try_from(number).unwrap_or(i64::MAX), upper))?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Looks at what every use begins with. All of a file would take seconds.
fn check(connection: &Connection) -> Result<(), OpenError> {
    for table in CHECKED {
        let sql = format!("PRAGMA quick_check({table})");
        let said: String = connection.query_row(&sql, [], |row| row.get(0))?;
        if said != "ok" {
            return Err(OpenError::Damaged(said));
        }
    }
    let _: Option<i64> = connection.query_row("SELECT max(time) FROM points", [], |row| row.get(0))?;
    Ok(())
}
