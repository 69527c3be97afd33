//! How the server ends.

use std::io;
use std::time::Duration;

use kez_testkit::{DEADLINE, Net};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut all))
        .await
        .expect("the server closes in time")
        .expect("no reset");
    String::from_utf8(all).expect("UTF-8")
}

/// A request that is half sent when the end begins is answered; idle connections go at once; nobody new comes in; and
/// what was answered is there afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_are_finished() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let (front, back) = envelope.split_at(envelope.len() / 2);

    let mut idle = TcpStream::connect(net.addr()).await.expect("a connection");
    idle.write_all(b"GET /v1/readyz HTTP/1.1\r\nHost: kez.lat\r\n\r\n").await.expect("written");
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    // The server asks for the body, so it is at work on this request.
    let mut busy = TcpStream::connect(net.addr()).await.expect("a connection");
    let head = format!(
        "POST /v1/register HTTP/1.1\r\nHost: kez.lat\r\nContent-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        envelope.len()
    );
    busy.write_all(head.as_bytes()).await.expect("written");
    let mut go_on = [0; 25];
    timeout(DEADLINE, busy.read_exact(&mut go_on)).await.expect("in time").expect("100 Continue");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    busy.write_all(front.as_bytes()).await.expect("written");

    let stopping = tokio::spawn({
        let net = net.clone();
        async move { net.stop().await }
    });
    until_closed(&mut idle).await; // the end has begun
    let late = TcpStream::connect(net.addr()).await.map(drop).map_err(|error| error.kind());
    assert_eq!(late, Err(io::ErrorKind::ConnectionRefused));
    assert!(!stopping.is_finished());

    busy.write_all(back.as_bytes()).await.expect("written");
    let answer = until_closed(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    timeout(DEADLINE, stopping).await.expect("the server stops").expect("without a panic");

    net.start_again().await;
    assert_eq!(net.check_registry().await.accounts.len(), 1);
}

/// Who does not finish is cut, so that the process is gone in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_never_ends_is_cut() {
    let net = Net::with(|setup| setup.limits.drain = Duration::from_millis(200)).await;
    let mut stuck = TcpStream::connect(net.addr()).await.expect("a connection");
    let head = "POST /v1/register HTTP/1.1\r\nHost: kez.lat\r\nContent-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    stuck.write_all(head.as_bytes()).await.expect("written");
    let mut go_on = [0; 25];
    timeout(DEADLINE, stuck.read_exact(&mut go_on)).await.expect("in time").expect("100 Continue");
    net.stop().await;
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, stuck.read_to_end(&mut rest)).await.expect("cut in time"); // a reset
    assert!(rest.is_empty());
}
