//! Creation and commits: a bundle is stored whole, or refused and nothing of it is.

use std::collections::{BTreeMap, BTreeSet};

use kez_core::{
    ContactChange, ContactState, ConversationId, ConversationKind, ConversationState, FrameKind, PublicKey,
};
use kez_serve::sqlite::JobError;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Admitted, Row, admit, check_author, earlier, insert, kind_number, millis, state, state_number};
use crate::contacts::{Beginning, REQUEST_BUNDLE_BYTES_MAX, Writable, begin};
use crate::sending::NoRoom;
use crate::store::sqlite::inbox::{self, Subject};
use crate::store::sqlite::sending::{self, Gauge};
use crate::store::sqlite::{contacts, leaving};
use crate::store::{
    AcceptedBundle, AccountId, Author, BundleRefusal, CONVERSATIONS_MAX, Committed, Creation, FrameRefusal,
    MembersFault, Placed, Woken,
};

type Refused = JobError<BundleRefusal>;

/// The generation of a conversation that replaces none.
const FIRST_GENERATION: u64 = 1;

fn refused(refusal: impl Into<BundleRefusal>) -> Refused {
    JobError::Refused(refusal.into())
}

fn no_room_for(no_room: NoRoom) -> Refused {
    refused(FrameRefusal::NoRoom(no_room))
}

pub(super) fn create(
    db: &Connection,
    gauge: &Gauge,
    by: Author,
    cid: ConversationId,
    kind: ConversationKind,
    bundle: &AcceptedBundle,
) -> Result<Creation, Refused> {
    check_author(db, by)?.map_err(refused)?;
    if let Some(before) = created_before(db, by, cid, bundle)? {
        return Ok(before);
    }
    let sent = sending::after_bundle(db, gauge, by.account, bundle.bytes(), bundle.at)?;
    let sent = sent.map_err(no_room_for)?;
    let created = create_new(db, by, cid, kind, bundle)?;
    if let Creation::Made { .. } = created {
        sending::note(db, by.account, sent)?;
    }
    Ok(created)
}

fn create_new(
    db: &Connection,
    by: Author,
    cid: ConversationId,
    kind: ConversationKind,
    bundle: &AcceptedBundle,
) -> Result<Creation, Refused> {
    let after = accounts(db, bundle)?;
    match kind {
        ConversationKind::Direct => create_direct(db, by, cid, bundle, after),
        ConversationKind::OwnDevices => {
            if let Some(pair) = contacts::pair(db, by.account, by.account)? {
                return Err(refused(BundleRefusal::ConversationExists { cid: pair.cid }));
            }
            let made = New { cid, kind, generation: FIRST_GENERATION, state: ConversationState::Open };
            make(db, by, made, bundle, after, Announced::new())
        }
        ConversationKind::Group => {
            let made = New { cid, kind, generation: FIRST_GENERATION, state: ConversationState::Open };
            make(db, by, made, bundle, after, Announced::new())
        }
    }
}

/// Creates the conversation of a pair: as a request, or openly; or accepts the request of the other side.
fn create_direct(
    db: &Connection,
    by: Author,
    cid: ConversationId,
    bundle: &AcceptedBundle,
    after: BTreeMap<PublicKey, AccountId>,
) -> Result<Creation, Refused> {
    // invariant: a bundle of a direct conversation has two members, its author among them.
    let peer = after.values().copied().find(|account| *account != by.account).unwrap_or(by.account);
    let (pair, at) = (contacts::pair(db, by.account, peer)?, bundle.at);
    let beginning = begin(contacts::standing(db, by.account, peer, at)?, pair.is_some());
    let generation = pair.map_or(FIRST_GENERATION, |pair| pair.generation + 1);
    let new = |state| New { cid, kind: ConversationKind::Direct, generation, state };
    match (beginning, pair) {
        (Beginning::Exists, Some(pair)) => Err(refused(BundleRefusal::ConversationExists { cid: pair.cid })),
        (Beginning::Accepts, Some(pair)) => {
            let woken = contacts::make_contacts(db, by.account, pair.conversation, at)?;
            Ok(Creation::Accepts { cid: pair.cid, woken })
        }
        (Beginning::Opens, _) => make(db, by, new(ConversationState::Open), bundle, after, Announced::new()),
        // What is asked, and waits, has a conversation.
        (Beginning::Asks | Beginning::Exists | Beginning::Accepts, expired) => {
            if let Some(expired) = expired {
                contacts::close(db, expired.conversation)?;
            }
            let announced =
                Announced::from([(by.account, ContactChange::Outgoing), (peer, ContactChange::Incoming)]);
            let made = make(db, by, new(ConversationState::Pending), bundle, after, announced)?;
            ask(db, by.account, peer, bundle)?;
            Ok(made)
        }
    }
}

