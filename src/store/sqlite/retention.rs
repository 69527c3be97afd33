//! What the inboxes and conversations no longer need.
//!
//! Three invariants:
//! - Events leave an inbox from its front only: `accounts.inbox_dropped` says how far.
//! - `members.delivered` is how far the frames of a conversation have left the inbox of a member. It moves with the events,
//!   in their transaction.
//! - A frame goes when it has left the inbox of every member it was for: `conversations.oldest` says how far.
//!
//! No time is part of them, since a clock may be set back: what came later may look older. Only what is to leave an inbox
//! is chosen by age.
//!
//! So whatever moment a sweep is broken off at, no inbox points to a frame that is gone.

use std::collections::BTreeMap;

use kez_serve::sqlite::Database;
use kez_serve::storage::unrefused;
use rusqlite::{Connection, OptionalExtension as _};

use super::conversations::spent;
use crate::store::{AccountId, ConversationRow, Retention, StoreError, Swept};

/// Accounts that one portion looks at. Some hundred microseconds on a runtime thread.
const SCAN_ROWS: i64 = 64;

/// Conversations that one portion looks at. Fewer, because what it reads of them is read by nobody else, and may have to
/// come from the disk.
const SCAN_CONVERSATIONS: i64 = 16;

/// Events or frames that one portion drops. The pages of 128 of the largest frames are freed in about 5 ms, for which
/// everybody else's writes wait.
const DROP_ROWS: i64 = 128;

/// A portion of the inboxes: looked for on a reader, dropped by the writer.
pub(super) async fn sweep_inboxes(
    database: &Database,
    after: Option<AccountId>,
    retention: Retention,
) -> Result<Swept<AccountId>, StoreError> {
    let (last, due) = database.read(|db| due_inboxes(db, after.map_or(0, |account| account.0), retention))?;
    let next = last.map(AccountId);
    if due.is_empty() {
        return Ok(Swept { events: 0, frames: 0, next });
    }
    unrefused(database.write(move |db| Ok(drop_events(db, &due, next, retention)?)).await)
}

/// The next accounts, as far as they were looked at (`None`: to the end), and those of them with something to drop.
fn due_inboxes(
    db: &Connection,
    after: i64,
    retention: Retention,
) -> rusqlite::Result<(Option<i64>, Vec<i64>)> {
    let mut accounts = db.prepare_cached("SELECT id FROM accounts WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let accounts: Vec<i64> =
        accounts.query_map([after, SCAN_ROWS], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let more = i64::try_from(accounts.len()).is_ok_and(|count| count == SCAN_ROWS);
    let last = if more { accounts.last().copied() } else { None };
    let mut due = Vec::new();
    for account in accounts {
        let first = front(db, account, 1)?;
        let floor = acknowledged(db, account, retention)?;
        if first.first().is_some_and(|event| event.may_go(floor, retention)) {
            due.push(account);
        }
    }
    Ok((last, due))
}

fn drop_events(
    db: &Connection,
    due: &[i64],
    next: Option<AccountId>,
    retention: Retention,
) -> rusqlite::Result<Swept<AccountId>> {
    let mut swept = Swept { events: 0, frames: 0, next };
    let mut room = DROP_ROWS;
    for &account in due {
        let (events, frames) = drop_front(db, account, room, retention)?;
        room -= events;
        swept.events += events.unsigned_abs();
        swept.frames += frames;
        if room == 0 {
            // It may have more; it and those after it come again.
            swept.next = Some(AccountId(account - 1));
            break;
        }
    }
    Ok(swept)
}

/// Drops a portion of an inbox, whatever its age; whether there was anything.
pub(super) fn drop_any(db: &Connection, account: AccountId) -> rusqlite::Result<bool> {
    let events = front(db, account.0, DROP_ROWS)?;
    drop_these(db, account.0, &events, i64::MAX)?; // nobody sends anything again
    Ok(!events.is_empty())
}

/// Drops up to `room` events from the front of an inbox; how many, and how many frames went with them.
fn drop_front(
    db: &Connection,
    account: i64,
    room: i64,
    retention: Retention,
) -> rusqlite::Result<(i64, u64)> {
    let floor = acknowledged(db, account, retention)?;
    let mut events = front(db, account, room)?;
    let kept = events.iter().position(|event| !event.may_go(floor, retention));
    events.truncate(kept.unwrap_or(events.len()));
    let frames = drop_these(db, account, &events, floor)?;
    Ok((i64::try_from(events.len()).unwrap_or(room), frames))
}

/// Drops these events, which are the front of an inbox; how many frames went with them. Up to `floor` every active device
/// acknowledged.
fn drop_these(db: &Connection, account: i64, events: &[Front], floor: i64) -> rusqlite::Result<u64> {
    let Some(last) = events.last() else { return Ok(0) };
    db.prepare_cached("DELETE FROM inbox WHERE account = ?1 AND n <= ?2")?.execute([account, last.n])?;
    db.prepare_cached("UPDATE accounts SET inbox_dropped = ?2 WHERE id = ?1")?.execute([account, last.n])?;
    for welcome in events.iter().filter_map(|event| event.welcome) {
        let_go_of_welcome(db, welcome, account)?;
    }
    // By age alone: some device has not acknowledged them.
    for (conversation, seq) in events.iter().filter(|event| event.n > floor).filter_map(|event| event.frame) {
        spent::keep(db, account, conversation, seq)?;
    }
    let mut frames = 0;
    for (conversation, seq) in delivered(events) {
        db.prepare_cached(
            "UPDATE members SET delivered = max(delivered, ?3) WHERE conversation = ?1 AND account = ?2",
        )?
        .execute([conversation, account, seq])?;
        frames += drop_frames(db, conversation, delivered_to_all(db, conversation)?)?;
    }
    Ok(frames)
}

/// An event at the front of an inbox.
struct Front {
    n: i64,
    /// Unix milliseconds; `None`: what it points to is gone.
    at: Option<i64>,
    /// Of a frame: its conversation and its number there.
    frame: Option<(i64, i64)>,
    /// Of a Welcome: its row.
    welcome: Option<i64>,
}

impl Front {
    fn may_go(&self, floor: i64, retention: Retention) -> bool {
        let before = |limit: kez_core::Timestamp| self.at.is_none_or(|at| at <= limit.unix_millis());
        before(retention.expired_at) || (self.n <= floor && before(retention.settled_at))
    }
}

fn front(db: &Connection, account: i64, events: i64) -> rusqlite::Result<Vec<Front>> {
    db.prepare_cached(
        "SELECT i.n, coalesce(i.at, f.at, w.at), f.conversation, f.seq, w.id
         FROM inbox i
             LEFT JOIN frames f ON i.kind = 0 AND f.id = i.subject
             LEFT JOIN welcomes w ON i.kind = 1 AND w.id = i.subject
         WHERE i.account = ?1 ORDER BY i.n LIMIT ?2",
    )?
    .query_map([account, events], |row| {
        let frame = row.get::<_, Option<i64>>(2)?.zip(row.get(3)?);
        Ok(Front { n: row.get(0)?, at: row.get(1)?, frame, welcome: row.get(4)? })
    })?
    .collect()
}

/// Up to which event every active device has acknowledged; 0 where no device is active: somebody may come back with
/// another one, and what is left until then is for it to say that it is gone.
fn acknowledged(db: &Connection, account: i64, retention: Retention) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "SELECT coalesce(min(acked), 0) FROM devices
         WHERE account = ?1 AND revoked_at IS NULL AND expires_at > ?2",
    )?
    .query_row([account, retention.now.unix_seconds()], |row| row.get(0))
}

