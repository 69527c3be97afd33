//! Damage to the database file while no server runs: found out or without effect, never passed on.

use std::path::Path;

use kez_core::PublicKey;
use kez_testkit::Chance;
use kez_testkit::process::ServerProcess;

use crate::form::count;
use crate::http::{Connection, get, register};
use crate::load::Load;
use crate::people::{People, Person};
use crate::{database, dump, program, start};

const PEOPLE: usize = 200;

/// What became of damaged files.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    found: usize,
    unavailable: usize,
    missing: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_never_gives_a_wrong_key() {
    let dir = tempfile::tempdir().unwrap();
    let people = People::new("damage");
    let everybody = fill(dir.path(), &people).await;
    let whole = std::fs::read(database(dir.path())).unwrap();
    let mut tally = Tally::default();
    for seed in 0..count(5, 100) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(database(dir.path()), damaged(&whole, u64::from(seed))).unwrap();
        match program(dir.path()).start() {
            Ok(server) => serve(server, &everybody, &mut tally).await,
            Err(refused) => {
                assert_eq!(refused.code, Some(1), "{}", refused.log);
                assert!(refused.log.lines().any(|line| line.starts_with("error: --")), "{}", refused.log);
                assert!(!refused.log.contains("panicked"), "{}", refused.log);
                tally.refused += 1;
            }
        }
    }
    println!("{tally:?}");
}

/// Each place where somebody's key stands is damaged in turn: the worst places there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_key_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let people = People::new("key");
    let everybody = fill(dir.path(), &people).await;
    let victim = &everybody[PEOPLE / 2];
    let whole = std::fs::read(database(dir.path())).unwrap();
    let key = victim.primary.as_bytes();
    let places: Vec<_> = (0..whole.len() - 32).filter(|at| whole[*at..].starts_with(key)).collect();
    let mut noticed = 0;
    for at in places {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = whole.clone();
        bytes[at + 7] ^= 0x10;
        let false_key = PublicKey::from_bytes(bytes[at..at + 32].try_into().unwrap());
        std::fs::write(database(dir.path()), bytes).unwrap();
        let server = start(dir.path());
        let by_false_key = get(server.addr(), &format!("/v1/by-primary/{false_key}")).await;
        assert!([404, 503].contains(&by_false_key.status), "{by_false_key:?}");
        let mut tally = Tally::default();
        serve(server, &everybody, &mut tally).await;
        assert!(tally.found >= 2 * (everybody.len() - 1), "the others are found: {tally:?}");
        noticed += usize::from(tally.unavailable + tally.missing > 0);
    }
    // In the table and in its index. A page that was split may keep a stale copy, of which nobody reads anything.
    assert!(noticed >= 2, "damage is noticed in {noticed} places");
}

async fn fill(dir: &Path, people: &People) -> Vec<Person> {
    let server = start(dir);
    let load = Load::start(server.addr(), people, 8);
    load.acknowledged(PEOPLE).await;
    let outcome = load.end().await;
    assert_eq!(server.stop_term().code, Some(0));
    dump::verify(&database(dir), people, 0);
    outcome.acknowledged
}

/// `whole` with some bytes flipped, a page overwritten or its end cut off.
pub(crate) fn damaged(whole: &[u8], seed: u64) -> Vec<u8> {
    let mut chance = Chance::new(seed);
    let mut bytes = whole.to_vec();
    match seed % 5 {
        3 => {
            let page = chance.below(bytes.len() / 4096) * 4096;
            bytes[page..page + 4096].fill(chance.byte());
        }
        4 => bytes.truncate(chance.below(bytes.len())),
        flips => {
            for _ in 0..[1, 16, 256][usize::try_from(flips).unwrap()] {
                let at = chance.below(bytes.len());
                bytes[at] ^= 1 << chance.below(8);
            }
        }
    }
    bytes
}

/// Whoever is found is found with their own key; anything else is an honest refusal.
async fn serve(server: ServerProcess, everybody: &[Person], tally: &mut Tally) {
    let mut connection = Connection::open(server.addr()).await.unwrap();
    for person in everybody {
        for path in [format!("/v1/u/{}", person.handle), format!("/v1/by-primary/{}", person.primary)] {
            let answer = connection.get(&path).await.unwrap();
            match answer.status {
                200 => {
                    assert!(answer.names(person), "{path}: {answer:?}");
                    tally.found += 1;
                }
                503 => {
                    assert_eq!(answer.code(), "storage_unavailable", "{answer:?}");
                    tally.unavailable += 1;
                }
                404 => tally.missing += 1,
                _ => panic!("{path}: {answer:?}"),
            }
        }
    }
    let (_, envelope) = People::new("later").next();
    let answer = register(server.addr(), &envelope).await;
    assert!([201, 503].contains(&answer.status), "{answer:?}");
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(server.stop_term().code, Some(0));
}
