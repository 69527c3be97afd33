//! Contacts: two rows for two people, which change together.

use async_trait::async_trait;
use kez_core::{ContactChange, ContactState, ConversationId, ConversationState, PublicKey, Timestamp};
use kez_serve::sqlite::JobError;
#[cfg(test)]
use kez_serve::storage::unrefused;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::conversations::{UnknownNumber, admit, check_author, millis};
use super::inbox::{self, Subject};
use super::{SqliteStore, damaged, read_time};
use crate::contacts::{self, Acceptance, Removal, Standing, Writable};
use crate::store::{
    AcceptRefusal, AccountId, Answered, Author, BadCursor, Contact, Contacts, NotAdmitted, Peer,
    RemoveRefusal, Removed, StoreError, Woken,
};

/// Expired requests that are let go with each new one, of each side: more than one adds, so that they cannot pile up.
const LET_GO_WITH_REQUEST: u32 = 4;

#[async_trait]
impl Contacts for SqliteStore {
    async fn contacts(
        &self,
        account: AccountId,
        after: Option<PublicKey>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Result<Vec<Contact>, BadCursor>, StoreError> {
        Ok(self.database.read(|db| list(db, account, after, limit, now))?)
    }

    async fn accept(
        &self,
        by: Author,
        cid: ConversationId,
        at: Timestamp,
    ) -> Result<Result<Answered, AcceptRefusal>, StoreError> {
        Ok(self.database.write(move |db| accept(db, by, cid, at)).await?)
    }

    async fn remove_contact(
        &self,
        by: Author,
        peer: PublicKey,
        at: Timestamp,
    ) -> Result<Result<Removed, RemoveRefusal>, StoreError> {
        Ok(self.database.write(move |db| remove(db, by, &peer, at)).await?)
    }

    #[cfg(test)]
    async fn befriend_everybody(&self) {
        let all = "INSERT INTO contacts (account, peer, state, asked_at, at)
                   SELECT one.id, other.id, 2, 0, 0 FROM accounts one JOIN accounts other ON one.id <> other.id
                   WHERE true ON CONFLICT DO NOTHING";
        let job = self.database.write(move |db| {
            db.execute(all, [])?;
            Ok(())
        });
        unrefused(job.await).expect("the store works");
    }
}

/// The conversation of two people.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) conversation: i64,
    pub(super) cid: ConversationId,
    pub(super) generation: u64,
}

/// Their conversation, if they have one.
pub(super) fn pair(db: &Connection, one: AccountId, other: AccountId) -> rusqlite::Result<Option<Pair>> {
    db.prepare_cached(
        "SELECT c.id, c.cid, c.generation FROM pairs p JOIN conversations c ON c.id = p.conversation
         WHERE p.low = min(?1, ?2) AND p.high = max(?1, ?2)",
    )?
    .query_row([one.0, other.0], |row| {
        Ok(Pair {
            conversation: row.get(0)?,
            cid: ConversationId::from_bytes(row.get(1)?),
            generation: row.get::<_, i64>(2)?.cast_unsigned(),
        })
    })
    .optional()
}

/// How `peer` stands to `account` at `now`.
pub(super) fn standing(
    db: &Connection,
    account: AccountId,
    peer: AccountId,
    now: Timestamp,
) -> rusqlite::Result<Standing> {
    let stored = db
        .prepare_cached("SELECT state, asked_at FROM contacts WHERE account = ?1 AND peer = ?2")?
        .query_row([account.0, peer.0], view)
        .optional()?;
    Ok(Standing::of(stored, now))
}

/// How the other side of a conversation of two stands to `account` at `now`.
pub(super) fn standing_in(
    db: &Connection,
    account: AccountId,
    conversation: i64,
    now: Timestamp,
) -> rusqlite::Result<Standing> {
    let stored = db
        .prepare_cached(
            "SELECT k.state, k.asked_at FROM pairs p
             JOIN contacts k ON k.account = ?1 AND k.peer = p.low + p.high - ?1
             WHERE p.conversation = ?2",
        )?
        .query_row([account.0, conversation], view)
        .optional()?;
    Ok(Standing::of(stored, now))
}

fn view(row: &Row<'_>) -> rusqlite::Result<(ContactState, Timestamp)> {
    Ok((state(row.get(0)?)?, millis(row.get(1)?, 1)?))
}

/// What `account` may write to a conversation that is stored as `stored`.
pub(super) fn writable(
    db: &Connection,
    account: AccountId,
    conversation: i64,
    stored: ConversationState,
    now: Timestamp,
) -> rusqlite::Result<Writable> {
    let standing = match stored {
        ConversationState::Pending => standing_in(db, account, conversation, now)?,
        ConversationState::Open | ConversationState::Closed => Standing::Stranger, // does not count
    };
    Ok(contacts::writable(stored, standing))
}

