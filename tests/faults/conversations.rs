//! Kills, power cuts and full disks while people talk: what was acknowledged is there under its number, a bundle is there
//! whole or not at all, and what was not answered can be sent again without a double.

use std::net::SocketAddr;
use std::time::Instant;

use kez_testkit::{Chance, check_conversations};

use crate::disk::{Disk, can_mount};
use crate::disk_full::{AT_ONCE, DISK_MIB, ROOM_MAX, fill};
use crate::form::count;
use crate::http::readiness_becomes;
use crate::town::{Log, Town};
use crate::{database, start};

/// A kill comes after at most this many acknowledged writes.
const ACKNOWLEDGED_MAX: usize = 150;
const IMAGE_MIB: u32 = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_outlives_kill_9() {
    let (dir, mut chance) = (tempfile::tempdir().unwrap(), Chance::new(0x7461_6c6b));
    let mut server = start(dir.path());
    let town = Town::found(server.addr(), &database(dir.path())).await;
    let mut log = Log::default();
    let kills = count(5, 200);
    for _ in 0..kills {
        let load = town.talk(server.addr(), chance.number()).await;
        load.acknowledged(1 + chance.below(ACKNOWLEDGED_MAX)).await;
        server.kill_9();
        let outcome = load.end().await;

        server = start(dir.path());
        log.follow(&town, server.addr(), &outcome).await;
    }
    let whole = log.read_again(&town, server.addr()).await;
    check_conversations(&database(dir.path()));
    assert_eq!(server.stop_term().code, Some(0));
    println!("{kills} kills, {whole}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_outlives_a_power_cut() {
    if !can_mount() {
        return;
    }
    let mut chance = Chance::new(0x6375_7473);
    for _ in 0..count(2, 20) {
        let images = tempfile::tempdir().unwrap();
        let disk = Disk::ext4(&images.path().join("disk"), IMAGE_MIB);
        let server = start(&disk.path());
        let town = Town::found(server.addr(), &database(&disk.path())).await;
        let load = town.talk(server.addr(), chance.number()).await;
        load.acknowledged(1 + chance.below(3 * ACKNOWLEDGED_MAX)).await;
        server.sigstop();
        std::fs::copy(images.path().join("disk"), images.path().join("left")).unwrap();
        server.kill_9();
        let outcome = load.end().await;
        drop(disk);

        let left = Disk::image(&images.path().join("left"));
        let server = start(&left.path());
        let mut log = Log::default();
        log.follow(&town, server.addr(), &outcome).await;
        let whole = log.read_again(&town, server.addr()).await;
        check_conversations(&database(&left.path()));
        assert_eq!(server.stop_term().code, Some(0));
        println!("a power cut, {whole}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_at_once_and_reads_go_on() {
    if !can_mount() {
        return;
    }
    let disk = Disk::tmpfs(DISK_MIB);
    let ballast = disk.path().join("ballast");
    let server = start(&disk.path());
    let (town, mut log) = (Town::found(server.addr(), &database(&disk.path())).await, Log::default());
    let mut chance = Chance::new(0x6675_6c6c);
    for _ in 0..count(2, 20) {
        let load = town.talk(server.addr(), chance.number()).await;
        load.acknowledged(50).await;
        log.follow(&town, server.addr(), &load.end().await).await;

        fill(&ballast);
        until_full(&town, server.addr(), &mut chance).await;
        readiness_becomes(server.addr(), 503).await;
        let crowd = town.talk(server.addr(), chance.number()).await;
        crowd.answered(32).await;
        log.follow(&town, server.addr(), &crowd.end().await).await;

        std::fs::remove_file(&ballast).unwrap();
        readiness_becomes(server.addr(), 200).await;
        town.say(server.addr(), &mut chance).await.expect_status(201);
    }
    let whole = log.read_again(&town, server.addr()).await;
    check_conversations(&database(&disk.path()));
    assert_eq!(server.stop_term().code, Some(0));
    println!("a full disk, {whole}");
}

/// Says things until there is no room, which is told at once.
async fn until_full(town: &Town, addr: SocketAddr, chance: &mut Chance) {
    for _ in 0..ROOM_MAX {
        let asked = Instant::now();
        let answer = town.say(addr, chance).await;
        if answer.status() != 201 {
            answer.expect_problem(507, "storage_full");
            assert!(asked.elapsed() < AT_ONCE, "refused after {:?}", asked.elapsed());
            return;
        }
    }
    panic!("{ROOM_MAX} frames on a full disk");
}
