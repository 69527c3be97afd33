//! What can go wrong with a database, and what it means: full, busy, in conflict, lost.

use tokio_postgres::error::SqlState;

use super::location::Location;
use crate::storage::StoreError;

/// Why a statement or a transaction did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// PostgreSQL refused, or the connection to it was lost.
    #[error("{}", said(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// COMMIT was not answered: nobody knows whether it happened.
    #[error("whether the transaction happened is not known: {0}")]
    Doubtful(#[source] Box<Fault>),
    /// No connection can be made.
    #[error("no connection to PostgreSQL: {0}")]
    Unreachable(Box<deadpool_postgres::PoolError>),
    /// All connections are in use, and others wait for them.
    #[error("all connections to PostgreSQL are in use")]
    Busy,
    /// The handle was closed.
    #[error("the store is closed")]
    Closed,
    /// A row that must be there is not.
    #[error("a row that must be there is not")]
    NoRow,
    /// A value that this program cannot have written.
    #[error("a row is damaged: {0}")]
    Damaged(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a job did not do its work; its changes are undone.
#[derive(Debug)]
pub enum JobError<E> {
    /// The caller's own verdict, handed back as it is.
    Refused(E),
    /// PostgreSQL failed.
    Failed(Fault),
    /// Another transaction was first, as a broken constraint tells: begun anew, the job sees what it did.
    Raced(Fault),
}

impl<E> JobError<E> {
    /// A failure to insert what the job has just found to be absent.
    pub fn raced(fault: Fault) -> Self {
        if fault.broken_constraint().is_some() { Self::Raced(fault) } else { Self::Failed(fault) }
    }
}

/// PostgreSQL's own words come as a cause; without them the text says "db error".
fn said(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

impl Fault {
    /// A value that this program cannot have written.
    pub fn damaged(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Damaged(Box::new(cause))
    }

    /// The name of the unique constraint that a statement broke.
    pub fn broken_constraint(&self) -> Option<&str> {
        let Self::Postgres(error) = self else { return None };
        let said = error.as_db_error()?;
        if *said.code() == SqlState::UNIQUE_VIOLATION { said.constraint() } else { None }
    }

    /// Whether the transaction met another one and was undone: begun anew, it may succeed at once.
    pub(super) fn met_another(&self) -> bool {
        self.is_one_of(&[SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED])
    }

    /// Whether the connection was lost, or the server ended it.
    pub(super) fn lost_connection(&self) -> bool {
        let ended = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ];
        matches!(self, Self::Postgres(error) if error.is_closed() || error.as_db_error().is_none())
            || self.is_one_of(&ended)
    }

    fn is_one_of(&self, states: &[SqlState]) -> bool {
        matches!(self, Self::Postgres(error) if states.iter().any(|state| error.code() == Some(state)))
    }

    /// Whether no room is left for what was written.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Doubtful(fault) => fault.is_full(),
            _ => self.is_one_of(&[SqlState::DISK_FULL]),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Fault {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        use deadpool_postgres::{PoolError, TimeoutType};
        match error {
            PoolError::Closed => Self::Closed,
            PoolError::Timeout(TimeoutType::Wait) => Self::Busy,
            PoolError::Backend(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => Self::Busy,
            other => Self::Unreachable(Box::new(other)),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Busy => Self::Busy,
            full if full.is_full() => Self::Full,
            Fault::Postgres(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Self::Busy,
            other => Self::failed(other),
        }
    }
}

impl<E> From<Fault> for JobError<E> {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl<E> From<tokio_postgres::Error> for JobError<E> {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Why a database was not opened. Every text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be reached, or does not let this program in.
    #[error("cannot use {location}: {source}")]
    Unusable {
        /// Where it should be.
        location: Location,
        /// The reason.
        source: Fault,
    },
    /// It was written by a newer version of the program. It was not changed.
    #[error(
        "{location} was written by a newer version (layout {database}, this program knows {program}): upgrade the program"
    )]
    Newer {
        /// Where it is.
        location: Location,
        /// Version of the layout in the database.
        database: i32,
        /// Version of the layout this program knows.
        program: i32,
    },
    /// It is in an older layout than this program knows, and servers may be using it.
    #[error(
        "{location} is in an older layout ({database}, this program knows {program}): start a server of this version first"
    )]
    Older {
        /// Where it is.
        location: Location,
        /// Version of the layout in the database.
        database: i32,
        /// Version of the layout this program knows.
        program: i32,
    },
    /// Nothing of this program is in it.
    #[error("{location} is no home of a server yet; start the server once, or name its database")]
    Empty {
        /// Where it is.
        location: Location,
    },
    /// The server may forget what it acknowledged.
    #[error(
        "{location} has {setting} = off, and forgets what it acknowledged when the power goes: turn it on"
    )]
    Forgetful {
        /// Where it is.
        location: Location,
        /// The setting.
        setting: &'static str,
    },
    /// It is another program's, or a standby.
    #[error("{location} is read-only: name the primary")]
    ReadOnly {
        /// Where it is.
        location: Location,
    },
    /// The program's own list of migrations is not 1, 2, 3 and so on: a mistake in the program.
    #[error("migration {name} has version {found} where {expected} is due")]
    Sequence {
        /// Name of the migration.
        name: &'static str,
        /// Its version.
        found: i32,
        /// The version due at its place.
        expected: i32,
    },
    /// A migration failed; the database is as it was.
    #[error("migration {name} of {location} failed: {source}")]
    Migration {
        /// Where it is.
        location: Location,
        /// Name of the migration.
        name: &'static str,
        /// PostgreSQL's reason.
        source: Fault,
    },
    /// The certificates that a server is checked by cannot be loaded.
    #[error("the authorities that certify {location} cannot be loaded: {reason}")]
    Authorities {
        /// Where it is.
        location: Location,
        /// What is wrong with them.
        reason: String,
    },
}
