//! The SQLite engine.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use kez_core::sigchain::{EventHash, Head};
use kez_core::{PrimaryKey, Timestamp};
use kez_serve::sqlite::{CopyError, Database, JobError, Migration, OpenError, Options};
use kez_serve::storage::{StoreError, StoreHealth};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::stored::{Damage, PIECE_BYTES, Stored, event_hash, grow, key_bytes, key_of, line_bytes};
use super::{AppendRefusal, Appended, ChainStore, Reading, Totals};
use crate::extension::Extension;
use crate::limits::Quotas;

/// Never edited after a release; a change is a new file.
const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "sigchains", sql: include_str!("migrations/0001_sigchains.sql") }];

/// Marks our files (`PRAGMA application_id`).
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"KEZg");

/// A [`ChainStore`] in one SQLite file.
pub struct SqliteChainStore {
    database: Database,
}

impl SqliteChainStore {
    /// Opens or makes the file as the one server on it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Database::open(path, MIGRATIONS, options()).map(|database| Self { database })
    }

    /// Opens a file that nobody is to change; every write is refused.
    pub fn open_to_read(path: &Path) -> Result<Self, OpenError> {
        Database::open_to_read(path, MIGRATIONS, options()).map(|database| Self { database })
    }

    /// Writes what the file holds at this moment to a new file, durably, while a server may be at work on it.
    pub fn copy(from: &Path, to: &Path) -> Result<(), CopyError> {
        Database::copy(from, to, MIGRATIONS, &options())
    }

    /// What SQLite finds wrong with the file; empty: nothing.
    pub fn faults(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.database.faults()?)
    }
}

fn options() -> Options {
    Options { application_id: APPLICATION_ID, ..Options::default() }
}

impl fmt::Debug for SqliteChainStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteChainStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl ChainStore for SqliteChainStore {
    async fn head(&self, chain: &PrimaryKey) -> Result<Option<Head>, StoreError> {
        Ok(self.database.read(|db| find(db, chain))?.map(|stored| stored.head))
    }

    async fn event_hash(&self, chain: &PrimaryKey, seq: u64) -> Result<Option<EventHash>, StoreError> {
        Ok(self.database.read(|db| match find(db, chain)? {
            Some(stored) => hash_at(db, &stored, seq),
            None => Ok(None),
        })?)
    }

    async fn append(
        &self,
        extension: Extension,
        at: Timestamp,
        quotas: &Quotas,
    ) -> Result<Result<Appended, AppendRefusal>, StoreError> {
        let quotas = quotas.clone();
        Ok(self.database.write(move |db| append(db, &extension, at.unix_seconds(), &quotas)).await?)
    }

    async fn read(&self, chain: &PrimaryKey, since: Option<u64>) -> Result<Option<Reading>, StoreError> {
        let Some(stored) = self.database.read(|db| find(db, chain))? else { return Ok(None) };
        let first = since.map_or(0, |since| since.saturating_add(1));
        Ok(Some(Reading {
            head: stored.head,
            bytes: (first == 0).then_some(stored.bytes),
            lines: pieces(self.database.clone(), &stored, first).boxed(),
        }))
    }

    async fn chains(&self, after: Option<&PrimaryKey>, limit: u32) -> Result<Vec<Head>, StoreError> {
        let after = after.map(|chain| key_bytes(chain).to_vec()).unwrap_or_default();
        Ok(self.database.read(|db| {
            db.prepare_cached(&format!("{SELECT} WHERE chain > ?1 ORDER BY chain LIMIT ?2"))?
                .query_map(params![after, limit], |row| Ok(Stored::read(row)?.head))?
                .collect()
        })?)
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(self.database.read(totals)?)
    }

    fn health(&self) -> StoreHealth {
        self.database.health().into()
    }

    async fn close(&self) {
        self.database.clone().close().await;
    }
}

const SELECT: &str = "SELECT number, chain, primary_key, seq, hash, bytes, counted_at, checksum FROM chains";

fn find(db: &Connection, chain: &PrimaryKey) -> rusqlite::Result<Option<Stored>> {
    db.prepare_cached(&format!("{SELECT} WHERE chain = ?1"))?
        .query_row([key_bytes(chain)], Stored::read)
        .optional()
}

