//! Verifies every conversation and every inbox again, from the file up.

use std::collections::BTreeMap;
use std::path::Path;

use kez_core::mls_framing::{AppFrame, BadFrame, CommitFrame, Message};
use kez_core::{ConversationId, MessageId, authenticated_data};
use rusqlite::{Connection, OpenFlags, Row};

use crate::net::Net;
use crate::sending_oracle::check_sending;

/// A conversation, once it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Talk {
    /// The head's epoch.
    pub epoch: u64,
    /// The head's number.
    pub seq: u64,
    /// The numbers, message ids and bytes of the frames that are there.
    pub frames: Vec<(u64, MessageId, Vec<u8>)>,
}

/// `conversations`, as it is stored.
struct Stored {
    id: i64,
    cid: ConversationId,
    kind: i64,
    state: i64,
    epoch: i64,
    seq: i64,
    oldest: i64,
}

impl Net {
    /// [`check_conversations`] in the file of this server; also that what each account has sent is counted.
    #[track_caller]
    pub fn check_conversations(&self) -> BTreeMap<ConversationId, Talk> {
        check_sending(&self.args().db, self.args().retention_days);
        check_conversations(&self.args().db)
    }
}

/// Verifies what is stored of conversations and inboxes: frames are numbered without gaps and are what they say, commits
/// end one epoch each, each inbox is numbered without gaps and in the order of its conversations, every pointer points at
/// something that its owner may read.
#[track_caller]
pub fn check_conversations(file: &Path) -> BTreeMap<ConversationId, Talk> {
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file");
    let db = db.unchecked_transaction().expect("a snapshot"); // the server may drop old frames beside us
    assert_eq!(count(&db, "SELECT count(*) FROM pragma_foreign_key_check"), 0, "dangling rows");
    let conversations =
        all(&db, "SELECT id, cid, kind, epoch, seq, oldest, state FROM conversations", |row| {
            Ok(Stored {
                id: row.get(0)?,
                cid: ConversationId::from_bytes(row.get(1)?),
                kind: row.get(2)?,
                state: row.get(6)?,
                epoch: row.get(3)?,
                seq: row.get(4)?,
                oldest: row.get(5)?,
            })
        });
    check_pairs(&db);
    check_contacts(&db);
    check_inboxes(&db);
    conversations.iter().map(|one| (one.cid, check(&db, one))).collect()
}

fn check(db: &Connection, stored: &Stored) -> Talk {
    let id = stored.id;
    assert_eq!(count(db, &format!("SELECT count(*) FROM group_infos WHERE conversation = {id}")), 1);
    let members =
        count(db, &format!("SELECT count(*) FROM members WHERE conversation = {id} AND until IS NULL"));
    let fits = match stored.kind {
        0 => members == 2 || (members == 1 && stored.state == 2), // one of the two has left the server
        2 => members == 1,
        _ => (1..=64).contains(&members),
    };
    assert!(fits, "{:?} has {members} members", stored.cid);
    let frames = all(
        db,
        &format!("SELECT seq, mid, kind, bytes, sender FROM frames WHERE conversation = {id} ORDER BY seq"),
        |row| Ok((row.get(0)?, MessageId::from_bytes(row.get(1)?), row.get(2)?, row.get(3)?, row.get(4)?)),
    );
    let numbers: Vec<i64> = frames.iter().map(|frame| frame.0).collect();
    assert_eq!(numbers, (stored.oldest..=stored.seq).collect::<Vec<_>>(), "a gap in {:?}", stored.cid);
    check_epochs(stored, &frames);
    Talk {
        epoch: stored.epoch.cast_unsigned(),
        seq: stored.seq.cast_unsigned(),
        frames: frames.into_iter().map(|(seq, mid, _, bytes, _)| (seq.cast_unsigned(), mid, bytes)).collect(),
    }
}

type Frame = (i64, MessageId, i64, Vec<u8>, i64);

/// Each frame is of the epoch that the commits before it make, and bound to its conversation and id.
fn check_epochs(stored: &Stored, frames: &[Frame]) {
    let commits = frames.iter().filter(|frame| frame.2 == 2).count();
    let commits = u64::try_from(commits).expect("a count");
    let mut epoch = stored.epoch.cast_unsigned().checked_sub(commits).expect("not more commits than epochs");
    assert!(stored.oldest > 1 || epoch == 0, "{:?} begins with its first commit", stored.cid);
    for (seq, mid, kind, bytes, _) in frames {
        let found = if *kind == 1 {
            AppFrame::check(bytes, stored.cid, *mid).expect("an application message").epoch()
        } else {
            commit_epoch(stored.cid, *mid, bytes)
        };
        assert_eq!(found, epoch, "frame {seq} of {:?}", stored.cid);
        epoch += u64::from(*kind == 2);
    }
    assert_eq!(epoch, stored.epoch.cast_unsigned(), "the head of {:?}", stored.cid);
}