/// Stores that one asked the other, if both have room for it.
fn ask(db: &Connection, by: AccountId, peer: AccountId, bundle: &AcceptedBundle) -> Result<(), Refused> {
    if bundle.bytes() > REQUEST_BUNDLE_BYTES_MAX {
        return Err(refused(BundleRefusal::RequestTooLarge));
    }
    let (outgoing, incoming) = ((by, ContactState::Outgoing), (peer, ContactState::Incoming));
    contacts::set(db, outgoing, incoming, bundle.at)?;
    match contacts::room(db, by, peer, bundle.at)? {
        contacts::Room::Enough => Ok(()),
        contacts::Room::SenderFull => Err(refused(BundleRefusal::RequestsSent)),
        contacts::Room::RecipientFull => Err(refused(BundleRefusal::RequestsReceived)),
    }
}

/// A conversation to be made.
#[derive(Clone, Copy)]
struct New {
    cid: ConversationId,
    kind: ConversationKind,
    generation: u64,
    state: ConversationState,
}

/// What accounts are told to have happened between them.
type Announced = BTreeMap<AccountId, ContactChange>;

/// Makes a conversation with its first bundle.
fn make(
    db: &Connection,
    by: Author,
    new: New,
    bundle: &AcceptedBundle,
    after: BTreeMap<PublicKey, AccountId>,
    announced: Announced,
) -> Result<Creation, Refused> {
    let New { kind, generation, state, .. } = new;
    let conversation = insert_conversation(db, by, &new, bundle)?;
    if kind != ConversationKind::Group {
        claim_pair(db, conversation, &after)?;
    }
    check_room(db, by)?;
    let before = BTreeSet::from([by.account]);
    if kind == ConversationKind::Group {
        check_contacts(db, by, &before, &after)?;
    }
    let recipients = recipients(db, bundle, &before, &after)?;
    let woken = store(db, by, conversation, 1, bundle, &Change { before, after, recipients, announced })?;
    let placed = Placed { seq: 1, at: bundle.at, is_repeated: false };
    Ok(Creation::Made { committed: Committed { placed, generation, woken }, state })
}

pub(super) fn commit(
    db: &Connection,
    gauge: &Gauge,
    by: Author,
    cid: ConversationId,
    bundle: &AcceptedBundle,
) -> Result<Committed, Refused> {
    let admitted = admit(db, by, cid)?.map_err(refused)?;
    let generation = admitted.generation;
    if let Some(placed) = repeated(db, &admitted, by, bundle)? {
        return Ok(Committed { placed, generation, woken: Vec::new() });
    }
    check_writable(db, &admitted, by, bundle)?;
    if bundle.epoch != admitted.head.epoch {
        return Err(refused(FrameRefusal::StaleEpoch(admitted.head)));
    }
    let sent =
        sending::after_bundle(db, gauge, by.account, bundle.bytes(), bundle.at)?.map_err(no_room_for)?;
    let seq = advance(db, &admitted, bundle)?;
    let before = members(db, admitted.conversation)?;
    let after = accounts(db, bundle)?;
    let is_fixed = admitted.kind != ConversationKind::Group || bundle.is_external;
    if is_fixed && !before.iter().eq(after.values().collect::<BTreeSet<_>>()) {
        return Err(refused(BundleRefusal::BadMembers(MembersFault::Fixed)));
    }
    check_contacts(db, by, &before, &after)?;
    let recipients = recipients(db, bundle, &before, &after)?;
    sending::note(db, by.account, sent)?;
    let change = Change { before, after, recipients, announced: Announced::new() };
    let woken = store(db, by, admitted.conversation, seq, bundle, &change)?;
    let placed = Placed { seq, at: bundle.at, is_repeated: false };
    Ok(Committed { placed, generation, woken })
}

