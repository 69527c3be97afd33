//! One PostgreSQL database: transactions that are durable when they are answered, from as many programs as share it.
//!
//! - [`Location`] says where it is, and never shows a password.
//! - [`Database`] is a bounded pool of connections to it. Each write is one transaction, begun anew by itself when it
//!   met another one; each is answered after its COMMIT, with `synchronous_commit` on.
//! - [`Migration`]s are applied under an advisory lock, in a schema of the program's own.
//!
//! Transactions are READ COMMITTED. A job that decides by what it reads locks those rows first, in an order that its
//! callers write down, or leaves the decision to a constraint. This module knows no domain words and no HTTP.

mod connection;
mod error;
mod keeper;
mod location;
mod migrate;
mod pool;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;

pub use self::connection::{Connection, Value, bytes, unsigned};
pub use self::error::{Fault, JobError, OpenError};
use self::keeper::Condition;
pub use self::location::{BadLocation, Location};
pub use self::migrate::Migration;
use self::pool::Pool;
use crate::storage::{StoreError, StoreHealth};

/// How often a job is begun anew that met another one, or whose connection was lost before its COMMIT.
const ATTEMPTS_MAX: u32 = 10;

/// What a program keeps in a database, and how.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The schema that holds everything of the program; a plain lower-case name. Made when it is not there.
    pub schema: &'static str,
    /// Connections at once, at most.
    pub connections_max: usize,
}

/// A handle on one database; cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    condition: Arc<Condition>,
    keeper: Arc<Keeper>,
}

/// Ends the task that watches the database with the last handle.
struct Keeper(AbortHandle);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Database {
    /// Connects, refuses what could not keep its word, and applies pending migrations.
    pub async fn open(
        location: &Location,
        migrations: &[Migration],
        options: Options,
    ) -> Result<Self, OpenError> {
        migrate::check_sequence(migrations)?;
        let pool = Pool::new(location, options)?;
        migrate::migrate(&pool, location, migrations, options.schema).await?;
        Ok(Self::start(pool))
    }

    /// Connects for a short command, beside servers that may be running: a database in another layout than this program
    /// knows is refused, and left as it is.
    pub async fn open_beside(
        location: &Location,
        migrations: &[Migration],
        options: Options,
    ) -> Result<Self, OpenError> {
        let pool = Pool::new(location, options)?;
        migrate::check(&pool, location, migrations, options.schema).await?;
        Ok(Self::start(pool))
    }

    fn start(pool: Pool) -> Self {
        let condition = Arc::new(Condition::default());
        let keeper = tokio::spawn(keeper::watch(pool.clone(), Arc::clone(&condition))).abort_handle();
        Self { pool, condition, keeper: Arc::new(Keeper(keeper)) }
    }

    /// Runs `job` in a transaction and resolves when its changes are durable, or were refused and undone.
    ///
    /// `Err(JobError::Refused)` undoes it and comes back as `Ok(Err(_))`. A job may run several times, and must not begin
    /// or end transactions. It runs to its end even when this future is dropped: then nobody learns the verdict.
    pub async fn write<A, T, E, F>(&self, with: A, job: F) -> Result<Result<T, E>, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Send + 'static,
        F: for<'a> Fn(&'a Connection, &'a A) -> BoxFuture<'a, Result<T, JobError<E>>> + Send + Sync + 'static,
    {
        self.run(with, job, Span::Transaction).await
    }

    /// Runs `job`, which changes something by one statement at most, without BEGIN and COMMIT: one way there and back.
    /// A refusal must come before that statement. Otherwise as [`Database::write`].
    pub async fn write_one<A, T, E, F>(&self, with: A, job: F) -> Result<Result<T, E>, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Send + 'static,
        F: for<'a> Fn(&'a Connection, &'a A) -> BoxFuture<'a, Result<T, JobError<E>>> + Send + Sync + 'static,
    {
        self.run(with, job, Span::Statement).await
    }

