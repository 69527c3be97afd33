//! Its key packages, and what it claimed. An export counts the packages: they are for others, once each.

use kez_core::DeviceId;
use rusqlite::{Connection, params};
use serde_json::json;

use super::{Area, Leaver, PAGE_ROWS, PORTION_ROWS, Piece, pieces, primary, time};
use crate::store::Exported;

pub(super) const AREA: Area = Area { tables: &["key_packages", "key_package_claims"], erase, export };

fn erase(db: &Connection, leaver: &Leaver) -> rusqlite::Result<bool> {
    let packages = db.execute(
        "DELETE FROM key_packages WHERE id IN (
             SELECT k.id FROM devices d JOIN key_packages k ON k.device = d.id WHERE d.account = ?1 LIMIT ?2)",
        [leaver.account.0, PORTION_ROWS],
    )?;
    let claims = db.execute(
        "DELETE FROM key_package_claims WHERE id IN (
             SELECT id FROM key_package_claims WHERE claimer = ?1 OR target = ?1 LIMIT ?2)",
        [leaver.account.0, PORTION_ROWS],
    )?;
    Ok(packages + claims > 0)
}

/// First the devices, as (row, 0), then the claims, as (the greatest row, claim).
fn export(db: &Connection, whose: &Exported, (device, claim): (i64, i64)) -> rusqlite::Result<Piece> {
    if device == i64::MAX {
        return claims(db, whose, claim);
    }
    let mut find = db.prepare_cached(
        "SELECT d.id, d.device_id,
             (SELECT count(*) FROM key_packages k
              WHERE k.device = d.id AND k.package IS NOT NULL AND k.is_last_resort = 0),
             (SELECT count(*) FROM key_packages k
              WHERE k.device = d.id AND k.package IS NOT NULL AND k.is_last_resort = 1)
         FROM devices d WHERE d.account = ?1 AND d.id > ?2 ORDER BY d.id LIMIT ?3",
    )?;
    let counts = find.query(params![whose.account.0, device, PAGE_ROWS + 1])?;
    let mut piece = pieces(counts, |row| {
        let counts = json!({
            "type": "key_packages",
            "device_id": DeviceId::from_bytes(row.get(1)?),
            "one_time": row.get::<_, i64>(2)?,
            "last_resort": row.get::<_, i64>(3)? > 0,
        });
        Ok(((row.get(0)?, 0), 0, counts))
    })?;
    piece.next = piece.next.or(Some((i64::MAX, 0)));
    Ok(piece)
}

fn claims(db: &Connection, whose: &Exported, after: i64) -> rusqlite::Result<Piece> {
    let mut find = db.prepare_cached(
        "SELECT c.id, a.primary_key, c.claimed_at FROM key_package_claims c JOIN accounts a ON a.id = c.target
         WHERE c.claimer = ?1 AND c.id > ?2 ORDER BY c.id LIMIT ?3",
    )?;
    pieces(find.query(params![whose.account.0, after, PAGE_ROWS + 1])?, |row| {
        let claim =
            json!({"type": "key_package_claim", "target": primary(row, 1)?, "claimed_at": time(row, 2)?});
        Ok(((i64::MAX, row.get(0)?), 0, claim))
    })
}
