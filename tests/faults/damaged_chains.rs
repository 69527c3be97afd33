//! Damage to the sigchains' file while no server runs. An event proves itself, so the server serves it as it lies there,
//! and every reader refuses what is damaged. What the server owes is the end: a damaged one is neither told nor built on.

use std::collections::BTreeMap;

use kez_core::sigchain::{Chain, EventHash};
use kez_testkit::process::ServerProcess;
use kez_testkit::{Call, Chance};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::authors::{Authors, Link};
use crate::damaged_file::damaged;
use crate::form::count;
use crate::http::{Answer, Connection, Ended, get};
use crate::load::Load;
use crate::writers::Writers;

const CHAINS: usize = 8;
const EVENTS: usize = 120;

/// A chain as it is in the file before that is damaged.
struct Whole {
    /// The event that comes next, and the hash of the last one, which it names.
    next: Link,
    next_text: String,
    last: String,
    lines: Vec<String>,
}

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Nothing,
    Event,
    LastEvent,
    Head,
}

/// What a reader gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Got {
    /// The chain, verified and whole.
    Whole,
    /// Something that is no chain.
    Unbelieved,
    /// An answer that broke off.
    Broken,
    Unavailable,
    Missing,
}

/// A bit in each chain but one: in its row, in its last event or in another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_event_is_not_believed_and_a_damaged_end_is_not_built_on() {
    let (authors, chains, file) = fill().await;
    let mut chance = Chance::new(0x6368_6169);
    let mut tally = BTreeMap::<_, u32>::new();
    for round in 0..count(3, 100) {
        let mut bytes = file.clone();
        let places: Vec<_> = (0..chains.len())
            .map(|number| match number {
                0 => Place::Nothing,
                _ => [Place::Event, Place::LastEvent, Place::Head][(number + round as usize) % 3],
            })
            .collect();
        for (chain, place) in chains.iter().zip(&places) {
            chain.damage(*place, &mut bytes, &mut chance);
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(Authors::database(dir.path()), bytes).unwrap();
        let server = Authors::start(dir.path());
        for (chain, place) in chains.iter().zip(places) {
            let got = chain.read(&server, &authors).await;
            let appended = chain.append(&server).await;
            *tally.entry((place, got, appended)).or_default() += 1;
            match place {
                Place::Nothing => assert_eq!((got, appended), (Got::Whole, 201)),
                Place::Event => assert_eq!((got, appended), (Got::Unbelieved, 201)),
                Place::LastEvent => assert_eq!((got, appended), (Got::Unbelieved, 503)),
                Place::Head => assert_eq!((got, appended), (Got::Unavailable, 503)),
            }
        }
        assert_eq!(get(server.addr(), "/v1/readyz").await.status, 200, "others can go on writing");
        assert_eq!(server.stop_term().code, Some(0));
    }
    println!("{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_of_chains_deceives_no_reader() {
    let (authors, chains, file) = fill().await;
    let (mut tally, mut refused) = (BTreeMap::<_, u32>::new(), 0);
    for seed in 0..count(5, 100) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(Authors::database(dir.path()), damaged(&file, u64::from(seed))).unwrap();
        let server = match Authors::program(dir.path()).start() {
            Ok(server) => server,
            Err(error) => {
                assert_eq!(error.code, Some(1), "{}", error.log);
                assert!(error.log.lines().any(|line| line.starts_with("error: --sig-bind")), "{}", error.log);
                assert!(!error.log.contains("panicked"), "{}", error.log);
                refused += 1;
                continue;
            }
        };
        for chain in &chains {
            let got = chain.read(&server, &authors).await;
            let appended = chain.append(&server).await;
            *tally.entry((got, appended)).or_default() += 1;
        }
        let log = server.log();
        assert!(!log.contains("panicked"), "{log}");
        assert_eq!(server.stop_term().code, Some(0));
    }
    println!("{refused} refused, {tally:?}");
}

