//! The end of a listener.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{DEADLINE, Setup, one_answer, until_closed};

#[tokio::test]
async fn requests_in_flight_are_finished_and_idle_connections_closed() {
    let server = Setup::default().start();
    let mut idle = server.connect().await;
    idle.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    one_answer(&mut idle).await;
    let mut silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.signs.waiting.notified().await;

    server.shutdown.cancel();
    assert_eq!(until_closed(&mut idle).await, "");
    assert_eq!(until_closed(&mut silent).await, "");
    assert!(TcpStream::connect(server.addr).await.is_err(), "no longer accepting");
    server.signs.go_on.notify_one();
    let answer = one_answer(&mut busy).await;
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("waited", Some("close")));
    timeout(DEADLINE, server.running.join()).await.expect("the server ends");
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let server = Setup::limits(|limits| limits.drain = Duration::from_millis(200)).start();
    let mut busy = server.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.signs.waiting.notified().await;
    server.stop().await;
    assert_eq!(until_closed(&mut busy).await, "");
}

#[tokio::test]
async fn a_listener_knows_its_port_and_keeps_it() {
    let server = Setup::default().start();
    assert_ne!(server.addr.port(), 0);
    assert!(kez_serve::listen::Listener::bind(server.addr).is_err());
    server.stop().await;
}
