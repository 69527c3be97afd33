//! Everything of an account, to be exported or deleted: a list of areas, each of which knows its tables.
//!
//! A deletion is a row of `deletions`. Its first transaction ends the account for everybody else: the handle is given up,
//! the devices are revoked, nothing is put into the inbox any more. What follows is done in portions, and any of them
//! finds by itself what is left. So it does not matter when a deletion is broken off, or how many work on it.
//!
//! Numbers of account and device rows are never used again: what was read before a deletion and is still in memory
//! speaks of nobody else.

mod account;
mod blobs;
mod contacts;
mod conversations;
mod devices;
mod inbox;
mod key_packages;
mod operations;
mod small_store;

use async_trait::async_trait;
use data_encoding::BASE64URL_NOPAD;
use kez_core::{PublicKey, Timestamp};
use kez_serve::sqlite::JobError;
use kez_serve::storage::unrefused;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::{SqliteStore, damaged, read_time, registry};
use crate::blobs::BlobHash;
use crate::secret::KeyId;
use crate::store::{
    AcceptedDeletion, AccountId, Deletion, DeletionRefusal, DeletionRow, Exhibit, ExportPage, ExportPlace,
    Exported, Leaving, StoreError,
};
pub(super) use account::{revive, vacate};

/// Rows that one portion deletes, as in a sweep: what they hold is freed in some milliseconds.
const PORTION_ROWS: i64 = 128;

/// Rows of a page of an export.
const PAGE_ROWS: u32 = 256;

/// Bytes of a page of an export, unless the first row is larger.
const PAGE_BYTES: usize = 256 * 1024;

/// An area of the store that holds something of accounts.
struct Area {
    /// The tables that it looks after, each belongs to one area.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares them with the schema"))]
    tables: &'static [&'static str],
    /// Deletes a portion; whether there may be more.
    erase: fn(&Connection, &Leaver) -> rusqlite::Result<bool>,
    /// Reads a piece after a place.
    export: fn(&Connection, &Exported, (i64, i64)) -> rusqlite::Result<Piece>,
}

/// All areas, in an order in which they can be deleted: no row goes before those that refer to it.
const AREAS: &[Area] = &[
    account::AREA,
    operations::AREA,
    blobs::AREA,
    devices::AREA,
    key_packages::AREA,
    small_store::AREA,
    contacts::AREA,
    conversations::AREA,
    inbox::AREA,
];

/// An account that is being deleted.
struct Leaver {
    deletion: DeletionRow,
    account: AccountId,
    /// Conversations up to this one are done,
    conversation: i64,
    /// and of the next one frames up to this one.
    seq: i64,
}

/// What an area gives at once.
struct Piece {
    exhibits: Vec<Exhibit>,
    /// Where the area goes on; `None`: that was all of it.
    next: Option<(i64, i64)>,
}

impl Piece {
    fn nothing() -> Self {
        Self { exhibits: Vec::new(), next: None }
    }
}

#[async_trait]
impl Leaving for SqliteStore {
    async fn begin_deletion(
        &self,
        wanted: AcceptedDeletion,
    ) -> Result<Result<Deletion, DeletionRefusal>, StoreError> {
        Ok(self.database.write(move |db| begin(db, &wanted)).await?)
    }

    async fn past_deletion(&self, payload_sha256: &[u8; 32]) -> Result<Option<Deletion>, StoreError> {
        Ok(self.database.read(|db| past(db, payload_sha256))?)
    }

    async fn unfinished_deletions(&self) -> Result<Vec<DeletionRow>, StoreError> {
        Ok(self.database.read(unfinished)?)
    }

    async fn blobs_of_leaver(&self, deletion: DeletionRow) -> Result<Vec<(AccountId, BlobHash)>, StoreError> {
        Ok(self.database.read(|db| match leaver(db, deletion)? {
            Some(leaver) => blobs::of(db, leaver.account),
            None => Ok(Vec::new()),
        })?)
    }

