//! Blobs and uploads whose time is over.

use kez_core::Timestamp;
use rusqlite::{Connection, params};

use super::blobs::read_hash;
use crate::blobs::BlobHash;
use crate::store::AccountId;

pub(super) fn resting_uploads(
    db: &Connection,
    before: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<(AccountId, BlobHash)>> {
    db.prepare_cached("SELECT account, sha256 FROM blob_uploads WHERE touched_at <= ?1 LIMIT ?2")?
        .query_map(params![before.unix_seconds(), limit], |row| {
            Ok((AccountId(row.get(0)?), read_hash(row, 1)?))
        })?
        .collect()
}

pub(super) fn drop_resting_upload(
    db: &Connection,
    account: AccountId,
    hash: &BlobHash,
    before: Timestamp,
) -> rusqlite::Result<bool> {
    let dropped = db
        .prepare_cached("DELETE FROM blob_uploads WHERE account = ?1 AND sha256 = ?2 AND touched_at <= ?3")?
        .execute(params![account.0, hash.as_bytes(), before.unix_seconds()])?;
    Ok(dropped > 0)
}

pub(super) fn has_ended_references(db: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM blob_references WHERE expires_at <= ?1")?.exists([now.unix_seconds()])
}

pub(super) fn drop_ended_references(db: &Connection, now: Timestamp, limit: u32) -> rusqlite::Result<u32> {
    let dropped = db
        .prepare_cached(
            "DELETE FROM blob_references WHERE (account, blob) IN
                 (SELECT account, blob FROM blob_references WHERE expires_at <= ?1 LIMIT ?2)",
        )?
        .execute(params![now.unix_seconds(), limit])?;
    Ok(u32::try_from(dropped).unwrap_or(u32::MAX))
}

pub(super) fn blobs_of_nobody(db: &Connection, limit: u32) -> rusqlite::Result<Vec<BlobHash>> {
    db.prepare_cached("SELECT sha256 FROM blobs WHERE referrers = 0 LIMIT ?1")?
        .query_map([limit], |row| read_hash(row, 0))?
        .collect()
}

pub(super) fn is_known(db: &Connection, hash: &BlobHash) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM blobs WHERE sha256 = ?1")?.exists([hash.as_bytes()])
}

pub(super) fn forget(db: &Connection, hash: &BlobHash) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM blobs WHERE sha256 = ?1 AND referrers = 0")?.execute([hash.as_bytes()])?;
    Ok(())
}
