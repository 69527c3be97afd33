//! A copy of a file that a server may be at work on.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::OpenError;
use super::{FAULTS_MAX, Migration, Options, connection, migrate};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The file cannot be read as one of this program.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy cannot be written: it is there already, or the system refuses.
    #[error("cannot write {}: {source}", .path.display())]
    Io {
        /// The copy.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// SQLite gave up on the way: no space, or a damaged page. What was written is of no use.
    #[error("cannot copy the database to {}: {source}", .path.display())]
    Sqlite {
        /// The copy.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
}

/// Writes what the file `from` holds at one moment to the new file `to` (0600), durably, while others go on writing to
/// `from`. A layout older than the newest of `migrations` is copied as it is.
///
/// Built anew, row by row (`VACUUM INTO`), rather than page by page: so the copy lacks what was deleted, whose bytes lie
/// in free pages of the original until these are used again.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    migrations: &[Migration],
    options: &Options,
) -> Result<(), CopyError> {
    let conn = connection::open_reader(from, options).map_err(OpenError::sqlite(from))?;
    migrate::pending(&conn, from, migrations, options.application_id)?;
    let io = |source| CopyError::Io { path: to.to_owned(), source };
    let name = to.to_str().ok_or_else(|| io(io::ErrorKind::InvalidFilename.into()))?;
    // SQLite takes an empty file for one that is not there, and keeps its mode.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(io)?;
    let copied = conn.execute("VACUUM INTO ?1", [name]);
    copied.map_err(|source| CopyError::Sqlite { path: to.to_owned(), source })?;
    file.sync_all().map_err(io)?;
    sync_folder(to).map_err(io)
}

/// What `PRAGMA integrity_check` and `foreign_key_check` find.
pub(super) fn faults(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut faults: Vec<String> = db
        .prepare(&format!("PRAGMA integrity_check({FAULTS_MAX})"))?
        .query_map([], |row| row.get(0))?
        .filter(|fault| !fault.as_ref().is_ok_and(|text| text == "ok"))
        .collect::<rusqlite::Result<_>>()?;
    let dangling =
        "SELECT 'a row of ' || \"table\" || ' points nowhere' FROM pragma_foreign_key_check LIMIT ?1";
    for fault in db.prepare(dangling)?.query_map([FAULTS_MAX], |row| row.get(0))? {
        faults.push(fault?);
    }
    faults.truncate(FAULTS_MAX as usize);
    Ok(faults)
}

/// Makes the name of a new file durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
