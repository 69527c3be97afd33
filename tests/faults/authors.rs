//! Who keeps sigchains: keys and events follow from the case's name and numbers.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kez_core::PrimaryKey;
use kez_core::sigchain::{Chain, EventHash, Head};
use kez_testkit::ChainWriter;
use kez_testkit::process::Program;
use serde_json::json;

use crate::http::{Answer, Connection};
use crate::writers::Writers;
use crate::{BINARY, dump};

/// An author begins no further event after so many: what the oracle has to verify again stays bounded.
const EVENTS_MAX: usize = 100;
/// Every so many events the chain goes over to another key.
const EVENTS_PER_KEY: usize = 8;

/// The authors of one case. Whoever asks for an event gets that of an author who waits for no answer.
#[derive(Debug, Clone)]
pub(crate) struct Authors {
    case: &'static str,
    all: Arc<Mutex<All>>,
}

#[derive(Debug, Default)]
struct All {
    authors: Vec<Author>,
    /// Those who wait for no answer, by their place in `authors`.
    idle: VecDeque<usize>,
}

/// What somebody knows of their own chain.
#[derive(Debug)]
struct Author {
    name: String,
    writer: ChainWriter,
    /// The events that were acknowledged.
    acknowledged: Vec<EventHash>,
    /// The next event, the same until it is acknowledged.
    pending: Option<String>,
    /// Whether the server may have kept it nevertheless.
    may_be_kept: bool,
}

/// An event that somebody wants to have written.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    author: usize,
    pub(crate) chain: PrimaryKey,
    pub(crate) seq: u64,
    pub(crate) hash: EventHash,
}

impl Writers for Authors {
    type Written = Link;
    /// The ends of chains that were verified.
    type Verified = BTreeMap<PrimaryKey, Head>;
    const DATABASE: &'static str = "kez-chat-sig.db";
    const MEMBERS: &'static [&'static str] =
        &["prev", "subject", "op", "new_primary", "primary", "created_at", "key", "sig", "type", "alg"];

    fn new(case: &'static str) -> Self {
        Self { case, all: Arc::default() }
    }

    fn program(dir: &Path) -> Program {
        Program::with_sigchains(BINARY, dir)
    }

    fn next(&self) -> (Link, String) {
        let mut all = self.lock();
        let number = all.idle.pop_front().unwrap_or(all.authors.len());
        if number == all.authors.len() {
            all.authors.push(Author::new(format!("faults {} {number}", self.case)));
        }
        let author = &mut all.authors[number];
        let event = author.pending.take().unwrap_or_else(|| author.sign());
        author.pending = Some(event.clone());
        let Head { chain, seq, hash, .. } = author.writer.head().expect("the event");
        (Link { author: number, chain, seq, hash }, event)
    }

    fn path(wanted: &Link) -> String {
        path(&wanted.chain)
    }

    fn note(&self, wanted: &Link, answer: Option<&Answer>) {
        let mut all = self.lock();
        let author = &mut all.authors[wanted.author];
        match answer {
            Some(answer) if answer.is_acknowledgement() => {
                assert_eq!(answer.json(), json!({ "seq": wanted.seq, "hash": wanted.hash }), "{answer:?}");
                assert!(answer.status == 201 || author.may_be_kept, "kept before it was sent: {answer:?}");
                author.acknowledged.push(wanted.hash);
                author.pending = None;
                author.may_be_kept = false;
            }
            Some(answer) if answer.status < 500 => {}
            _ => author.may_be_kept = true,
        }
        if author.acknowledged.len() < EVENTS_MAX {
            all.idle.push_back(wanted.author);
        }
    }

    fn leave(&self, wanted: &Link) {
        self.lock().idle.push_back(wanted.author);
    }

    async fn is_shown(connection: &mut Connection, wanted: &Link) -> bool {
        let head = connection.get(&format!("{}/head", path(&wanted.chain))).await.unwrap();
        assert!([200, 404].contains(&head.status), "{head:?}");
        head.json()["seq"].as_u64().is_some_and(|seq| seq >= wanted.seq)
    }

    async fn expect_found(addr: SocketAddr, written: &[Link]) {
        let mut connection = Connection::open(addr).await.unwrap();
        let mut chains = BTreeMap::<_, Vec<_>>::new();
        for link in written {
            chains.entry(link.chain).or_default().push(link);
        }
        for (id, links) in chains {
            let chain = read(&mut connection, id).await;
            let head = connection.get(&format!("{}/head", path(&id))).await.unwrap();
            assert_eq!(head.json()["hash"], chain.head().hash.to_string(), "{head:?}");
            for link in links {
                let found = usize::try_from(link.seq).ok().and_then(|seq| chain.hashes().get(seq));
                assert_eq!(found, Some(&link.hash), "{link:?} was acknowledged");
            }
        }
    }

    fn verify(&self, db: &Path, verified: &mut Self::Verified) -> i64 {
        dump::verify_chains(db, self, verified)
    }
}

/// The chain as a reader gets it, who believes nothing else.
pub(crate) async fn read(connection: &mut Connection, id: PrimaryKey) -> Chain {
    let answer = connection.get(&path(&id)).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    Chain::read(Some(id), std::str::from_utf8(&answer.body).unwrap()).unwrap()
}

/// `/v1/sigchains/<system>/<id>`.
pub(crate) fn path(chain: &PrimaryKey) -> String {
    format!("/v1/sigchains/{}/{}", chain.system(), chain.value())
}

impl Authors {
    /// Checks a stored chain against what its author knows: all that was acknowledged, and then at most the event that
    /// nobody got an answer about.
    pub(crate) fn check(&self, id: PrimaryKey, stored: &[EventHash]) {
        let all = self.lock();
        let author = all.authors.iter().find(|author| author.writer.chain() == id);
        let author = author.expect("a chain of one of them");
        let (known, further) = stored.split_at(author.acknowledged.len().min(stored.len()));
        assert_eq!(known, author.acknowledged, "{id}: what was acknowledged");
        let pending = author.writer.head().filter(|_| author.may_be_kept).map(|head| head.hash);
        assert!(further.is_empty() || further.iter().eq(&pending), "{id}: never sent: {further:?}");
    }

    /// Those of whose chain something was acknowledged.
    pub(crate) fn acknowledged(&self) -> Vec<PrimaryKey> {
        let all = self.lock();
        let authors = all.authors.iter().filter(|author| !author.acknowledged.is_empty());
        authors.map(|author| author.writer.chain()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Author {
    fn new(name: String) -> Self {
        let writer = ChainWriter::new(&name);
        Self { name, writer, acknowledged: Vec::new(), pending: None, may_be_kept: false }
    }

    /// The next event.
    fn sign(&mut self) -> String {
        let subject = |seq: usize| format!("github:friend-{seq}");
        match self.acknowledged.len() {
            seq if seq > 0 && seq.is_multiple_of(EVENTS_PER_KEY) => {
                let to_nostr = seq.is_multiple_of(2 * EVENTS_PER_KEY);
                self.writer.rotate(&format!("{} {seq}", self.name), to_nostr)
            }
            seq if seq % 3 == 1 => self.writer.revoke(&subject(seq - 1)),
            seq => self.writer.add(&subject(seq)),
        }
    }
}
