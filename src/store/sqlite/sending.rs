//! What accounts have sent, and how full the file is. ADR 0026.

use std::sync::atomic::{AtomicU64, Ordering};

use kez_core::Timestamp;
use rusqlite::{Connection, params};

use super::read_u64;
use crate::sending::{Bounds, MESSAGE_BYTES_MAX, NoRoom, SHARE_OF_FREE, Sent, weight};
use crate::store::{AccountId, MessageLimits};

/// How much of the free room may be written before the file is measured again: a 64th. Far from the bound that is rarely.
/// Nobody is refused by an estimate.
const UNMEASURED_SHARE: u64 = 64;

/// How full the file is, and how full it may get.
///
/// Measured in pages of the file, so everything counts that a message costs: rows, indices, pointers in inboxes. What was
/// written since is estimated. A job that is undone leaves its part of the estimate behind, until the next measurement.
#[derive(Debug)]
pub(super) struct Gauge {
    limits: MessageLimits,
    measured: AtomicU64,
    /// Bytes, by weight, written since.
    unmeasured: AtomicU64,
}

/// What an account may send: what it has sent, and its own bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    pub(super) sent: Sent,
    pub(super) bytes_max: Option<u64>,
}

impl Gauge {
    pub(super) fn new(limits: MessageLimits) -> Self {
        // Nothing is known before the first measurement.
        Self { limits, measured: AtomicU64::new(u64::MAX), unmeasured: AtomicU64::new(0) }
    }

    /// Bytes that are free, for who wants so many of them.
    fn free(&self, db: &Connection, wanted: u64) -> rusqlite::Result<u64> {
        let unmeasured = self.unmeasured.load(Ordering::Relaxed);
        let free = self.estimate(unmeasured);
        if unmeasured > free / UNMEASURED_SHARE || wanted > free {
            self.unmeasured.store(0, Ordering::Relaxed);
            self.measured.store(used(db)?, Ordering::Relaxed);
            return Ok(self.estimate(0));
        }
        Ok(free)
    }

    fn estimate(&self, unmeasured: u64) -> u64 {
        let used = self.measured.load(Ordering::Relaxed).saturating_add(unmeasured);
        self.limits.storage_bytes_max.saturating_sub(used)
    }

    /// Whether so many bytes have room that are no message, and takes note of them.
    pub(super) fn takes(&self, db: &Connection, bytes: u64) -> rusqlite::Result<bool> {
        let has_room = bytes <= self.free(db, bytes)?;
        if has_room {
            self.grows(bytes);
        }
        Ok(has_room)
    }

    /// What is held against what `sender` sends, of this weight.
    pub(super) fn bounds(&self, db: &Connection, sender: Sender, weight: u64) -> rusqlite::Result<Bounds> {
        let bytes_max = sender.bytes_max.unwrap_or(MESSAGE_BYTES_MAX);
        let wanted = sender.sent.bytes.saturating_add(weight).saturating_mul(SHARE_OF_FREE);
        Ok(Bounds { bytes_max, period: self.limits.period, free: self.free(db, wanted)? })
    }

    /// Notes what is written.
    pub(super) fn grows(&self, bytes: u64) {
        self.unmeasured.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Bytes of the pages that hold something.
fn used(db: &Connection) -> rusqlite::Result<u64> {
    let ask = |what| db.prepare_cached(what)?.query_row([], |row| read_u64(row, 0));
    let pages = ask("PRAGMA page_count")?.saturating_sub(ask("PRAGMA freelist_count")?);
    Ok(pages * ask("PRAGMA page_size")?)
}

/// What an account has sent.
pub(super) fn sender(db: &Connection, account: AccountId) -> rusqlite::Result<Sender> {
    db.prepare_cached("SELECT sent_bytes, sent_at, sent_max FROM accounts WHERE id = ?1")?
        .query_row([account.0], |row| read(row, 0))
}

/// From three columns, `sent_bytes`, `sent_at` and `sent_max`.
pub(super) fn read(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Sender> {
    let sent = Sent { bytes: read_u64(row, first)?, at: row.get(first + 1)? };
    let bytes_max: Option<i64> = row.get(first + 2)?;
    Ok(Sender { sent, bytes_max: bytes_max.map(i64::cast_unsigned) })
}

/// What an account will have sent after a bundle with so many bytes in all its parts; written by [`note`].
pub(super) fn after_bundle(
    db: &Connection,
    gauge: &Gauge,
    account: AccountId,
    bytes: usize,
    at: Timestamp,
) -> rusqlite::Result<Result<Sent, NoRoom>> {
    let sender = sender(db, account)?;
    let after = sender.sent.and(weight(bytes), &gauge.bounds(db, sender, weight(bytes))?, at);
    if after.is_ok() {
        gauge.grows(weight(bytes));
    }
    Ok(after)
}

/// Writes down what an account has sent.
pub(super) fn note(db: &Connection, account: AccountId, sent: Sent) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE accounts SET sent_bytes = ?2, sent_at = ?3 WHERE id = ?1")?
        .execute(params![account.0, sent.bytes.cast_signed(), sent.at])
        .map(drop)
}
