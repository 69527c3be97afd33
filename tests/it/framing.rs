//! Requests that two programs could read differently: one answer, 400, and the connection ends.

use kez_testkit::Net;

/// A request for a health page that an attacker would like to be read as a second one.
const HIDDEN: &str = "GET /v1/healthz HTTP/1.1\r\nHost: kez.lat\r\n\r\n";

#[tokio::test]
async fn smuggling_shapes_get_one_refusal_and_register_nobody() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let length = envelope.len();
    let post = |headers: &str, body: &str| {
        format!(
            "POST /v1/register HTTP/1.1\r\nHost: kez.lat\r\nContent-Type: application/json\r\n{headers}\r\n{body}{HIDDEN}"
        )
    };
    let chunked = format!("{length:x}\r\n{envelope}\r\n0\r\n\r\n");
    let shapes = [
        post(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), &chunked),
        post(&format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"), &chunked),
        post(&format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"), &envelope),
        post(&format!("Content-Length: {length}\r\nContent-Length: 0\r\n"), &envelope),
        post(&format!("Content-Length: {length}, {length}\r\n"), &envelope),
        post(&format!("Content-Length: +{length}\r\n"), &envelope),
        post(&format!("Content-Length: {length}_0\r\n"), &envelope),
        post("Content-Length: 0x10\r\n", &envelope),
        post("Content-Length: -1\r\n", &envelope),
        post("Content-Length: 99999999999999999999999\r\n", &envelope),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &chunked),
        post("Transfer-Encoding: gzip, chunked\r\n", &chunked),
        post("Transfer-Encoding: chunked, identity\r\n", &chunked),
        post("Transfer-Encoding: xchunked\r\n", &chunked),
        post("Transfer-Encoding: \x0bchunked\r\n", &chunked),
        post(&format!("Content-Length : {length}\r\n"), &envelope),
        post(&format!("Content-Length: {length}\r\n folded: 1\r\n"), &envelope),
        post(&format!("X: 1\nContent-Length: {length}\r\n"), &envelope),
        post(&format!("Host: evil.example\r\nContent-Length: {length}\r\n"), &envelope),
        post(&format!("Content-Length: {length}\r\nX-\0: 1\r\n"), &envelope),
        format!(
            "POST /v1/register HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{envelope}{HIDDEN}"
        ),
        format!(
            "POST /v1/register HTTP/1.1\nHost: kez.lat\nContent-Type: application/json\nContent-Length: {length}\n\n{envelope}{HIDDEN}"
        ),
    ];
    for shape in shapes {
        let answers = net.raw(&shape).await;
        assert_eq!(answers.len(), 1, "{shape}");
        assert_eq!(
            (answers[0].status(), answers[0].code().as_str()),
            (400, "bad_request"),
            "{shape}\n{}",
            answers[0]
        );
    }
    assert!(net.check_registry().await.accounts.is_empty());
}

/// After a chunked body nothing more is read from the connection.
#[tokio::test]
async fn what_follows_a_chunked_body_is_not_read_as_a_request() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let answers = net
        .raw(format!(
            "POST /v1/register HTTP/1.1\r\nHost: kez.lat\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{envelope}\r\n0\r\n\r\n{HIDDEN}",
            envelope.len()
        ))
        .await;
    assert_eq!(answers.iter().map(kez_testkit::Answer::status).collect::<Vec<_>>(), [201]);
    assert_eq!(answers[0].header("connection"), Some("close"));
}

/// Honest requests behind each other on one connection are each answered.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let post = format!(
        "POST /v1/register HTTP/1.1\r\nHost: kez.lat\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{envelope}",
        envelope.len()
    );
    let last = "GET /v1/u/alice HTTP/1.1\r\nHost: kez.lat\r\nConnection: close\r\n\r\n";
    let answers = net.raw(format!("{HIDDEN}{post}{post}{last}")).await;
    assert_eq!(answers.iter().map(kez_testkit::Answer::status).collect::<Vec<_>>(), [200, 201, 200, 200]);
    net.check_registry().await;
}

#[tokio::test]
async fn targets_and_heads_have_limits() {
    let net = Net::start().await;
    let answers = net.raw(format!("GET /{} HTTP/1.1\r\nHost: kez.lat\r\n\r\n", "a".repeat(4_096))).await;
    assert_eq!((answers[0].status(), answers[0].code().as_str()), (414, "uri_too_long"));
    let many = "X: 1\r\n".repeat(100);
    let answers = net.raw(format!("GET /v1/healthz HTTP/1.1\r\nHost: kez.lat\r\n{many}\r\n")).await;
    assert_eq!((answers[0].status(), answers[0].code().as_str()), (431, "headers_too_large"));
    let long = "x".repeat(20_000);
    let answers = net.raw(format!("GET /v1/healthz HTTP/1.1\r\nHost: kez.lat\r\nX: {long}\r\n\r\n")).await;
    assert_eq!((answers[0].status(), answers[0].code().as_str()), (431, "headers_too_large"));
}
