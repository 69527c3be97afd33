//! SIGTERM while clients are at it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::authors::Authors;
use crate::form::count;
use crate::http::{Connection, Ended, POLL, expect_found, registration};
use crate::load::Load;
use crate::people::People;
use crate::slow_clients::{Slow, hold, until_connections};
use crate::writers::Writers;
use crate::{DEADLINE, start};

/// The server must be gone by then.
const END_MAX: Duration = Duration::from_secs(10);
const CLIENTS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let people = People::new("flight");
    let mut waiting = Vec::new();
    for _ in 0..CLIENTS {
        let (person, envelope) = people.next();
        let request = String::from_utf8(registration(envelope.as_bytes())).unwrap();
        let head = request.replacen("\r\nHost", "\r\nExpect: 100-continue\r\nHost", 1);
        let head = head.strip_suffix(&envelope).unwrap();
        let mut connection = Connection::open(server.addr()).await.unwrap();
        let go_on = connection.ask(head.as_bytes()).await.unwrap();
        assert_eq!(go_on.status, 100, "the request has arrived: {go_on:?}");
        waiting.push((connection, person, envelope));
    }
    let asked = Instant::now();
    server.sigterm();
    until_refused(server.addr()).await;
    let mut everybody = Vec::new();
    for (mut connection, person, envelope) in waiting {
        let answer = connection.ask(envelope.as_bytes()).await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (201, Some("close")), "{answer:?}");
        assert!(matches!(connection.answer().await, Err(Ended::Unanswered)), "closed after the answer");
        everybody.push(person);
    }
    let exit = tokio::task::spawn_blocking(move || server.ended(asked)).await.unwrap();
    assert_eq!(exit.code, Some(0));
    assert!(exit.took < END_MAX, "ended after {:?}", exit.took);
    let server = start(dir.path());
    expect_found(server.addr(), &everybody).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_answer_breaks_off() {
    stop_under_load::<People>(count(2, 20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_chains_grow_no_answer_breaks_off() {
    stop_under_load::<Authors>(count(1, 20)).await;
}

async fn stop_under_load<W: Writers>(times: u32) {
    let dir = tempfile::tempdir().unwrap();
    let writers = W::new("term");
    for _ in 0..times {
        let server = W::start(dir.path());
        let load = Load::start(server.addr(), &writers, CLIENTS);
        load.acknowledged(300).await;
        let exit = tokio::task::spawn_blocking(move || server.stop_term()).await.unwrap();
        assert_eq!(exit.code, Some(0));
        assert!(exit.took < END_MAX, "ended after {:?}", exit.took);
        let outcome = load.end().await;
        assert!(outcome.broken.is_empty() && outcome.refused.is_empty(), "{outcome:?}");
        let server = W::start(dir.path());
        W::expect_found(server.addr(), &outcome.acknowledged).await;
        writers.verify_all(dir.path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_do_not_hold_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mut clients = JoinSet::new();
    for number in 0..10 {
        for slow in [Slow::Head, Slow::Body, Slow::Reading] {
            clients.spawn(hold(server.addr(), slow, number));
        }
    }
    let all = clients.len();
    until_connections(&server, |open| open >= all).await;
    let exit = tokio::task::spawn_blocking(move || server.stop_term()).await.unwrap();
    assert_eq!(exit.code, Some(0));
    assert!(exit.took < END_MAX, "ended after {:?}", exit.took);
    println!("ended after {:?}", exit.took);
    timeout(DEADLINE, clients.join_all()).await.expect("everybody was let go");
}

/// Waits until nobody listens on `addr`: the server has begun to stop.
async fn until_refused(addr: SocketAddr) {
    let trying = async {
        while let Ok(mut stream) = TcpStream::connect(addr).await {
            let _ = stream.shutdown().await; // an error: it was closed from the other side
            tokio::time::sleep(POLL).await;
        }
    };
    timeout(DEADLINE, trying).await.expect("no longer listens");
}