/// The highest frame of each conversation among these events.
fn delivered(events: &[Front]) -> BTreeMap<i64, i64> {
    // Later events of a conversation have higher numbers, and come later.
    events.iter().filter_map(|event| event.frame).collect()
}

pub(super) fn let_go_of_welcome(db: &Connection, welcome: i64, account: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM welcome_recipients WHERE welcome = ?1 AND account = ?2")?
        .execute([welcome, account])?;
    db.prepare_cached(
        "DELETE FROM welcomes WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM welcome_recipients WHERE welcome = ?1)",
    )?
    .execute([welcome])?;
    Ok(())
}

/// Up to which frame every member's inbox has let go. Whoever left needs what came until then; whoever left the
/// server needs nothing.
fn delivered_to_all(db: &Connection, conversation: i64) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "SELECT coalesce(min(m.delivered), c.seq)
         FROM conversations c LEFT JOIN (members m JOIN accounts a ON a.id = m.account AND a.left_at IS NULL)
             ON m.conversation = c.id AND (m.until IS NULL OR m.delivered < m.until)
         WHERE c.id = ?1",
    )?
    .query_row([conversation], |row| row.get(0))
}

/// Drops the frames up to `through`, or as many of them as a portion may.
fn drop_frames(db: &Connection, conversation: i64, through: i64) -> rusqlite::Result<u64> {
    let first = first_frame(db, conversation)?.filter(|first| first.seq <= through);
    let Some(First { seq, .. }) = first else { return Ok(0) };
    let through = through.min(seq + DROP_ROWS - 1);
    let dropped = db
        .prepare_cached("DELETE FROM frames WHERE conversation = ?1 AND seq <= ?2")?
        .execute([conversation, through])?;
    db.prepare_cached("UPDATE conversations SET oldest = max(oldest, ?2) WHERE id = ?1")?
        .execute([conversation, through + 1])?;
    Ok(u64::try_from(dropped).unwrap_or(u64::MAX))
}

