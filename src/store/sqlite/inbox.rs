//! Inboxes: each an ordered list of pointers to what its account has to read.

use async_trait::async_trait;
use kez_core::{ContactChange, ConversationId, DeviceId, MessageId, PublicKey, Timestamp};
use kez_serve::sqlite::JobError;
use kez_serve::storage::unrefused;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, contacts, conversations, damaged, read_time, read_u64, retention};
use crate::store::{
    AccountId, AckRefusal, ConversationRow, CursorRefusal, DeviceChange, DeviceRow, EVENT_BYTES, Event,
    InboxLimits, InboxPage, Inboxes, Mailbox, News, NoMailbox, Retention, StoreError, Swept, Woken,
};

#[async_trait]
impl Inboxes for SqliteStore {
    async fn mailbox(&self, device: DeviceRow) -> Result<Result<Mailbox, NoMailbox>, StoreError> {
        Ok(self.database.read(|db| mailbox(db, device))?)
    }

    async fn events(
        &self,
        account: AccountId,
        after: u64,
        limits: InboxLimits,
    ) -> Result<Result<InboxPage, CursorRefusal>, StoreError> {
        Ok(self.database.read(|db| events(db, account, after, limits))?)
    }

    async fn ack(&self, device: DeviceRow, n: u64) -> Result<Result<u64, AckRefusal>, StoreError> {
        Ok(self.database.write(move |db| ack(db, device, n)).await?)
    }

    async fn sweep_inboxes(
        &self,
        after: Option<AccountId>,
        retention: Retention,
    ) -> Result<Swept<AccountId>, StoreError> {
        retention::sweep_inboxes(&self.database, after, retention).await
    }

    async fn sweep_conversations(
        &self,
        after: Option<ConversationRow>,
        retention: Retention,
    ) -> Result<Swept<ConversationRow>, StoreError> {
        retention::sweep_conversations(&self.database, after, retention).await
    }

    async fn noted_time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.database.read(noted_time)?)
    }

    async fn note_time(&self, now: Timestamp) -> Result<(), StoreError> {
        unrefused(self.database.write(move |db| Ok(note_time(db, now)?)).await)
    }
}

/// What an event points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// `frames.id`.
    Frame(i64),
    /// `welcomes.id`.
    Welcome(i64),
    /// What happened to a device of the account, and when.
    Device { device: DeviceRow, change: DeviceChange, at: Timestamp },
    /// What happened between the two of a conversation (`conversations.id`), and when.
    Contact { conversation: i64, change: ContactChange, at: Timestamp },
}

/// Adds one event to an inbox, in the transaction of what it tells about; nothing, where the account has left.
pub(super) fn put(db: &Connection, account: AccountId, subject: Subject) -> rusqlite::Result<Option<Woken>> {
    put_all(db, account, &[subject])
}