fn append(
    db: &Connection,
    extension: &Extension,
    now: i64,
    quotas: &Quotas,
) -> Result<Appended, JobError<AppendRefusal>> {
    let stored = find(db, &extension.head().chain)?;
    if stored.as_ref().map(|stored| &stored.head) != extension.before() {
        return overtaken(db, stored.as_ref(), extension.head());
    }
    if let Some(stored) = &stored
        && hash_at(db, stored, stored.head.seq)? != Some(stored.head.hash)
    {
        return Err(damaged(0, Damage::LastEvent).into());
    }
    let number = match &stored {
        Some(stored) => stored.number,
        None => db.query_row("SELECT coalesce(max(number), 0) + 1 FROM chains", [], |row| row.get(0))?,
    };
    let grown = grow(number, stored.as_ref(), extension, totals(db)?.bytes, now, quotas)
        .map_err(JobError::Refused)?;
    db.prepare_cached("INSERT INTO events (place, accepted_at, envelope) VALUES (?1, ?2, ?3)")?
        .execute(params![grown.place(grown.head.seq), now, extension.envelope()])?;
    let is_swapped = grown.write(db, extension.before())?;
    db.prepare_cached("UPDATE totals SET chains = chains + ?1, events = events + 1, bytes = bytes + ?2")?
        .execute(params![stored.is_none(), line_bytes(extension).cast_signed()])?;
    if is_swapped { Ok(Appended::New(grown.head)) } else { Err(damaged(3, Damage::Head).into()) }
}

/// The answer when the chain has another end than the event was checked against.
fn overtaken(
    db: &Connection,
    stored: Option<&Stored>,
    wanted: &Head,
) -> Result<Appended, JobError<AppendRefusal>> {
    let there = stored.map(|stored| hash_at(db, stored, wanted.seq)).transpose()?.flatten();
    if there == Some(wanted.hash) {
        return Ok(Appended::SameAgain);
    }
    Err(JobError::Refused(AppendRefusal::Conflict { head: stored.map(|stored| stored.head) }))
}

impl Stored {
    /// Reads the columns of [`SELECT`]. SQLite itself does not notice a flipped bit in a value.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let key = |column| key_of(row.get(column)?).ok_or_else(|| damaged(column, Damage::Head));
        let unsigned = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        let stored = Self {
            number: row.get(0)?,
            head: Head {
                chain: key(1)?,
                primary: key(2)?,
                seq: unsigned(3)?,
                hash: EventHash::from_bytes(row.get(4)?),
            },
            bytes: unsigned(5)?,
            counted_at: row
                .get_ref(6)?
                .as_blob()?
                .as_chunks()
                .0
                .iter()
                .map(|at| i64::from_be_bytes(*at))
                .collect(),
        };
        let is_whole = row.get::<_, i64>(7)? == stored.checksum();
        if is_whole { Ok(stored) } else { Err(damaged(7, Damage::Head)) }
    }

    /// Writes the row, over one that ends in `before`. `false`: there is no such row.
    fn write(&self, db: &Connection, before: Option<&Head>) -> rusqlite::Result<bool> {
        let (chain, primary) = (key_bytes(&self.head.chain), key_bytes(&self.head.primary));
        let (seq, hash) = (self.head.seq.cast_signed(), self.head.hash.as_bytes());
        let (bytes, counted_at, checksum) =
            (self.bytes.cast_signed(), self.counted_at_bytes(), self.checksum());
        let written = match before {
            None => db
                .prepare_cached(
                    "INSERT INTO chains (number, chain, primary_key, seq, hash, bytes, counted_at, checksum)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![self.number, chain, primary, seq, hash, bytes, counted_at, checksum])?,
            Some(before) => db
                .prepare_cached(
                    "UPDATE chains
                     SET primary_key = ?2, seq = ?3, hash = ?4, bytes = ?5, counted_at = ?6, checksum = ?7
                     WHERE number = ?1 AND seq = ?8 AND hash = ?9",
                )?
                .execute(params![
                    self.number,
                    primary,
                    seq,
                    hash,
                    bytes,
                    counted_at,
                    checksum,
                    before.seq.cast_signed(),
                    before.hash.as_bytes(),
                ])?,
        };
        Ok(written == 1)
    }
}

fn hash_at(db: &Connection, stored: &Stored, seq: u64) -> rusqlite::Result<Option<EventHash>> {
    if seq > stored.head.seq {
        return Ok(None);
    }
    db.prepare_cached("SELECT envelope FROM events WHERE place = ?1")?
        .query_row([stored.place(seq)], |row| Ok(event_hash(row.get_ref(0)?.as_str()?)))
        .optional()
}

/// The lines of a chain from event `first` on. The end is the one known now, so later events are not among them.
fn pieces(
    database: Database,
    stored: &Stored,
    first: u64,
) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static {
    let last = stored.place(stored.head.seq);
    let first = if first > stored.head.seq { last + 1 } else { stored.place(first) };
    stream::try_unfold(first, move |from| {
        let piece = if from > last { Ok(None) } else { database.read(|db| piece(db, from, last)).map(Some) };
        std::future::ready(piece.map_err(StoreError::from))
    })
}

