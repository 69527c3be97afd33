//! The JSON body extractor over the wire.

use tokio::io::AsyncWriteExt as _;

use crate::support::{Answer, Setup, one_answer, until_closed};

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn a_body_of_the_right_kind_and_size_is_read() {
    let server = Setup::default().start();
    let body = "x".repeat(1024);
    let answer = server.ask("POST /echo", &format!("{JSON}Content-Length: 1024\r\n"), &body).await;
    assert_eq!((answer.status, answer.body), (200, body));
}

#[tokio::test]
async fn a_body_of_the_wrong_kind_is_refused() {
    let server = Setup::default().start();
    let length = "Content-Length: 2\r\n";
    server.ask("POST /echo", length, "{}").await.expect_problem(415, "unsupported_media_type");
    let gzip = format!("{JSON}Content-Encoding: gzip\r\n{length}");
    server.ask("POST /echo", &gzip, "{}").await.expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn too_long_a_body_is_refused() {
    let server = Setup::default().start();
    let body = "x".repeat(1025);
    let announced = format!("{JSON}Content-Length: 1025\r\n");
    let refused = server.ask("POST /echo", &announced, &body).await;
    refused.expect_problem(413, "too_large");
    assert_eq!(refused.header("connection"), Some("close"));
    let chunked = format!("{JSON}Transfer-Encoding: chunked\r\n");
    let chunk = format!("401\r\n{body}\r\n0\r\n\r\n");
    server.ask("POST /echo", &chunked, &chunk).await.expect_problem(413, "too_large");
}

/// Closing at once would reset the connection, and TCP may then throw away the answer.
#[tokio::test]
async fn a_client_that_goes_on_sending_is_not_reset() {
    let mebibytes = 16 * 1024 * 1024;
    let server = Setup::limits(|limits| limits.linger_bytes = 2 * mebibytes).start();
    let mut stream = server.connect().await;
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{JSON}Content-Length: {mebibytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; mebibytes]).await.unwrap();
    stream.shutdown().await.unwrap();
    Answer::parse(&until_closed(&mut stream).await).expect_problem(413, "too_large");
}

#[tokio::test]
async fn a_client_that_asks_before_sending_is_refused_before_it_sends() {
    let server = Setup::default().start();
    let announced = format!("{JSON}Content-Length: 200000\r\nExpect: 100-continue\r\n");
    let answer = server.ask("POST /echo", &announced, "").await;
    answer.expect_problem(413, "too_large");
}

#[tokio::test]
async fn a_client_that_asks_before_sending_is_told_to_go_on() {
    let server = Setup::default().start();
    let mut stream = server.connect().await;
    let head =
        format!("POST /echo HTTP/1.1\r\nHost: a\r\n{JSON}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").await.unwrap();
    assert_eq!(one_answer(&mut stream).await.body, "{}");
}

#[tokio::test]
async fn a_body_that_breaks_off_does_no_harm() {
    let server = Setup::default().start();
    let mut stream = server.connect().await;
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{JSON}Content-Length: 10\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let said = until_closed(&mut stream).await;
    assert!(said.is_empty() || Answer::parse(&said).status == 400, "{said}");
    assert_eq!(server.ask("GET /hello", "", "").await.body, "hello");
}