/// The epoch of a commit that is bound to its conversation and id; whom it leaves as members is not stored with it.
fn commit_epoch(cid: ConversationId, mid: MessageId, bytes: &[u8]) -> u64 {
    let (Message::Private { group_id, epoch, authenticated_data: data, .. }
    | Message::Public { group_id, epoch, authenticated_data: data, .. }) =
        Message::parse(bytes).expect("an MLS message")
    else {
        panic!("no commit")
    };
    let nobody = kez_core::Members::try_from(vec![kez_core::PublicKey::from_bytes([0; 32])]).expect("one");
    let expected = authenticated_data::commit(cid, mid, &nobody);
    let bound = expected.len() - 32;
    assert_eq!(
        (group_id, data.get(..bound), data.len()),
        (&cid.as_bytes()[..], expected.get(..bound), bound + 32)
    );
    assert_eq!(
        CommitFrame::check(bytes, cid, mid, &nobody),
        Err(BadFrame::AuthenticatedData),
        "content type"
    );
    epoch
}

/// Each direct conversation and each of own devices is that of its members, and no pair has another.
fn check_pairs(db: &Connection) {
    let wrong = "SELECT count(*) FROM pairs p JOIN conversations c ON c.id = p.conversation
        WHERE c.kind = 1 OR c.state = 2 OR (c.kind = 2) <> (p.low = p.high)
           OR NOT EXISTS (SELECT 1 FROM members WHERE conversation = c.id AND account = p.low AND until IS NULL)
           OR NOT EXISTS (SELECT 1 FROM members WHERE conversation = c.id AND account = p.high AND until IS NULL)";
    assert_eq!(count(db, wrong), 0, "a pair is not that of its conversation");
    let alone = "SELECT count(*) FROM conversations c WHERE kind <> 1 AND state <> 2
        AND EXISTS (SELECT 1 FROM members WHERE conversation = c.id AND until IS NULL)
        AND NOT EXISTS (SELECT 1 FROM pairs WHERE conversation = c.id)";
    assert_eq!(count(db, alone), 0, "a conversation without its pair");
}

/// Both sides of two people say the same of them; who waits has asked by a conversation that waits.
fn check_contacts(db: &Connection) {
    let one_sided = "SELECT count(*) FROM contacts mine LEFT JOIN contacts theirs
            ON theirs.account = mine.peer AND theirs.peer = mine.account
        WHERE theirs.account IS NULL OR theirs.asked_at <> mine.asked_at
           OR (mine.state = 0) <> (theirs.state IN (1, 3)) OR (mine.state = 2) <> (theirs.state = 2)";
    assert_eq!(count(db, one_sided), 0, "two people are not the same to each other");
    let waiting = "SELECT count(*) FROM conversations c LEFT JOIN pairs p ON p.conversation = c.id
            LEFT JOIN contacts k ON k.account = c.creator AND k.peer = p.low + p.high - c.creator
        WHERE c.state = 1 AND (c.kind <> 0 OR c.epoch <> 1 OR c.seq > 2 OR k.state IS NOT 0)";
    assert_eq!(count(db, waiting), 0, "a request is none");
    let asking = "SELECT count(*) FROM contacts k WHERE k.state = 0 AND NOT EXISTS (
        SELECT 1 FROM pairs p JOIN conversations c ON c.id = p.conversation
        WHERE p.low = min(k.account, k.peer) AND p.high = max(k.account, k.peer) AND c.state = 1)";
    assert_eq!(count(db, asking), 0, "who asked has no conversation that waits");
    let open = "SELECT count(*) FROM conversations c JOIN pairs p ON p.conversation = c.id
        WHERE c.kind = 0 AND c.state = 0
          AND NOT EXISTS (SELECT 1 FROM contacts WHERE account = p.low AND peer = p.high AND state = 2)";
    assert_eq!(count(db, open), 0, "two talk who are no contacts");
}