/// The state of a conversation that is stored as `stored`, at `now`.
pub(super) fn state_now(
    db: &Connection,
    account: AccountId,
    conversation: i64,
    stored: ConversationState,
    now: Timestamp,
) -> rusqlite::Result<ConversationState> {
    match stored {
        ConversationState::Pending => {
            Ok(contacts::state(stored, standing_in(db, account, conversation, now)?))
        }
        ConversationState::Open | ConversationState::Closed => Ok(stored),
    }
}

/// Where a closed conversation goes on.
pub(super) fn replaced_by(db: &Connection, conversation: i64) -> rusqlite::Result<Option<ConversationId>> {
    db.prepare_cached("SELECT replaced_by FROM conversations WHERE id = ?1")?
        .query_row([conversation], |row| Ok(row.get::<_, Option<_>>(0)?.map(ConversationId::from_bytes)))
}

/// Whether there is room for one more request between these, once those that have expired are let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// The sender has as many waiting as it may.
    SenderFull,
    /// For the recipient wait as many as may.
    RecipientFull,
}

/// Looks for room for a request at `now`. To be called once it is stored: it is among those that are counted.
pub(super) fn room(
    db: &Connection,
    sender: AccountId,
    recipient: AccountId,
    now: Timestamp,
) -> rusqlite::Result<Room> {
    for account in [sender, recipient] {
        let_go(db, account, now)?;
    }
    let mut count = db.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM contacts
             WHERE account = ?1 AND state = ?2 AND state <> 2 AND asked_at > ?3 LIMIT ?4 + 1)",
    )?;
    let mut is_full = |account: AccountId, state, max: u32| -> rusqlite::Result<bool> {
        let waiting: u32 = count
            .query_row(params![account.0, number(state), contacts::asked_before(now), max], |row| {
                row.get(0)
            })?;
        Ok(waiting > max)
    };
    if is_full(sender, ContactState::Outgoing, contacts::REQUESTS_SENT_MAX)? {
        return Ok(Room::SenderFull);
    }
    let is_full = is_full(recipient, ContactState::Incoming, contacts::REQUESTS_RECEIVED_MAX)?;
    Ok(if is_full { Room::RecipientFull } else { Room::Enough })
}

