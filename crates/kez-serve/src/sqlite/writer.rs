//! The thread that owns the connection that writes.
//!
//! It takes the first job and everything that waits behind it, runs them in one transaction, and answers all of them
//! after COMMIT. When COMMIT fails nobody is acknowledged, and the connection is opened anew, so that no state of
//! which we do not know whether it reached the disk is carried over.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::checkpoint::Checkpointer;
use super::error::{JobError, OpenError, WriteError, explain};
use super::job::{Job, Queued, Ran};
use super::lock::ServerLock;
use super::queue::{Next, Queue};
use super::readers::Readers;
use super::warm::Warmth;
use super::{Health, Options, connection};

/// How often a failing file is tried when no job does it: a load balancer sends none while readiness is off.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// The callers' side of the writer thread.
pub(super) struct WriterHandle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Resolves when the thread is done.
    done: Mutex<Option<oneshot::Receiver<()>>>,
}

struct Shared {
    queue: Queue,
    health: Mutex<Health>,
    commits: AtomicU64,
}

impl Shared {
    fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the outcome of a transaction for readiness checks, and logs where it turns.
    fn report(&self, outcome: &Result<(), WriteError>) {
        let now = match outcome {
            Ok(()) => Health::Ok,
            Err(WriteError::Busy) => return, // says nothing about the disk
            Err(WriteError::Full) => Health::Full,
            Err(error) => Health::Failing(error.to_string()),
        };
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *health == now {
            return;
        }
        match &now {
            Health::Ok => tracing::info!("the database can be written again"),
            Health::Full => tracing::error!("no space left for the database; lookups go on"),
            Health::Failing(reason) => tracing::error!(%reason, "the database cannot be written"),
        }
        *health = now;
    }
}

impl WriterHandle {
    /// That of a file which is only read: no thread, and every write is refused.
    pub(super) fn closed() -> Self {
        let shared =
            Shared { queue: Queue::new(1), health: Mutex::new(Health::Ok), commits: AtomicU64::new(0) };
        shared.queue.close();
        Self { shared: Arc::new(shared), thread: Mutex::default(), done: Mutex::default() }
    }

    pub(super) async fn write<T, E, F>(
        &self,
        job: F,
        tell: impl FnOnce(&T) + Send + 'static,
    ) -> Result<Result<T, E>, WriteError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Fn(&Connection) -> Result<T, JobError<E>> + Send + 'static,
    {
        let (job, answer) = Queued::new(job, tell);
        self.shared.queue.push(Box::new(job))?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    pub(super) fn health(&self) -> Health {
        self.shared.health()
    }

    pub(super) fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    pub(super) async fn close(&self) {
        self.shared.queue.close();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(done) = done {
            let _ = done.await; // an error: the thread ended without a word, the join below tells
        }
        self.close_blocking();
    }

    pub(super) fn close_blocking(&self) {
        self.shared.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // The last handle may be dropped by a job, on the writer thread: it ends by itself.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the database writer panicked");
        }
    }
}

/// What the thread needs to begin.
pub(super) struct Writer {
    conn: Connection,
    path: PathBuf,
    options: Options,
}

impl Writer {
    pub(super) fn new(conn: Connection, path: PathBuf, options: Options) -> Self {
        Self { conn, path, options }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Starts the thread. It closes the readers and the checkpoint connection before its own, so that SQLite finds
    /// itself the last user and removes the WAL; then it gives up the file handle of the warm-up, then the lock.
    pub(super) fn start(
        self,
        readers: Arc<Readers>,
        warmth: Arc<Warmth>,
        lock: Option<ServerLock>,
    ) -> Result<WriterHandle, OpenError> {
        let path = self.path.clone();
        let shared = Arc::new(Shared {
            queue: Queue::new(self.options.queue_max),
            health: Mutex::new(Health::Ok),
            commits: AtomicU64::new(0),
        });
        let mut running = self.running(Arc::clone(&shared), readers)?;
        if lock.is_some() {
            running.begin();
        }
        let (finished, done) = oneshot::channel();
        let run = move || {
            running.serve();
            running.finish();
            warmth.close();
            drop(lock);
            let _ = finished.send(());
        };
        let thread = thread::Builder::new().name("db-writer".into()).spawn(run);
        let thread = Mutex::new(Some(thread.map_err(OpenError::io(&path))?));
        Ok(WriterHandle { shared, thread, done: Mutex::new(Some(done)) })
    }

    fn running(self, shared: Arc<Shared>, readers: Arc<Readers>) -> Result<Running, OpenError> {
        let page_bytes = self.conn.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0));
        let page_bytes = page_bytes.map_err(OpenError::sqlite(&self.path))?;
        let (anchored, page_bytes) = (Arc::clone(&readers), page_bytes.into());
        let checkpointer = Checkpointer::start(&self.path, &self.options, page_bytes, anchored)?;
        let (conn, path, options) = (Some(self.conn), self.path, self.options);
        Ok(Running { shared, conn, checkpointer: Some(checkpointer), readers, path, options })
    }
}

