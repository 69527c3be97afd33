//! Clients that only hold a place.

use std::time::{Duration, Instant};

use kez_serve::listen::Limits;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::support::{Answer, DEADLINE, Setup, one_answer, until_closed};

const SHORT: Duration = Duration::from_millis(200);

/// Every limit but the one under test is far away, so that only it can act.
fn only(change: impl FnOnce(&mut Limits)) -> Setup {
    let far = Duration::from_hours(1);
    Setup::limits(|limits| {
        limits.header_timeout = far;
        limits.body_timeout = far;
        limits.idle_timeout = far;
        limits.write_stall = far;
        change(limits);
    })
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = only(|limits| limits.header_timeout = SHORT).start();
    let mut stream = server.connect().await;
    let began = Instant::now();
    assert_eq!(until_closed(&mut stream).await, "");
    assert!(began.elapsed() >= SHORT / 2);
}

#[tokio::test]
async fn a_slow_head_is_answered_408() {
    let server = only(|limits| limits.header_timeout = SHORT).start();
    let answer = Answer::parse(&server.say("GET /hello HTTP/1.1\r\nHost: a\r\nX-Slow: ").await);
    answer.expect_problem(408, "request_timeout");
}

#[tokio::test]
async fn dripping_a_head_does_not_extend_its_time() {
    let server = only(|limits| limits.header_timeout = SHORT).start();
    let mut stream = server.connect().await;
    let dripping = async {
        while stream.write_all(b"X").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    // 16 KiB of it would be refused for another reason; a drip is a byte per wake-up of a busy loop at most.
    timeout(DEADLINE, dripping).await.expect("cut");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let server = only(|limits| limits.idle_timeout = SHORT).start();
    let mut stream = server.connect().await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(one_answer(&mut stream).await.body, "hello");
    assert_eq!(until_closed(&mut stream).await, "");
}

#[tokio::test]
async fn a_head_that_begins_while_idle_has_the_time_of_a_head() {
    let server = only(|limits| limits.header_timeout = SHORT).start();
    let mut stream = server.connect().await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(one_answer(&mut stream).await.body, "hello");
    stream.write_all(b"GET /hello HT").await.unwrap();
    Answer::parse(&until_closed(&mut stream).await).expect_problem(408, "request_timeout");
}

#[tokio::test]
async fn a_head_that_begins_with_the_request_before_has_the_time_of_a_head() {
    let server = only(|limits| limits.header_timeout = SHORT).start();
    let mut stream = server.connect().await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HT").await.unwrap();
    assert_eq!(one_answer(&mut stream).await.body, "hello");
    Answer::parse(&until_closed(&mut stream).await).expect_problem(408, "request_timeout");
}

#[tokio::test]
async fn a_slow_body_is_answered_408() {
    let server = only(|limits| limits.body_timeout = SHORT).start();
    let head = "Content-Type: application/json\r\nContent-Length: 10\r\n";
    server.ask("POST /echo", head, "{").await.expect_problem(408, "body_timeout");
    let head = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    server.ask("POST /echo", head, "1\r\n{").await.expect_problem(408, "body_timeout");
}

#[tokio::test]
async fn a_body_nobody_reads_holds_no_place() {
    let server = only(|limits| limits.linger = SHORT).start();
    let mut stream = server.connect().await;
    let head = "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(Answer::parse(&until_closed(&mut stream).await).body, "ignored");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let server = only(|limits| limits.write_stall = SHORT).start();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(server.addr).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut dropped = server.signs.dropped.lock().await;
    timeout(DEADLINE, dropped.recv()).await.expect("the body is dropped").unwrap();
}

#[tokio::test]
async fn a_client_that_asks_and_does_not_read_is_cut() {
    let server = only(|limits| limits.write_stall = SHORT).start();
    let mut stream = server.connect().await;
    let asking = async { while stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await.is_ok() {} };
    timeout(DEADLINE, asking).await.expect("cut");
}

#[tokio::test]
async fn a_client_that_reads_is_not_cut() {
    let server = only(|limits| limits.write_stall = SHORT).start();
    let mut stream = server.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let began = Instant::now();
    let mut piece = vec![0; 64 * 1024];
    while began.elapsed() < 3 * SHORT {
        assert_ne!(tokio::io::AsyncReadExt::read(&mut stream, &mut piece).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_slow_handler_is_given_its_time() {
    let server = only(|limits| {
        limits.header_timeout = SHORT;
        limits.idle_timeout = SHORT;
        limits.write_stall = SHORT;
    })
    .start();
    let mut stream = server.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.signs.waiting.notified().await;
    let mut idle = server.connect().await; // its end shows that the limits have passed
    assert_eq!(until_closed(&mut idle).await, "");
    server.signs.go_on.notify_one();
    assert_eq!(one_answer(&mut stream).await.body, "waited");
}