/// Who is affected by a bundle, by account.
struct Change {
    /// Members until now. On creation the creator, who needs no Welcome.
    before: BTreeSet<AccountId>,
    /// Members from now on.
    after: BTreeMap<PublicKey, AccountId>,
    /// For each Welcome the accounts of its recipients, in the order of the bundle.
    recipients: Vec<Vec<AccountId>>,
    /// What happens to contacts by it.
    announced: Announced,
}

/// No commits to a request, nor to what is closed.
fn check_writable(
    db: &Connection,
    admitted: &Admitted,
    by: Author,
    bundle: &AcceptedBundle,
) -> Result<(), Refused> {
    match contacts::writable(db, by.account, admitted.conversation, admitted.state, bundle.at)? {
        Writable::Freely => Ok(()),
        Writable::OneFrame | Writable::Pending => Err(refused(FrameRefusal::RequestPending)),
        Writable::Closed => {
            let replaced_by = contacts::replaced_by(db, admitted.conversation)?;
            Err(refused(FrameRefusal::Closed { replaced_by }))
        }
    }
}

/// Whoever comes into a group has accepted the author.
fn check_contacts(
    db: &Connection,
    by: Author,
    before: &BTreeSet<AccountId>,
    after: &BTreeMap<PublicKey, AccountId>,
) -> Result<(), Refused> {
    for (primary, account) in after.iter().filter(|(_, account)| !before.contains(account)) {
        if !contacts::are_contacts(db, *account, by.account)? {
            return Err(refused(BundleRefusal::ContactRequired { primary: *primary }));
        }
    }
    Ok(())
}

/// Adds the conversation as it is after its first commit.
fn insert_conversation(
    db: &Connection,
    by: Author,
    new: &New,
    bundle: &AcceptedBundle,
) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "INSERT INTO conversations (cid, kind, generation, epoch, seq, created_at, creator, request_sha256, state)
         VALUES (?1, ?2, ?3, 1, 1, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        new.cid.as_bytes(),
        kind_number(new.kind),
        new.generation.cast_signed(),
        bundle.at.unix_millis(),
        by.account.0,
        bundle.request_sha256,
        state_number(new.state),
    ])?;
    Ok(db.last_insert_rowid())
}

/// The first answer again, when the conversation was created by this very request; nothing, when the id is new.
fn created_before(
    db: &Connection,
    by: Author,
    cid: ConversationId,
    bundle: &AcceptedBundle,
) -> Result<Option<Creation>, Refused> {
    let mut find = db.prepare_cached(
        "SELECT creator IS ?2 AND request_sha256 = ?3, created_at, generation, id, state
         FROM conversations WHERE cid = ?1",
    )?;
    let mut rows = find.query(params![cid.as_bytes(), by.account.0, bundle.request_sha256])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    if !row.get(0)? {
        return Err(refused(BundleRefusal::CidTaken));
    }
    let placed = Placed { seq: 1, at: millis(row.get(1)?, 1)?, is_repeated: true };
    let generation = row.get::<_, i64>(2)?.cast_unsigned();
    let committed = Committed { placed, generation, woken: Vec::new() };
    let state = contacts::state_now(db, by.account, row.get(3)?, state(row.get(4)?)?, bundle.at)?;
    Ok(Some(Creation::Made { committed, state }))
}

/// Makes the conversation the one of its one or two members.
fn claim_pair(
    db: &Connection,
    conversation: i64,
    members: &BTreeMap<PublicKey, AccountId>,
) -> rusqlite::Result<()> {
    let accounts: BTreeSet<_> = members.values().collect();
    let (Some(low), Some(high)) = (accounts.first(), accounts.last()) else { return Ok(()) };
    db.prepare_cached("INSERT INTO pairs (low, high, conversation) VALUES (?1, ?2, ?3)")?
        .execute(params![low.0, high.0, conversation])
        .map(drop)
}

/// Whoever creates a conversation must have room for it. Those that others created take none: else whoever makes enough
/// of them with somebody in them would take all of it.
fn check_room(db: &Connection, by: Author) -> Result<(), Refused> {
    let count: u32 = db
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM conversations WHERE creator = ?1 LIMIT ?2 + 1)")?
        .query_row(params![by.account.0, CONVERSATIONS_MAX], |row| row.get(0))?;
    // The new one is among them.
    if count <= CONVERSATIONS_MAX { Ok(()) } else { Err(refused(BundleRefusal::TooManyConversations)) }
}

