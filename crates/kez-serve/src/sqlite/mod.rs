//! One SQLite file: durable writes in groups, lookups in microseconds.
//!
//! | thread | owns | does |
//! | --- | --- | --- |
//! | writer | the only connection that writes | runs waiting jobs in one transaction, one fsync for all |
//! | checkpoint | a second connection | copies the write-ahead log (WAL) into the file, beside the writer |
//! | warm-up | a file handle | reads the file once after a cold start, then ends |
//! | the callers' | a pool of read-only connections | [`Database::read`], inline |
//!
//! A write is answered after its COMMIT was synced (`synchronous=FULL`), never before. This module knows no domain
//! words and no HTTP; its callers bring migrations and SQL.

mod checkpoint;
mod connection;
mod copy;
#[cfg(test)]
mod copy_tests;
mod error;
mod job;
mod lock;
mod migrate;
mod queue;
mod readers;
#[cfg(test)]
mod tests;
mod warm;
mod writer;

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};

pub use self::copy::CopyError;
pub use self::error::{JobError, OpenError, ReadError, WriteError};
use self::lock::ServerLock;
pub use self::migrate::Migration;
use self::readers::Readers;
use self::warm::Warmth;
use self::writer::{Writer, WriterHandle};

/// How a file is used; every bound that costs memory, disk or waiting is here.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Marks the files of one program (`PRAGMA application_id`, not 0). Each program that keeps files picks its own,
    /// so that it never opens another's.
    pub application_id: i32,
    /// Read-only connections. One per thread that reads at the same time; further readers wait for a free one.
    pub readers: usize,
    /// Page cache of each reader, KiB. Every commit empties it and the system's cache is behind it: keep it small.
    pub reader_cache_kib: u32,
    /// Page cache of the writer, KiB. Holds the pages that one batch changes; what does not fit goes to the WAL early.
    pub writer_cache_kib: u32,
    /// Jobs in one transaction, at most. Bounds how long the first of them waits for the last.
    pub batch_max: usize,
    /// Jobs waiting for a transaction, at most; one more is refused with [`WriteError::Busy`].
    pub queue_max: usize,
    /// The WAL is copied into the file, beside the writer, each time it grew by this many bytes.
    pub wal_soft_bytes: u64,
    /// From this size on the writer lets the WAL start over between two batches.
    pub wal_hard_bytes: u64,
    /// Bytes read after opening so that first lookups find the file in the system's cache; 0 reads nothing.
    pub warm_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            application_id: i32::from_be_bytes(*b"KEZs"),
            readers: threads.clamp(2, 8), // the runtime has as many threads; beyond 8 memory grows, not speed
            reader_cache_kib: 256,        // upper levels of a few indexes of 1,000,000 rows
            writer_cache_kib: 2048,       // 128 jobs that change 4 pages of 4 KiB each
            batch_max: 256,               // about 10 ms of inserts
            queue_max: 1024,              // four batches: a longer wait is better spent in the caller's retry
            wal_soft_bytes: 1 << 20, // copied in some milliseconds; with 4 MiB p99 of writes was three times as long
            wal_hard_bytes: 64 << 20, // read again in full when a crashed process starts: well under a second
            warm_bytes_max: 1 << 30, // 1,000,000 rows of 1 KiB
        }
    }
}

/// The most that [`Database::faults`] tells.
pub const FAULTS_MAX: u32 = 100;

/// What the last transaction came to; for readiness checks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Writes become durable.
    Ok,
    /// The disk or the quota is full. Reads work; writes return by themselves once there is space.
    Full,
    /// Writes fail for another reason, given in SQLite's words; tried again every second.
    Failing(String),
}

/// A handle on one SQLite file; cheap to clone.
///
/// [`Database::close`] ends it in order. Dropping the last handle does the same, but blocks the thread meanwhile.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    readers: Arc<Readers>,
    writer: WriterHandle,
}

impl Database {
    /// Opens or makes the file as the one server that serves it, and applies pending migrations.
    ///
    /// Blocks for some milliseconds, longer when there is a migration. A missing file is created for its owner only
    /// (0600), a missing directory is an error. Holds `<path>.lock` until closed.
    pub fn open(path: &Path, migrations: &[Migration], options: Options) -> Result<Self, OpenError> {
        migrate::check_sequence(migrations)?;
        let path = connection::resolve(path)?;
        let lock = ServerLock::take(&path)?.ok_or_else(|| OpenError::Locked { path: path.clone() })?;
        let mut conn = connection::open_file(&path, &options)?;
        migrate::migrate(&mut conn, &path, migrations, options.application_id)?;
        Self::start(Writer::new(conn, path, options), Some(lock))
    }