/// A portion of the conversations: as many as are looked at, or one that has frames to drop; there is rarely any.
pub(super) async fn sweep_conversations(
    database: &Database,
    after: Option<ConversationRow>,
    retention: Retention,
) -> Result<Swept<ConversationRow>, StoreError> {
    let after = after.map_or(0, |row| row.0);
    match database.read(|db| look(db, after, retention))? {
        Found::Nothing { last } => Ok(Swept { events: 0, frames: 0, next: last.map(ConversationRow) }),
        Found::SpentIds => {
            let job = database.write(move |db| Ok(spent::forget(db, retention.expired_at, DROP_ROWS)?));
            unrefused(job.await)?;
            Ok(Swept { events: 0, frames: 0, next: Some(ConversationRow(after)) })
        }
        Found::Frames { conversation, through } => {
            let job = database.write(move |db| Ok(drop_frames(db, conversation, through)?));
            // It may have more, and comes again.
            Ok(Swept {
                events: 0,
                frames: unrefused(job.await)?,
                next: Some(ConversationRow(conversation - 1)),
            })
        }
    }
}

/// What a look at conversations finds.
enum Found {
    /// Message ids that have been kept for long enough.
    SpentIds,
    /// No frames to drop as far as it looked; `None`: to the end.
    Nothing { last: Option<i64> },
    /// Frames to drop, up to this one.
    Frames { conversation: i64, through: i64 },
}

fn look(db: &Connection, after: i64, retention: Retention) -> rusqlite::Result<Found> {
    let state = db.unchecked_transaction()?;
    if spent::are_due(&state, retention.expired_at)? {
        return Ok(Found::SpentIds);
    }
    let rows: Vec<i64> = state
        .prepare_cached("SELECT id FROM conversations WHERE id > ?1 ORDER BY id LIMIT ?2")?
        .query_map([after, SCAN_CONVERSATIONS], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let expired = retention.expired_at.unix_millis();
    for &conversation in &rows {
        let Some(first) = first_frame(&state, conversation)? else { continue };
        let mut through = delivered_to_all(&state, conversation)?;
        // The rest is for what an expired event left over, and costs something for each member.
        if through < first.seq && first.at <= expired {
            through = needed_by_nobody(&state, conversation)?;
        }
        if first.seq <= through {
            return Ok(Found::Frames { conversation, through });
        }
    }
    let more = i64::try_from(rows.len()).is_ok_and(|count| count == SCAN_CONVERSATIONS);
    Ok(Found::Nothing { last: if more { rows.last().copied() } else { None } })
}

/// The first frame of a conversation that is still there.
struct First {
    seq: i64,
    /// Unix milliseconds.
    at: i64,
}

fn first_frame(db: &Connection, conversation: i64) -> rusqlite::Result<Option<First>> {
    db.prepare_cached("SELECT seq, at FROM frames WHERE conversation = ?1 ORDER BY seq LIMIT 1")?
        .query_row([conversation], |row| Ok(First { seq: row.get(0)?, at: row.get(1)? }))
        .optional()
}

/// Up to which frame no member's inbox points to any. Besides what was delivered, that is what comes before the first
/// frame that an inbox points to at all: rows of frames have rising ids, and inboxes get their pointers in that order.
/// Who was removed and came back has a gap there, which nothing ever delivers.
fn needed_by_nobody(db: &Connection, conversation: i64) -> rusqlite::Result<i64> {
    let mut members = db.prepare_cached(
        "SELECT m.account, m.delivered FROM members m JOIN accounts a ON a.id = m.account AND a.left_at IS NULL
         WHERE m.conversation = ?1 AND (m.until IS NULL OR m.delivered < m.until)",
    )?;
    let mut rows = members.query([conversation])?;
    let mut through: i64 = db
        .prepare_cached("SELECT seq FROM conversations WHERE id = ?1")?
        .query_row([conversation], |row| row.get(0))?;
    while let Some(row) = rows.next()? {
        let (account, delivered): (i64, i64) = (row.get(0)?, row.get(1)?);
        through = through.min(delivered.max(passed_over(db, account, conversation)?));
    }
    Ok(through)
}

/// The last of a conversation's first frames that come before everything an inbox points to.
fn passed_over(db: &Connection, account: i64, conversation: i64) -> rusqlite::Result<i64> {
    let pointed_to: Option<i64> = db
        .prepare_cached("SELECT subject FROM inbox WHERE account = ?1 AND kind = 0 ORDER BY n LIMIT 1")?
        .query_row([account], |row| row.get(0))
        .optional()?;
    // The index has all of this: no frame is read.
    db.prepare_cached(
        "SELECT coalesce(max(seq), 0)
         FROM (SELECT seq, id FROM frames WHERE conversation = ?1 ORDER BY seq LIMIT ?2) WHERE id < ?3",
    )?
    .query_row([conversation, DROP_ROWS, pointed_to.unwrap_or(i64::MAX)], |row| row.get(0))
}
