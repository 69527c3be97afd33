//! What the operator decided about the key.

use kez_core::PublicKey;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::{Area, PAGE_ROWS, Piece, pieces, time};
use crate::store::Exported;

/// Quotas are by key, so they go in the first transaction.
pub(super) const AREA: Area = Area { tables: &["account_quotas"], erase: |_, _| Ok(false), export };

/// Forgets the quotas of a key. A suspension stays, and so does the audit.
pub(super) fn end(db: &Connection, primary: &PublicKey) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM account_quotas WHERE primary_key = ?1")?
        .execute([primary.as_bytes()])
        .map(drop)
}

/// First the quotas, as (0, 0), then what was done, as (1, entry of the audit). Reasons are the operator's.
fn export(db: &Connection, whose: &Exported, (part, after): (i64, i64)) -> rusqlite::Result<Piece> {
    if part == 1 {
        return actions(db, whose, after);
    }
    let mut find = db.prepare_cached("SELECT messages, blobs FROM account_quotas WHERE primary_key = ?1")?;
    let mut piece = pieces(find.query([whose.primary.as_bytes()])?, |row| {
        let bytes = |column| row.get::<_, Option<i64>>(column).map(Value::from);
        Ok(((0, 0), 0, json!({"type": "quota", "messages": bytes(0)?, "blobs": bytes(1)?})))
    })?;
    piece.next = Some((1, 0));
    Ok(piece)
}

fn actions(db: &Connection, whose: &Exported, after: i64) -> rusqlite::Result<Piece> {
    let mut find = db.prepare_cached(
        "SELECT id, at, action FROM audit WHERE primary_key = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
    )?;
    pieces(find.query(params![whose.primary.as_bytes(), after, PAGE_ROWS + 1])?, |row| {
        let action =
            json!({"type": "operator_action", "at": time(row, 1)?, "action": row.get::<_, String>(2)?});
        Ok(((1, row.get(0)?), 0, action))
    })
}
