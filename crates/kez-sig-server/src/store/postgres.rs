//! The PostgreSQL engine.
//!
//! An append locks the row of its chain, and that of its part of the sums last. Where there is no chain yet, the schema
//! lets one of several first events in, and the others are looked at again.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use kez_core::sigchain::{EventHash, Head};
use kez_core::{PrimaryKey, Timestamp};
use kez_serve::postgres::{
    Connection, Database, Fault, JobError, Location, Migration, OpenError, Options, bytes, unsigned,
};
use kez_serve::storage::{StoreError, StoreHealth};
use tokio_postgres::Row;

use super::stored::{Damage, PIECE_BYTES, Stored, event_hash, grow, key_bytes, key_of, line_bytes};
use super::{AppendRefusal, Appended, ChainStore, Reading, Totals};
use crate::extension::Extension;
use crate::limits::Quotas;

/// Never edited after a release; a change is a new file.
const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "sigchains", sql: include_str!("postgres/0001_sigchains.sql") }];

/// The schema of everything here.
const SCHEMA: &str = "kez_sig";

/// Rows of `totals`.
const PARTS: i64 = 16;

/// Events that a piece is looked for in: as many of the shortest as fill one.
const PIECE_EVENTS: i64 = 256;

/// A [`ChainStore`] in a PostgreSQL database, which other servers may share.
pub struct PostgresChainStore {
    database: Database,
}

impl PostgresChainStore {
    /// Connects, with so many connections at most, and brings the layout up to date.
    pub async fn open(location: &Location, connections_max: usize) -> Result<Self, OpenError> {
        let options = Options { schema: SCHEMA, connections_max };
        Ok(Self { database: Database::open(location, MIGRATIONS, options).await? })
    }
}

impl fmt::Debug for PostgresChainStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresChainStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl ChainStore for PostgresChainStore {
    async fn head(&self, chain: &PrimaryKey) -> Result<Option<Head>, StoreError> {
        Ok(find(&self.database.reader().await?, chain).await?.map(|stored| stored.head))
    }

    async fn event_hash(&self, chain: &PrimaryKey, seq: u64) -> Result<Option<EventHash>, StoreError> {
        let db = self.database.reader().await?;
        match find(&db, chain).await? {
            Some(stored) => Ok(hash_at(&db, &stored, seq).await?),
            None => Ok(None),
        }
    }

    async fn append(
        &self,
        extension: Extension,
        at: Timestamp,
        quotas: &Quotas,
    ) -> Result<Result<Appended, AppendRefusal>, StoreError> {
        self.database
            .write((extension, at.unix_seconds(), quotas.clone()), |db, (extension, now, quotas)| {
                Box::pin(append(db, extension, *now, quotas))
            })
            .await
    }

    async fn read(&self, chain: &PrimaryKey, since: Option<u64>) -> Result<Option<Reading>, StoreError> {
        let Some(stored) = find(&self.database.reader().await?, chain).await? else { return Ok(None) };
        let first = since.map_or(0, |since| since.saturating_add(1));
        Ok(Some(Reading {
            head: stored.head,
            bytes: (first == 0).then_some(stored.bytes),
            lines: pieces(self.database.clone(), &stored, first).boxed(),
        }))
    }

    async fn chains(&self, after: Option<&PrimaryKey>, limit: u32) -> Result<Vec<Head>, StoreError> {
        let after = after.map(|chain| key_bytes(chain).to_vec()).unwrap_or_default();
        let db = self.database.reader().await?;
        let list = format!("{SELECT} WHERE chain > $1 ORDER BY chain LIMIT $2");
        let found = db.rows(&list, &[&after, &i64::from(limit)]).await?;
        Ok(found.iter().map(|row| Ok(read(row)?.head)).collect::<Result<_, Fault>>()?)
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(totals(&self.database.reader().await?).await?)
    }

    fn health(&self) -> StoreHealth {
        self.database.health()
    }

    async fn close(&self) {
        self.database.close();
    }
}

const SELECT: &str = "SELECT number, chain, primary_key, seq, hash, bytes, counted_at, checksum FROM chains";

async fn find(db: &Connection, chain: &PrimaryKey) -> Result<Option<Stored>, Fault> {
    let find = format!("{SELECT} WHERE chain = $1");
    db.row(&find, &[&key_bytes(chain).as_slice()]).await?.as_ref().map(read).transpose()
}

