//! Its conversations: what only it could read goes; what others read stays for them, without its name.

use kez_core::{ContactChange, ConversationId, MessageId};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use super::account::forget;
use super::{Area, Leaver, PAGE_ROWS, PORTION_ROWS, Piece, base64, pieces, primary};
use crate::store::sqlite::conversations::{frame_kind, kind, millis};
use crate::store::sqlite::{contacts, inbox, read_time};
use crate::store::{AccountId, Exported};

pub(super) const AREA: Area = Area {
    tables: &["conversations", "pairs", "group_infos", "members", "frames", "spent_ids"],
    erase,
    export,
};

/// Frames whose sender is forgotten in one portion. Each is written anew: 32 of the largest are 2 MiB.
const SENDER_ROWS: i64 = 32;

/// Conversations that one portion goes through.
const CONVERSATIONS: usize = 32;

/// A place of the account in a conversation.
struct Membership {
    conversation: i64,
    is_direct: bool,
    is_member: bool,
}

fn erase(db: &Connection, leaver: &Leaver) -> rusqlite::Result<bool> {
    let mut done = leaver.conversation;
    let mut seq = leaver.seq;
    for _ in 0..CONVERSATIONS {
        let Some(place) = next(db, leaver.account, done)? else { return Ok(false) };
        if let Some(through) = forget_sender(db, leaver.account, place.conversation, seq)? {
            return note(db, leaver, done, through);
        }
        if is_abandoned(db, place.conversation)? {
            if drop_frames(db, place.conversation)? {
                return note(db, leaver, done, i64::MAX);
            }
            drop_conversation(db, place.conversation)?;
        } else {
            leave(db, leaver.account, &place)?;
        }
        (done, seq) = (place.conversation, 0);
    }
    note(db, leaver, done, seq)
}

/// The first place after a conversation.
fn next(db: &Connection, account: AccountId, after: i64) -> rusqlite::Result<Option<Membership>> {
    db.prepare_cached(
        "SELECT m.conversation, c.kind = 0, m.until IS NULL
         FROM members m JOIN conversations c ON c.id = m.conversation
         WHERE m.account = ?1 AND m.conversation > ?2 ORDER BY m.conversation LIMIT 1",
    )?
    .query_row([account.0, after], |row| {
        Ok(Membership { conversation: row.get(0)?, is_direct: row.get(1)?, is_member: row.get(2)? })
    })
    .optional()
}

/// Writes down how far the deletion is; there is more.
fn note(db: &Connection, leaver: &Leaver, conversation: i64, seq: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("UPDATE deletions SET conversation = ?2, seq = ?3 WHERE id = ?1")?.execute([
        leaver.deletion.0,
        conversation,
        seq,
    ])?;
    Ok(true)
}

/// Forgets who sent the next frames; up to which one, while there are more. No new ones come: its devices have ended.
fn forget_sender(
    db: &Connection,
    account: AccountId,
    conversation: i64,
    after: i64,
) -> rusqlite::Result<Option<i64>> {
    let last: Option<i64> = db
        .prepare_cached(
            "SELECT seq FROM frames WHERE conversation = ?1 AND seq > ?2 ORDER BY seq LIMIT 1 OFFSET ?3",
        )?
        .query_row([conversation, after, SENDER_ROWS - 1], |row| row.get(0))
        .optional()?;
    db.prepare_cached(
        "UPDATE frames SET sender = 0 WHERE conversation = ?1 AND seq > ?2 AND seq <= ?3 AND sender = ?4",
    )?
    .execute([conversation, after, last.unwrap_or(i64::MAX), account.0])?;
    if last.is_none() {
        // Nobody sends these again.
        db.prepare_cached("DELETE FROM spent_ids WHERE conversation = ?1 AND sender = ?2")?
            .execute([conversation, account.0])?;
    }
    Ok(last)
}

/// Whether nobody who lives may read any of a conversation.
fn is_abandoned(db: &Connection, conversation: i64) -> rusqlite::Result<bool> {
    let is_somebodys = db
        .prepare_cached(
            "SELECT 1 FROM members m JOIN accounts a ON a.id = m.account
             WHERE m.conversation = ?1 AND a.left_at IS NULL",
        )?
        .exists([conversation])?;
    Ok(!is_somebodys)
}

/// Drops frames of a conversation that nobody reads any more; whether there are more.
fn drop_frames(db: &Connection, conversation: i64) -> rusqlite::Result<bool> {
    let dropped = db
        .prepare_cached(
            "DELETE FROM frames WHERE id IN (
                 SELECT id FROM frames WHERE conversation = ?1 ORDER BY seq LIMIT ?2)",
        )?
        .execute([conversation, PORTION_ROWS])?;
    Ok(i64::try_from(dropped).is_ok_and(|dropped| dropped == PORTION_ROWS))
}

/// Drops a conversation without frames, with the last traces of others who had left it before.
fn drop_conversation(db: &Connection, conversation: i64) -> rusqlite::Result<()> {
    let members: Vec<_> = db
        .prepare_cached("SELECT account FROM members WHERE conversation = ?1")?
        .query_map([conversation], |row| row.get(0).map(AccountId))?
        .collect::<rusqlite::Result<_>>()?;
    for table in ["members", "pairs", "group_infos", "welcomes", "spent_ids"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE conversation = ?1"))?
            .execute([conversation])?;
    }
    db.prepare_cached("DELETE FROM conversations WHERE id = ?1")?.execute([conversation])?;
    members.into_iter().try_for_each(|account| forget(db, account))
}

