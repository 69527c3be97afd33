//! Conversations: each write is one job, each read sees one state.

mod append;
mod bundle;
mod read;
pub(super) mod spent;

use std::sync::Arc;

use async_trait::async_trait;
use kez_core::{ConversationId, ConversationKind, ConversationState, FrameKind, MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::sending::{self, Sender};
use super::{SqliteStore, damaged, operations};
use crate::store::{
    AcceptedBundle, AcceptedFrame, AccountId, Appended, Author, BadCursor, BundleRefusal, Committed,
    Conversation, ConversationSummary, Conversations, Creation, FramePage, Head, NotAdmitted, PageLimits,
    PageRefusal, StoreError, Tell,
};

#[async_trait]
impl Conversations for SqliteStore {
    async fn create(
        &self,
        by: Author,
        cid: ConversationId,
        kind: ConversationKind,
        bundle: AcceptedBundle,
    ) -> Result<Result<Creation, BundleRefusal>, StoreError> {
        let gauge = Arc::clone(&self.gauge);
        Ok(self.database.write(move |db| bundle::create(db, &gauge, by, cid, kind, &bundle)).await?)
    }

    async fn commit(
        &self,
        by: Author,
        cid: ConversationId,
        bundle: AcceptedBundle,
    ) -> Result<Result<Committed, BundleRefusal>, StoreError> {
        let gauge = Arc::clone(&self.gauge);
        Ok(self.database.write(move |db| bundle::commit(db, &gauge, by, cid, &bundle)).await?)
    }

    async fn append(
        &self,
        by: Author,
        cid: ConversationId,
        frames: Vec<AcceptedFrame>,
        at: Timestamp,
        tell: Tell,
    ) -> Result<Result<Appended, NotAdmitted>, StoreError> {
        let gauge = Arc::clone(&self.gauge);
        let work = move |db: &Connection| append::append(db, &gauge, by, cid, &frames, at);
        Ok(self.database.write_and_tell(work, move |appended: &Appended| tell(&appended.woken)).await?)
    }

    async fn is_member(&self, account: AccountId, cid: ConversationId) -> Result<bool, StoreError> {
        Ok(self.database.read(|db| read::is_member(db, account, cid))?)
    }

    async fn conversation(
        &self,
        account: AccountId,
        cid: ConversationId,
        now: Timestamp,
    ) -> Result<Option<Conversation>, StoreError> {
        Ok(self.database.read(|db| read::conversation(db, account, cid, now))?)
    }

    async fn conversations(
        &self,
        account: AccountId,
        after: Option<ConversationId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Result<Vec<ConversationSummary>, BadCursor>, StoreError> {
        Ok(self.database.read(|db| read::conversations(db, account, after, limit, now))?)
    }

    async fn frames(
        &self,
        account: AccountId,
        cid: ConversationId,
        after: u64,
        limits: PageLimits,
    ) -> Result<Result<FramePage, PageRefusal>, StoreError> {
        Ok(self.database.read(|db| read::frames(db, account, cid, after, limits))?)
    }
}

/// Whether this device may write anything: it was not revoked, and its account is not suspended.
pub(super) fn check_author(db: &Connection, by: Author) -> rusqlite::Result<Result<(), NotAdmitted>> {
    let is_there = db
        .prepare_cached("SELECT 1 FROM devices WHERE id = ?1 AND account = ?2 AND revoked_at IS NULL")?
        .exists(params![by.device.0, by.account.0])?;
    if !is_there {
        return Ok(Err(NotAdmitted::DeviceRevoked));
    }
    let is_suspended = operations::is_suspended(db, by.account)?;
    Ok(if is_suspended { Err(NotAdmitted::AccountSuspended) } else { Ok(()) })
}

/// A conversation as a member's write finds it.
pub(super) struct Admitted {
    /// `conversations.id`.
    pub(super) conversation: i64,
    kind: ConversationKind,
    /// As it is stored: a request may have expired.
    pub(super) state: ConversationState,
    generation: u64,
    head: Head,
    sender: Sender,
}

/// The conversation, if the device was not revoked and its account is a member and not suspended; in one statement, because every frame
/// asks it.
pub(super) fn admit(
    db: &Connection,
    by: Author,
    cid: ConversationId,
) -> rusqlite::Result<Result<Admitted, NotAdmitted>> {
    let mut find = db.prepare_cached(
        "SELECT d.revoked_at IS NULL, m.account IS NOT NULL AND m.until IS NULL,
                c.id, c.kind, c.generation, c.epoch, c.seq, c.state,
                EXISTS (SELECT 1 FROM suspensions WHERE account = d.account),
                a.sent_bytes, a.sent_at, a.sent_max
         FROM devices d
         JOIN accounts a ON a.id = d.account
         LEFT JOIN conversations c ON c.cid = ?2
         LEFT JOIN members m ON m.conversation = c.id AND m.account = d.account
         WHERE d.id = ?1 AND d.account = ?3",
    )?;
    let mut rows = find.query(params![by.device.0, cid.as_bytes(), by.account.0])?;
    let Some(row) = rows.next()? else { return Ok(Err(NotAdmitted::DeviceRevoked)) };
    if !row.get(0)? {
        return Ok(Err(NotAdmitted::DeviceRevoked));
    }
    if row.get(8)? {
        return Ok(Err(NotAdmitted::AccountSuspended));
    }
    if !row.get(1)? {
        return Ok(Err(NotAdmitted::NotAMember));
    }
    Ok(Ok(Admitted {
        conversation: row.get(2)?,
        kind: kind(row.get(3)?)?,
        state: state(row.get(7)?)?,
        generation: row.get::<_, i64>(4)?.cast_unsigned(),
        head: Head {
            epoch: row.get::<_, i64>(5)?.cast_unsigned(),
            seq: row.get::<_, i64>(6)?.cast_unsigned(),
        },
        sender: sending::read(row, 9)?,
    }))
}

/// A frame about to be stored.
struct Row<'a> {
    conversation: i64,
    seq: u64,
    mid: MessageId,
    kind: FrameKind,
    at: Timestamp,
    sender: AccountId,
    request_sha256: Option<&'a [u8; 32]>,
    bytes: &'a [u8],
}

/// Stores a frame; its row, or nothing when its id is used in the conversation, also by one that is gone.
///
/// Two statements: for an INSERT from a SELECT, SQLite copies each page aside before it changes it.
fn insert(db: &Connection, frame: &Row<'_>) -> rusqlite::Result<Option<i64>> {
    if spent::is_kept(db, frame.conversation, frame.mid)? {
        return Ok(None);
    }
    let inserted = db
        .prepare_cached(
            "INSERT INTO frames (conversation, seq, mid, kind, at, sender, request_sha256, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (conversation, mid) DO NOTHING",
        )?
        .execute(params![
            frame.conversation,
            frame.seq.cast_signed(),
            frame.mid.as_bytes(),
            frame.kind.byte(),
            frame.at.unix_millis(),
            frame.sender.0,
            frame.request_sha256,
            frame.bytes,
        ])?;
    Ok((inserted == 1).then(|| db.last_insert_rowid()))
}

/// A frame that was stored under an id.
struct Earlier {
    seq: u64,
    at: Timestamp,
    sender: AccountId,
    request_sha256: Option<[u8; 32]>,
    bytes: Vec<u8>,
}

/// What is stored under `mid`.
fn earlier(db: &Connection, conversation: i64, mid: MessageId) -> rusqlite::Result<Option<Earlier>> {
    db.prepare_cached(
        "SELECT seq, at, sender, request_sha256, bytes FROM frames WHERE conversation = ?1 AND mid = ?2",
    )?
    .query_row(params![conversation, mid.as_bytes()], |row| {
        Ok(Earlier {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            at: millis(row.get(1)?, 1)?,
            sender: AccountId(row.get(2)?),
            request_sha256: row.get(3)?,
            bytes: row.get(4)?,
        })
    })
    .optional()
}

/// The column `kind` of conversations.
fn kind_number(kind: ConversationKind) -> i64 {
    match kind {
        ConversationKind::Direct => 0,
        ConversationKind::Group => 1,
        ConversationKind::OwnDevices => 2,
    }
}

/// What the column `kind` of conversations says.
pub(super) fn kind(number: i64) -> rusqlite::Result<ConversationKind> {
    match number {
        0 => Ok(ConversationKind::Direct),
        1 => Ok(ConversationKind::Group),
        2 => Ok(ConversationKind::OwnDevices),
        _ => Err(damaged(0, UnknownNumber)),
    }
}

/// The column `state` of conversations.
fn state_number(state: ConversationState) -> i64 {
    match state {
        ConversationState::Open => 0,
        ConversationState::Pending => 1,
        ConversationState::Closed => 2,
    }
}

/// What the column `state` of conversations says.
pub(super) fn state(number: i64) -> rusqlite::Result<ConversationState> {
    match number {
        0 => Ok(ConversationState::Open),
        1 => Ok(ConversationState::Pending),
        2 => Ok(ConversationState::Closed),
        _ => Err(damaged(0, UnknownNumber)),
    }
}

/// What the column `kind` of frames says.
pub(super) fn frame_kind(number: i64) -> rusqlite::Result<FrameKind> {
    match number {
        1 => Ok(FrameKind::App),
        2 => Ok(FrameKind::Commit),
        _ => Err(damaged(0, UnknownNumber)),
    }
}

/// What a column with Unix milliseconds says.
pub(super) fn millis(number: i64, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_unix_millis(number).ok_or_else(|| damaged(column, kez_core::BadTimestamp))
}

/// A column holds a number that none of its values has.
#[derive(Debug, thiserror::Error)]
#[error("the row is damaged: no value has this number")]
pub(super) struct UnknownNumber;
