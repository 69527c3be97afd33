//! Creation and commits: a bundle is stored whole, or refused and nothing of it is.

use std::collections::{BTreeMap, BTreeSet};

use kez_core::{ConversationId, ConversationKind, FrameKind, PublicKey};
use kez_serve::sqlite::JobError;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Admitted, Row, admit, earlier, insert, kind_number, millis};
use crate::store::sqlite::inbox::{self, Subject};
use crate::store::sqlite::leaving;
use crate::store::sqlite::operations;
use crate::store::{
    AcceptedBundle, AccountId, Author, BundleRefusal, CONVERSATIONS_MAX, Committed, FrameRefusal,
    MembersFault, NotAdmitted, Placed, Woken,
};

type Refused = JobError<BundleRefusal>;

/// The generation of a conversation that replaces none.
const FIRST_GENERATION: u64 = 1;

fn refused(refusal: impl Into<BundleRefusal>) -> Refused {
    JobError::Refused(refusal.into())
}

pub(super) fn create(
    db: &Connection,
    by: Author,
    cid: ConversationId,
    kind: ConversationKind,
    bundle: &AcceptedBundle,
) -> Result<Committed, Refused> {
    check_device(db, by)?;
    let Some(conversation) = insert_conversation(db, by, cid, kind, bundle)? else {
        return created_before(db, by, cid, bundle);
    };
    let after = accounts(db, bundle)?;
    if kind != ConversationKind::Group {
        claim_pair(db, conversation, &after)?;
    }
    check_room(db, by)?;
    let before = BTreeSet::from([by.account]);
    let recipients = recipients(db, bundle, &before, &after)?;
    let woken = store(db, by, conversation, 1, bundle, &Change { before, after, recipients })?;
    let placed = Placed { seq: 1, at: bundle.at, is_repeated: false };
    Ok(Committed { placed, generation: FIRST_GENERATION, woken })
}

pub(super) fn commit(
    db: &Connection,
    by: Author,
    cid: ConversationId,
    bundle: &AcceptedBundle,
) -> Result<Committed, Refused> {
    let admitted = admit(db, by, cid)?.map_err(refused)?;
    let generation = admitted.generation;
    if let Some(placed) = repeated(db, &admitted, by, bundle)? {
        return Ok(Committed { placed, generation, woken: Vec::new() });
    }
    // Here comes what contacts allow: an unanswered request, newcomers that did not accept the committer.
    let seq = advance(db, &admitted, bundle)?;
    let before = members(db, admitted.conversation)?;
    let after = accounts(db, bundle)?;
    let is_fixed = admitted.kind != ConversationKind::Group || bundle.is_external;
    if is_fixed && !before.iter().eq(after.values().collect::<BTreeSet<_>>()) {
        return Err(refused(BundleRefusal::BadMembers(MembersFault::Fixed)));
    }
    let recipients = recipients(db, bundle, &before, &after)?;
    let woken = store(db, by, admitted.conversation, seq, bundle, &Change { before, after, recipients })?;
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
}

fn check_device(db: &Connection, by: Author) -> Result<(), Refused> {
    let is_there = db
        .prepare_cached("SELECT 1 FROM devices WHERE id = ?1 AND account = ?2 AND revoked_at IS NULL")?
        .exists(params![by.device.0, by.account.0])?;
    if !is_there {
        return Err(refused(NotAdmitted::DeviceRevoked));
    }
    if operations::is_suspended(db, by.account)? {
        return Err(refused(NotAdmitted::AccountSuspended));
    }
    Ok(())
}

/// Adds the conversation as it is after its first commit; nothing when the id is used.
fn insert_conversation(
    db: &Connection,
    by: Author,
    cid: ConversationId,
    kind: ConversationKind,
    bundle: &AcceptedBundle,
) -> rusqlite::Result<Option<i64>> {
    let inserted = db
        .prepare_cached(
            "INSERT INTO conversations (cid, kind, generation, epoch, seq, created_at, creator, request_sha256)
             VALUES (?1, ?2, ?3, 1, 1, ?4, ?5, ?6) ON CONFLICT (cid) DO NOTHING",
        )?
        .execute(params![
            cid.as_bytes(),
            kind_number(kind),
            FIRST_GENERATION.cast_signed(),
            bundle.at.unix_millis(),
            by.account.0,
            bundle.request_sha256,
        ])?;
    Ok((inserted == 1).then(|| db.last_insert_rowid()))
}

/// The first answer again, when the conversation was created by this very request.
fn created_before(
    db: &Connection,
    by: Author,
    cid: ConversationId,
    bundle: &AcceptedBundle,
) -> Result<Committed, Refused> {
    let found = db
        .prepare_cached(
            "SELECT created_at, generation FROM conversations WHERE cid = ?1 AND creator = ?2 AND request_sha256 = ?3",
        )?
        .query_row(params![cid.as_bytes(), by.account.0, bundle.request_sha256], |row| {
            Ok((millis(row.get(0)?, 0)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })
        .optional()?;
    let (at, generation) = found.ok_or_else(|| refused(BundleRefusal::CidTaken))?;
    Ok(Committed { placed: Placed { seq: 1, at, is_repeated: true }, generation, woken: Vec::new() })
}

/// Makes the conversation the one of its one or two members.
fn claim_pair(
    db: &Connection,
    conversation: i64,
    members: &BTreeMap<PublicKey, AccountId>,
) -> Result<(), Refused> {
    let accounts: BTreeSet<_> = members.values().collect();
    let (Some(low), Some(high)) = (accounts.first(), accounts.last()) else { return Ok(()) };
    let claimed = db
        .prepare_cached(
            "INSERT INTO pairs (low, high, conversation) VALUES (?1, ?2, ?3) ON CONFLICT (low, high) DO NOTHING",
        )?
        .execute(params![low.0, high.0, conversation])?;
    if claimed == 1 {
        return Ok(());
    }
    let cid = db
        .prepare_cached(
            "SELECT c.cid FROM pairs p JOIN conversations c ON c.id = p.conversation WHERE p.low = ?1 AND p.high = ?2",
        )?
        .query_row([low.0, high.0], |row| row.get(0).map(ConversationId::from_bytes))?;
    Err(refused(BundleRefusal::ConversationExists { cid }))
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