/// Leaves a conversation to the others. A group keeps the key's place, because its members alone change who is in it;
/// a conversation of two is over.
fn leave(db: &Connection, account: AccountId, place: &Membership) -> rusqlite::Result<()> {
    let conversation = place.conversation;
    db.prepare_cached("UPDATE conversations SET creator = NULL WHERE id = ?1 AND creator = ?2")?
        .execute([conversation, account.0])?;
    if place.is_member && !place.is_direct {
        return Ok(());
    }
    db.prepare_cached("DELETE FROM members WHERE conversation = ?1 AND account = ?2")?
        .execute([conversation, account.0])?;
    if place.is_direct { close(db, account, conversation) } else { Ok(()) }
}

/// Lets nobody write to a conversation of two any more; who is left is told, and goes on to read it.
fn close(db: &Connection, leaver: AccountId, conversation: i64) -> rusqlite::Result<()> {
    let is_open = db
        .prepare_cached("SELECT 1 FROM conversations WHERE id = ?1 AND state <> 2")?
        .exists([conversation])?;
    if !is_open {
        return Ok(());
    }
    contacts::close(db, conversation)?;
    let left_at = db
        .prepare_cached("SELECT left_at FROM accounts WHERE id = ?1")?
        .query_row([leaver.0], |row| read_time(row, 0))?;
    let peer: Option<i64> = db
        .prepare_cached("SELECT account FROM members WHERE conversation = ?1 AND until IS NULL")?
        .query_row([conversation], |row| row.get(0))
        .optional()?;
    if let Some(peer) = peer {
        let subject = inbox::Subject::Contact { conversation, change: ContactChange::Closed, at: left_at };
        inbox::put(db, AccountId(peer), subject)?; // it is woken by what comes next, or by the next comment
    }
    Ok(())
}

/// First its places, as (conversation, -1); then, as (conversation, frame), what it may read of each and has left its
/// inbox. The rest comes with the inbox.
fn export(db: &Connection, whose: &Exported, (conversation, seq): (i64, i64)) -> rusqlite::Result<Piece> {
    match (conversation, seq) {
        (0, 0) => places(db, whose, 0),
        (conversation, -1) => places(db, whose, conversation),
        _ => frames(db, whose, conversation, seq),
    }
}

fn places(db: &Connection, whose: &Exported, after: i64) -> rusqlite::Result<Piece> {
    let mut find = db.prepare_cached(
        "SELECT m.conversation, c.cid, c.kind, c.generation, c.epoch, coalesce(m.until, c.seq), m.since, m.until IS NULL,
             c.creator IS m.account, c.created_at
         FROM members m JOIN conversations c ON c.id = m.conversation
         WHERE m.account = ?1 AND m.conversation > ?2 ORDER BY m.conversation LIMIT ?3",
    )?;
    let mut piece = pieces(find.query(params![whose.account.0, after, PAGE_ROWS + 1])?, |row| {
        let is_member: bool = row.get(7)?;
        let members = if is_member { members(db, row.get(0)?)? } else { Value::Null };
        let place = json!({
            "type": "conversation",
            "cid": ConversationId::from_bytes(row.get(1)?),
            "kind": kind(row.get(2)?)?,
            "generation": row.get::<_, i64>(3)?,
            "epoch": is_member.then_some(row.get::<_, i64>(4)?),
            "seq": row.get::<_, i64>(5)?,
            "since": row.get::<_, i64>(6)?,
            "is_member": is_member,
            "is_creator": row.get::<_, bool>(8)?,
            "created_at": millis(row.get(9)?, 9)?.to_string(),
            "members": members,
        });
        Ok(((row.get(0)?, -1), 64 * 80, place))
    })?;
    piece.next = piece.next.or(Some((1, 0))); // rows begin with 1
    Ok(piece)
}

fn members(db: &Connection, conversation: i64) -> rusqlite::Result<Value> {
    let keys: Vec<_> = db
        .prepare_cached(
            "SELECT a.primary_key FROM members m JOIN accounts a ON a.id = m.account
             WHERE m.conversation = ?1 AND m.until IS NULL ORDER BY a.primary_key",
        )?
        .query_map([conversation], |row| Ok(primary(row, 0)?.to_string()))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(keys.into())
}

fn frames(db: &Connection, whose: &Exported, from: i64, after: i64) -> rusqlite::Result<Piece> {
    let mut find = db.prepare_cached(
        "SELECT m.conversation, c.cid, m.since, min(coalesce(m.until, c.seq), m.delivered)
         FROM members m JOIN conversations c ON c.id = m.conversation
         WHERE m.account = ?1 AND m.conversation >= ?2 ORDER BY m.conversation LIMIT 1",
    )?;
    let mut rows = find.query([whose.account.0, from])?;
    let Some(row) = rows.next()? else { return Ok(Piece::nothing()) };
    let conversation: i64 = row.get(0)?;
    let cid = ConversationId::from_bytes(row.get(1)?);
    let after = if conversation == from { after } else { 0 }.max(row.get(2)?);
    let through: i64 = row.get(3)?;
    let mut find = db.prepare_cached(
        "SELECT seq, at, mid, kind, bytes, sender = ?4 FROM frames
         WHERE conversation = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq",
    )?;
    let mut piece = pieces(find.query([conversation, after, through, whose.account.0])?, |row| {
        let bytes: Vec<u8> = row.get(4)?;
        let frame = json!({
            "type": "stored_frame",
            "cid": cid,
            "seq": row.get::<_, i64>(0)?,
            "at": millis(row.get(1)?, 1)?.to_string(),
            "mid": MessageId::from_bytes(row.get(2)?),
            "kind": frame_kind(row.get(3)?)?,
            "is_own": row.get::<_, bool>(5)?,
            "frame": base64(&bytes),
        });
        Ok(((conversation, row.get(0)?), bytes.len() + 256, frame))
    })?;
    piece.next = piece.next.or(Some((conversation + 1, 0)));
    Ok(piece)
}
