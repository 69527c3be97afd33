//! `kill -9` under load.

use std::time::Duration;

use crate::form::{Chance, count};
use crate::http::expect_found;
use crate::load::Load;
use crate::people::People;
use crate::{database, dump, start};

/// Connections that register at the same time.
const CLIENTS: usize = 16;
/// A kill comes after at most this many acknowledged registrations: some within the first group, some after many.
const ACKNOWLEDGED_MAX: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_201_outlives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let people = People::new("kill");
    let mut chance = Chance::new(0x6b69_6c6c);
    let (mut everybody, mut verified, mut slowest) = (Vec::new(), 0, Duration::ZERO);
    let kills = count(8, 200);
    let mut server = start(dir.path());
    for _ in 0..kills {
        let load = Load::start(server.addr(), &people, CLIENTS);
        load.acknowledged(1 + chance.below(ACKNOWLEDGED_MAX)).await;
        server.kill_9();
        let outcome = load.end().await;
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);

        server = start(dir.path());
        slowest = slowest.max(server.ready_after());
        expect_found(server.addr(), &outcome.acknowledged).await;
        verified = dump::verify(&database(dir.path()), &people, verified);
        everybody.extend(outcome.acknowledged);
    }
    expect_found(server.addr(), &everybody).await;
    dump::verify(&database(dir.path()), &people, 0);
    assert_eq!(server.stop_term().code, Some(0));
    println!("{kills} kills, {} acknowledged, ready again after {slowest:?} at most", everybody.len());
}

/// As a suspended machine or a debugger does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let people = People::new("stop");
    let server = start(dir.path());
    let load = Load::start(server.addr(), &people, CLIENTS);
    for pause in 1..=20 {
        load.acknowledged(20 * pause).await;
        server.sigstop();
        server.sigcont();
    }
    let outcome = load.end().await;
    assert!(outcome.refused.is_empty() && outcome.unanswered == 0, "{outcome:?}");
    expect_found(server.addr(), &outcome.acknowledged).await;
    assert_eq!(server.stop_term().code, Some(0));
}
