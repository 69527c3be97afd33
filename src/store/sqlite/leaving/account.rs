//! The account itself: its handle, and its row.

use kez_core::{PublicKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use super::super::conversations;
use super::{Area, Piece, envelope, pieces, time};
use crate::store::{AccountId, Exported};

/// The handle goes in the first transaction, the row in the last.
pub(super) const AREA: Area =
    Area { tables: &["handles", "registrations", "accounts"], erase: |_, _| Ok(false), export };

/// Ends an account for everybody else; its row, if it has one.
pub(super) fn end(
    db: &Connection,
    primary: &PublicKey,
    at: Timestamp,
) -> rusqlite::Result<Option<AccountId>> {
    let account: Option<i64> = db
        .prepare_cached(
            "UPDATE accounts SET left_at = ?2, revocations = revocations + 1, sent_bytes = 0, sent_at = 0 WHERE primary_key = ?1 RETURNING id",
        )?
        .query_row(params![primary.as_bytes(), at.unix_seconds()], |row| row.get(0))
        .optional()?;
    if let Some(account) = account {
        // At most DEVICES_EVER_MAX. No envelope revoked them: they have minutes to be there.
        db.execute(
            "UPDATE devices SET revoked_at = ?2, revocation = '' WHERE account = ?1 AND revoked_at IS NULL",
            params![account, at.unix_seconds()],
        )?;
    }
    Ok(account.map(AccountId))
}

/// Lets a key that left and was registered again take devices in. `false`: its deletion goes on.
pub(in crate::store::sqlite) fn revive(db: &Connection, primary: &PublicKey) -> rusqlite::Result<bool> {
    let leaving: Option<bool> = db
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM deletions d WHERE d.account = a.id AND d.finished_at IS NULL)
             FROM accounts a WHERE a.primary_key = ?1 AND a.left_at IS NOT NULL",
        )?
        .query_row([primary.as_bytes()], |row| row.get(0))
        .optional()?;
    if leaving == Some(false) {
        let account: i64 = db
            .prepare_cached("UPDATE accounts SET left_at = NULL WHERE primary_key = ?1 RETURNING id")?
            .query_row([primary.as_bytes()], |row| row.get(0))?;
        // What came meanwhile was for nobody: it reads on from here.
        db.prepare_cached(
            "UPDATE members SET (since, delivered) = (SELECT seq, seq FROM conversations WHERE id = conversation)
             WHERE account = ?1",
        )?
        .execute([account])?;
    }
    Ok(leaving != Some(true))
}

/// Gives up the place of an account in a conversation, if it has left; nothing, if it lives.
pub(in crate::store::sqlite) fn vacate(
    db: &Connection,
    conversation: i64,
    account: AccountId,
) -> rusqlite::Result<()> {
    let vacated = db
        .prepare_cached(
            "DELETE FROM members WHERE conversation = ?1 AND account = ?2
                 AND (SELECT left_at FROM accounts WHERE id = ?2) IS NOT NULL",
        )?
        .execute([conversation, account.0])?;
    if vacated == 0 { Ok(()) } else { forget(db, account) }
}

/// Deletes the row of an account that has left, once it holds no place in a group and its deletion is done.
pub(super) fn forget(db: &Connection, account: AccountId) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM accounts WHERE id = ?1 AND left_at IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM members WHERE account = ?1)
             AND NOT EXISTS (SELECT 1 FROM deletions WHERE account = ?1 AND finished_at IS NULL)",
    )?
    .execute([account.0])
    .map(drop)
}

fn last_sent_at(millis: i64) -> rusqlite::Result<Option<String>> {
    if millis == 0 { Ok(None) } else { Ok(Some(conversations::millis(millis, 6)?.to_string())) }
}

fn export(db: &Connection, whose: &Exported, _: (i64, i64)) -> rusqlite::Result<Piece> {
    let mut find = db.prepare_cached(
        "SELECT h.handle, h.registered_at, r.envelope, i.head, i.dropped, a.sent_bytes, a.sent_at
         FROM accounts a JOIN inboxes i ON i.account = a.id
             LEFT JOIN handles h ON h.primary_key = a.primary_key
             LEFT JOIN registrations r ON r.id = h.registration
         WHERE a.id = ?1",
    )?;
    pieces(find.query([whose.account.0])?, |row| {
        let handle: Option<String> = row.get(0)?;
        let registered_at = handle.as_ref().map(|_| time(row, 1)).transpose()?;
        let account = json!({
            "type": "account",
            "primary": whose.primary,
            "handle": handle,
            "registered_at": registered_at,
            "registration": envelope(row, 2)?,
            "inbox_head": row.get::<_, i64>(3)?,
            "inbox_dropped": row.get::<_, i64>(4)?,
            "sent_bytes": row.get::<_, i64>(5)?,
            "last_sent_at": last_sent_at(row.get(6)?)?,
        });
        Ok(((0, 0), 0, account))
    })
}