/// The first answer again, when this very bundle was accepted before.
fn repeated(
    db: &Connection,
    admitted: &Admitted,
    by: Author,
    bundle: &AcceptedBundle,
) -> Result<Option<Placed>, Refused> {
    let Some(earlier) = earlier(db, admitted.conversation, bundle.id)? else { return Ok(None) };
    if earlier.sender != by.account || earlier.request_sha256 != Some(bundle.request_sha256) {
        return Err(refused(FrameRefusal::MidReused));
    }
    Ok(Some(Placed { seq: earlier.seq, at: earlier.at, is_repeated: true }))
}

/// Ends the epoch, by compare-and-set; the number of the commit.
fn advance(db: &Connection, admitted: &Admitted, bundle: &AcceptedBundle) -> Result<u64, Refused> {
    // invariant: an epoch is stored as INTEGER, so one beyond that is none's head.
    let epoch = i64::try_from(bundle.epoch).unwrap_or(-1);
    let seq: Option<i64> = db
        .prepare_cached(
            "UPDATE conversations SET epoch = epoch + 1, seq = seq + 1, epoch_seq = seq + 1 WHERE id = ?1 AND epoch = ?2 RETURNING seq",
        )?
        .query_row([admitted.conversation, epoch], |row| row.get(0))
        .optional()?;
    seq.map(i64::cast_unsigned).ok_or_else(|| refused(FrameRefusal::StaleEpoch(admitted.head)))
}

/// The accounts of the members that there are.
fn members(db: &Connection, conversation: i64) -> rusqlite::Result<BTreeSet<AccountId>> {
    db.prepare_cached("SELECT account FROM members WHERE conversation = ?1 AND until IS NULL")?
        .query_map([conversation], |row| row.get(0).map(AccountId))?
        .collect()
}

/// The accounts of the members that there are to be.
fn accounts(db: &Connection, bundle: &AcceptedBundle) -> Result<BTreeMap<PublicKey, AccountId>, Refused> {
    let mut find = db.prepare_cached("SELECT id FROM accounts WHERE primary_key = ?1")?;
    let account = |primary: &PublicKey| -> Result<_, Refused> {
        let row = find.query_row([primary.as_bytes()], |row| row.get(0)).optional()?;
        let row = row.ok_or_else(|| refused(BundleRefusal::BadMembers(MembersFault::Unknown)))?;
        Ok((*primary, AccountId(row)))
    };
    bundle.members_after.as_slice().iter().map(account).collect()
}

/// The accounts of each Welcome's recipients: active devices of members, and of every newcomer one.
fn recipients(
    db: &Connection,
    bundle: &AcceptedBundle,
    before: &BTreeSet<AccountId>,
    after: &BTreeMap<PublicKey, AccountId>,
) -> Result<Vec<Vec<AccountId>>, Refused> {
    let mut is_active = db.prepare_cached(
        "SELECT 1 FROM devices WHERE account = ?1 AND device_id = ?2 AND revoked_at IS NULL AND expires_at > ?3",
    )?;
    let mut all = Vec::with_capacity(bundle.welcomes.len());
    let mut welcomed = BTreeSet::new();
    for welcome in &bundle.welcomes {
        let mut accounts = Vec::with_capacity(welcome.to.len());
        for recipient in &welcome.to {
            let account = after.get(&recipient.primary).copied();
            let account = account.ok_or_else(|| refused(BundleRefusal::BadWelcome))?;
            let device = params![account.0, recipient.device_id.as_bytes(), bundle.at.unix_seconds()];
            if !is_active.exists(device)? {
                return Err(refused(BundleRefusal::BadWelcome));
            }
            accounts.push(account);
            welcomed.insert(account);
        }
        all.push(accounts);
    }
    let is_greeted = |account: &AccountId| before.contains(account) || welcomed.contains(account);
    if after.values().all(is_greeted) {
        Ok(all)
    } else {
        Err(refused(BundleRefusal::BadMembers(MembersFault::NoWelcome)))
    }
}