async fn append(
    db: &Connection,
    extension: &Extension,
    now: i64,
    quotas: &Quotas,
) -> Result<Appended, JobError<AppendRefusal>> {
    let lock = format!("{SELECT} WHERE chain = $1 FOR UPDATE");
    let stored = db.row(&lock, &[&key_bytes(&extension.head().chain).as_slice()]).await?;
    let stored = stored.as_ref().map(read).transpose()?;
    if stored.as_ref().map(|stored| &stored.head) != extension.before() {
        return overtaken(db, stored.as_ref(), extension.head()).await;
    }
    if let Some(stored) = &stored
        && hash_at(db, stored, stored.head.seq).await? != Some(stored.head.hash)
    {
        return Err(Fault::damaged(Damage::LastEvent).into());
    }
    let number = match &stored {
        Some(stored) => stored.number,
        None => {
            db.one("SELECT nextval(pg_get_serial_sequence('chains', 'number'))", &[]).await?.try_get(0)?
        }
    };
    let grown = grow(number, stored.as_ref(), extension, totals(db).await?.bytes, now, quotas)
        .map_err(JobError::Refused)?;
    if !write(db, &grown, extension.before()).await? {
        return Err(Fault::damaged(Damage::Head).into());
    }
    let insert = "INSERT INTO events (place, accepted_at, envelope) VALUES ($1, $2, $3)";
    db.execute(insert, &[&grown.place(grown.head.seq), &now, &extension.envelope()]).await?;
    db.execute(
        "UPDATE totals SET chains = chains + $2, events = events + 1, bytes = bytes + $3 WHERE part = $1",
        &[&(number % PARTS), &i64::from(stored.is_none()), &line_bytes(extension).cast_signed()],
    )
    .await?;
    Ok(Appended::New(grown.head))
}

/// The answer when the chain has another end than the event was checked against.
async fn overtaken(
    db: &Connection,
    stored: Option<&Stored>,
    wanted: &Head,
) -> Result<Appended, JobError<AppendRefusal>> {
    if let Some(stored) = stored
        && hash_at(db, stored, wanted.seq).await? == Some(wanted.hash)
    {
        return Ok(Appended::SameAgain);
    }
    Err(JobError::Refused(AppendRefusal::Conflict { head: stored.map(|stored| stored.head) }))
}

/// Reads the columns of [`SELECT`]; no damaged row is shown.
fn read(row: &Row) -> Result<Stored, Fault> {
    let key = |column| key_of(bytes(row, column)?).ok_or_else(|| Fault::damaged(Damage::Head));
    let counted_at = row.try_get::<_, &[u8]>(6)?.as_chunks().0;
    let stored = Stored {
        number: row.try_get(0)?,
        head: Head {
            chain: key(1)?,
            primary: key(2)?,
            seq: unsigned(row, 3)?,
            hash: EventHash::from_bytes(bytes(row, 4)?),
        },
        bytes: unsigned(row, 5)?,
        counted_at: counted_at.iter().map(|at| i64::from_be_bytes(*at)).collect(),
    };
    let is_whole = row.try_get::<_, i64>(7)? == stored.checksum();
    if is_whole { Ok(stored) } else { Err(Fault::damaged(Damage::Head)) }
}

/// Writes the row, over one that ends in `before`. `false`: there is no such row.
async fn write(
    db: &Connection,
    stored: &Stored,
    before: Option<&Head>,
) -> Result<bool, JobError<AppendRefusal>> {
    let (chain, primary) = (key_bytes(&stored.head.chain), key_bytes(&stored.head.primary));
    let (seq, hash) = (stored.head.seq.cast_signed(), stored.head.hash.as_bytes().as_slice());
    let (size, counted_at, checksum) =
        (stored.bytes.cast_signed(), stored.counted_at_bytes(), stored.checksum());
    let written = match before {
        None => {
            let insert =
                "INSERT INTO chains (number, chain, primary_key, seq, hash, bytes, counted_at, checksum)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
            let (chain, primary) = (chain.as_slice(), primary.as_slice());
            db.execute(
                insert,
                &[&stored.number, &chain, &primary, &seq, &hash, &size, &counted_at, &checksum],
            )
            .await
            .map_err(JobError::raced)?
        }
        Some(before) => {
            let update = "UPDATE chains SET primary_key = $2, seq = $3, hash = $4, bytes = $5, counted_at = $6, checksum = $7
                 WHERE number = $1 AND seq = $8 AND hash = $9";
            let (was_seq, was_hash) = (before.seq.cast_signed(), before.hash.as_bytes().as_slice());
            let primary = primary.as_slice();
            db.execute(
                update,
                &[&stored.number, &primary, &seq, &hash, &size, &counted_at, &checksum, &was_seq, &was_hash],
            )
            .await?
        }
    };
    Ok(written == 1)
}