/// The lines from place `from` on, and the place after them; nothing beyond `last`.
fn piece(db: &Connection, from: i64, last: i64) -> rusqlite::Result<(Bytes, i64)> {
    let mut query =
        db.prepare_cached("SELECT place, envelope FROM events WHERE place BETWEEN ?1 AND ?2 ORDER BY place")?;
    let mut rows = query.query([from, last])?;
    let mut lines = Vec::with_capacity(PIECE_BYTES * 5 / 4); // and the longest event;
    let mut next = from;
    while lines.len() < PIECE_BYTES
        && next <= last
        && let Some(row) = rows.next()?
    {
        if row.get::<_, i64>(0)? != next {
            break;
        }
        lines.extend_from_slice(row.get_ref(1)?.as_bytes()?);
        lines.push(b'\n');
        next += 1;
    }
    if next <= last && lines.len() < PIECE_BYTES {
        return Err(damaged(0, Damage::Gap));
    }
    Ok((lines.into(), next))
}

fn totals(db: &Connection) -> rusqlite::Result<Totals> {
    db.prepare_cached("SELECT chains, events, bytes FROM totals")?.query_row([], |row| {
        let unsigned = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        Ok(Totals { chains: unsigned(0)?, events: unsigned(1)?, bytes: unsigned(2)? })
    })
}

fn damaged(column: usize, damage: Damage) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, Box::new(damage))
}

#[cfg(test)]
mod tests {
    use kez_serve::storage::unrefused;

    use super::super::conformance::{Writer, collect, no_quotas, now};
    use super::*;

    fn open() -> (SqliteChainStore, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        (SqliteChainStore::open(&dir.path().join("chains.db")).expect("a fresh file"), dir)
    }

    super::super::conformance::chain_store_conformance!(open());

    /// One row in the place of every value of a head: none of them is shown afterwards.
    #[tokio::test]
    async fn a_damaged_head_is_not_shown() {
        for damage in [
            "UPDATE chains SET number = 7",
            "UPDATE chains SET primary_key = chain",
            "UPDATE chains SET seq = 0",
            "UPDATE chains SET hash = zeroblob(32)",
            "UPDATE chains SET bytes = 1",
            "UPDATE chains SET counted_at = zeroblob(16)",
        ] {
            let (store, _keep) = open();
            let mut alice = Writer::new("alice");
            store.append(alice.add(), now(), &no_quotas()).await.unwrap().unwrap();
            store.append(alice.rotate("alice's new key"), now(), &no_quotas()).await.unwrap().unwrap();
            unrefused(store.database.write(move |db| Ok(db.execute(damage, [])?)).await).unwrap();
            assert!(matches!(store.head(&alice.chain()).await, Err(StoreError::Failed(_))), "{damage}");
            assert!(matches!(store.read(&alice.chain(), None).await, Err(StoreError::Failed(_))), "{damage}");
        }
    }

    #[tokio::test]
    async fn a_damaged_last_event_is_not_built_on() {
        for damage in [
            "UPDATE events SET envelope = replace(envelope, 'add', 'aed') WHERE place % 16384 = 1",
            "DELETE FROM events WHERE place % 16384 = 1",
        ] {
            let (store, _keep) = open();
            let mut alice = Writer::new("alice");
            store.append(alice.add(), now(), &no_quotas()).await.unwrap().unwrap();
            store.append(alice.add(), now(), &no_quotas()).await.unwrap().unwrap();
            unrefused(store.database.write(move |db| Ok(db.execute(damage, [])?)).await).unwrap();
            let built_on = store.append(alice.add(), now(), &no_quotas()).await;
            assert!(matches!(built_on, Err(StoreError::Failed(_))), "{damage}");
            assert_eq!(store.health(), StoreHealth::Ok, "others go on");
        }
    }

    #[tokio::test]
    async fn a_missing_event_ends_a_reading_with_an_error() {
        for lost in ["place % 16384 = 0", "place % 16384 = 1", "place % 16384 = 2"] {
            let (store, _keep) = open();
            let mut alice = Writer::new("alice");
            for _ in 0..3 {
                store.append(alice.add(), now(), &no_quotas()).await.unwrap().unwrap();
            }
            let damage = format!("DELETE FROM events WHERE {lost}");
            unrefused(store.database.write(move |db| Ok(db.execute(&damage, [])?)).await).unwrap();
            let reading = store.read(&alice.chain(), None).await.unwrap().unwrap();
            assert!(matches!(collect(reading).await, Err(StoreError::Failed(_))), "{lost}");
        }
    }
}