/// Some chains, and the file that they lie in.
async fn fill() -> (Authors, Vec<Whole>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let authors = Authors::new("damage");
    let server = Authors::start(dir.path());
    let load = Load::start(server.addr(), &authors, CHAINS);
    load.acknowledged(EVENTS).await;
    load.end().await;
    let mut connection = Connection::open(server.addr()).await.unwrap();
    let mut chains = Vec::new();
    for _ in 0..CHAINS {
        let (next, next_text) = authors.next();
        let answer = connection.get(&Authors::path(&next)).await.unwrap();
        let lines: Vec<_> = String::from_utf8(answer.body).unwrap().lines().map(str::to_owned).collect();
        assert!(lines.len() > 1, "a chain with a last event and another one");
        let signed: Value = serde_json::from_str(&next_text).unwrap();
        let last = signed["payload"]["prev"].as_str().unwrap().to_owned();
        chains.push(Whole { next, next_text, last, lines });
    }
    drop(connection);
    assert_eq!(server.stop_term().code, Some(0));
    authors.verify_all(dir.path());
    (authors, chains, std::fs::read(Authors::database(dir.path())).unwrap())
}

impl Whole {
    /// Flips one bit of it.
    fn damage(&self, place: Place, file: &mut [u8], chance: &mut Chance) {
        let (last, others) = self.lines.split_last().unwrap();
        let hash: EventHash = self.last.parse().unwrap();
        let damaged = match place {
            Place::Nothing => return,
            Place::Event => chance.one_of(others).as_bytes(),
            Place::LastEvent => last.as_bytes(),
            Place::Head => hash.as_bytes(),
        };
        let (at, bit) = (chance.below(damaged.len()), chance.below(8));
        // SQLite leaves copies behind in what is free: each is damaged, the one that counts among them.
        let copies = (0..file.len()).filter(|start| file[*start..].starts_with(damaged)).collect::<Vec<_>>();
        assert!(!copies.is_empty(), "it is in the file");
        for start in copies {
            file[start + at] ^= 1 << bit;
        }
    }

    /// As a reader gets it. What it believes is the whole chain, and the end is told right or not at all.
    async fn read(&self, server: &ServerProcess, authors: &Authors) -> Got {
        let path = Authors::path(&self.next);
        let head = get(server.addr(), &format!("{path}/head")).await;
        assert!([200, 404, 503].contains(&head.status), "{head:?}");
        assert!(head.status != 200 || head.json()["hash"] == self.last, "{head:?}");
        match ask(server, &path).await {
            Ok(answer) if answer.status == 200 => {
                let text = String::from_utf8_lossy(&answer.body);
                let Ok(chain) = Chain::read(Some(self.next.chain), &text) else { return Got::Unbelieved };
                authors.check(chain.id(), chain.hashes());
                Got::Whole
            }
            Ok(answer) if answer.status == 404 => Got::Missing,
            Ok(answer) => {
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (503, "storage_unavailable"),
                    "{answer:?}"
                );
                Got::Unavailable
            }
            Err(_) => Got::Broken,
        }
    }

    /// The status for the next event; it is taken only where the last one is what was acknowledged.
    async fn append(&self, server: &ServerProcess) -> u16 {
        let path = Authors::path(&self.next);
        let mut connection = Connection::open(server.addr()).await.unwrap();
        let answer = connection.post(&path, self.next_text.as_bytes()).await.unwrap();
        assert!([201, 409, 503, 507].contains(&answer.status), "{answer:?}");
        if answer.status == 201 {
            assert_eq!(answer.json()["hash"], self.next.hash.to_string());
            let end = format!("{path}?since={}", self.next.seq - 2);
            let end = Call::to(server.addr(), "GET", &end).send().await.expect_status(200);
            let last = end.text().lines().next().map(Sha256::digest);
            let last = EventHash::from_bytes(last.expect("the last event").into());
            assert_eq!(last.to_string(), self.last, "appended to what nobody signed");
        }
        answer.status
    }
}

/// Asks once on a connection of its own, which may break off.
async fn ask(server: &ServerProcess, path: &str) -> Result<Answer, Ended> {
    Connection::open(server.addr()).await.unwrap().get(path).await
}