fn check_inboxes(db: &Connection) {
    let accounts = all(db, "SELECT account, head, dropped FROM inboxes", |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    for (account, head, dropped) in accounts {
        check_inbox(db, account, head, dropped);
    }
    assert_eq!(count(db, "SELECT count(*) FROM inbox WHERE account NOT IN (SELECT id FROM accounts)"), 0);
}

/// Numbers without gaps; of each conversation an order that never goes back; nothing outside of what may be read; and
/// of what may be read everything.
fn check_inbox(db: &Connection, account: i64, head: i64, dropped: i64) {
    let numbers: Vec<i64> =
        all(db, &format!("SELECT n FROM inbox WHERE account = {account} ORDER BY n"), |row| row.get(0));
    assert_eq!(numbers, (dropped + 1..=head).collect::<Vec<_>>(), "the inbox of account {account}");
    let dangling = format!(
        "SELECT count(*) FROM inbox i WHERE i.account = {account} AND NOT CASE i.kind
           WHEN 0 THEN EXISTS (SELECT 1 FROM frames WHERE id = i.subject)
           WHEN 1 THEN EXISTS (SELECT 1 FROM welcome_recipients WHERE welcome = i.subject AND account = i.account)
           WHEN 3 THEN EXISTS (SELECT 1 FROM members WHERE conversation = i.subject AND account = i.account)
           ELSE EXISTS (SELECT 1 FROM devices WHERE id = i.subject AND account = i.account) END"
    );
    assert_eq!(count(db, &dangling), 0, "a pointer of account {account} dangles");
    let mut last = BTreeMap::new();
    for (conversation, seq) in events(db, account) {
        let before = last.insert(conversation, seq).unwrap_or(0);
        assert!(before <= seq, "account {account}: {seq} after {before} in conversation {conversation}");
    }
    check_window(db, account);
}

/// The conversation and number of each frame and Welcome, in the order of the inbox.
fn events(db: &Connection, account: i64) -> Vec<(i64, i64)> {
    let query = format!(
        "SELECT coalesce(f.conversation, w.conversation), coalesce(f.seq, w.seq) FROM inbox i
         LEFT JOIN frames f ON i.kind = 0 AND f.id = i.subject
         LEFT JOIN welcomes w ON i.kind = 1 AND w.id = i.subject
         WHERE i.account = {account} AND i.kind < 2 ORDER BY i.n"
    );
    all(db, &query, |row| Ok((row.get(0)?, row.get(1)?)))
}

fn check_window(db: &Connection, account: i64) {
    let twice = format!(
        "SELECT count(*) FROM (SELECT 1 FROM inbox WHERE account = {account} AND kind < 2
         GROUP BY kind, subject HAVING count(*) > 1)"
    );
    assert_eq!(count(db, &twice), 0, "account {account} is told something twice");
    // Whoever came back may still hold what it was told before it went: since its first Welcome, as long as that is
    // there.
    let outside = format!(
        "SELECT count(*) FROM inbox i JOIN frames f ON f.id = i.subject
         JOIN accounts a ON a.id = i.account
         LEFT JOIN members m ON m.conversation = f.conversation AND m.account = i.account
         WHERE i.account = {account} AND i.kind = 0 AND (m.account IS NULL OR f.seq > m.until
           OR (a.inbox_dropped = 0 AND f.seq <= m.since AND f.seq <= coalesce((SELECT min(w.seq) FROM welcomes w
                 JOIN welcome_recipients r ON r.welcome = w.id
                 WHERE w.conversation = f.conversation AND r.account = i.account), f.seq)
               AND NOT EXISTS (SELECT 1 FROM conversations c WHERE c.id = f.conversation AND c.creator = i.account)))"
    );
    assert_eq!(count(db, &outside), 0, "account {account} holds what it may not read");
    let missing = format!(
        "SELECT count(*) FROM members m JOIN frames f ON f.conversation = m.conversation
         JOIN accounts a ON a.id = m.account
         WHERE m.account = {account} AND a.inbox_dropped = 0
           AND f.seq > m.since AND f.seq <= coalesce(m.until, f.seq)
           AND NOT EXISTS (SELECT 1 FROM inbox WHERE account = m.account AND kind = 0 AND subject = f.id)"
    );
    assert_eq!(count(db, &missing), 0, "account {account} was not told of a frame");
}

fn count(db: &Connection, query: &str) -> i64 {
    db.query_row(query, [], |row| row.get(0)).expect("a count")
}

fn all<T>(db: &Connection, query: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    let mut statement = db.prepare(query).expect("a statement");
    statement.query_map([], read).expect("rows").collect::<rusqlite::Result<_>>().expect("rows")
}