/// Lets some requests of an account go that have expired: their conversations are closed for good, and lose what
/// nobody joins by any more.
fn let_go(db: &Connection, account: AccountId, now: Timestamp) -> rusqlite::Result<()> {
    let expired: Vec<i64> = db
        .prepare_cached(
            "SELECT peer FROM contacts WHERE account = ?1 AND state <> 2 AND asked_at <= ?2 LIMIT ?3",
        )?
        .query_map(params![account.0, contacts::asked_before(now), LET_GO_WITH_REQUEST], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for peer in expired {
        part(db, account, AccountId(peer))?;
    }
    Ok(())
}

/// Stores what two people are to each other: `mine` of `account`, `theirs` of `peer`.
pub(super) fn set(
    db: &Connection,
    (account, mine): (AccountId, ContactState),
    (peer, theirs): (AccountId, ContactState),
    asked_at: Timestamp,
) -> rusqlite::Result<()> {
    let mut set = db.prepare_cached(
        "INSERT INTO contacts (account, peer, state, asked_at, at) VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (account, peer) DO UPDATE SET state = excluded.state, asked_at = excluded.asked_at, at = excluded.at",
    )?;
    for (whose, of, state) in [(account, peer, mine), (peer, account, theirs)] {
        set.execute(params![whose.0, of.0, number(state), asked_at.unix_millis()])?;
    }
    Ok(())
}

fn both_ways((one, other): (i64, i64)) -> [(i64, i64); 2] {
    [(one, other), (other, one)]
}

/// Whether these have accepted each other.
pub(super) fn are_contacts(db: &Connection, one: AccountId, other: AccountId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM contacts WHERE account = ?1 AND peer = ?2 AND state = 2")?
        .exists([one.0, other.0])
}

/// Makes contacts of two people, one of whom asked the other by this conversation.
pub(super) fn make_contacts(
    db: &Connection,
    by: AccountId,
    conversation: i64,
    at: Timestamp,
) -> rusqlite::Result<Vec<Woken>> {
    db.prepare_cached("UPDATE conversations SET state = 0 WHERE id = ?1")?.execute([conversation])?;
    let pair = db
        .prepare_cached("SELECT low, high FROM pairs WHERE conversation = ?1")?
        .query_row([conversation], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (account, peer) in both_ways(pair) {
        db.prepare_cached("UPDATE contacts SET state = 2, at = ?3 WHERE account = ?1 AND peer = ?2")?
            .execute([account, peer, at.unix_millis()])?;
    }
    tell(db, by, conversation, ContactChange::Accepted, at)
}

/// Tells the two of a conversation what happened by one of them.
fn tell(
    db: &Connection,
    _by: AccountId,
    conversation: i64,
    change: ContactChange,
    at: Timestamp,
) -> rusqlite::Result<Vec<Woken>> {
    let members: Vec<_> = db
        .prepare_cached("SELECT account FROM members WHERE conversation = ?1 AND until IS NULL")?
        .query_map([conversation], |row| row.get(0).map(AccountId))?
        .collect::<rusqlite::Result<_>>()?;
    let subject = Subject::Contact { conversation, change, at };
    let woken = members.into_iter().filter_map(|account| inbox::put(db, account, subject).transpose());
    woken.collect()
}

/// Makes strangers of two people, and closes their conversation; that one, if there was one.
fn part(db: &Connection, account: AccountId, peer: AccountId) -> rusqlite::Result<Option<Pair>> {
    for (account, peer) in both_ways((account.0, peer.0)) {
        db.prepare_cached("DELETE FROM contacts WHERE account = ?1 AND peer = ?2")?
            .execute([account, peer])?;
    }
    let pair = pair(db, account, peer)?;
    if let Some(pair) = pair {
        close(db, pair.conversation)?;
    }
    Ok(pair)
}

/// Lets nobody write to a conversation of two any more: whoever is in it goes on to read it. A device that joins by
/// itself has nothing to join.
pub(super) fn close(db: &Connection, conversation: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM pairs WHERE conversation = ?1")?.execute([conversation])?;
    db.prepare_cached("UPDATE conversations SET state = 2 WHERE id = ?1")?.execute([conversation])?;
    db.prepare_cached("UPDATE group_infos SET bytes = x'' WHERE conversation = ?1")?
        .execute([conversation])
        .map(drop)
}

fn accept(
    db: &Connection,
    by: Author,
    cid: ConversationId,
    at: Timestamp,
) -> Result<Answered, JobError<AcceptRefusal>> {
    let refused = |refusal| Err(JobError::Refused(refusal));
    let admitted = admit(db, by, cid)?.map_err(|refusal| JobError::Refused(refusal.into()))?;
    let standing = standing_in(db, by.account, admitted.conversation, at)?;
    match contacts::accept(admitted.state, standing) {
        Acceptance::Nothing => Ok(Answered { woken: Vec::new() }),
        Acceptance::Pending => refused(AcceptRefusal::Pending),
        Acceptance::Closed => {
            refused(AcceptRefusal::Closed { replaced_by: replaced_by(db, admitted.conversation)? })
        }
        Acceptance::Accepts => {
            Ok(Answered { woken: make_contacts(db, by.account, admitted.conversation, at)? })
        }
    }
}

fn remove(
    db: &Connection,
    by: Author,
    peer: &PublicKey,
    at: Timestamp,
) -> Result<Removed, JobError<RemoveRefusal>> {
    let stranger = Removed { state: None, woken: Vec::new() };
    check_author(db, by)?.map_err(|refusal: NotAdmitted| JobError::Refused(refusal.into()))?;
    let Some(peer) = account(db, peer)? else { return Ok(stranger) };
    let standing = standing(db, by.account, peer, at)?;
    match contacts::remove(standing) {
        Removal::Nothing => Ok(Removed {
            state: matches!(standing, Standing::Known(_)).then_some(ContactState::Declined),
            ..stranger
        }),
        Removal::Pending => Err(JobError::Refused(RemoveRefusal::Pending)),
        Removal::Declines => {
            let woken = decline(db, by.account, peer, at)?;
            Ok(Removed { state: Some(ContactState::Declined), woken })
        }
        Removal::Parts => {
            let Some(pair) = part(db, by.account, peer)? else { return Ok(stranger) };
            let woken = tell(db, by.account, pair.conversation, ContactChange::Closed, at)?;
            Ok(Removed { state: None, woken })
        }
    }
}

/// Only who declines is told: with all devices.
fn decline(
    db: &Connection,
    account: AccountId,
    peer: AccountId,
    at: Timestamp,
) -> rusqlite::Result<Vec<Woken>> {
    db.prepare_cached("UPDATE contacts SET state = 3, at = ?3 WHERE account = ?1 AND peer = ?2")?
        .execute([account.0, peer.0, at.unix_millis()])?;
    let Some(Pair { conversation, .. }) = pair(db, account, peer)? else { return Ok(Vec::new()) };
    let subject = Subject::Contact { conversation, change: ContactChange::Declined, at };
    Ok(inbox::put(db, account, subject)?.into_iter().collect())
}

fn account(db: &Connection, primary: &PublicKey) -> rusqlite::Result<Option<AccountId>> {
    db.prepare_cached("SELECT id FROM accounts WHERE primary_key = ?1")?
        .query_row([primary.as_bytes()], |row| row.get(0).map(AccountId))
        .optional()
}

fn list(
    db: &Connection,
    whose: AccountId,
    after: Option<PublicKey>,
    limit: u32,
    now: Timestamp,
) -> rusqlite::Result<Result<Vec<Contact>, BadCursor>> {
    let state_of_all = db.unchecked_transaction()?;
    let after = match after {
        None => 0,
        Some(primary) => match account(&state_of_all, &primary)? {
            None => return Ok(Err(BadCursor)),
            Some(account) => account.0,
        },
    };
    let page = state_of_all
        .prepare_cached(
            "SELECT k.state, k.asked_at, k.at, a.primary_key, h.handle, h.registered_at, c.cid, c.generation
             FROM contacts k JOIN accounts a ON a.id = k.peer
                 LEFT JOIN handles h ON h.primary_key = a.primary_key
                 LEFT JOIN pairs p ON p.low = min(k.account, k.peer) AND p.high = max(k.account, k.peer)
                 LEFT JOIN conversations c ON c.id = p.conversation
             WHERE k.account = ?1 AND k.peer > ?2 AND (k.state = 2 OR k.asked_at > ?3)
             ORDER BY k.peer LIMIT ?4",
        )?
        .query_map(params![whose.0, after, contacts::asked_before(now), limit], contact)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Ok(page))
}

fn contact(row: &Row<'_>) -> rusqlite::Result<Contact> {
    let cid = row.get::<_, Option<_>>(6)?.map(ConversationId::from_bytes);
    Ok(Contact {
        state: state(row.get(0)?)?,
        asked_at: millis(row.get(1)?, 1)?,
        at: millis(row.get(2)?, 2)?,
        peer: read_peer(row, 3)?,
        conversation: cid.zip(row.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned)),
    })
}

