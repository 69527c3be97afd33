//! A database of the home server with many more accounts, conversations and frames, written past the server. The rows
//! must be what it would write; nobody of them signs in.

use std::{
    fs::{self, File},
    path::Path,
};

use rusqlite::{Connection, params};

use super::side::FRAME_BYTES;
use crate::{error::Error, fill};

/// Moves the stopped server's `db` to `named`, with `accounts` more accounts who have talked in pairs: `frames` frames.
/// The secret file lies in the same folder, so sessions stay good.
pub(super) fn grow(db: &Path, named: &Path, accounts: u32, frames: u32) -> Result<(), Error> {
    fill::remove(named)?;
    fs::rename(db, named).map_err(Error::io("name a database"))?;
    let conn = Connection::open(named)?;
    conn.execute_batch(fill::FAST)?;
    let first = |table: &str| {
        conn.query_row(&format!("SELECT coalesce(max(id), 0) FROM {table}"), [], |row| row.get::<_, i64>(0))
    };
    let (account, conversation, frame) = (first("accounts")?, first("conversations")?, first("frames")?);
    let (pairs, each) = (i64::from(accounts / 2).max(1), i64::from(frames / (accounts / 2).max(1)).max(1));
    let numbers =
        "WITH RECURSIVE number(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM number WHERE i + 1 < ?1)";
    let transaction = conn.unchecked_transaction()?;
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| transaction.execute(&format!("{sql} "), values);
    run(
        &format!(
            "INSERT INTO accounts (id, primary_key) {numbers} SELECT ?2 + 1 + i, randomblob(32) FROM number"
        ),
        params![2 * pairs, account],
    )?;
    run(
        &format!(
            "INSERT INTO conversations (id, cid, kind, generation, epoch, seq, created_at, creator, request_sha256)
             {numbers} SELECT ?2 + 1 + i, randomblob(16), 0, 1, 1, ?3, 0, ?4 + 1 + 2 * i, randomblob(32) FROM number"
        ),
        params![pairs, conversation, each, account],
    )?;
    run(
        &format!(
            "INSERT INTO pairs (low, high, conversation) {numbers} SELECT ?3 + 1 + 2 * i, ?3 + 2 + 2 * i, ?2 + 1 + i FROM number"
        ),
        params![pairs, conversation, account],
    )?;
    run(
        &format!(
            "INSERT INTO members (conversation, account, since) {numbers} SELECT ?2 + 1 + i / 2, ?3 + 1 + i, 0 FROM number"
        ),
        params![2 * pairs, conversation, account],
    )?;
    run(
        &format!(
            "INSERT INTO frames (id, conversation, seq, mid, kind, at, sender, bytes)
             {numbers} SELECT ?2 + 1 + i, ?3 + 1 + i / ?4, 1 + i % ?4, randomblob(16), 1, 0, ?5 + 1 + 2 * (i / ?4), randomblob(?6)
             FROM number"
        ),
        params![pairs * each, frame, conversation, each, account, i64::try_from(FRAME_BYTES).unwrap_or(i64::MAX)],
    )?;
    run(
        &format!(
            "INSERT INTO inbox (account, n, kind, subject)
             {numbers} SELECT ?2 + 1 + i / ?3, 1 + i % ?3, 0, ?4 + 1 + (i / (2 * ?3)) * ?3 + i % ?3 FROM number"
        ),
        params![2 * pairs * each, account, each, frame],
    )?;
    transaction.commit()?;
    conn.close().map_err(|(_, error)| Error::Sqlite(error))?;
    // Otherwise the server's first checkpoint waits until all of it is on the disk.
    File::open(named).and_then(|file| file.sync_all()).map_err(Error::io("sync a database"))
}
