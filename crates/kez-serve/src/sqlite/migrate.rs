//! Brings a file to the layout this program knows; leaves files of other programs and newer versions alone.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::error::OpenError;

/// One step of the layout, from a file `migrations/NNNN_name.sql` that is never edited after a release.
///
/// Each runs in its own transaction with foreign keys off, so that a table may be rebuilt; they are checked before it
/// is committed.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// NNNN: 1 for the first, then without gaps. The file's `user_version` once applied.
    pub version: u32,
    /// What the step brings, for messages.
    pub name: &'static str,
    /// SQL statements, without BEGIN and COMMIT.
    pub sql: &'static str,
}

/// Refuses a list with gaps or out of order; every test that opens a file checks it.
pub(super) fn check_sequence(migrations: &[Migration]) -> Result<(), OpenError> {
    for (expected, step) in (1..).zip(migrations) {
        if step.version != expected {
            return Err(OpenError::Sequence { name: step.name, found: step.version, expected });
        }
    }
    Ok(())
}

/// Checks whose file this is and applies what it lacks.
pub(super) fn migrate(
    conn: &mut Connection,
    path: &Path,
    migrations: &[Migration],
    application_id: i32,
) -> Result<(), OpenError> {
    let found = read_version(conn, path, migrations, application_id)?;
    conn.pragma_update(None, "journal_mode", "WAL").map_err(OpenError::sqlite(path))?; // kept in the file
    conn.pragma_update(None, "foreign_keys", false).map_err(OpenError::sqlite(path))?;
    for step in migrations.iter().filter(|step| step.version > found) {
        apply(conn, *step, application_id).map_err(|source| OpenError::Migration {
            path: path.to_owned(),
            name: step.name,
            source,
        })?;
        tracing::info!(migration.version = step.version, migration.name = step.name, "migration applied");
    }
    conn.pragma_update(None, "foreign_keys", true).map_err(OpenError::sqlite(path))
}

/// Says as an error what the file lacks, if anything, without changing it.
pub(super) fn pending(
    conn: &Connection,
    path: &Path,
    migrations: &[Migration],
    application_id: i32,
) -> Result<Option<OpenError>, OpenError> {
    let file = read_version(conn, path, migrations, application_id)?;
    let program = latest(migrations);
    Ok((file < program).then(|| OpenError::Older { path: path.to_owned(), file, program }))
}

/// The layout's version in a file that is ours or empty; at most the newest this program knows.
fn read_version(
    conn: &Connection,
    path: &Path,
    migrations: &[Migration],
    application_id: i32,
) -> Result<u32, OpenError> {
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get(0));
    let read = || -> rusqlite::Result<(i32, u32, bool)> {
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let version: i32 = pragma("user_version")?;
        Ok((pragma("application_id")?, version.cast_unsigned(), tables > 0 || version != 0))
    };
    let (owner, file, used) = read().map_err(OpenError::sqlite(path))?;
    let program = latest(migrations);
    match (owner, used) {
        (0, false) => Ok(0),
        (owner, _) if owner != application_id => Err(OpenError::Foreign { path: path.to_owned() }),
        _ if file > program => Err(OpenError::Newer { path: path.to_owned(), file, program }),
        _ => Ok(file),
    }
}

fn latest(migrations: &[Migration]) -> u32 {
    migrations.last().map_or(0, |step| step.version)
}

fn apply(conn: &mut Connection, step: Migration, application_id: i32) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(step.sql)?;
    check_foreign_keys(&tx)?;
    tx.pragma_update(None, "application_id", application_id)?;
    tx.pragma_update(None, "user_version", step.version)?;
    tx.commit()
}

fn check_foreign_keys(conn: &Connection) -> rusqlite::Result<()> {
    let mut check = conn.prepare("PRAGMA foreign_key_check")?;
    match check.query([])?.next()? {
        None => Ok(()),
        Some(row) => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY),
            Some(format!("a row of table {} points nowhere", row.get::<_, String>(0)?)),
        )),
    }
}