    async fn delete_portion(
        &self,
        deletion: DeletionRow,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        unrefused(self.database.write(move |db| Ok(portion(db, deletion, now.truncated())?)).await)
    }

    async fn export(&self, whose: Exported, from: ExportPlace) -> Result<ExportPage, StoreError> {
        Ok(self.database.read(|db| export(db, &whose, from))?)
    }
}

fn begin(db: &Connection, wanted: &AcceptedDeletion) -> Result<Deletion, JobError<DeletionRefusal>> {
    if let Some(past) = past(db, &wanted.payload_sha256)? {
        return Ok(past);
    }
    if !registry::holds(db, &wanted.handle, &wanted.primary)? {
        return Err(JobError::Refused(DeletionRefusal::NotHeld));
    }
    registry::give_up(db, &wanted.handle)?;
    operations::end(db, &wanted.primary)?;
    let account = account::end(db, &wanted.primary, wanted.at)?;
    db.execute(
        "INSERT INTO deletions (payload_sha256, receipt_key, account, last_device)
         VALUES (?1, ?2, ?3, (SELECT coalesce(max(id), 0) FROM devices WHERE account = ?3))",
        params![wanted.payload_sha256, wanted.receipt_key, account.map(|account| account.0)],
    )?;
    let row = DeletionRow(db.last_insert_rowid());
    Ok(Deletion { row, receipt_key: wanted.receipt_key, finished_at: None })
}

fn past(db: &Connection, payload_sha256: &[u8; 32]) -> rusqlite::Result<Option<Deletion>> {
    db.prepare_cached("SELECT id, receipt_key, finished_at FROM deletions WHERE payload_sha256 = ?1")?
        .query_row([payload_sha256], |row| {
            let finished = row.get::<_, Option<i64>>(2)?;
            Ok(Deletion {
                row: DeletionRow(row.get(0)?),
                receipt_key: row.get::<_, KeyId>(1)?,
                finished_at: finished.map(|_| read_time(row, 2)).transpose()?,
            })
        })
        .optional()
}

fn unfinished(db: &Connection) -> rusqlite::Result<Vec<DeletionRow>> {
    db.prepare_cached("SELECT id FROM deletions WHERE finished_at IS NULL ORDER BY id LIMIT 64")?
        .query_map([], |row| row.get(0).map(DeletionRow))?
        .collect()
}

/// The account that a deletion is about; nothing, where the key never took a device in.
fn leaver(db: &Connection, deletion: DeletionRow) -> rusqlite::Result<Option<Leaver>> {
    db.prepare_cached(
        "SELECT account, conversation, seq FROM deletions WHERE id = ?1 AND account IS NOT NULL",
    )?
    .query_row([deletion.0], |row| {
        Ok(Leaver { deletion, account: AccountId(row.get(0)?), conversation: row.get(1)?, seq: row.get(2)? })
    })
    .optional()
}

fn portion(db: &Connection, deletion: DeletionRow, now: Timestamp) -> rusqlite::Result<Option<Timestamp>> {
    let finished = db
        .prepare_cached("SELECT finished_at FROM deletions WHERE id = ?1 AND finished_at IS NOT NULL")?
        .query_row([deletion.0], |row| read_time(row, 0))
        .optional()?;
    if finished.is_some() {
        return Ok(finished);
    }
    let leaver = leaver(db, deletion)?;
    if let Some(leaver) = &leaver {
        // The account's own row and those of its devices go last: the others refer to them.
        for area in AREAS.iter().rev() {
            if (area.erase)(db, leaver)? {
                return Ok(None);
            }
        }
    }
    db.execute(
        "UPDATE deletions SET finished_at = ?2 WHERE id = ?1",
        params![deletion.0, now.unix_seconds()],
    )?;
    if let Some(leaver) = &leaver {
        account::forget(db, leaver.account)?;
    }
    Ok(Some(now))
}

