//! People who keep sigchains, and the check of all chains of a sig-server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use kez_core::sigchain::{Chain, Event, EventHash, Head, Op, RotationProof};
use kez_core::{Envelope, NostrSecret, PrimaryKey, Seed, Timestamp};
use kez_sig_server::store::ChainStore;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::actor::seed;
use crate::client::Call;
use crate::net::START;

/// Chains asked for at a time: small, so that paging is exercised.
const PAGE: u32 = 100;

/// Somebody who keeps a chain. Each event that is signed is taken for appended; [`peek`](Self::peek) signs one aside.
#[derive(Debug, Clone)]
pub struct ChainWriter {
    chain: PrimaryKey,
    signer: Signer,
    head: Option<Head>,
    at: Timestamp,
}

#[derive(Debug, Clone)]
enum Signer {
    Ed25519(Seed),
    Nostr(NostrSecret),
}

impl ChainWriter {
    /// The person called `name`, who has no event yet; an Ed25519 key, the one of the actor of that name.
    pub fn new(name: &str) -> Self {
        Self::of(Signer::Ed25519(seed(name)))
    }

    /// The same with a nostr key.
    pub fn nostr(name: &str) -> Self {
        Self::of(Signer::nostr(name))
    }

    fn of(signer: Signer) -> Self {
        Self { chain: signer.key(), signer, head: None, at: START.parse().expect("a time") }
    }

    /// The chain: its first key.
    pub fn chain(&self) -> PrimaryKey {
        self.chain
    }

    /// Where the chain ends after what was signed.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// The hash of the last event.
    pub fn hash(&self) -> String {
        self.head.expect("an event").hash.to_string()
    }

    /// `/v1/sigchains/<system>/<id>`.
    pub fn path(&self) -> String {
        format!("/v1/sigchains/{}/{}", self.chain.system(), self.chain.value())
    }

    /// The next event: `add` of `subject`.
    pub fn add(&mut self, subject: &str) -> String {
        self.next(Op::Add { subject: subject.parse().expect("an identifier") })
    }

    /// The next event: `revoke` of `subject`.
    pub fn revoke(&mut self, subject: &str) -> String {
        self.next(Op::Revoke { subject: subject.parse().expect("an identifier") })
    }

    /// The next event: hands the chain over to the key of the person called `name`, nostr or Ed25519.
    pub fn rotate(&mut self, name: &str, to_nostr: bool) -> String {
        let new = if to_nostr { Signer::nostr(name) } else { Signer::Ed25519(seed(name)) };
        let proof = RotationProof::after(&self.head.expect("a chain to hand over"));
        let proof = match &new {
            Signer::Ed25519(seed) => Envelope::sign(&proof, seed, self.at),
            Signer::Nostr(secret) => Envelope::sign_nostr(&proof, secret, &[0; 32], self.at),
        };
        let proof = Box::new(proof.expect("text that can be signed"));
        let event = self.next(Op::Rotate { new_primary: new.key(), proof });
        if let Some(head) = &mut self.head {
            head.primary = new.key();
        }
        self.signer = new;
        event
    }

    /// The next event, of any operation, in canonical form.
    pub fn next(&mut self, op: Op) -> String {
        let envelope = self.peek(op);
        let seq = self.head.map_or(0, |head| head.seq + 1);
        let hash = EventHash::from(&envelope);
        self.head = Some(Head { chain: self.chain, primary: self.signer.key(), seq, hash });
        envelope.canonical().to_owned()
    }

    /// The next event, without going on from it.
    pub fn peek(&self, op: Op) -> Envelope {
        let event = match &self.head {
            None => Event::first(op),
            Some(head) => head.next(op),
        };
        self.sign(&event)
    }

    /// Any event, signed by the present key.
    pub fn sign(&self, event: &Event) -> Envelope {
        let signed = match &self.signer {
            Signer::Ed25519(seed) => Envelope::sign(event, seed, self.at),
            Signer::Nostr(secret) => Envelope::sign_nostr(event, secret, &[0; 32], self.at),
        };
        signed.expect("text that can be signed")
    }
}

impl Signer {
    fn nostr(name: &str) -> Self {
        Self::Nostr(NostrSecret::from_bytes(seed(name).expose()).expect("a secret below the group's order"))
    }

    fn key(&self) -> PrimaryKey {
        match self {
            Self::Ed25519(seed) => seed.public_key().into(),
            Self::Nostr(secret) => secret.public_key().into(),
        }
    }
}

/// Verifies every chain of `store` again from its first event, that all ways of reading it at `addr` agree, and the file
/// `db` without the server's code. The number of events by chain.
pub async fn check_chains(store: &dyn ChainStore, addr: SocketAddr, db: &Path) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let (mut bytes, mut after) = (0, None);
    loop {
        let page = store.chains(after.as_ref(), PAGE).await.expect("the store answers");
        let Some(last) = page.last() else { break };
        after = Some(last.chain);
        for head in page {
            bytes += check_chain(addr, &head).await;
            let before = counts.insert(head.chain.to_string(), head.seq + 1);
            assert!(before.is_none(), "{} stands twice", head.chain);
        }
    }
    let totals = store.totals().await.expect("the store answers");
    let events = counts.values().sum();
    assert_eq!((totals.chains, totals.events, totals.bytes), (counts.len() as u64, events, bytes as u64));
    check_file(db, counts.len() as u64, events);
    counts
}

/// Believes nothing about a chain but what its keys have signed; the number of its bytes.
async fn check_chain(addr: SocketAddr, head: &Head) -> usize {
    let path = format!("/v1/sigchains/{}/{}", head.chain.system(), head.chain.value());
    let get = async |target: String| Call::to(addr, "GET", &target).send().await.expect_status(200);
    let whole = get(path.clone()).await;
    let lines = whole.text();
    let chain = Chain::read(Some(head.chain), lines)
        .unwrap_or_else(|error| panic!("the chain {} is not believed: {error}", head.chain));
    assert_eq!(chain.head(), head, "the stored head is not the chain's");
    for line in lines.lines() {
        let envelope = Envelope::parse(line.as_bytes()).expect("an envelope");
        assert_eq!(envelope.canonical(), line, "an event of {} is not canonical", head.chain);
    }
    let etag = format!("\"{}\"", head.hash);
    assert_eq!(whole.header("etag"), Some(etag.as_str()));
    assert_eq!(whole.header("content-length"), Some(lines.len().to_string().as_str()));
    let end = get(format!("{path}/head")).await;
    assert_eq!(end.json(), json!({ "seq": head.seq, "hash": head.hash, "count": head.seq + 1 }));
    assert_eq!(end.header("etag"), Some(etag.as_str()));
    if head.seq > 0 {
        let rest = get(format!("{path}?since={}", head.seq / 2)).await;
        let kept = usize::try_from(head.seq / 2).expect("a small number") + 1;
        assert_eq!(rest.text(), lines.split_inclusive('\n').skip(kept).collect::<String>());
    }
    lines.len()
}

fn check_file(path: &Path, chains: u64, events: u64) {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file opens");
    let text = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).expect("an answer");
    let count =
        |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a count").cast_unsigned();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    assert_eq!(count("SELECT count(*) FROM chains"), chains);
    assert_eq!(count("SELECT count(*) FROM events"), events);
    // Every event belongs to a chain, at a place that the chain has.
    let placed = "SELECT count(*) FROM events e JOIN chains c ON c.number = e.place / 16384 AND e.place % 16384 <= c.seq";
    assert_eq!(count(placed), events);
}
