//! Inboxes: each an ordered list of pointers to what its account has to read.

use kez_core::{PublicKey, Timestamp};
use rusqlite::{Connection, params};

use crate::store::{AccountId, DeviceChange, DeviceRow, Woken};

/// What an event points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// `frames.id`.
    Frame(i64),
    /// `welcomes.id`.
    Welcome(i64),
    /// What happened to a device of the account, and when.
    Device { device: DeviceRow, change: DeviceChange, at: Timestamp },
}

/// Adds one event to an inbox, in the transaction of what it tells about.
pub(super) fn put(db: &Connection, account: AccountId, subject: Subject) -> rusqlite::Result<Woken> {
    put_all(db, account, &[subject])
}

/// Adds events to an inbox, in this order; not none.
pub(super) fn put_all(db: &Connection, account: AccountId, subjects: &[Subject]) -> rusqlite::Result<Woken> {
    let count = i64::try_from(subjects.len()).unwrap_or(i64::MAX);
    let (head, primary): (i64, [u8; 32]) = db
        .prepare_cached(
            "UPDATE accounts SET inbox_head = inbox_head + ?2 WHERE id = ?1 RETURNING inbox_head, primary_key",
        )?
        .query_row(params![account.0, count], |row| Ok((row.get(0)?, row.get(1)?)))?;
    insert(db, account, head - count, subjects)?;
    Ok(Woken { account, primary: PublicKey::from_bytes(primary), head: head.cast_unsigned() })
}

/// Adds frames to the inbox of every member of a conversation, in this order; not none.
pub(super) fn put_frames(db: &Connection, conversation: i64, frames: &[i64]) -> rusqlite::Result<Vec<Woken>> {
    let count = i64::try_from(frames.len()).unwrap_or(i64::MAX);
    let woken: Vec<_> = db
        .prepare_cached(
            "UPDATE accounts SET inbox_head = inbox_head + ?2
             WHERE id IN (SELECT account FROM members WHERE conversation = ?1 AND until IS NULL)
             RETURNING id, primary_key, inbox_head",
        )?
        .query_map([conversation, count], |row| {
            Ok(Woken {
                account: AccountId(row.get(0)?),
                primary: PublicKey::from_bytes(row.get(1)?),
                head: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let subjects: Vec<_> = frames.iter().map(|frame| Subject::Frame(*frame)).collect();
    for one in &woken {
        insert(db, one.account, one.head.cast_signed() - count, &subjects)?;
    }
    Ok(woken)
}

/// Writes pointers under the numbers after `before`.
fn insert(db: &Connection, account: AccountId, before: i64, subjects: &[Subject]) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO inbox (account, n, kind, subject, change, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (subject, n) in subjects.iter().zip(before + 1..) {
        let (kind, row, change, at) = match *subject {
            Subject::Frame(frame) => (0, frame, None, None),
            Subject::Welcome(welcome) => (1, welcome, None, None),
            Subject::Device { device, change, at } => {
                (2, device.0, Some(number(change)), Some(at.unix_millis()))
            }
        };
        insert.execute(params![account.0, n, kind, row, change, at])?;
    }
    Ok(())
}

/// The column `change`.
fn number(change: DeviceChange) -> i64 {
    match change {
        DeviceChange::Enrolled => 0,
        DeviceChange::Renewed => 1,
        DeviceChange::Revoked => 2,
    }
}