    /// Opens the file for a short command, also while a server runs on it: no lock, one reader, no warm-up.
    ///
    /// Without a running server it makes and migrates the file as [`Database::open`] does; beside one it leaves the
    /// layout alone and gives [`OpenError::Older`] where the layout is not the one this program knows.
    pub fn open_beside(path: &Path, migrations: &[Migration], options: Options) -> Result<Self, OpenError> {
        migrate::check_sequence(migrations)?;
        let options = Options { readers: 1, warm_bytes_max: 0, ..options };
        let path = connection::resolve(path)?;
        let mut conn = connection::open_file(&path, &options)?;
        if let Some(older) = migrate::pending(&conn, &path, migrations, options.application_id)? {
            let _alone = ServerLock::take(&path)?.ok_or(older)?; // no server may run on a changing layout
            migrate::migrate(&mut conn, &path, migrations, options.application_id)?;
        }
        Self::start(Writer::new(conn, path, options), None)
    }

    /// Opens a file that is not to be changed: one of a backup, or one that a server is at work on. Every write is refused
    /// with [`WriteError::Closed`]; an older layout with [`OpenError::Older`].
    pub fn open_to_read(path: &Path, migrations: &[Migration], options: Options) -> Result<Self, OpenError> {
        migrate::check_sequence(migrations)?;
        let options = Options { readers: 1, ..options };
        let conn = connection::open_reader(path, &options).map_err(OpenError::sqlite(path))?;
        if let Some(older) = migrate::pending(&conn, path, migrations, options.application_id)? {
            return Err(older);
        }
        let readers = Arc::new(Readers::open(path, &options)?);
        Ok(Self { inner: Arc::new(Inner { readers, writer: WriterHandle::closed() }) })
    }

    /// Writes what the file `from` holds at this moment to the new file `to` (0600), durably. A server on `from` goes on
    /// meanwhile. Blocks for as long as it takes to read and write everything once.
    pub fn copy(
        from: &Path,
        to: &Path,
        migrations: &[Migration],
        options: &Options,
    ) -> Result<(), CopyError> {
        copy::copy(from, to, migrations, options)
    }

    /// What SQLite itself finds wrong with the file, in its words, at most [`FAULTS_MAX`]; empty: nothing. Reads all of it.
    pub fn faults(&self) -> Result<Vec<String>, ReadError> {
        self.read(|db| match copy::faults(db) {
            // So damaged that the check itself cannot go on.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                Ok(vec![error.to_string()])
            }
            found => found,
        })
    }

    fn start(writer: Writer, lock: Option<ServerLock>) -> Result<Self, OpenError> {
        let readers = Arc::new(Readers::open(writer.path(), writer.options())?);
        let warmth = Warmth::start(writer.path(), writer.options().warm_bytes_max)?;
        let writer = writer.start(Arc::clone(&readers), warmth, lock)?;
        Ok(Self { inner: Arc::new(Inner { readers, writer }) })
    }

    /// Runs `job` in a transaction and resolves when its changes are durable, or were refused and undone.
    ///
    /// Jobs that wait at the same time share one transaction and one fsync. `Err(JobError::Refused)` undoes that job alone
    /// and comes back as `Ok(Err(_))`. A job must not begin or end transactions. It may run twice: a transaction with
    /// something to undo in it is begun anew, with a savepoint for each job. It runs to its end even when this future is
    /// dropped: then nobody learns the verdict.
    pub async fn write<T, E, F>(&self, job: F) -> Result<Result<T, E>, WriteError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Fn(&Connection) -> Result<T, JobError<E>> + Send + 'static,
    {
        self.write_and_tell(job, |_| {}).await
    }

    /// The same; `tell` gets what `job` came to once it is durable, on the writer's thread and before the answer. For whoever
    /// is to hear of it at once. Everybody else's answers wait meanwhile.
    pub async fn write_and_tell<T, E, F>(
        &self,
        job: F,
        tell: impl FnOnce(&T) + Send + 'static,
    ) -> Result<Result<T, E>, WriteError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Fn(&Connection) -> Result<T, JobError<E>> + Send + 'static,
    {
        self.inner.writer.write(job, tell).await
    }

    /// Runs `job` at once, on this thread, on a read-only connection; sees every write answered before.
    ///
    /// For lookups of some microseconds: use `prepare_cached`. Several statements that must see one state go into one
    /// `unchecked_transaction`. Not to be nested, not for long scans on a runtime thread.
    pub fn read<T>(&self, job: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, ReadError> {
        self.inner.readers.read(job)
    }

    /// What the last transaction came to. A lock and a copy, no I/O.
    pub fn health(&self) -> Health {
        self.inner.writer.health()
    }

    /// Transactions made durable since the file was opened; beside the number of writes it shows how they group.
    pub fn commits(&self) -> u64 {
        self.inner.writer.commits()
    }

    /// Finishes the queued writes and closes the file, the WAL copied into it where nobody else has it open.
    ///
    /// Later calls on other handles get `Closed`.
    pub async fn close(self) {
        self.inner.writer.close().await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.writer.close_blocking();
    }
}