/// Adds events to an inbox, in this order; not none. Nothing, where the account has left.
pub(super) fn put_all(
    db: &Connection,
    account: AccountId,
    subjects: &[Subject],
) -> rusqlite::Result<Option<Woken>> {
    let found: Option<(i64, [u8; 32])> = db
        .prepare_cached("SELECT head, primary_key FROM inboxes WHERE account = ?1 AND left_at IS NULL")?
        .query_row([account.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((before, primary)) = found else { return Ok(None) };
    insert(db, account, before, subjects)?;
    let head = before.cast_unsigned() + subjects.len() as u64;
    Ok(Some(Woken { account, primary: PublicKey::from_bytes(primary), head }))
}

/// Adds frames to the inbox of every member of a conversation who has not left the server, in this order; not none.
///
/// First read, then written row by row: one INSERT for all members costs half as much again, because SQLite keeps the rows
/// aside.
pub(super) fn put_frames(db: &Connection, conversation: i64, frames: &[i64]) -> rusqlite::Result<Vec<Woken>> {
    let count = i64::try_from(frames.len()).unwrap_or(i64::MAX);
    let woken: Vec<_> = db
        .prepare_cached(
            "SELECT i.account, i.primary_key, i.head FROM members m JOIN inboxes i ON i.account = m.account
             WHERE m.conversation = ?1 AND m.until IS NULL AND i.left_at IS NULL",
        )?
        .query_map([conversation], |row| {
            Ok(Woken {
                account: AccountId(row.get(0)?),
                primary: PublicKey::from_bytes(row.get(1)?),
                head: read_u64(row, 2)?.saturating_add(count.unsigned_abs()),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut pointer =
        db.prepare_cached("INSERT INTO inbox (account, n, kind, subject) VALUES (?1, ?2, 0, ?3)")?;
    for one in &woken {
        let last = one.head.cast_signed();
        for (frame, n) in frames.iter().zip(last - count + 1..) {
            pointer.execute([one.account.0, n, *frame])?;
        }
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
            Subject::Contact { conversation, change, at } => {
                (3, conversation, Some(contacts::change_number(change)), Some(at.unix_millis()))
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

fn mailbox(db: &Connection, device: DeviceRow) -> rusqlite::Result<Result<Mailbox, NoMailbox>> {
    let mut find = db.prepare_cached(
        "SELECT i.head, i.dropped, d.acked, d.expires_at,
             EXISTS (SELECT 1 FROM suspensions WHERE account = d.account)
         FROM devices d JOIN inboxes i ON i.account = d.account
         WHERE d.id = ?1 AND d.revoked_at IS NULL",
    )?;
    let mut rows = find.query([device.0])?;
    let Some(row) = rows.next()? else { return Ok(Err(NoMailbox::DeviceRevoked)) };
    if row.get(4)? {
        return Ok(Err(NoMailbox::AccountSuspended));
    }
    Ok(Ok(Mailbox {
        head: read_u64(row, 0)?,
        oldest: read_u64(row, 1)? + 1,
        acked: read_u64(row, 2)?,
        expires_at: read_time(row, 3)?,
    }))
}

/// One state for all statements: a sweep between them would leave a gap that nobody sees.
fn events(
    db: &Connection,
    account: AccountId,
    after: u64,
    limits: InboxLimits,
) -> rusqlite::Result<Result<InboxPage, CursorRefusal>> {
    let state = db.unchecked_transaction()?;
    let (head, dropped) = state
        .prepare_cached("SELECT head, dropped FROM inboxes WHERE account = ?1")?
        .query_row([account.0], |row| Ok((read_u64(row, 0)?, read_u64(row, 1)?)))?;
    if after > head {
        return Ok(Err(CursorRefusal::BeyondHead { head }));
    }
    if after < dropped {
        return Ok(Err(CursorRefusal::Gone { oldest: dropped + 1 }));
    }
    let Page { events, missing } = page(&state, account, after, limits)?;
    Ok(match missing {
        Some(n) if events.is_empty() => Err(CursorRefusal::Gone { oldest: n + 1 }),
        _ => Ok(InboxPage { events, head }),
    })
}

pub(super) struct Page {
    pub(super) events: Vec<Event>,
    /// The event after them, if what it points to is not there. That is damage; but an inbox that cannot be read beyond it
    /// would never be read again.
    pub(super) missing: Option<u64>,
}

pub(super) fn page(
    db: &Connection,
    account: AccountId,
    after: u64,
    limits: InboxLimits,
) -> rusqlite::Result<Page> {
    let mut select = db.prepare_cached(
        "SELECT i.n, i.kind, i.subject,
             coalesce(fc.cid, wc.cid, kc.cid), coalesce(f.seq, w.seq), coalesce(f.at, w.at, i.at),
             f.mid, f.kind, wc.kind, d.device_id, i.change, coalesce(f.bytes, w.bytes)
         FROM inbox i
             LEFT JOIN frames f ON i.kind = 0 AND f.id = i.subject
             LEFT JOIN conversations fc ON fc.id = f.conversation
             LEFT JOIN welcomes w ON i.kind = 1 AND w.id = i.subject
             LEFT JOIN conversations wc ON wc.id = w.conversation
             LEFT JOIN devices d ON i.kind = 2 AND d.id = i.subject
             LEFT JOIN conversations kc ON i.kind = 3 AND kc.id = i.subject
         WHERE i.account = ?1 AND i.n > ?2 ORDER BY i.n LIMIT ?3",
    )?;
    let mut rows = select.query(params![account.0, after.cast_signed(), limits.events])?;
    let (mut events, mut left) = (Vec::new(), limits.bytes);
    while let Some(row) = rows.next()? {
        if row.get_ref(5)? == ValueRef::Null {
            let n = read_u64(row, 0)?;
            tracing::error!(account = account.0, n, "an event of an inbox points to nothing");
            return Ok(Page { events, missing: Some(n) });
        }
        let bytes = row.get_ref(11)?.as_blob_or_null().ok().flatten().map_or(0, <[u8]>::len);
        match left.checked_sub(EVENT_BYTES + bytes) {
            Some(rest) => left = rest,
            None if events.is_empty() => left = 0,
            None => break,
        }
        events.push(Event { n: read_u64(row, 0)?, news: news(db, account, row)? });
    }
    Ok(Page { events, missing: None })
}

fn news(db: &Connection, account: AccountId, row: &Row<'_>) -> rusqlite::Result<News> {
    let at = conversations::millis(row.get(5)?, 5)?;
    match row.get(1)? {
        0 => Ok(News::Frame {
            cid: ConversationId::from_bytes(row.get(3)?),
            seq: read_u64(row, 4)?,
            at,
            mid: MessageId::from_bytes(row.get(6)?),
            kind: conversations::frame_kind(row.get(7)?)?,
            frame: row.get(11)?,
        }),
        1 => Ok(News::Welcome {
            cid: ConversationId::from_bytes(row.get(3)?),
            kind: conversations::kind(row.get(8)?)?,
            seq: read_u64(row, 4)?,
            at,
            welcome: row.get(11)?,
            device_ids: recipients(db, row.get(2)?, account)?,
        }),
        2 => Ok(News::Device {
            device_id: DeviceId::from_bytes(row.get(9)?),
            change: change(row.get(10)?)?,
            at,
        }),
        3 => Ok(News::Contact {
            cid: ConversationId::from_bytes(row.get(3)?),
            change: contacts::change(row.get(10)?)?,
            at,
            peer: contacts::peer_in(db, account, row.get(2)?)?,
        }),
        _ => Err(damaged(1, conversations::UnknownNumber)),
    }
}

fn recipients(db: &Connection, welcome: i64, account: AccountId) -> rusqlite::Result<Vec<DeviceId>> {
    db.prepare_cached(
        "SELECT device_id FROM welcome_recipients WHERE welcome = ?1 AND account = ?2 ORDER BY device_id",
    )?
    .query_map([welcome, account.0], |row| row.get(0).map(DeviceId::from_bytes))?
    .collect()
}

fn ack(db: &Connection, device: DeviceRow, n: u64) -> Result<u64, JobError<AckRefusal>> {
    let mailbox = mailbox(db, device)?.map_err(|fault| JobError::Refused(fault.into()))?;
    if n > mailbox.head {
        return Err(JobError::Refused(AckRefusal::BeyondHead { head: mailbox.head }));
    }
    if n > mailbox.acked {
        db.prepare_cached("UPDATE devices SET acked = ?2 WHERE id = ?1")?
            .execute([device.0, n.cast_signed()])?;
    }
    Ok(n.max(mailbox.acked))
}

fn noted_time(db: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    db.prepare_cached("SELECT at FROM noted_time")?.query_row([], |row| read_time(row, 0)).optional()
}

fn note_time(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO noted_time (one, at) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET at = excluded.at",
    )?
    .execute([now.unix_seconds()])
    .map(drop)
}

fn change(number: i64) -> rusqlite::Result<DeviceChange> {
    match number {
        0 => Ok(DeviceChange::Enrolled),
        1 => Ok(DeviceChange::Renewed),
        2 => Ok(DeviceChange::Revoked),
        _ => Err(damaged(10, conversations::UnknownNumber)),
    }
}
