//! What members read.

use kez_core::{ConversationId, Members, MessageId, PublicKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::{damaged, frame_kind, kind, millis, state};
use crate::store::sqlite::contacts;
use crate::store::{
    AccountId, BadCursor, Conversation, ConversationSummary, FramePage, Head, PageLimits, PageRefusal,
    StoredFrame,
};

pub(super) fn is_member(db: &Connection, account: AccountId, cid: ConversationId) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT 1 FROM conversations c JOIN members m ON m.conversation = c.id
         WHERE c.cid = ?1 AND m.account = ?2 AND m.until IS NULL",
    )?
    .exists(params![cid.as_bytes(), account.0])
}

pub(super) fn conversation(
    db: &Connection,
    account: AccountId,
    cid: ConversationId,
    now: Timestamp,
) -> rusqlite::Result<Option<Conversation>> {
    let one_state = db.unchecked_transaction()?;
    let mut find = one_state.prepare_cached(
        "SELECT c.id, c.kind, c.generation, c.epoch, c.seq, max(c.oldest, m.since + 1), g.bytes, c.state, c.replaced_by
             FROM conversations c
             JOIN members m ON m.conversation = c.id
             JOIN group_infos g ON g.conversation = c.id
             WHERE c.cid = ?1 AND m.account = ?2 AND m.until IS NULL",
    )?;
    find.query_row(params![cid.as_bytes(), account.0], |row| {
        Ok(Conversation {
            cid,
            kind: kind(row.get(1)?)?,
            state: contacts::state_now(db, account, row.get(0)?, state(row.get(7)?)?, now)?,
            replaced_by: row.get::<_, Option<_>>(8)?.map(ConversationId::from_bytes),
            generation: row.get::<_, i64>(2)?.cast_unsigned(),
            head: Head {
                epoch: row.get::<_, i64>(3)?.cast_unsigned(),
                seq: row.get::<_, i64>(4)?.cast_unsigned(),
            },
            oldest: row.get::<_, i64>(5)?.cast_unsigned(),
            members: members(db, row.get(0)?)?,
            group_info: row.get(6)?,
        })
    })
    .optional()
}

fn members(db: &Connection, conversation: i64) -> rusqlite::Result<Members> {
    let keys: Vec<_> = db
        .prepare_cached(
            "SELECT a.primary_key FROM members m JOIN accounts a ON a.id = m.account
             WHERE m.conversation = ?1 AND m.until IS NULL",
        )?
        .query_map([conversation], |row| row.get(0).map(PublicKey::from_bytes))?
        .collect::<rusqlite::Result<_>>()?;
    Members::try_from(keys).map_err(|error| damaged(0, error))
}

pub(super) fn conversations(
    db: &Connection,
    account: AccountId,
    after: Option<ConversationId>,
    limit: u32,
    now: Timestamp,
) -> rusqlite::Result<Result<Vec<ConversationSummary>, BadCursor>> {
    let Some(after) = cursor(db, account, after)? else { return Ok(Err(BadCursor)) };
    let page = db
        .prepare_cached(
            "SELECT c.cid, c.kind, c.epoch, c.seq, c.id, c.state
             FROM members m JOIN conversations c ON c.id = m.conversation
             WHERE m.account = ?1 AND m.conversation > ?2 AND m.until IS NULL
             ORDER BY m.conversation LIMIT ?3",
        )?
        .query_map(params![account.0, after, limit], |row| {
            Ok(ConversationSummary {
                cid: ConversationId::from_bytes(row.get(0)?),
                kind: kind(row.get(1)?)?,
                state: contacts::state_now(db, account, row.get(4)?, state(row.get(5)?)?, now)?,
                head: Head {
                    epoch: row.get::<_, i64>(2)?.cast_unsigned(),
                    seq: row.get::<_, i64>(3)?.cast_unsigned(),
                },
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Ok(page))
}

/// The row of the conversation that a list goes on after; only one's own can be named.
fn cursor(
    db: &Connection,
    account: AccountId,
    after: Option<ConversationId>,
) -> rusqlite::Result<Option<i64>> {
    let Some(after) = after else { return Ok(Some(0)) };
    db.prepare_cached(
        "SELECT c.id FROM conversations c JOIN members m ON m.conversation = c.id
         WHERE c.cid = ?1 AND m.account = ?2",
    )?
    .query_row(params![after.as_bytes(), account.0], |row| row.get(0))
    .optional()
}

/// What an account may read of a conversation.
struct Window {
    conversation: i64,
    /// The number after which it may read.
    since: i64,
    /// The last number that it may read.
    last: i64,
    /// The first frame that is still there; of what may be read alone, so that nobody learns what came later.
    oldest: i64,
}

pub(super) fn frames(
    db: &Connection,
    account: AccountId,
    cid: ConversationId,
    after: u64,
    limits: PageLimits,
) -> rusqlite::Result<Result<FramePage, PageRefusal>> {
    let one_state = db.unchecked_transaction()?; // frames are dropped beside us
    let Some(window) = window(&one_state, account, cid)? else { return Ok(Err(PageRefusal::NotAMember)) };
    let oldest = window.oldest.max(window.since + 1).cast_unsigned();
    let after = i64::try_from(after).unwrap_or(i64::MAX).max(window.since);
    if after < window.oldest - 1 {
        return Ok(Err(PageRefusal::Gone { oldest }));
    }
    let frames = page(&one_state, &window, after, limits)?;
    Ok(Ok(FramePage { frames, head: window.last.cast_unsigned(), oldest }))
}

fn window(db: &Connection, account: AccountId, cid: ConversationId) -> rusqlite::Result<Option<Window>> {
    db.prepare_cached(
        "SELECT c.id, m.since, coalesce(m.until, c.seq), min(c.oldest, coalesce(m.until, c.seq) + 1)
         FROM conversations c JOIN members m ON m.conversation = c.id
         WHERE c.cid = ?1 AND m.account = ?2",
    )?
    .query_row(params![cid.as_bytes(), account.0], |row| {
        Ok(Window { conversation: row.get(0)?, since: row.get(1)?, last: row.get(2)?, oldest: row.get(3)? })
    })
    .optional()
}

fn page(
    db: &Connection,
    window: &Window,
    after: i64,
    limits: PageLimits,
) -> rusqlite::Result<Vec<StoredFrame>> {
    let mut find = db.prepare_cached(
        "SELECT seq, at, mid, kind, bytes FROM frames
         WHERE conversation = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4",
    )?;
    let mut rows = find.query(params![window.conversation, after, window.last, limits.frames_max])?;
    let (mut frames, mut bytes_left) = (Vec::new(), limits.bytes_max);
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(4)?;
        match bytes_left.checked_sub(bytes.len()) {
            Some(left) => bytes_left = left,
            None if frames.is_empty() => bytes_left = 0,
            None => break,
        }
        frames.push(StoredFrame {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            at: millis(row.get(1)?, 1)?,
            mid: MessageId::from_bytes(row.get(2)?),
            kind: frame_kind(row.get(3)?)?,
            bytes,
        });
    }
    Ok(frames)
}
