//! The oracle: reads the database file beside the server, and believes no row without its signed envelope.

use std::collections::BTreeMap;
use std::path::Path;

use kez_core::sigchain::{Chain, EventHash, Head};
use kez_core::{Envelope, Handle, NostrKey, PrimaryKey, PublicKey, Registration};
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use sha2::{Digest as _, Sha256};

use crate::authors::Authors;
use crate::people::{People, SERVER};

/// The number of the last registration that was verified; 0 for none.
pub(crate) type Verified = i64;

/// Checks that the file is whole and that everything in it was asked for and follows from its envelope.
///
/// Envelopes up to `verified` are taken as checked before; everything else is checked over all rows. Only while a
/// server runs on the file or has closed it: after a kill the next server must find the log as it was left.
pub(crate) fn verify(db: &Path, people: &People, verified: Verified) -> Verified {
    let db = open(db);
    let text = |sql| db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let number = |sql| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    let stray = "SELECT count(*) FROM registrations r LEFT JOIN handles h ON h.registration = r.id WHERE h.handle IS NULL";
    assert_eq!(number(stray), 0, "a registration without its handle");
    let handles = number("SELECT count(*) FROM handles");
    assert_eq!(handles, number("SELECT count(*) FROM registrations"), "as many handles as registrations");
    let mut rows = db
        .prepare(
            "SELECT h.handle, h.skeleton, h.primary_key, r.handle, r.payload_sha256, r.envelope, r.id
             FROM handles h LEFT JOIN registrations r ON r.id = h.registration
             WHERE r.id IS NULL OR r.id > ?1",
        )
        .unwrap();
    let mut rows = rows.query([verified]).unwrap();
    let mut last = verified;
    while let Some(row) = rows.next().unwrap() {
        let handle: String = row.get(0).unwrap();
        let stored: String = row.get(5).expect("a handle has its registration and its envelope");
        let envelope = Envelope::parse(stored.as_bytes()).unwrap().verify::<Registration>().unwrap();
        assert_eq!(envelope.canonical(), stored);
        assert_eq!(envelope.document(), &Registration { handle: handle.clone(), server: SERVER.to_owned() });
        assert_eq!(row.get::<_, String>(1).unwrap(), handle.parse::<Handle>().unwrap().skeleton().as_str());
        assert_eq!(&row.get::<_, [u8; 32]>(2).unwrap(), envelope.primary().as_bytes());
        assert_eq!(row.get::<_, String>(3).unwrap(), handle);
        assert_eq!(&row.get::<_, [u8; 32]>(4).unwrap(), envelope.payload_sha256());
        assert!(people.asked_for(&handle), "nobody asked for {handle}");
        last = last.max(row.get(6).unwrap());
    }
    last
}

/// Checks that the file of the sigchains is whole, and every chain in it from its first event: that its author signed
/// it, that all that was acknowledged is there, and that what the server knows of it follows from its events.
///
/// A chain that still has the end in `verified` is taken as checked before. The number of events.
pub(crate) fn verify_chains(db: &Path, authors: &Authors, verified: &mut BTreeMap<PrimaryKey, Head>) -> i64 {
    let db = open(db);
    let number = |sql| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(db.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    let (mut missing, mut events, mut bytes) = (authors.acknowledged(), 0, 0);
    let mut chains = db.prepare("SELECT number, chain, primary_key, seq, hash, bytes FROM chains").unwrap();
    let mut chains = chains.query([]).unwrap();
    while let Some(row) = chains.next().unwrap() {
        let stored = Head {
            chain: key(row.get(1).unwrap()),
            primary: key(row.get(2).unwrap()),
            seq: row.get::<_, i64>(3).unwrap().try_into().unwrap(),
            hash: EventHash::from_bytes(row.get(4).unwrap()),
        };
        events += row.get::<_, i64>(3).unwrap() + 1;
        bytes += row.get::<_, i64>(5).unwrap();
        missing.retain(|id| *id != stored.chain);
        if verified.get(&stored.chain) == Some(&stored) {
            continue;
        }
        let lines = lines(&db, row.get(0).unwrap());
        assert_eq!(row.get::<_, i64>(5).unwrap(), i64::try_from(lines.len()).unwrap());
        let chain = Chain::read(Some(stored.chain), &lines).unwrap();
        assert_eq!(chain.head(), &stored);
        authors.check(stored.chain, chain.hashes());
        verified.insert(stored.chain, stored);
    }
    assert!(missing.is_empty(), "acknowledged, and without a chain: {missing:?}");
    assert_eq!(number("SELECT count(*) FROM events"), events, "every event belongs to a chain");
    assert_eq!(number("SELECT chains FROM totals"), number("SELECT count(*) FROM chains"));
    assert_eq!(number("SELECT events FROM totals"), events);
    assert_eq!(number("SELECT bytes FROM totals"), bytes);
    events
}

/// The events of a chain, each at its place, one a line.
fn lines(db: &Connection, number: i64) -> String {
    let places = (number << 14)..((number + 1) << 14);
    let mut events = db.prepare("SELECT place, envelope FROM events WHERE place BETWEEN ?1 AND ?2").unwrap();
    let mut events = events.query([places.start, places.end - 1]).unwrap();
    let mut lines = String::new();
    for place in places {
        let Some(row) = events.next().unwrap() else { break };
        assert_eq!(row.get::<_, i64>(0).unwrap(), place, "an event is missing");
        let envelope: String = row.get(1).unwrap();
        assert_eq!(Envelope::parse(envelope.as_bytes()).unwrap().canonical(), envelope);
        lines += &envelope;
        lines.push('\n');
    }
    lines
}

/// A key as it is stored: a byte for its system, and its 32 bytes.
fn key([system, bytes @ ..]: [u8; 33]) -> PrimaryKey {
    match system {
        1 => PublicKey::from_bytes(bytes).into(),
        2 => NostrKey::from_bytes(bytes).into(),
        _ => panic!("no system of keys: {system}"),
    }
}

/// SHA-256 over every row of every table: the same as long as nothing was changed.
pub(crate) fn digest(db: &Path) -> [u8; 32] {
    let db = open(db);
    let mut digest = Sha256::new();
    for table in ["home", "registrations", "handles", "invites"] {
        let mut rows = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                digest.update(match row.get_ref(column).unwrap() {
                    ValueRef::Null => format!("{table} null;"),
                    ValueRef::Integer(number) => format!("{table} {number};"),
                    value => format!("{table} {:?};", value.as_bytes().unwrap()),
                });
            }
        }
    }
    digest.finalize().into()
}

fn open(db: &Path) -> Connection {
    let db = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    db.busy_timeout(crate::DEADLINE).unwrap();
    db
}
