//! Brings a schema to the layout this program knows; leaves a newer one alone.

use super::connection::Connection;
use super::error::{Fault, OpenError};
use super::location::Location;
use super::pool::Pool;

/// One step of the layout, from a file `NNNN_name.sql` that is never edited after a release.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// NNNN: 1 for the first, then without gaps.
    pub version: i32,
    /// What the step brings, for messages.
    pub name: &'static str,
    /// SQL statements, without BEGIN and COMMIT.
    pub sql: &'static str,
}

/// What each schema has besides its own: which steps were applied, and a row to try writes on.
const BOOKKEEPING: &str = "
    CREATE TABLE IF NOT EXISTS migrations (
        version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE IF NOT EXISTS probe (one integer PRIMARY KEY CHECK (one = 1), at timestamptz NOT NULL);
    INSERT INTO probe (one, at) VALUES (1, now()) ON CONFLICT DO NOTHING;";

/// Refuses a list with gaps or out of order; every test that opens a database checks it.
pub(super) fn check_sequence(migrations: &[Migration]) -> Result<(), OpenError> {
    for (expected, step) in (1..).zip(migrations) {
        if step.version != expected {
            return Err(OpenError::Sequence { name: step.name, found: step.version, expected });
        }
    }
    Ok(())
}

/// Applies what the schema lacks, all of it or nothing, while others that do the same wait.
pub(super) async fn migrate(
    pool: &Pool,
    location: &Location,
    migrations: &[Migration],
    schema: &str,
) -> Result<(), OpenError> {
    let unusable = |source| OpenError::Unusable { location: location.clone(), source };
    let db = pool.connection().await.map_err(unusable)?;
    check_promises(&db, location).await?;
    db.begin("BEGIN").await.map_err(unusable)?;
    let found = prepare(&db, schema).await.map_err(unusable)?;
    let program = migrations.last().map_or(0, |step| step.version);
    if found > program {
        return Err(OpenError::Newer { location: location.clone(), database: found, program });
    }
    for step in migrations.iter().filter(|step| step.version > found) {
        apply(&db, step).await.map_err(|source| OpenError::Migration {
            location: location.clone(),
            name: step.name,
            source,
        })?;
        tracing::info!(migration.version = step.version, migration.name = step.name, "migration applied");
    }
    db.end("COMMIT").await.map_err(unusable)
}

/// Refuses a schema that is not in the layout that this program knows.
pub(super) async fn check(
    pool: &Pool,
    location: &Location,
    migrations: &[Migration],
    schema: &str,
) -> Result<(), OpenError> {
    let unusable = |source| OpenError::Unusable { location: location.clone(), source };
    let db = pool.connection().await.map_err(unusable)?;
    let program = migrations.last().map_or(0, |step| step.version);
    let found = version(&db, schema).await.map_err(unusable)?;
    match found {
        None => Err(OpenError::Empty { location: location.clone() }),
        Some(database) if database > program => {
            Err(OpenError::Newer { location: location.clone(), database, program })
        }
        Some(database) if database < program => {
            Err(OpenError::Older { location: location.clone(), database, program })
        }
        Some(_) => Ok(()),
    }
}

/// The version of a schema, if there is one.
async fn version(db: &Connection, schema: &str) -> Result<Option<i32>, Fault> {
    let find = "SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = 'migrations'";
    if !db.exists(find, &[&schema]).await? {
        return Ok(None);
    }
    Ok(Some(db.one("SELECT coalesce(max(version), 0) FROM migrations", &[]).await?.try_get(0)?))
}

/// Refuses a server that could lose what it acknowledged, or that takes no writes.
async fn check_promises(db: &Connection, location: &Location) -> Result<(), OpenError> {
    let unusable = |source| OpenError::Unusable { location: location.clone(), source };
    for setting in ["fsync", "full_page_writes"] {
        let row = db.one("SELECT current_setting($1)", &[&setting]).await.map_err(unusable)?;
        if row.try_get::<_, &str>(0).map_err(|error| unusable(error.into()))? == "off" {
            return Err(OpenError::Forgetful { location: location.clone(), setting });
        }
    }
    let read_only = db.exists("SELECT 1 WHERE current_setting('transaction_read_only') = 'on'", &[]).await;
    if read_only.map_err(unusable)? {
        Err(OpenError::ReadOnly { location: location.clone() })
    } else {
        Ok(())
    }
}

/// Takes the lock of the schema, makes it when it is not there, and reads its version.
async fn prepare(db: &Connection, schema: &str) -> Result<i32, Fault> {
    db.execute("SELECT pg_advisory_xact_lock(hashtext('migrations of ' || $1))", &[&schema]).await?;
    // Not IF NOT EXISTS: that asks for the right to make schemas also where there is nothing to make.
    if !db.exists("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&schema]).await? {
        db.batch(&format!("CREATE SCHEMA {}", quoted(schema))).await?;
    }
    db.batch(BOOKKEEPING).await?;
    Ok(db.one("SELECT coalesce(max(version), 0) FROM migrations", &[]).await?.try_get(0)?)
}

async fn apply(db: &Connection, step: &Migration) -> Result<(), Fault> {
    db.batch(step.sql).await?;
    db.execute("INSERT INTO migrations (version, name) VALUES ($1, $2)", &[&step.version, &step.name])
        .await?;
    Ok(())
}

/// A name within SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
