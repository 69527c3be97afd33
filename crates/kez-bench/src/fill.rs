//! Databases of the home server with many handles: real signed registrations, written past the server in big
//! transactions. The tables are made by the server itself; the rows must be what it would write.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use kez_core::{Handle, Registration, Verified};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use crate::{
    error::Error,
    people,
    process::{Program, Server},
};

/// Registrations in one transaction.
const CHUNK: u32 = 50_000;

/// The database of `dir` with the first `handles` people and today's tables, made when it is not there.
pub(crate) fn filled(server: &Path, dir: &Path, handles: u32) -> Result<PathBuf, Error> {
    let part = dir.join("fill.part");
    let conn = empty(&Program::product(server)?, &part)?;
    let tables = tables(&conn)?;
    let db = dir.join(format!("handles-{handles}-{tables}.db"));
    if !db.exists() {
        fill(conn, handles, &part, &db)?;
    }
    Ok(db)
}

/// Makes `db` with the first `handles` people in it.
pub(crate) fn make(server: &Path, db: &Path, handles: u32) -> Result<(), Error> {
    let part = db.with_extension("part");
    fill(empty(&Program::product(server)?, &part)?, handles, &part, db)
}

/// The tables, as the server makes them.
pub(crate) fn empty(server: &Program, part: &Path) -> Result<Connection, Error> {
    remove(part)?;
    Server::start(server, part)?.stop()?;
    Ok(Connection::open(part)?)
}

/// A short name that changes with the tables.
pub(crate) fn tables(conn: &Connection) -> Result<String, Error> {
    let sql = "SELECT group_concat(sql ORDER BY name) FROM sqlite_master";
    let tables: String = conn.query_row(sql, [], |row| row.get(0))?;
    Ok(HEXLOWER.encode(&Sha256::digest(tables)[..4]))
}

/// Filling may be fast: a database that breaks off half filled is never used.
pub(crate) const FAST: &str =
    "PRAGMA synchronous = OFF; PRAGMA cache_size = -524288; PRAGMA foreign_keys = ON;";

/// Closes the filled `part`, which becomes `db`.
pub(crate) fn finish(conn: Connection, part: &Path, db: &Path) -> Result<(), Error> {
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")?;
    conn.close().map_err(|(_, error)| error)?;
    File::open(part).and_then(|file| file.sync_all()).map_err(Error::io("sync a database"))?;
    fs::rename(part, db).map_err(Error::io("move a database"))
}

/// Fills `part`, which becomes `db` when it is complete.
fn fill(mut conn: Connection, handles: u32, part: &Path, db: &Path) -> Result<(), Error> {
    conn.execute_batch(FAST)?;
    for first in (0..handles).step_by(CHUNK as usize) {
        let rows = people::on_all_cores(first..handles.min(first + CHUNK), sign)?;
        insert(&mut conn, &rows)?;
        eprintln!("{}: {} of {handles} handles", db.display(), first as usize + rows.len());
    }
    finish(conn, part, db)
}

/// Removes a database and what belongs to it.
pub(crate) fn remove(db: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-shm"] {
        match fs::remove_file(format!("{}{suffix}", db.display())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove a database")(error));
            }
            _ => {}
        }
    }
    Ok(())
}

type Registered = (Handle, Verified<Registration>);

fn sign(index: u32) -> Result<Registered, Error> {
    let registration = people::registration(index)?.verify::<Registration>()?;
    Ok((registration.document().handle.parse()?, registration))
}

/// Writes what the home server would have written for each.
fn insert(conn: &mut Connection, registered: &[Registered]) -> rusqlite::Result<()> {
    let transaction = conn.transaction()?;
    let mut registrations = transaction
        .prepare("INSERT INTO registrations (payload_sha256, handle, envelope) VALUES (?1, ?2, ?3)")?;
    let mut handles = transaction.prepare(
        "INSERT INTO handles (id, handle, skeleton, primary_key, registered_at, registration, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, last_insert_rowid(), ?6)",
    )?;
    for (handle, registration) in registered {
        let (name, skeleton, at) = (handle.as_str(), handle.skeleton(), registration.created_at());
        registrations.execute(params![registration.payload_sha256(), name, registration.canonical()])?;
        handles.execute(params![
            first_8(&Sha256::digest(name).into()),
            name,
            skeleton.as_str(),
            registration.primary().as_bytes(),
            at.unix_seconds(),
            checksum(handle, registration),
        ])?;
    }
    drop((handles, registrations));
    transaction.commit()
}

/// What the home server checks each row by; see its `0001_registry.sql`.
fn checksum(handle: &Handle, registration: &Verified<Registration>) -> i64 {
    let digest = Sha256::new()
        .chain_update(registration.primary().as_bytes())
        .chain_update(registration.created_at().unix_seconds().to_be_bytes())
        .chain_update(handle.as_str());
    first_8(&digest.finalize().into())
}

fn first_8(digest: &[u8; 32]) -> i64 {
    digest.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}
