//! Backups of a server under load: what was acknowledged before one began is in it.

use std::path::Path;
use std::process::Command;

use kez_testkit::Chance;

use crate::authors::Authors;
use crate::form::count;
use crate::load::Load;
use crate::people::People;
use crate::writers::Writers;

/// Connections that write at the same time.
const CLIENTS: usize = 16;
/// A backup begins after at most this many further acknowledged writes.
const ACKNOWLEDGED_MAX: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_registration_is_in_a_backup_that_began_after_it() {
    outlive_in_backups::<People>(count(3, 30)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_in_a_backup_that_began_after_it() {
    outlive_in_backups::<Authors>(count(2, 30)).await;
}

async fn outlive_in_backups<W: Writers>(backups: u32) {
    let dir = tempfile::tempdir().unwrap();
    let writers = W::new("back");
    let mut chance = Chance::new(0x6261_636b);
    let server = W::start(dir.path());
    let load = Load::start(server.addr(), &writers, CLIENTS);
    let (mut saved, mut acknowledged) = (Vec::new(), 0);
    for n in 0..backups {
        acknowledged += 1 + chance.below(ACKNOWLEDGED_MAX);
        load.acknowledged(acknowledged).await;
        let before = load.so_far();
        acknowledged = before.len();
        let name = format!("backup{n}");
        command(dir.path(), &["backup", &name]);
        saved.push((name, before));
    }
    let outcome = load.end().await;
    assert!(outcome.refused.is_empty() && outcome.unanswered == 0, "{outcome:?}");
    assert_eq!(server.stop_term().code, Some(0));
    let at_most = outcome.acknowledged.len();
    for (name, before) in saved {
        let backup = dir.path().join(&name);
        command(dir.path(), &["verify", &name]);
        let place = tempfile::tempdir().unwrap();
        command(place.path(), &["restore", backup.to_str().unwrap()]);
        let server = W::start(place.path());
        W::expect_found(server.addr(), &before).await;
        assert_eq!(server.stop_term().code, Some(0));
        println!("{name}: {} of {at_most} were acknowledged before", before.len());
    }
}

/// Runs the program beside the server, in the folder of its files.
fn command(dir: &Path, args: &[&str]) {
    let output = Command::new(crate::BINARY).env_clear().current_dir(dir).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