fn export(db: &Connection, whose: &Exported, from: ExportPlace) -> rusqlite::Result<ExportPage> {
    let state = db.unchecked_transaction()?;
    let Some(area) = AREAS.get(from.area) else {
        return Ok(ExportPage { exhibits: Vec::new(), next: None });
    };
    let piece = (area.export)(&state, whose, from.after)?;
    let next_area = ExportPlace { area: from.area + 1, after: (0, 0) };
    let next = piece.next.map_or(next_area, |after| ExportPlace { area: from.area, after });
    Ok(ExportPage { exhibits: piece.exhibits, next: (next.area < AREAS.len()).then_some(next) })
}

/// Rows to exhibits, until the rows, or the bytes that a page may have, are at their end. `read` gives the place of a row,
/// its bytes, and what it is.
fn pieces(
    mut rows: rusqlite::Rows<'_>,
    mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<((i64, i64), usize, Value)>,
) -> rusqlite::Result<Piece> {
    let (mut piece, mut bytes_left, mut rows_left) = (Piece::nothing(), PAGE_BYTES, PAGE_ROWS);
    while let Some(row) = rows.next()? {
        if bytes_left == 0 || rows_left == 0 {
            return Ok(piece);
        }
        let (place, bytes, value) = read(row)?;
        bytes_left = bytes_left.saturating_sub(bytes);
        rows_left -= 1;
        piece.exhibits.push(Exhibit::Other(value));
        piece.next = Some(place);
    }
    piece.next = None;
    Ok(piece)
}

fn base64(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// A column with Unix seconds as text.
fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(read_time(row, column)?.to_string())
}

/// A column with Unix seconds as text, or nothing.
fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    row.get::<_, Option<i64>>(column)?.map(|_| time(row, column)).transpose()
}

/// A column with a stored envelope, as JSON.
fn envelope(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(text) if !text.is_empty() => serde_json::from_str(text).map_err(|error| damaged(column, error)),
        _ => Ok(Value::Null),
    }
}

fn primary(row: &Row<'_>, column: usize) -> rusqlite::Result<PublicKey> {
    row.get(column).map(PublicKey::from_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Tables that hold nothing of an account, or what is kept after a deletion. Whoever adds a table names it here, or
    /// in an area.
    const KEPT: [(&str, &str); 8] = [
        ("home", "the name of the server"),
        ("noted_time", "one time"),
        ("invites", "of the operator; who used one is not written down"),
        ("suspensions", "of the operator, about a key: it holds for as long as the operator says"),
        ("audit", "of the operator; never changed"),
        ("deletions", "the hash of a deletion and numbers of rows that are gone: it counts once"),
        ("blobs", "nobody's: blob_references say who keeps one"),
        ("blob_storage", "one number"),
    ];

    /// Reads the tables of a fresh store.
    fn tables(sql: &str) -> BTreeSet<String> {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("store.db")).unwrap();
        let read = store.database.read(|db| {
            db.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<BTreeSet<String>>>()
        });
        read.unwrap()
    }

    #[test]
    fn every_table_is_in_an_area_or_says_why_not() {
        let there =
            tables("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
        let in_areas: Vec<&str> = AREAS.iter().flat_map(|area| area.tables).copied().collect();
        let kept = KEPT.map(|(table, _)| table);
        let named: BTreeSet<String> = in_areas.iter().chain(&kept).map(|&table| table.to_owned()).collect();
        assert_eq!(named.len(), in_areas.len() + kept.len(), "a table is named twice");
        assert_eq!(there, named, "a table is exported and deleted in an area, or says why not");
    }

    #[test]
    fn what_refers_to_an_account_is_in_an_area() {
        let referring = tables(
            "SELECT t.name FROM sqlite_schema t, pragma_foreign_key_list(t.name) f
             WHERE t.type = 'table' AND f.\"table\" IN ('accounts', 'devices')",
        );
        assert!(referring.contains("members") && referring.contains("key_packages"));
        for table in referring.iter().filter(|table| *table != "suspensions") {
            assert!(AREAS.iter().any(|area| area.tables.contains(&table.as_str())), "{table} is in no area");
        }
    }
}