/// The state of the thread.
struct Running {
    shared: Arc<Shared>,
    /// `None` after a failure, until opened anew.
    conn: Option<Connection>,
    /// `None` once finished.
    checkpointer: Option<Checkpointer>,
    readers: Arc<Readers>,
    path: PathBuf,
    options: Options,
}

impl Running {
    /// Works until the queue is closed and empty.
    fn serve(&mut self) {
        loop {
            let patience = if self.shared.health() == Health::Ok { None } else { Some(RETRY_EVERY) };
            match self.shared.queue.wait(patience) {
                Next::Job(job) => self.batch(job),
                Next::Idle => self.probe(),
                Next::Closed => return,
            }
        }
    }

    /// Runs `first` and what waits behind it in one transaction and answers them.
    fn batch(&mut self, first: Box<dyn Job>) {
        let mut jobs = vec![first];
        let outcome = self.transact(&mut jobs);
        self.shared.report(&outcome);
        for job in jobs {
            job.answer(outcome.clone());
        }
        self.settle(&outcome);
    }

    /// Runs `jobs`, and adds what waits to them. On an error none of them left anything behind.
    ///
    /// At first without savepoints: under one, SQLite copies each page aside before it changes it, which is a tenth of
    /// the work of a small write. Where something has to be undone all of them run again, each in a savepoint.
    fn transact(&mut self, jobs: &mut Vec<Box<dyn Job>>) -> Result<(), WriteError> {
        match self.attempt(jobs, Undo::Everything)? {
            Fate::Stands => Ok(()),
            Fate::Undone => self.attempt(jobs, Undo::OneJob).map(drop),
        }
    }

    fn attempt(&mut self, jobs: &mut Vec<Box<dyn Job>>, undo: Undo) -> Result<Fate, WriteError> {
        let conn = connected(&mut self.conn, &self.path, &self.options)?;
        let mut transaction = Transaction::begin(conn, &self.path, undo)?;
        let mut done = 0;
        while let Some(job) = jobs.get_mut(done) {
            if let Fate::Undone = transaction.run(job.as_mut())? {
                return Ok(Fate::Undone);
            }
            done += 1;
            if done < self.options.batch_max && jobs.len() == done {
                jobs.extend(self.shared.queue.pop());
            }
        }
        transaction.commit(&self.shared.commits)?;
        self.readers.drop_anchor(); // before any answer: who is answered reads at once
        Ok(Fate::Stands)
    }

    /// Commits once, so that there is a newest state to hold: with an empty WAL each reader asks the system for the size
    /// of the file. On a full disk lookups do without; whether writes work is for the first of them to say.
    fn begin(&mut self) {
        let outcome = self.try_write();
        self.settle(&outcome);
    }

    /// Tries whether the file can be written again, by writing the version it has.
    fn probe(&mut self) {
        let outcome = self.try_write();
        self.shared.report(&outcome);
        self.settle(&outcome);
    }

    fn try_write(&mut self) -> Result<(), WriteError> {
        let conn = connected(&mut self.conn, &self.path, &self.options)?;
        let mut transaction = Transaction::begin(conn, &self.path, Undo::Everything)?;
        transaction.touch()?;
        transaction.commit(&self.shared.commits)?;
        self.readers.drop_anchor();
        Ok(())
    }

    fn settle(&mut self, outcome: &Result<(), WriteError>) {
        match (outcome, &self.conn, &mut self.checkpointer) {
            (Ok(()), Some(conn), Some(checkpointer)) => checkpointer.after_commit(conn),
            (Ok(()) | Err(WriteError::Busy), ..) => {} // nothing was begun: the connection is as it was
            (Err(_), ..) => self.conn = None,
        }
    }

