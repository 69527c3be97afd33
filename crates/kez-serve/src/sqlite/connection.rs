//! How a connection is set up: one that writes, one that reads.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::Options;
use super::error::OpenError;

/// How long a batch waits for another process's transaction: a short command holds the file for milliseconds.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(5);

/// Statements kept compiled per connection, some KiB each, and only those that it ran: more than the largest engine has,
/// so that none is compiled again because rare ones came between.
const STATEMENTS_MAX: usize = 192;

/// The absolute path of the file, symbolic links followed, so that one file has one lock.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == ErrorKind::NotFound => resolve_new(path),
        Err(error) => Err(OpenError::io(path)(error)),
    }
}

fn resolve_new(path: &Path) -> Result<PathBuf, OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(OpenError::NoDirectory { path: directory.to_owned() });
    }
    let name = path.file_name().ok_or_else(|| OpenError::io(path)(ErrorKind::IsADirectory.into()))?;
    Ok(directory.canonicalize().map_err(OpenError::io(directory))?.join(name))
}

/// Opens the file to write, making it first where it is missing. Changes nothing in it.
pub(super) fn open_file(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(OpenError::io(path)(error)),
        _ => {} // SQLite gives its -wal and -shm files the mode of this one
    }
    open_writer(path, options).map_err(OpenError::sqlite(path))
}

/// A connection that writes: everything is synced before COMMIT returns, and nobody checkpoints behind our back.
pub(super) fn open_writer(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options.writer_cache_kib)?;
    // Notices a damaged page before more is built on it. Not for readers: it looks at each of the 50 rows of a page for the
    // one that is wanted, and a damaged row shows by its checksum or its signature.
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    // A WAL that a long reader kept from starting over is cut back once it does. Not to the hard bound itself: it is a
    // little longer each time, and the first commit after cutting it took 20 to 80 ms instead of 2.
    let limit = i64::try_from(options.wal_hard_bytes.saturating_mul(2)).unwrap_or(i64::MAX);
    conn.pragma_update(None, "journal_size_limit", limit)?;
    Ok(conn)
}

/// A connection that cannot write.
pub(super) fn open_reader(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, options.reader_cache_kib)
}

fn open(path: &Path, access: OpenFlags, cache_kib: u32) -> rusqlite::Result<Connection> {
    // Each connection is used by one thread at a time (a mutex or a single owner sees to it): no lock of SQLite's own.
    let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_MAX)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // Keeps plans. Otherwise a statement with `LIMIT ?` is compiled anew each time that a value is bound to it, which takes
    // ten times as long as a short page.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?; // savepoints need no space on a full disk
    conn.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    Ok(conn)
}
