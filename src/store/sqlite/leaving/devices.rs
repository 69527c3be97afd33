//! Its devices.

use kez_core::DeviceId;
use rusqlite::{Connection, params};
use serde_json::json;

use super::{Area, Leaver, PAGE_ROWS, PORTION_ROWS, Piece, envelope, optional_time, pieces, time};
use crate::store::Exported;

pub(super) const AREA: Area = Area { tables: &["devices"], erase, export };

fn erase(db: &Connection, leaver: &Leaver) -> rusqlite::Result<bool> {
    let erased = db.execute(
        "DELETE FROM devices WHERE id IN (SELECT id FROM devices WHERE account = ?1 LIMIT ?2)",
        [leaver.account.0, PORTION_ROWS],
    )?;
    Ok(erased > 0)
}

fn export(db: &Connection, whose: &Exported, (after, _): (i64, i64)) -> rusqlite::Result<Piece> {
    let mut find = db.prepare_cached(
        "SELECT id, device_id, envelope, enrolled_at, expires_at, acked, revoked_at, revocation
         FROM devices WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
    )?;
    pieces(find.query(params![whose.account.0, after, PAGE_ROWS + 1])?, |row| {
        let device = json!({
            "type": "device",
            "device_id": DeviceId::from_bytes(row.get(1)?),
            "envelope": envelope(row, 2)?,
            "enrolled_at": time(row, 3)?,
            "expires_at": time(row, 4)?,
            "acked": row.get::<_, i64>(5)?,
            "revoked_at": optional_time(row, 6)?,
            "revocation": envelope(row, 7)?,
        });
        Ok(((row.get(0)?, 0), 2048, device))
    })
}
