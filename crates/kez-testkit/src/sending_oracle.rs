//! Counts again, from the file up, what each account has sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// SPEC "Sending": what a message counts at least, and what an account may send within the period, in bytes.
const WEIGHT_MIN: u64 = 2_048;
const BYTES_MAX: u128 = 512 * 1024 * 1024;

/// What an account has sent by its frames that are there.
#[derive(Debug, Default)]
struct Counted {
    bytes: u64,
    /// Unix milliseconds.
    at: i64,
    /// Something that counted is not there any more, or only in part.
    is_incomplete: bool,
}

/// A frame, oldest first.
struct Frame {
    sender: i64,
    at: i64,
    bytes: u64,
    /// Of a commit: whether its group info has been replaced, or a Welcome dropped.
    is_incomplete: bool,
}

/// Verifies that every account's count is that of its messages: exactly, while all of them are there; and not less, once
/// some have been dropped, since they go on to count. Accounts with a bound of their own, which may have changed meanwhile,
/// are left out.
#[track_caller]
pub(crate) fn check_sending(file: &Path, retention_days: u8) {
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file");
    let db = db.unchecked_transaction().expect("a snapshot");
    let period_ms = u128::from(retention_days) * 24 * 60 * 60 * 1000;
    let mut counted: BTreeMap<i64, Counted> = BTreeMap::new();
    for frame in frames(&db) {
        let one = counted.entry(frame.sender).or_default();
        let elapsed = u128::from(frame.at.saturating_sub(one.at).max(0).unsigned_abs());
        let back = u64::try_from(elapsed * BYTES_MAX / period_ms).unwrap_or(u64::MAX);
        one.bytes = one.bytes.saturating_sub(back) + frame.bytes.max(WEIGHT_MIN);
        one.at = one.at.max(frame.at);
        one.is_incomplete |= frame.is_incomplete;
    }
    let shortened = senders_of_shortened(&db);
    let mut accounts = db
        .prepare("SELECT id, sent_bytes, sent_at FROM accounts WHERE left_at IS NULL AND sent_max IS NULL")
        .expect("a statement");
    let mut rows = accounts.query([]).expect("rows");
    while let Some(row) = rows.next().expect("a row") {
        let (account, bytes, at) = (number(row, 0), number(row, 1).unsigned_abs(), number(row, 2));
        let expected = counted.remove(&account).unwrap_or_default();
        if expected.is_incomplete || shortened.contains(&account) {
            let elapsed = u128::from(at.saturating_sub(expected.at).max(0).unsigned_abs());
            let back = u64::try_from(elapsed * BYTES_MAX / period_ms).unwrap_or(u64::MAX);
            let least = expected.bytes.saturating_sub(back);
            // What is missing flowed back in steps of whole bytes.
            assert!(bytes + 64 >= least, "account {account} has sent {least} at least, and {bytes} count");
        } else {
            assert_eq!((bytes, at), (expected.bytes, expected.at), "what account {account} has sent");
        }
    }
}

fn frames(db: &Connection) -> Vec<Frame> {
    let mut select = db
        .prepare(
            "SELECT f.sender, f.at,
                 length(f.bytes)
                 + iif(f.kind = 2, coalesce((SELECT sum(length(bytes)) FROM welcomes w
                       WHERE w.conversation = f.conversation AND w.seq = f.seq), 0), 0)
                 + iif(f.kind = 2 AND c.epoch_seq = f.seq, length(g.bytes), 0),
                 f.kind = 2
             FROM frames f JOIN conversations c ON c.id = f.conversation
                 JOIN group_infos g ON g.conversation = c.id
             WHERE f.sender <> 0 ORDER BY f.at, f.id",
        )
        .expect("a statement");
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Frame {
            sender: row.get(0)?,
            at: row.get(1)?,
            bytes: row.get::<_, i64>(2)?.unsigned_abs(),
            is_incomplete: row.get(3)?,
        })
    };
    let frames: rusqlite::Result<Vec<_>> = select.query_map([], read).expect("rows").collect();
    frames.expect("frames")
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> i64 {
    row.get(column).expect("a number")
}

/// Who may have sent something to a conversation that does not begin with its first frame any more, or that is gone.
fn senders_of_shortened(db: &Connection) -> BTreeSet<i64> {
    let mut select = db
        .prepare(
            "SELECT m.account FROM members m JOIN conversations c ON c.id = m.conversation WHERE c.oldest > 1",
        )
        .expect("a statement");
    select.query_map([], |row| row.get(0)).expect("rows").collect::<rusqlite::Result<_>>().expect("accounts")
}