    fn finish(&mut self) {
        if let Some(checkpointer) = self.checkpointer.take() {
            checkpointer.stop();
        }
        self.readers.close();
        // The last connection to close copies the WAL into the file and removes it. Asking for that here would make a
        // server wait for a short command's copy.
        drop(self.conn.take());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.queue.abandon(); // only a bug gets here with jobs left: nobody may wait for ever
    }
}

fn connected<'a>(
    conn: &'a mut Option<Connection>,
    path: &Path,
    options: &Options,
) -> Result<&'a Connection, WriteError> {
    let opened = match conn.take() {
        Some(open) => open,
        None => connection::open_writer(path, options).map_err(|error| explain(error, path))?,
    };
    Ok(conn.insert(opened))
}

/// What can be undone in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undo {
    /// All of it.
    Everything,
    /// A job by itself: each has a savepoint.
    OneJob,
}

/// What becomes of a transaction.
enum Fate {
    /// It can go on, or is committed.
    Stands,
    /// A job left something to be undone, and there was no savepoint.
    Undone,
}

/// One transaction; rolled back when dropped before [`Transaction::commit`].
struct Transaction<'a> {
    conn: &'a Connection,
    path: &'a Path,
    undo: Undo,
    /// Whether there is something to commit.
    changed: bool,
    /// Whether a savepoint is open and nothing was done since: a refused job leaves it to the next one.
    savepoint: bool,
}

impl<'a> Transaction<'a> {
    /// Takes the write lock at once, so that no job finds out in the middle that another process wrote.
    fn begin(conn: &'a Connection, path: &'a Path, undo: Undo) -> Result<Self, WriteError> {
        let transaction = Self { conn, path, undo, changed: false, savepoint: false };
        transaction.execute("BEGIN IMMEDIATE")?;
        Ok(transaction)
    }

    /// Runs a job and keeps or undoes its changes; an error means that the whole transaction is lost.
    fn run(&mut self, job: &mut dyn Job) -> Result<Fate, WriteError> {
        if self.undo == Undo::OneJob && !self.savepoint {
            self.execute("SAVEPOINT job")?;
        }
        let changes = self.conn.total_changes();
        let ran = job.run(self.conn, self.path);
        if self.conn.is_autocommit() {
            return Err(lost(ran)); // SQLite rolls everything back by itself when the disk is full or fails
        }
        self.changed |= matches!(ran, Ran::Keep);
        match (self.undo, &ran) {
            (Undo::Everything, Ran::Keep) => {}
            // Most refusals come before anything is changed.
            (Undo::Everything, Ran::Undo(None)) if self.conn.total_changes() == changes => {}
            (Undo::Everything, Ran::Undo(_)) => return Ok(Fate::Undone),
            (Undo::OneJob, Ran::Keep) => self.execute("RELEASE job")?,
            (Undo::OneJob, Ran::Undo(_)) => self.execute("ROLLBACK TO job")?,
        }
        self.savepoint = self.undo == Undo::OneJob && matches!(ran, Ran::Undo(_));
        Ok(Fate::Stands)
    }

    /// Changes nothing, but has SQLite write and sync a page.
    fn touch(&mut self) -> Result<(), WriteError> {
        let write = || {
            let version: i32 = self.conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
            self.conn.pragma_update(None, "user_version", version)
        };
        write().map_err(|error| explain(error, self.path))?;
        self.changed = true;
        Ok(())
    }

    /// Makes it durable. Where all jobs were refused there is nothing to sync.
    fn commit(self, commits: &AtomicU64) -> Result<(), WriteError> {
        if self.changed {
            self.execute("COMMIT")?;
            commits.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<(), WriteError> {
        let run = || self.conn.prepare_cached(sql)?.execute([]).map(drop);
        run().map_err(|error| explain(error, self.path))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.conn.is_autocommit() {
            let _ = self.conn.execute_batch("ROLLBACK"); // should it fail, closing the connection does it
        }
    }
}

/// Why the transaction is lost: what the job met, or that it ended the transaction itself.
fn lost(ran: Ran) -> WriteError {
    if let Ran::Undo(Some(error @ (WriteError::Full | WriteError::Unavailable(_)))) = ran {
        return error;
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
    WriteError::Unavailable(Arc::new(rusqlite::Error::SqliteFailure(code, None)))
}
