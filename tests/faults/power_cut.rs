//! A simulated power cut: what reached the disk's image at one moment is all that is left.
//!
//! The server runs on ext4 on a loop device. Stopped (SIGSTOP), it asks for nothing more; a copy of the image is the disk
//! as a power cut would leave it: without the pages that the kernel holds and nobody synced.

use kez_testkit::Chance;

use crate::authors::Authors;
use crate::disk::{Disk, can_mount};
use crate::form::count;
use crate::load::Load;
use crate::people::People;
use crate::writers::Writers;

const CLIENTS: usize = 16;
const IMAGE_MIB: u32 = 48;
/// Acknowledged writes before the cut, at most. Some cuts come early, some after the log has started over.
const ACKNOWLEDGED_MAX: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_registration_outlives_a_power_cut() {
    outlive_cuts::<People>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_outlives_a_power_cut() {
    outlive_cuts::<Authors>().await;
}

async fn outlive_cuts<W: Writers>() {
    if !can_mount() {
        return;
    }
    let mut chance = Chance::new(0x706f_7765);
    let cuts = count(1, 20);
    let mut acknowledged = 0;
    for _ in 0..cuts {
        acknowledged += cut::<W>(1 + chance.below(ACKNOWLEDGED_MAX)).await;
    }
    println!("{cuts} power cuts, {acknowledged} acknowledged");
}

async fn cut<W: Writers>(after: usize) -> usize {
    let images = tempfile::tempdir().unwrap();
    let writers = W::new("power");
    let disk = Disk::ext4(&images.path().join("disk"), IMAGE_MIB);
    let server = W::start(&disk.path());
    let load = Load::start(server.addr(), &writers, CLIENTS);
    load.acknowledged(after).await;
    server.sigstop();
    std::fs::copy(images.path().join("disk"), images.path().join("left")).unwrap();
    server.kill_9();
    let outcome = load.end().await;
    drop(disk);

    let left = Disk::image(&images.path().join("left"));
    let server = W::start(&left.path());
    W::expect_found(server.addr(), &outcome.acknowledged).await;
    writers.verify_all(&left.path());
    assert_eq!(server.stop_term().code, Some(0));
    outcome.acknowledged.len()
}
