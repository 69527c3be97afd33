//! Keeps the write-ahead log (WAL) bounded without making commits wait.
//!
//! A checkpoint copies committed pages from the WAL into the file and syncs it: milliseconds that would sit in the
//! commit path if the writer did it. So a thread with its own connection does it (PASSIVE: waits for nobody) each time
//! the WAL grew by the soft bound. But the WAL can only start over at a moment when all of it is copied, and under
//! constant load the writer always is ahead. So past the hard bound the thread runs once more, and after that the writer
//! itself, between two batches, copies the short rest and starts the WAL over (RESTART). Only where the thread is so slow
//! that the WAL reaches twice the hard bound does the writer wait for it. The file keeps its size: overwriting is cheaper
//! to sync than growing.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use super::error::OpenError;
use super::readers::Readers;
use super::{Options, connection};

/// Bytes of a WAL frame's header, before its page (SQLite file format, section 4.1).
const FRAME_HEADER_BYTES: u64 = 24;

/// How long the writer lets a RESTART wait for readers; they take microseconds, a longer one makes it try again later.
const RESTART_MAX: Duration = Duration::from_millis(50);

/// The writer's side: decides after each commit; the only one that starts a checkpoint in this process.
pub(super) struct Checkpointer {
    bounds: Bounds,
    /// Length of the WAL after the last commit.
    last_written: u64,
    /// Length of the WAL from which the next passive checkpoint is due.
    passive_from: u64,
    /// Length of the WAL from which the next restart is due; moves up while a long reader prevents it.
    restart_from: u64,
    /// Whether a passive checkpoint was begun when the restart was due, so that the rest is short.
    prepared: bool,
    /// Whether the thread was woken and did not answer yet.
    running: bool,
    wake: SyncSender<()>,
    done: Receiver<()>,
    thread: JoinHandle<()>,
    readers: Arc<Readers>,
}

/// Lengths of the WAL, in frames.
struct Bounds {
    soft: u64,
    hard: u64,
}

/// State of the WAL, in frames since it last started over.
struct Wal {
    written: u64,
    copied: u64,
}

impl Checkpointer {
    pub(super) fn start(
        path: &Path,
        options: &Options,
        page_bytes: u64,
        readers: Arc<Readers>,
    ) -> Result<Self, OpenError> {
        let frames = |bytes: u64| (bytes / (page_bytes + FRAME_HEADER_BYTES)).max(1);
        let bounds = Bounds { soft: frames(options.wal_soft_bytes), hard: frames(options.wal_hard_bytes) };
        // A checkpoint copies without the page cache.
        let lean = Options { writer_cache_kib: options.reader_cache_kib, ..*options };
        let conn = connection::open_writer(path, &lean).map_err(OpenError::sqlite(path))?;
        let (wake, woken) = sync_channel(1);
        let (finished, done) = sync_channel(1);
        let anchored = Arc::clone(&readers);
        let run = move || copy_when_woken(&conn, &woken, &finished, &anchored);
        let thread = thread::Builder::new().name("db-checkpoint".into()).spawn(run);
        let thread = thread.map_err(OpenError::io(path))?;
        let (passive_from, restart_from) = (bounds.soft, bounds.hard);
        Ok(Self {
            bounds,
            last_written: 0,
            passive_from,
            restart_from,
            prepared: false,
            running: false,
            wake,
            done,
            thread,
            readers,
        })
    }

    /// Looks at the WAL after a commit on `conn` and does what is due.
    pub(super) fn after_commit(&mut self, conn: &Connection) {
        if let Err(error) = self.look(conn) {
            tracing::warn!(%error, "the state of the write-ahead log is unknown");
        }
    }

    /// Ends the thread after the checkpoint it may be in.
    pub(super) fn stop(self) {
        drop(self.wake);
        if self.thread.join().is_err() {
            tracing::error!("the checkpoint thread panicked");
        }
    }

    fn look(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        self.running = self.running && self.done.try_recv().is_err();
        let mut wal = checkpoint(conn, "NOOP")?;
        if self.running && self.is_overdue(&wal) {
            let _ = self.done.recv(); // the disk is slower than the writer: the one place where commits wait
            self.running = false;
            wal = checkpoint(conn, "NOOP")?;
        }
        if !self.running {
            self.decide(conn, &wal);
        }
        Ok(())
    }

    fn decide(&mut self, conn: &Connection, wal: &Wal) {
        if wal.written < self.last_written {
            // It started over.
            (self.passive_from, self.restart_from, self.prepared) =
                (self.bounds.soft, self.bounds.hard, false);
        }
        self.last_written = wal.written;
        let due = wal.written >= self.restart_from;
        if due && self.prepared {
            self.restart(conn, wal);
        } else if due || wal.written >= self.passive_from {
            self.passive_from = wal.written + self.bounds.soft;
            self.prepared = due;
            self.running = self.wake.try_send(()).is_ok();
        }
    }

    fn is_overdue(&self, wal: &Wal) -> bool {
        wal.written >= self.restart_from + self.bounds.hard
    }

    fn restart(&mut self, conn: &Connection, wal: &Wal) {
        self.readers.weigh_anchor();
        let restarted = patiently(conn, RESTART_MAX, |conn| checkpoint(conn, "RESTART"));
        self.readers.drop_anchor();
        match restarted {
            Ok(_) => tracing::trace!(wal.frames = wal.written, "the write-ahead log starts over"),
            Err(error) => {
                tracing::debug!(%error, wal.frames = wal.written, "the write-ahead log cannot start over yet");
                self.restart_from = wal.written + self.bounds.soft;
                self.prepared = false;
            }
        }
    }
}

fn copy_when_woken(conn: &Connection, woken: &Receiver<()>, finished: &SyncSender<()>, readers: &Readers) {
    while woken.recv().is_ok() {
        match checkpoint(conn, "PASSIVE") {
            Ok(wal) => tracing::trace!(wal.frames = wal.written, wal.copied, "write-ahead log copied"),
            // Full or failing disk, or another process's checkpoint: the WAL keeps everything until the next try.
            Err(error) => tracing::warn!(%error, "the write-ahead log was not copied"),
        }
        readers.drop_anchor();
        let _ = finished.try_send(()); // the writer takes it before it wakes this thread again
    }
}

/// Runs a checkpoint; `NOOP` only looks. A blocked one is the error `SQLITE_BUSY`.
fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<Wal> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let (busy, written, copied) = conn
        .prepare_cached(&sql)?
        .query_row([], |row| Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))?;
    if busy && mode != "NOOP" {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(busy, None));
    }
    let frames = |count: i64| u64::try_from(count).unwrap_or(0); // -1: not a WAL file
    Ok(Wal { written: frames(written), copied: frames(copied) })
}

fn patiently<T>(
    conn: &Connection,
    wait_max: Duration,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    conn.busy_timeout(wait_max)?;
    let result = job(conn);
    conn.busy_timeout(connection::BUSY_MAX)?;
    result
}
