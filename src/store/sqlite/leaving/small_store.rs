//! What its devices keep for each other.

use rusqlite::{Connection, params};
use serde_json::json;

use super::{Area, Leaver, PAGE_ROWS, PORTION_ROWS, Piece, base64, pieces, time};
use crate::store::Exported;

pub(super) const AREA: Area = Area { tables: &["store_entries"], erase, export };

fn erase(db: &Connection, leaver: &Leaver) -> rusqlite::Result<bool> {
    let erased = db.execute(
        "DELETE FROM store_entries WHERE id IN (SELECT id FROM store_entries WHERE account = ?1 LIMIT ?2)",
        [leaver.account.0, PORTION_ROWS],
    )?;
    Ok(erased > 0)
}

fn export(db: &Connection, whose: &Exported, (after, _): (i64, i64)) -> rusqlite::Result<Piece> {
    let mut find = db.prepare_cached(
        "SELECT id, name, version, at, bytes FROM store_entries WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
    )?;
    pieces(find.query(params![whose.account.0, after, PAGE_ROWS + 1])?, |row| {
        let bytes: Option<Vec<u8>> = row.get(4)?;
        let entry = json!({
            "type": "store_entry",
            "name": row.get::<_, String>(1)?,
            "version": row.get::<_, i64>(2)?,
            "at": time(row, 3)?,
            "data": bytes.as_deref().map(base64),
        });
        Ok(((row.get(0)?, 0), bytes.map_or(0, |bytes| bytes.len()), entry))
    })
}
