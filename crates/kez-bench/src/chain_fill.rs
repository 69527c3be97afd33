//! Databases of the sig-server with long chains in it: real signed events, written past the server in big transactions.
//! The tables are made by the server itself; the rows must be what it would write.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use kez_core::sigchain::EventHash;
use rusqlite::{Connection, Transaction, params};
use sha2::{Digest, Sha256};

use crate::{chains::Writer, error::Error, fill, people, process::Program};

/// Chains in one transaction: the events of so many are in memory at once.
const CHUNK: u32 = 8;

/// Places that the sig-server has for the events of one chain; see its `0001_sigchains.sql`.
const PLACES: u64 = 1 << 14;

/// What is in the database: chains 0, 1, … of `events` events each, and one more, that is `full`.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) chains: u32,
    pub(crate) events: u32,
    pub(crate) full: u32,
}

impl Shape {
    fn events_of(self, chain: u32) -> u32 {
        if chain < self.chains { self.events } else { self.full }
    }

    fn all(self) -> Range<u32> {
        0..self.chains + 1
    }
}

/// Where a chain ends.
pub(crate) struct End {
    pub(crate) seq: u64,
    pub(crate) hash: EventHash,
    /// Of all its events, each with a line end.
    bytes: u64,
}

/// The database of `dir` with these chains and today's tables, made when it is not there.
pub(crate) fn filled(server: &Program, dir: &Path, shape: Shape) -> Result<PathBuf, Error> {
    let part = dir.join("chains.part");
    let conn = fill::empty(server, &part)?;
    let Shape { chains, events, full } = shape;
    let db = dir.join(format!("chains-{chains}x{events}-{full}-{}.db", fill::tables(&conn)?));
    if !db.exists() {
        make(conn, shape, &part, &db)?;
    }
    Ok(db)
}

fn make(mut conn: Connection, shape: Shape, part: &Path, db: &Path) -> Result<(), Error> {
    conn.execute_batch(fill::FAST)?;
    for first in shape.all().step_by(CHUNK as usize) {
        let some = first..shape.all().end.min(first + CHUNK);
        let events = people::on_all_cores(some.clone(), |chain| sign(chain, shape.events_of(chain)))?;
        let transaction = conn.transaction()?;
        for (chain, events) in some.clone().zip(&events) {
            insert(&transaction, chain, events)?;
        }
        transaction.commit()?;
        eprintln!("{}: {} of {} chains", db.display(), some.end, shape.all().end);
    }
    set_ends(&mut conn, shape)?;
    fill::finish(conn, part, db)
}

/// Takes back what was appended to a stopped server's chains since they were made, and gives their ends.
pub(crate) fn cut_back(db: &Path, shape: Shape) -> Result<Vec<End>, Error> {
    let mut conn = Connection::open(db)?;
    let ends = set_ends(&mut conn, shape)?;
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")?; // what is left of it is nobody's to sync in a window
    Ok(ends)
}

fn sign(chain: u32, events: u32) -> Result<Vec<String>, Error> {
    let mut writer = Writer::new(chain);
    (0..events).map(|_| Ok(writer.next()?.canonical().to_owned())).collect()
}

/// The number that the sig-server gives to a chain.
fn number(chain: u32) -> u64 {
    u64::from(chain) + 1
}

fn insert(transaction: &Transaction<'_>, chain: u32, events: &[String]) -> rusqlite::Result<()> {
    let mut insert =
        transaction.prepare_cached("INSERT INTO events (place, accepted_at, envelope) VALUES (?1, 0, ?2)")?;
    for (place, event) in (number(chain) * PLACES..).zip(events) {
        insert.execute(params![place.cast_signed(), event])?;
    }
    Ok(())
}

/// Makes every chain end where `shape` says.
fn set_ends(conn: &mut Connection, shape: Shape) -> Result<Vec<End>, Error> {
    let transaction = conn.transaction()?;
    transaction.execute_batch("DELETE FROM chains")?;
    let ends: Vec<End> = shape
        .all()
        .map(|chain| set_end(&transaction, chain, shape.events_of(chain)))
        .collect::<rusqlite::Result<_>>()?;
    let bytes: u64 = ends.iter().map(|end| end.bytes).sum();
    let events: u64 = ends.iter().map(|end| end.seq + 1).sum();
    transaction.execute(
        "UPDATE totals SET chains = ?1, events = ?2, bytes = ?3",
        params![ends.len().cast_signed(), events.cast_signed(), bytes.cast_signed()],
    )?;
    transaction.commit()?;
    Ok(ends)
}

fn set_end(transaction: &Transaction<'_>, chain: u32, events: u32) -> rusqlite::Result<End> {
    let number = number(chain);
    let (first, after) = (number * PLACES, number * PLACES + u64::from(events));
    transaction
        .prepare_cached("DELETE FROM events WHERE place >= ?1 AND place < ?2")?
        .execute([after.cast_signed(), (first + PLACES).cast_signed()])?;
    let bytes: i64 = transaction
        .prepare_cached(
            "SELECT sum(octet_length(envelope) + 1) FROM events WHERE place >= ?1 AND place < ?2",
        )?
        .query_row([first.cast_signed(), after.cast_signed()], |row| row.get(0))?;
    let last: String = transaction
        .prepare_cached("SELECT envelope FROM events WHERE place = ?1")?
        .query_row([(after - 1).cast_signed()], |row| row.get(0))?;
    let hash = EventHash::from_bytes(Sha256::digest(last).into());
    let end = End { seq: u64::from(events) - 1, hash, bytes: bytes.cast_unsigned() };
    let key = key_bytes(chain);
    transaction
        .prepare_cached(
            "INSERT INTO chains (number, chain, primary_key, seq, hash, bytes, counted_at, checksum)
             VALUES (?1, ?2, ?2, ?3, ?4, ?5, x'', ?6)",
        )?
        .execute(params![
            number.cast_signed(),
            key,
            end.seq.cast_signed(),
            end.hash.as_bytes(),
            bytes,
            checksum(number, &key, &end)
        ])?;
    Ok(end)
}

/// A byte for ed25519, and the key.
fn key_bytes(chain: u32) -> [u8; 33] {
    let mut bytes = [1; 33];
    bytes[1..].copy_from_slice(Writer::new(chain).key().as_bytes());
    bytes
}

/// What the sig-server checks each row by; see its `0001_sigchains.sql`.
fn checksum(number: u64, key: &[u8; 33], end: &End) -> i64 {
    let digest = Sha256::new()
        .chain_update(number.to_be_bytes())
        .chain_update(key)
        .chain_update(key)
        .chain_update(end.seq.to_be_bytes())
        .chain_update(end.hash.as_bytes())
        .chain_update(end.bytes.to_be_bytes());
    let digest: [u8; 32] = digest.finalize().into();
    digest.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}
