//! Message ids that outlive their frames.
//!
//! A frame that every device of its sender acknowledged is not sent again: who has it in its inbox knows that it was
//! accepted. One that left the sender's own inbox for its age alone may come again, from a device that was away, and would
//! then stand in the conversation twice. So its id is kept, while its epoch is the head: later no frame of it is taken.

use kez_core::{MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::millis;
use crate::store::{AcceptedFrame, AccountId, Author, FrameRefusal, Placed};

/// How much longer than its frame an id is kept, in seconds: 31 days, longer than any message is.
const KEPT_S: i64 = 31 * 24 * 60 * 60;

/// Whether an id is that of a frame that is gone.
pub(super) fn is_kept(db: &Connection, conversation: i64, mid: MessageId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM spent_ids WHERE conversation = ?1 AND mid = ?2")?
        .exists(params![conversation, mid.as_bytes()])
}

/// The verdict on a frame whose id is that of one that is gone.
pub(super) fn verdict(
    db: &Connection,
    conversation: i64,
    by: Author,
    frame: &AcceptedFrame,
) -> rusqlite::Result<Option<Result<Placed, FrameRefusal>>> {
    db.prepare_cached("SELECT seq, at, sender, sha256 FROM spent_ids WHERE conversation = ?1 AND mid = ?2")?
        .query_row(params![conversation, frame.id.as_bytes()], |row| {
            let sha256: [u8; 32] = Sha256::digest(&frame.bytes).into();
            let is_repeated = AccountId(row.get(2)?) == by.account && row.get::<_, [u8; 32]>(3)? == sha256;
            let placed = Placed {
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                at: millis(row.get(1)?, 1)?,
                is_repeated,
            };
            Ok(if is_repeated { Ok(placed) } else { Err(FrameRefusal::MidReused) })
        })
        .optional()
}

/// Keeps the id of this frame, if `account` sent it and the conversation is still in its epoch. To be called before the
/// frame goes.
pub(in crate::store::sqlite) fn keep(
    db: &Connection,
    account: i64,
    conversation: i64,
    seq: i64,
) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO spent_ids (conversation, mid, seq, at, sender, sha256) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (conversation, mid) DO NOTHING",
    )?;
    let mut find = db.prepare_cached(
        "SELECT f.mid, f.at, f.bytes FROM conversations c JOIN frames f ON f.conversation = c.id
         WHERE c.id = ?1 AND f.seq = ?2 AND f.sender = ?3 AND f.seq > c.epoch_seq",
    )?;
    let mut rows = find.query([conversation, seq, account])?;
    while let Some(row) = rows.next()? {
        let (mid, at): ([u8; 16], i64) = (row.get(0)?, row.get(1)?);
        let sha256: [u8; 32] = Sha256::digest(row.get_ref(2)?.as_blob()?).into();
        insert.execute(params![conversation, mid, seq, at, account, sha256])?;
    }
    Ok(())
}

/// Whether ids have been kept for long enough, by the time at which frames are too old.
pub(in crate::store::sqlite) fn are_due(db: &Connection, expired_at: Timestamp) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM spent_ids WHERE at <= ?1")?.exists([due_at(expired_at)])
}

/// Forgets up to `room` of those.
pub(in crate::store::sqlite) fn forget(
    db: &Connection,
    expired_at: Timestamp,
    room: i64,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM spent_ids WHERE id IN (SELECT id FROM spent_ids WHERE at <= ?1 ORDER BY at LIMIT ?2)",
    )?
    .execute([due_at(expired_at), room])
    .map(drop)
}

fn due_at(expired_at: Timestamp) -> i64 {
    expired_at.unix_millis().saturating_sub(KEPT_S * 1_000)
}
