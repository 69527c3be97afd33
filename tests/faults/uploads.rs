//! Blobs, while the process is killed, the disk is full, and many send at once.

use std::net::SocketAddr;

use kez_testkit::Chance;
use tokio::io::AsyncWriteExt as _;

use crate::disk::{Disk, can_mount};
use crate::disk_full::fill;
use crate::form::count;
use crate::http::{Answer, Connection};
use crate::senders::{Film, PART, Sender};
use crate::start;

/// What the whole process may hold while 200 uploads of 10 MiB run, in KiB: 100 MiB.
const RESIDENT_KIB_MAX: u64 = 100 * 1024;

const FILM_BYTES: u64 = 10 * PART;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_uploads_at_once_need_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let addr = server.addr();
    let uploads = count(40, 200);
    let mut senders = Vec::new();
    for n in 0..uploads.div_ceil(20) {
        senders.push(Sender::set_up(addr, &format!("sender{n}")).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..uploads {
        let sender = senders[n as usize / 20].clone();
        tasks.spawn(async move {
            let film = Film::new(u64::from(n), FILM_BYTES);
            // All of them are under way before one of them ends.
            assert_eq!(sender.ask(addr, &film).await.status, 202);
            sender.send_rest(addr, &film, 0).await;
            film
        });
    }
    let films = tasks.join_all().await;
    let resident = server.resident_peak_kib();
    assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB");
    for film in films.iter().step_by(8) {
        assert!(senders[0].sees(addr, film).await);
    }
    let resident_after = server.resident_peak_kib();
    assert!(resident_after < RESIDENT_KIB_MAX, "{resident_after} KiB after reading");
    println!(
        "{uploads} uploads of {FILM_BYTES} bytes: {resident} KiB at most, {resident_after} KiB with readings"
    );
    assert_eq!(server.stop_term().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_outlives_kill_9_and_is_never_half_visible() {
    let dir = tempfile::tempdir().unwrap();
    let mut chance = Chance::new(0x626c_6f62);
    let mut server = start(dir.path());
    let sender = Sender::set_up(server.addr(), "sender").await;
    let kills = count(6, 50);
    let film = Film::new(0, u64::from(kills) * PART);
    for n in 0..u64::from(kills) {
        let part = sender.part(server.addr(), &film, n * PART);
        say(server.addr(), &part[..chance.below(part.len())]).await;
        server.kill_9();
        server = start(dir.path());
        let addr = server.addr();
        assert!(!sender.sees(addr, &film).await);
        assert_eq!(offset(&sender.ask(addr, &film).await), Some(n * PART));
        let answer = sender.send(addr, &film, n * PART).await;
        assert!(matches!(answer.status, 201 | 202), "{answer:?}");
    }
    assert!(sender.sees(server.addr(), &film).await);
    // Killed while the last part is put in its place: it is whole then, or waits for that part again.
    for n in 1..=u64::from(kills) {
        let short = Film::new(n, PART + PART / 2);
        assert_eq!(sender.send(server.addr(), &short, 0).await.status, 202);
        let connection = say(server.addr(), &sender.part(server.addr(), &short, PART)).await;
        if chance.below(2) == 0 {
            let _ = tokio::time::timeout(chance.delay(), connection.stream.readable()).await;
        }
        server.kill_9();
        drop(connection);
        server = start(dir.path());
        let addr = server.addr();
        let is_there = sender.sees(addr, &short).await;
        let asked = sender.ask(addr, &short).await;
        assert_eq!(
            (is_there, offset(&asked)),
            (asked.status == 200, (!is_there).then_some(PART)),
            "{asked:?}"
        );
        let answer = sender.send(addr, &short, PART).await;
        assert_eq!(answer.status, if is_there { 200 } else { 201 }, "{answer:?}");
        assert!(sender.sees(addr, &short).await);
    }
    assert_eq!(server.stop_term().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_takes_no_blobs_and_loses_none() {
    if !can_mount() {
        return;
    }
    let disk = Disk::tmpfs(48);
    let ballast = disk.path().join("ballast");
    let server = start(&disk.path());
    let addr = server.addr();
    let sender = Sender::set_up(addr, "sender").await;
    let (there, coming) = (Film::new(1, 3 * PART), Film::new(2, 3 * PART));
    sender.send_rest(addr, &there, 0).await;
    assert_eq!(sender.send(addr, &coming, 0).await.status, 202);
    for _ in 0..count(2, 20) {
        fill(&ballast);
        for film in [&coming, &Film::new(3, 2 * PART)] {
            let from = if film.size == coming.size { PART } else { 0 };
            let answer = sender.send(addr, film, from).await;
            assert_eq!((answer.status, answer.code().as_str()), (507, "storage_full"), "{answer:?}");
            answer.expect_problem_body();
        }
        assert!(sender.sees(addr, &there).await);
        std::fs::remove_file(&ballast).unwrap();
    }
    assert_eq!(offset(&sender.ask(addr, &coming).await), Some(PART));
    sender.send_rest(addr, &coming, PART).await;
    assert!(sender.sees(addr, &there).await && sender.sees(addr, &coming).await);
    assert_eq!(server.stop_term().code, Some(0));
}

/// Says something, and has the connection on which an answer may come.
async fn say(addr: SocketAddr, bytes: &[u8]) -> Connection {
    let mut connection = Connection::open(addr).await.unwrap();
    connection.stream.write_all(bytes).await.unwrap();
    connection
}

fn offset(answer: &Answer) -> Option<u64> {
    answer.json()["offset"].as_u64()
}
