//! `kill -9` under load.

use std::time::Duration;

use kez_testkit::Chance;

use crate::authors::Authors;
use crate::form::{count, is_full};
use crate::load::Load;
use crate::people::People;
use crate::writers::Writers;

/// Connections that write at the same time.
const CLIENTS: usize = 16;
/// A server that was killed has to be ready again by then; judged where nothing else runs, in the full form.
const READY_MAX: Duration = Duration::from_secs(1);
/// A kill comes after at most this many acknowledged writes: some within the first group, some after many.
const ACKNOWLEDGED_MAX: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_registration_outlives_kill_9() {
    outlive_kills::<People>(count(8, 200)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_outlives_kill_9() {
    outlive_kills::<Authors>(count(4, 200)).await;
}

async fn outlive_kills<W: Writers>(kills: u32) {
    let dir = tempfile::tempdir().unwrap();
    let writers = W::new("kill");
    let mut chance = Chance::new(0x6b69_6c6c);
    let (mut everything, mut verified, mut slowest) = (Vec::new(), W::Verified::default(), Duration::ZERO);
    let mut server = W::start(dir.path());
    for _ in 0..kills {
        let load = Load::start(server.addr(), &writers, CLIENTS);
        load.acknowledged(1 + chance.below(ACKNOWLEDGED_MAX)).await;
        server.kill_9();
        let outcome = load.end().await;
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);

        server = W::start(dir.path());
        slowest = slowest.max(server.ready_after());
        W::expect_found(server.addr(), &outcome.acknowledged).await;
        writers.verify(&W::database(dir.path()), &mut verified);
        everything.extend(outcome.acknowledged);
    }
    W::expect_found(server.addr(), &everything).await;
    writers.verify_all(dir.path());
    assert_eq!(server.stop_term().code, Some(0));
    assert!(!is_full() || slowest < READY_MAX, "ready only after {slowest:?}");
    println!("{kills} kills, {} acknowledged, ready again after {slowest:?} at most", everything.len());
}

/// As a suspended machine or a debugger does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let people = People::new("stop");
    let server = People::start(dir.path());
    let load = Load::start(server.addr(), &people, CLIENTS);
    for pause in 1..=20 {
        load.acknowledged(20 * pause).await;
        server.sigstop();
        server.sigcont();
    }
    let outcome = load.end().await;
    assert!(outcome.refused.is_empty() && outcome.unanswered == 0, "{outcome:?}");
    People::expect_found(server.addr(), &outcome.acknowledged).await;
    assert_eq!(server.stop_term().code, Some(0));
}