/// The other side of a conversation of two; `None`: it has left the server.
pub(super) fn peer_in(
    db: &Connection,
    account: AccountId,
    conversation: i64,
) -> rusqlite::Result<Option<Peer>> {
    db.prepare_cached(
        "SELECT a.primary_key, h.handle, h.registered_at
         FROM members m JOIN accounts a ON a.id = m.account LEFT JOIN handles h ON h.primary_key = a.primary_key
         WHERE m.conversation = ?1 AND m.account <> ?2 AND a.left_at IS NULL",
    )?
    .query_row([conversation, account.0], |row| read_peer(row, 0))
    .optional()
}

/// Three columns: the key, the handle and since when it is held.
fn read_peer(row: &Row<'_>, first: usize) -> rusqlite::Result<Peer> {
    let handle = match row.get_ref(first + 1)?.as_str_or_null()? {
        None => None,
        Some(text) => {
            let handle = text.parse().map_err(|error| damaged(first + 1, error))?;
            Some((handle, read_time(row, first + 2)?))
        }
    };
    Ok(Peer { primary: PublicKey::from_bytes(row.get(first)?), handle })
}

/// The column `state` of contacts.
fn number(state: ContactState) -> i64 {
    match state {
        ContactState::Outgoing => 0,
        ContactState::Incoming => 1,
        ContactState::Accepted => 2,
        ContactState::Declined => 3,
    }
}

pub(super) fn state(number: i64) -> rusqlite::Result<ContactState> {
    match number {
        0 => Ok(ContactState::Outgoing),
        1 => Ok(ContactState::Incoming),
        2 => Ok(ContactState::Accepted),
        3 => Ok(ContactState::Declined),
        _ => Err(damaged(0, UnknownNumber)),
    }
}

/// The column `change` of events about contacts.
pub(super) fn change_number(change: ContactChange) -> i64 {
    match change {
        ContactChange::Outgoing => 0,
        ContactChange::Incoming => 1,
        ContactChange::Accepted => 2,
        ContactChange::Declined => 3,
        ContactChange::Closed => 4,
        ContactChange::Replaced => 5,
    }
}

pub(super) fn change(number: i64) -> rusqlite::Result<ContactChange> {
    match number {
        0 => Ok(ContactChange::Outgoing),
        1 => Ok(ContactChange::Incoming),
        2 => Ok(ContactChange::Accepted),
        3 => Ok(ContactChange::Declined),
        4 => Ok(ContactChange::Closed),
        5 => Ok(ContactChange::Replaced),
        _ => Err(damaged(0, UnknownNumber)),
    }
}