/// Writes everything of a bundle that was decided on, under the number `seq`; answers whom it woke.
fn store(
    db: &Connection,
    by: Author,
    conversation: i64,
    seq: u64,
    bundle: &AcceptedBundle,
    change: &Change,
) -> Result<Vec<Woken>, Refused> {
    let commit = Row {
        conversation,
        seq,
        mid: bundle.id,
        kind: FrameKind::Commit,
        at: bundle.at,
        sender: by.account,
        request_sha256: Some(&bundle.request_sha256),
        bytes: &bundle.commit,
    };
    let commit = insert(db, &commit)?.ok_or_else(|| refused(FrameRefusal::MidReused))?;
    set_group_info(db, conversation, &bundle.group_info)?;
    change_members(db, conversation, seq, change)?;
    let mut events: BTreeMap<AccountId, Vec<Subject>> =
        change.before.iter().map(|account| (*account, vec![Subject::Frame(commit)])).collect();
    for (account, change) in &change.announced {
        let subject = Subject::Contact { conversation, change: *change, at: bundle.at };
        events.entry(*account).or_default().push(subject);
    }
    for (welcome, accounts) in store_welcomes(db, conversation, seq, bundle, change)? {
        for account in accounts {
            events.entry(account).or_default().push(Subject::Welcome(welcome));
        }
    }
    Ok(events
        .into_iter()
        .filter_map(|(account, subjects)| inbox::put_all(db, account, &subjects).transpose())
        .collect::<rusqlite::Result<_>>()?)
}

fn set_group_info(db: &Connection, conversation: i64, bytes: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO group_infos (conversation, bytes) VALUES (?1, ?2)
         ON CONFLICT (conversation) DO UPDATE SET bytes = excluded.bytes",
    )?
    .execute(params![conversation, bytes])
    .map(drop)
}

/// Lets members go, who may read up to this commit, and takes newcomers in, who may read after it. On creation the
/// creator may read the commit as well.
fn change_members(db: &Connection, conversation: i64, seq: u64, change: &Change) -> rusqlite::Result<()> {
    let after: BTreeSet<_> = change.after.values().copied().collect();
    let mut go =
        db.prepare_cached("UPDATE members SET until = ?3 WHERE conversation = ?1 AND account = ?2")?;
    for account in change.before.difference(&after) {
        go.execute(params![conversation, account.0, seq.cast_signed()])?;
        leaving::vacate(db, conversation, *account)?;
    }
    let mut come = db.prepare_cached(
        "INSERT INTO members (conversation, account, since, delivered) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT (conversation, account)
         DO UPDATE SET since = excluded.since, until = NULL,
             delivered = iif(delivered < until, delivered, excluded.delivered) -- what it was for is still in its inbox
         WHERE until IS NOT NULL",
    )?;
    for account in after {
        let is_creator = seq == 1 && change.before.contains(&account);
        if is_creator || !change.before.contains(&account) {
            let since = if is_creator { 0 } else { seq.cast_signed() };
            come.execute(params![conversation, account.0, since])?;
        }
    }
    Ok(())
}

/// Stores the Welcomes; for each its row and the distinct accounts that it is for.
fn store_welcomes(
    db: &Connection,
    conversation: i64,
    seq: u64,
    bundle: &AcceptedBundle,
    change: &Change,
) -> rusqlite::Result<Vec<(i64, BTreeSet<AccountId>)>> {
    let mut insert =
        db.prepare_cached("INSERT INTO welcomes (conversation, seq, at, bytes) VALUES (?1, ?2, ?3, ?4)")?;
    let mut address = db
        .prepare_cached("INSERT INTO welcome_recipients (welcome, account, device_id) VALUES (?1, ?2, ?3)")?;
    let mut stored = Vec::with_capacity(bundle.welcomes.len());
    for (welcome, accounts) in bundle.welcomes.iter().zip(&change.recipients) {
        insert.execute(params![conversation, seq.cast_signed(), bundle.at.unix_millis(), welcome.bytes])?;
        let row = db.last_insert_rowid();
        for (recipient, account) in welcome.to.iter().zip(accounts) {
            address.execute(params![row, account.0, recipient.device_id.as_bytes()])?;
        }
        stored.push((row, accounts.iter().copied().collect()));
    }
    Ok(stored)
}

impl From<FrameRefusal> for JobError<BundleRefusal> {
    fn from(refusal: FrameRefusal) -> Self {
        refused(refusal)
    }
}
