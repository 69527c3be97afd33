//! No space left where the database lies.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::authors::Authors;
use crate::disk::{Disk, can_mount};
use crate::form::count;
use crate::http::{Connection, readiness_becomes};
use crate::load::Load;
use crate::people::People;
use crate::writers::{Writers, expect_written, write};

/// A refusal may take this long: "at once", for a debug build on a busy machine.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(2);
/// Size of the disks. The log alone may take 64 MiB before it starts over; all rounds together write less than half this.
pub(crate) const DISK_MIB: u32 = 48;
/// Writes that may still find room in what the database has claimed before.
pub(crate) const ROOM_MAX: u32 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_refused_and_come_back_on_a_full_tmpfs() {
    if can_mount() {
        fill_and_free::<People>(&Disk::tmpfs(DISK_MIB), "tmpfs").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_refused_and_come_back_on_a_full_ext4() {
    if can_mount() {
        let images = tempfile::tempdir().unwrap();
        fill_and_free::<People>(&Disk::ext4(&images.path().join("disk"), DISK_MIB), "ext4").await;
    }
}

/// The file systems differ in how they say that they are full, not in who hears it: one is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_refused_and_come_back_on_a_full_tmpfs() {
    if can_mount() {
        fill_and_free::<Authors>(&Disk::tmpfs(DISK_MIB), "chains").await;
    }
}

async fn fill_and_free<W: Writers>(disk: &Disk, case: &'static str) {
    let writers = W::new(case);
    let ballast = disk.path().join("ballast");
    let mut server = W::start(&disk.path());
    let mut acknowledged = Vec::new();
    let mut slowest = Duration::ZERO;
    for _ in 0..count(2, 20) {
        let load = Load::start(server.addr(), &writers, 8);
        load.acknowledged(50).await;
        acknowledged.extend(load.end().await.acknowledged);

        fill(&ballast);
        slowest = slowest.max(until_full(server.addr(), &writers, &mut acknowledged).await);
        let readiness = readiness_becomes(server.addr(), 503).await;
        assert_eq!(readiness.json()["reasons"], serde_json::json!(["storage_full"]));
        acknowledged.extend(crowd(server.addr(), &writers).await);
        W::expect_found(server.addr(), &acknowledged).await;

        std::fs::remove_file(&ballast).unwrap();
        readiness_becomes(server.addr(), 200).await;
        acknowledged.push(expect_written(server.addr(), &writers).await);
        W::expect_found(server.addr(), &acknowledged).await;
    }
    fill(&ballast);
    until_full(server.addr(), &writers, &mut acknowledged).await;
    server.kill_9();
    server = W::start(&disk.path());
    W::expect_found(server.addr(), &acknowledged).await;
    std::fs::remove_file(&ballast).unwrap();
    acknowledged.push(expect_written(server.addr(), &writers).await);
    W::expect_found(server.addr(), &acknowledged).await;
    writers.verify_all(&disk.path());
    assert_eq!(server.stop_term().code, Some(0));
    println!("{case}: {} acknowledged, refused after {slowest:?} at most", acknowledged.len());
}

/// Takes all the space that there is.
pub(crate) fn fill(ballast: &Path) {
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

/// Writes until there is no room; gives how long the refusal took.
async fn until_full<W: Writers>(
    addr: SocketAddr,
    writers: &W,
    acknowledged: &mut Vec<W::Written>,
) -> Duration {
    let mut connection = Connection::open(addr).await.unwrap();
    for _ in 0..ROOM_MAX {
        let asked = Instant::now();
        let (wanted, answer) = write(writers, &mut connection).await;
        let answer = answer.unwrap();
        if answer.is_acknowledgement() {
            acknowledged.push(wanted);
            continue;
        }
        assert_eq!((answer.status, answer.code().as_str()), (507, "storage_full"), "{answer:?}");
        answer.expect_problem_body();
        assert!(asked.elapsed() < AT_ONCE, "refused after {:?}", asked.elapsed());
        return asked.elapsed();
    }
    panic!("{ROOM_MAX} writes on a full disk");
}

/// Many at once on the full disk: each is told at once whether there was room. Gives that for which there was: a small
/// group may still fit where a larger one did not.
async fn crowd<W: Writers>(addr: SocketAddr, writers: &W) -> Vec<W::Written> {
    let asked = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let writers = writers.clone();
        waiting.spawn(async move {
            let mut connection = Connection::open(addr).await.unwrap();
            let (wanted, answer) = write(&writers, &mut connection).await;
            let answer = answer.unwrap();
            match (answer.status, W::is_shown(&mut connection, &wanted).await) {
                (200 | 201, true) => Some(wanted),
                (507, false) => None,
                (_, is_shown) => panic!("{answer:?}, and it is shown: {is_shown}"),
            }
        });
    }
    let admitted: Vec<_> = waiting.join_all().await.into_iter().flatten().collect();
    assert!(asked.elapsed() < AT_ONCE, "answered after {:?}", asked.elapsed());
    assert!(admitted.len() < 32, "all of a crowd on a full disk");
    admitted
}