async fn hash_at(db: &Connection, stored: &Stored, seq: u64) -> Result<Option<EventHash>, Fault> {
    if seq > stored.head.seq {
        return Ok(None);
    }
    let row = db.row("SELECT envelope FROM events WHERE place = $1", &[&stored.place(seq)]).await?;
    row.map(|row| Ok(event_hash(row.try_get(0)?))).transpose()
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
        let database = database.clone();
        async move {
            if from > last {
                return Ok(None);
            }
            Ok(Some(piece(&database.reader().await?, from, last).await?))
        }
    })
}

/// The lines from place `from` on, and the place after them; nothing beyond `last`.
async fn piece(db: &Connection, from: i64, last: i64) -> Result<(Bytes, i64), Fault> {
    let through = last.min(from + PIECE_EVENTS - 1);
    let find = "SELECT place, envelope FROM (
             SELECT place, envelope, sum(length(envelope) + 1) OVER (ORDER BY place) AS through
             FROM events WHERE place BETWEEN $1 AND $2) sized
         WHERE through <= $3 OR place = $1 ORDER BY place";
    let bytes_max = i64::try_from(PIECE_BYTES).unwrap_or(i64::MAX);
    let found = db.rows(find, &[&from, &through, &bytes_max]).await?;
    let mut lines = Vec::with_capacity(PIECE_BYTES);
    let mut next = from;
    for row in &found {
        if row.try_get::<_, i64>(0)? != next {
            return Err(Fault::damaged(Damage::Gap));
        }
        lines.extend_from_slice(row.try_get::<_, &str>(1)?.as_bytes());
        lines.push(b'\n');
        next += 1;
    }
    if next == from { Err(Fault::damaged(Damage::Gap)) } else { Ok((lines.into(), next)) }
}

async fn totals(db: &Connection) -> Result<Totals, Fault> {
    let sums = "SELECT sum(chains)::bigint, sum(events)::bigint, sum(bytes)::bigint FROM totals";
    let row = db.one(sums, &[]).await?;
    Ok(Totals { chains: unsigned(&row, 0)?, events: unsigned(&row, 1)?, bytes: unsigned(&row, 2)? })
}

#[cfg(test)]
mod tests {
    use kez_testkit::PostgresDatabase;

    use super::super::conformance::{Writer, collect, no_quotas, now};
    use super::*;

    async fn open() -> (PostgresChainStore, PostgresDatabase) {
        let database = PostgresDatabase::create();
        let location = database.url().parse().expect("a good location");
        (PostgresChainStore::open(&location, 8).await.expect("a fresh database"), database)
    }

    super::super::conformance::chain_store_conformance!(open().await);

    #[tokio::test]
    async fn what_is_damaged_is_not_shown_and_not_built_on() {
        for damage in [
            "UPDATE kez_sig.chains SET hash = sha256('')",
            "UPDATE kez_sig.events SET envelope = replace(envelope, 'add', 'aed') WHERE place % 16384 = 1",
            "DELETE FROM kez_sig.events WHERE place % 16384 = 1",
        ] {
            let (store, database) = open().await;
            let mut alice = Writer::new("alice");
            store.append(alice.add(), now(), &no_quotas()).await.unwrap().unwrap();
            store.append(alice.add(), now(), &no_quotas()).await.unwrap().unwrap();
            database.sql(damage);
            let built_on = store.append(alice.add(), now(), &no_quotas()).await;
            assert!(matches!(built_on, Err(StoreError::Failed(_))), "{damage}");
        }
        let (store, database) = open().await;
        let mut alice = Writer::new("alice");
        for _ in 0..3 {
            store.append(alice.add(), now(), &no_quotas()).await.unwrap().unwrap();
        }
        database.sql("DELETE FROM kez_sig.events WHERE place % 16384 = 1");
        let reading = store.read(&alice.chain(), None).await.unwrap().unwrap();
        assert!(matches!(collect(reading).await, Err(StoreError::Failed(_))), "a gap");
    }
}
