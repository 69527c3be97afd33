//! Its references to blobs, and its uploads. The bytes are files: whoever drives a deletion lets go of them.

use data_encoding::HEXLOWER;
use rusqlite::{Connection, params};
use serde_json::json;

use super::{Area, Leaver, PAGE_ROWS, PORTION_ROWS, Piece, pieces, time};
use crate::blobs::BlobHash;
use crate::store::sqlite::blobs::read_hash;
use crate::store::{AccountId, Exported};

pub(super) const AREA: Area = Area { tables: &["blob_references", "blob_uploads"], erase, export };

/// Some of the blobs that an account refers to or uploads.
pub(super) fn of(db: &Connection, account: AccountId) -> rusqlite::Result<Vec<(AccountId, BlobHash)>> {
    db.prepare_cached(
        "SELECT sha256 FROM blob_uploads WHERE account = ?1
         UNION ALL SELECT b.sha256 FROM blob_references r JOIN blobs b ON b.id = r.blob WHERE r.account = ?1
         LIMIT ?2",
    )?
    .query_map([account.0, PORTION_ROWS], |row| Ok((account, read_hash(row, 0)?)))?
    .collect()
}

/// Waits until all are let go.
fn erase(db: &Connection, leaver: &Leaver) -> rusqlite::Result<bool> {
    Ok(!of(db, leaver.account)?.is_empty())
}

/// First the references, as (blob, 0), then the uploads, at most 64 of which are there, as one piece.
fn export(db: &Connection, whose: &Exported, (after, _): (i64, i64)) -> rusqlite::Result<Piece> {
    if after == i64::MAX {
        return uploads(db, whose);
    }
    let mut find = db.prepare_cached(
        "SELECT b.id, b.sha256, r.bytes, r.expires_at FROM blob_references r JOIN blobs b ON b.id = r.blob
         WHERE r.account = ?1 AND r.blob > ?2 ORDER BY r.blob LIMIT ?3",
    )?;
    let mut piece = pieces(find.query(params![whose.account.0, after, PAGE_ROWS + 1])?, |row| {
        let blob = json!({
            "type": "blob",
            "sha256": HEXLOWER.encode(&row.get::<_, [u8; 32]>(1)?),
            "bytes": row.get::<_, i64>(2)?,
            "expires_at": time(row, 3)?,
        });
        Ok(((row.get(0)?, 0), 0, blob))
    })?;
    piece.next = piece.next.or(Some((i64::MAX, 0)));
    Ok(piece)
}

fn uploads(db: &Connection, whose: &Exported) -> rusqlite::Result<Piece> {
    let mut find = db.prepare_cached(
        "SELECT sha256, bytes, received, touched_at FROM blob_uploads WHERE account = ?1 ORDER BY sha256 LIMIT ?2",
    )?;
    pieces(find.query(params![whose.account.0, PAGE_ROWS])?, |row| {
        let upload = json!({
            "type": "blob_upload",
            "sha256": HEXLOWER.encode(&row.get::<_, [u8; 32]>(0)?),
            "bytes": row.get::<_, i64>(1)?,
            "received": row.get::<_, i64>(2)?,
            "touched_at": time(row, 3)?,
        });
        Ok(((i64::MAX, 0), 0, upload))
    })
}
