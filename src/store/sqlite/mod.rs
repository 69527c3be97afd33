//! The SQLite engine: a file per area of the domain.

mod blob_sweep;
mod blobs;
mod contacts;
mod conversations;
mod devices;
mod inbox;
mod key_package_claims;
mod key_packages;
mod leaving;
mod operations;
mod registry;
mod retention;
mod sending;
mod small_store;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use kez_core::{ServerName, Timestamp};
use kez_serve::sqlite::{CopyError, Database, Migration, OpenError, Options};
use kez_serve::storage::unrefused;
use rusqlite::{Connection, Row};

use super::{MessageLimits, Store, StoreError, StoreHealth};
use sending::Gauge;

/// Never edited after a release; a change is a new file.
const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "registry", sql: include_str!("../migrations/0001_registry.sql") },
    Migration { version: 2, name: "devices", sql: include_str!("../migrations/0002_devices.sql") },
    Migration { version: 3, name: "key_packages", sql: include_str!("../migrations/0003_key_packages.sql") },
    Migration {
        version: 4,
        name: "conversations",
        sql: include_str!("../migrations/0004_conversations.sql"),
    },
    Migration { version: 5, name: "small_store", sql: include_str!("../migrations/0005_small_store.sql") },
    Migration { version: 6, name: "blobs", sql: include_str!("../migrations/0006_blobs.sql") },
    Migration { version: 7, name: "operations", sql: include_str!("../migrations/0007_operations.sql") },
    Migration { version: 8, name: "leaving", sql: include_str!("../migrations/0008_leaving.sql") },
    Migration { version: 9, name: "contacts", sql: include_str!("../migrations/0009_contacts.sql") },
    Migration { version: 10, name: "sending", sql: include_str!("../migrations/0010_sending.sql") },
];

/// A [`Store`] in one SQLite file.
pub struct SqliteStore {
    database: Database,
    gauge: Arc<Gauge>,
}

/// Marks our files (`PRAGMA application_id`).
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"KEZc");

impl SqliteStore {
    /// Opens or makes the file as the one server on it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Database::open(path, MIGRATIONS, options()).map(Self::over)
    }

    /// Opens the file for a short command, beside a server that may be running on it.
    pub fn open_beside(path: &Path) -> Result<Self, OpenError> {
        Database::open_beside(path, MIGRATIONS, options()).map(Self::over)
    }

    fn over(database: Database) -> Self {
        Self { database, gauge: Arc::new(Gauge::new(MessageLimits::default())) }
    }

    /// The same store, which bounds what is sent by these limits.
    #[must_use]
    pub fn limited(self, limits: MessageLimits) -> Self {
        Self { gauge: Arc::new(Gauge::new(limits)), ..self }
    }
}

/// Files that nobody is to change: those of backups, and those that a server is at work on.
impl SqliteStore {
    /// Opens the file to read only; every write is refused.
    pub fn open_to_read(path: &Path) -> Result<Self, OpenError> {
        Database::open_to_read(path, MIGRATIONS, options()).map(Self::over)
    }

    /// Writes what the file holds at this moment to a new file, durably, while a server may be at work on it.
    pub fn copy(from: &Path, to: &Path) -> Result<(), CopyError> {
        Database::copy(from, to, MIGRATIONS, &options())
    }

    /// What SQLite finds wrong with the file; empty: nothing.
    pub fn faults(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.database.faults()?)
    }

    /// The name of the server whose home this is.
    pub fn server(&self) -> Result<ServerName, StoreError> {
        Ok(self.database.read(stored_server)?)
    }
}

fn options() -> Options {
    // All upper levels of a million handles, and some leaves.
    Options { application_id: APPLICATION_ID, reader_cache_kib: 1024, ..Options::default() }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn claim(&self, server: &ServerName) -> Result<ServerName, StoreError> {
        let server = server.clone();
        unrefused(self.database.write(move |db| Ok(claim(db, &server)?)).await)
    }

    fn health(&self) -> StoreHealth {
        self.database.health().into()
    }

    async fn close(&self) {
        self.database.clone().close().await;
    }
}

fn claim(db: &Connection, server: &ServerName) -> rusqlite::Result<ServerName> {
    db.execute("INSERT INTO home (one, server) VALUES (1, ?1) ON CONFLICT DO NOTHING", [server.as_str()])?;
    stored_server(db)
}

fn stored_server(db: &Connection) -> rusqlite::Result<ServerName> {
    db.query_row("SELECT server FROM home", [], |row| {
        row.get_ref(0)?.as_str()?.parse().map_err(|error| damaged(0, error))
    })
}

fn read_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_unix(row.get(column)?, 0).ok_or_else(|| damaged(column, kez_core::BadTimestamp))
}

/// A number that is never negative: a count, a position.
fn read_u64(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|error| damaged(column, error))
}

/// A value that this program cannot have written.
fn damaged(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (SqliteStore, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        (SqliteStore::open(&dir.path().join("store.db")).expect("a fresh file"), dir)
    }

    super::super::conformance::store_conformance!(open());
}
