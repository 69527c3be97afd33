//! What can go wrong with a file, a read or a write; and which of it means "disk full".

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

/// Why a file was not opened. Every text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory of the file does not exist; it is never made, because a wrong path is the likelier reason.
    #[error("the directory {} does not exist: create it or correct the path", .path.display())]
    NoDirectory {
        /// The missing directory.
        path: PathBuf,
    },
    /// Another server has the file open.
    #[error("another server uses {}: stop it or choose another file", .path.display())]
    Locked {
        /// The database file.
        path: PathBuf,
    },
    /// The file is not SQLite, or belongs to another program. It was not changed.
    #[error("{} is not a database of this program and was left alone: choose another path", .path.display())]
    Foreign {
        /// The file found.
        path: PathBuf,
    },
    /// The file was written by a newer version of the program. It was not changed.
    #[error(
        "{} was written by a newer version (layout {file}, this program knows {program}): upgrade the program",
        .path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Version of the layout in the file.
        file: u32,
        /// Version of the layout this program knows.
        program: u32,
    },
    /// A running server holds a file in an older layout than this program knows.
    #[error(
        "{} is in use in an older layout ({file}, this program knows {program}): restart the server with this version first",
        .path.display()
    )]
    Older {
        /// The database file.
        path: PathBuf,
        /// Version of the layout in the file.
        file: u32,
        /// Version of the layout this program knows.
        program: u32,
    },
    /// The program's own list of migrations is not 1, 2, 3 and so on: a mistake in the program.
    #[error("migration {name} has version {found} where {expected} is due")]
    Sequence {
        /// Name of the migration.
        name: &'static str,
        /// Its version.
        found: u32,
        /// The version due at its place.
        expected: u32,
    },
    /// A migration failed; the file is as it was before this migration.
    #[error("migration {name} of {} failed: {source}", .path.display())]
    Migration {
        /// The database file.
        path: PathBuf,
        /// Name of the migration.
        name: &'static str,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// The operating system refused the file, its lock or a thread.
    #[error("cannot use {}: {source}", .path.display())]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// SQLite refused the file.
    #[error("cannot open {}: {source}", .path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
}

impl OpenError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// A file that is no SQLite file at all is foreign; anything else is SQLite's own fault.
    pub(super) fn sqlite(path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign { path },
            _ => Self::Sqlite { path, source },
        }
    }
}

/// Why a job did not do its work; its changes are undone.
#[derive(Debug)]
pub enum JobError<E> {
    /// The caller's own verdict, handed back as it is.
    Refused(E),
    /// SQLite failed; the caller of `write` gets [`WriteError`]. A conflict that is a verdict must be turned into
    /// `Refused` by the job.
    Sqlite(rusqlite::Error),
}

impl<E> From<rusqlite::Error> for JobError<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Why a write was not acknowledged. Nothing of it can be relied upon; the same job may be sent again.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The disk, the quota or the file's own bound is full.
    #[error("no space left for the database")]
    Full,
    /// SQLite or the disk failed.
    #[error("the database cannot write: {0}")]
    Unavailable(#[source] Arc<rusqlite::Error>),
    /// Too many jobs wait, or another process held the file for too long. Try again later.
    #[error("the database is busy")]
    Busy,
    /// The job panicked; its changes were undone.
    #[error("the job panicked")]
    Panicked,
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// SQLite or the disk failed.
    #[error("the database cannot read: {0}")]
    Failed(#[source] rusqlite::Error),
}

/// Bytes written to learn whether a disk is full: more than the blocks a file system keeps back for one file.
const PROBE_BYTES: usize = 64 << 10;

/// Names the reason of a failed write; `path` is the database file.
pub(super) fn explain(error: rusqlite::Error, path: &Path) -> WriteError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => WriteError::Full,
        Some(ErrorCode::DatabaseBusy) => WriteError::Busy,
        // SQLite says FULL for ENOSPC of a plain write only. A full quota, a full disk seen by fsync or by the shared
        // index file is an I/O error to it, and the error number cannot be had without unsafe code: ask the disk.
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if disk_is_full(path) => WriteError::Full,
        _ => WriteError::Unavailable(Arc::new(error)),
    }
}

fn disk_is_full(path: &Path) -> bool {
    let probe = path.with_added_extension("probe");
    let tried = std::fs::File::create(&probe).and_then(|mut file| {
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_data() // some file systems allocate only now
    });
    let _ = std::fs::remove_file(&probe);
    tried.is_err_and(|error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}
