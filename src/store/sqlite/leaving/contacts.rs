//! Whom it has accepted, and whom it keeps away.

use kez_core::{PublicKey, Timestamp};
use rusqlite::{Connection, params};
use serde_json::json;

use super::{Area, Leaver, PAGE_ROWS, PORTION_ROWS, Piece, pieces};
use crate::store::Exported;
use crate::store::sqlite::contacts;
use crate::store::sqlite::conversations::millis;

pub(super) const AREA: Area = Area { tables: &["contacts", "blocks"], erase, export };

/// Both sides of it; what others block it by stays with them, by its key.
fn erase(db: &Connection, leaver: &Leaver) -> rusqlite::Result<bool> {
    let of_peers = db.execute(
        "DELETE FROM contacts WHERE (account, peer) IN (SELECT account, peer FROM contacts WHERE peer = ?1 LIMIT ?2)",
        [leaver.account.0, PORTION_ROWS],
    )?;
    let own = db.execute(
        "DELETE FROM contacts WHERE (account, peer) IN (SELECT account, peer FROM contacts WHERE account = ?1 LIMIT ?2)",
        [leaver.account.0, PORTION_ROWS],
    )?;
    let blocks = db.execute(
        "DELETE FROM blocks WHERE id IN (SELECT id FROM blocks WHERE account = ?1 LIMIT ?2)",
        [leaver.account.0, PORTION_ROWS],
    )?;
    Ok(of_peers + own + blocks > 0)
}

/// First contacts, as (peer, 0); then blocks, as (0, block).
fn export(db: &Connection, whose: &Exported, (peer, block): (i64, i64)) -> rusqlite::Result<Piece> {
    if block > 0 {
        return blocks(db, whose, block);
    }
    let mut find = db.prepare_cached(
        "SELECT k.peer, a.primary_key, k.state, k.asked_at, k.at FROM contacts k JOIN accounts a ON a.id = k.peer
         WHERE k.account = ?1 AND k.peer > ?2 ORDER BY k.peer LIMIT ?3",
    )?;
    let mut piece = pieces(find.query(params![whose.account.0, peer, PAGE_ROWS + 1])?, |row| {
        let contact = json!({
            "type": "contact",
            "primary": PublicKey::from_bytes(row.get(1)?),
            "state": contacts::state(row.get(2)?)?,
            "asked_at": text(millis(row.get(3)?, 3)?),
            "at": text(millis(row.get(4)?, 4)?),
        });
        Ok(((row.get(0)?, 0), 0, contact))
    })?;
    if piece.next.is_none() {
        let blocks = blocks(db, whose, 0)?;
        piece.exhibits.extend(blocks.exhibits);
        piece.next = blocks.next;
    }
    Ok(piece)
}

fn blocks(db: &Connection, whose: &Exported, after: i64) -> rusqlite::Result<Piece> {
    let mut find = db.prepare_cached(
        "SELECT id, primary_key, is_blocked, version, at FROM blocks
         WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
    )?;
    pieces(find.query(params![whose.account.0, after, PAGE_ROWS + 1])?, |row| {
        let block = json!({
            "type": "block",
            "primary": PublicKey::from_bytes(row.get(1)?),
            "blocked": row.get::<_, bool>(2)?,
            "version": row.get::<_, i64>(3)?,
            "at": text(millis(row.get(4)?, 4)?),
        });
        Ok(((0, row.get(0)?), 0, block))
    })
}

fn text(time: Timestamp) -> String {
    time.to_string()
}
