//! No space left where the database lies.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::disk::{Disk, can_mount};
use crate::form::count;
use crate::http::{Connection, expect_found, readiness_becomes};
use crate::load::Load;
use crate::people::{People, Person};
use crate::{database, dump, start};

/// A refusal may take this long: "at once", for a debug build on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Size of the disks. The log alone may take 64 MiB before it starts over; all rounds together write less than half this.
const DISK_MIB: u32 = 48;
/// Registrations that may still find room in what the database has claimed before.
const ROOM_MAX: u32 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_refused_and_come_back_on_a_full_tmpfs() {
    if can_mount() {
        fill_and_free(&Disk::tmpfs(DISK_MIB), "tmpfs").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_refused_and_come_back_on_a_full_ext4() {
    if can_mount() {
        let images = tempfile::tempdir().unwrap();
        fill_and_free(&Disk::ext4(&images.path().join("disk"), DISK_MIB), "ext4").await;
    }
}

async fn fill_and_free(disk: &Disk, case: &'static str) {
    let people = People::new(case);
    let ballast = disk.path().join("ballast");
    let mut server = start(&disk.path());
    let mut acknowledged = Vec::new();
    let mut slowest = Duration::ZERO;
    for _ in 0..count(2, 20) {
        let load = Load::start(server.addr(), &people, 8);
        load.acknowledged(50).await;
        acknowledged.extend(load.end().await.acknowledged);

        fill(&ballast);
        slowest = slowest.max(until_full(server.addr(), &people, &mut acknowledged).await);
        let readiness = readiness_becomes(server.addr(), 503).await;
        assert_eq!(readiness.json()["reasons"], serde_json::json!(["storage_full"]));
        acknowledged.extend(crowd(server.addr(), &people).await);
        expect_found(server.addr(), &acknowledged).await;

        std::fs::remove_file(&ballast).unwrap();
        readiness_becomes(server.addr(), 200).await;
        acknowledged.push(expect_registered(server.addr(), &people).await);
        expect_found(server.addr(), &acknowledged).await;
    }
    fill(&ballast);
    until_full(server.addr(), &people, &mut acknowledged).await;
    server.kill_9();
    server = start(&disk.path());
    expect_found(server.addr(), &acknowledged).await;
    std::fs::remove_file(&ballast).unwrap();
    acknowledged.push(expect_registered(server.addr(), &people).await);
    expect_found(server.addr(), &acknowledged).await;
    dump::verify(&database(&disk.path()), &people, 0);
    assert_eq!(server.stop_term().code, Some(0));
    println!("{case}: {} acknowledged, refused after {slowest:?} at most", acknowledged.len());
}

/// Takes all the space that there is.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).unwrap();
    let block = vec![0x42; 64 << 10];
    let mut block: &[u8] = &block;
    while !block.is_empty() {
        match file.write(block).and_then(|_| file.sync_data()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => block = &block[..block.len() / 2],
            Err(error) => panic!("{error}"),
        }
    }
}

/// Registers until there is no room; gives how long the refusal took.
async fn until_full(addr: SocketAddr, people: &People, acknowledged: &mut Vec<Person>) -> Duration {
    let mut connection = Connection::open(addr).await.unwrap();
    for _ in 0..ROOM_MAX {
        let (person, envelope) = people.next();
        let asked = Instant::now();
        let answer = connection.register(envelope.as_bytes()).await.unwrap();
        if answer.status == 201 {
            acknowledged.push(person);
            continue;
        }
        assert_eq!((answer.status, answer.code().as_str()), (507, "storage_full"), "{answer:?}");
        answer.expect_problem_body();
        assert!(asked.elapsed() < AT_ONCE, "refused after {:?}", asked.elapsed());
        return asked.elapsed();
    }
    panic!("{ROOM_MAX} registrations on a full disk");
}

/// Many at once on the full disk: each is told at once whether there was room. Gives those for whom there was: a small
/// group may still fit where a larger one did not.
async fn crowd(addr: SocketAddr, people: &People) -> Vec<Person> {
    let asked = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (person, envelope) = people.next();
        waiting.spawn(async move {
            let mut connection = Connection::open(addr).await.unwrap();
            let answer = connection.register(envelope.as_bytes()).await.unwrap();
            let lookup = connection.get(&format!("/v1/u/{}", person.handle)).await.unwrap();
            match (answer.status, lookup.status) {
                (201, 200) => Some(person),
                (507, 404) => None,
                _ => panic!("{answer:?}, then {lookup:?}"),
            }
        });
    }
    let admitted: Vec<_> = waiting.join_all().await.into_iter().flatten().collect();
    assert!(asked.elapsed() < AT_ONCE, "answered after {:?}", asked.elapsed());
    assert!(admitted.len() < 32, "all of a crowd on a full disk");
    admitted
}

async fn expect_registered(addr: SocketAddr, people: &People) -> Person {
    let (person, envelope) = people.next();
    let answer = crate::http::register(addr, &envelope).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    person
}