    async fn run<A, T, E, F>(&self, with: A, job: F, span: Span) -> Result<Result<T, E>, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Send + 'static,
        F: for<'a> Fn(&'a Connection, &'a A) -> BoxFuture<'a, Result<T, JobError<E>>> + Send + Sync + 'static,
    {
        let database = self.clone();
        let running = tokio::spawn(async move {
            let verdict = until_alone(&database.pool, &with, &job, span).await;
            database.condition.note(verdict.as_ref().err());
            verdict
        });
        match running.await {
            Ok(verdict) => verdict.map_err(StoreError::from),
            Err(broken) => Err(StoreError::failed(broken)),
        }
    }

    /// A connection for a read of one statement, which sees every write answered before.
    pub async fn reader(&self) -> Result<Connection, StoreError> {
        Ok(self.pool.connection().await?)
    }

    /// Runs `job`, which only reads, on one state.
    pub async fn snapshot<A, T, F>(&self, with: A, job: F) -> Result<T, StoreError>
    where
        A: Send + Sync,
        F: for<'a> Fn(&'a Connection, &'a A) -> BoxFuture<'a, Result<T, Fault>> + Send + Sync,
    {
        let db = self.pool.connection().await?;
        let (begun, read) = tokio::join!(biased; db.begin("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"), job(&db, &with));
        begun?;
        let read = read?;
        db.end("COMMIT").await?;
        Ok(read)
    }

    /// How the last write went, or what was found since by looking. A load.
    pub fn health(&self) -> StoreHealth {
        self.condition.health()
    }

    /// Lets no more calls in, and ends the connections as they become free.
    pub fn close(&self) {
        self.keeper.0.abort();
        self.pool.close();
    }
}

/// What of a job is one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    /// All of it.
    Transaction,
    /// Each statement.
    Statement,
}

/// Runs a job, again and again while it meets others.
async fn until_alone<A, T, E, F>(pool: &Pool, with: &A, job: &F, span: Span) -> Result<Result<T, E>, Fault>
where
    A: Sync,
    F: for<'a> Fn(&'a Connection, &'a A) -> BoxFuture<'a, Result<T, JobError<E>>> + Sync,
{
    let mut left = ATTEMPTS_MAX;
    loop {
        left -= 1;
        let db = pool.connection().await?;
        let (fault, is_worth_it) = match attempt(&db, with, job, span).await {
            Ok(value) => return Ok(Ok(value)),
            Err(JobError::Refused(refusal)) => return Ok(Err(refusal)),
            Err(JobError::Raced(fault)) => (fault, true),
            Err(JobError::Failed(fault)) => {
                let is_worth_it = fault.met_another() || span == Span::Transaction && fault.lost_connection();
                (fault, is_worth_it)
            }
        };
        if left == 0 || !is_worth_it {
            return Err(fault);
        }
        tracing::debug!(error = %fault, "a transaction is begun anew");
    }
}

/// Runs a job once. Where a COMMIT fails it is not known whether it happened, and the fault says that it is not to be
/// tried again.
async fn attempt<A, T, E, F>(db: &Connection, with: &A, job: &F, span: Span) -> Result<T, JobError<E>>
where
    F: for<'a> Fn(&'a Connection, &'a A) -> BoxFuture<'a, Result<T, JobError<E>>>,
{
    if span == Span::Statement {
        return job(db, with).await;
    }
    // Sent together: the first statement does not wait for the answer to BEGIN.
    let (begun, verdict) = tokio::join!(biased; db.begin("BEGIN"), job(db, with));
    begun?;
    match verdict {
        Ok(value) => match db.end("COMMIT").await {
            Ok(()) => Ok(value),
            Err(fault) if fault.met_another() => Err(fault.into()),
            Err(fault) => Err(JobError::Failed(Fault::Doubtful(Box::new(fault)))),
        },
        Err(error) => {
            if let Err(fault) = db.end("ROLLBACK").await {
                tracing::debug!(error = %fault, "a connection was lost with its transaction");
            }
            Err(error)
        }
    }
}
