//! Reading: the chain, its end, its bundle.

use insta::assert_snapshot;
use kez_core::Artifact;
use kez_core::json::Object;
use kez_core::sigchain::Op;
use kez_testkit::SigNet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{short_or_full, subject};

#[tokio::test]
async fn an_unknown_chain_is_404() {
    let net = SigNet::start().await;
    let path = net.writer("alice").path();
    for rest in ["", "/head", "/bundle", "?since=3"] {
        net.get(&format!("{path}{rest}")).await.expect_problem(404, "not_found");
    }
    assert_snapshot!(net.get(&path).await, @r#"
    404 application/problem+json
    {
      "code": "not_found",
      "detail": "this key has no sigchain here",
      "status": 404,
      "title": "Not found",
      "type": "urn:kez:problem:not_found"
    }
    "#);
}

#[tokio::test]
async fn a_chain_is_read_whole_or_after_a_place() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    let path = alice.path();
    let mut lines = Vec::new();
    for n in 0..4 {
        let event = alice.add(&subject(n));
        net.append(&path, event.clone()).await.expect_status(201);
        lines.push(format!("{event}\n"));
    }
    let whole = net.get(&path).await.expect_status(200);
    assert_eq!(whole.header("content-type"), Some("application/jsonl"));
    assert_eq!(whole.header("cache-control"), Some("no-cache"));
    assert_eq!(whole.text(), lines.concat());
    for (since, rest) in [(0, &lines[1..]), (2, &lines[3..]), (3, &[]), (4, &[]), (99_999, &[])] {
        let answer = net.get(&format!("{path}?since={since}")).await.expect_status(200);
        assert_eq!(answer.text(), rest.concat(), "since {since}");
        assert_eq!(answer.header("etag"), whole.header("etag"));
    }
    for query in [
        "since=",
        "since",
        "since=-1",
        "since=+1",
        "since=1.0",
        "since=x",
        "since=1&since=2",
        "since=99999999999999999999",
    ] {
        net.get(&format!("{path}?{query}")).await.expect_problem(400, "bad_since");
    }
    assert_eq!(net.get(&format!("{path}?other=1&")).await.expect_status(200).text(), lines.concat());
    let head = net.call("HEAD", &path).send().await.expect_status(200);
    assert_eq!(head.header("content-length"), Some(lines.concat().len().to_string().as_str()));
    net.check_chains().await;
}

#[tokio::test]
async fn who_has_the_end_is_told_so() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    let path = alice.path();
    net.append(&path, alice.add("github:alice")).await.expect_status(201);
    let etag = format!("\"{}\"", alice.hash());
    for rest in ["", "?since=0", "/head", "/bundle"] {
        let target = format!("{path}{rest}");
        let fresh = net.get(&target).await.expect_status(200);
        assert_eq!(fresh.header("etag"), Some(etag.as_str()), "{target}");
        let known = net.call("GET", &target).header("if-none-match", &etag).send().await.expect_status(304);
        assert!(known.body().is_empty() && known.header("etag") == Some(&etag), "{target}");
    }
    net.append(&path, alice.add("dns:alice.example")).await.expect_status(201);
    net.call("GET", &path).header("if-none-match", &etag).send().await.expect_status(200);
}

#[tokio::test]
async fn a_bundle_is_the_chain_in_one_line() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    for n in 0..20 {
        net.append(&alice.path(), alice.add(&subject(n))).await.expect_status(201);
    }
    let bundle = net.get(&format!("{}/bundle", alice.path())).await.expect_status(200);
    assert_eq!(bundle.header("content-type"), Some("text/plain; charset=utf-8"));
    let text = bundle.text();
    assert!(text.starts_with("kez:zc1:") && !text.contains(char::is_whitespace), "{text}");
    let whole = net.get(&alice.path()).await;
    assert!(text.len() < whole.text().len(), "{} and {}", text.len(), whole.text().len());
    let found = Artifact::find(text).expect("a chain").into_envelopes();
    let lines: Vec<_> = found.iter().map(kez_core::Envelope::canonical).collect();
    assert_eq!(lines, whole.text().lines().collect::<Vec<_>>());
}

/// A reader that is slow holds neither the store nor the chain in memory, and gets all of it. In the short form a quarter
/// of the events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_are_streamed() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    let path = alice.path();
    let events = short_or_full(2_500, 10_000);
    let long = Object::from([("text".into(), "x".repeat(4_000).as_str().into())]);
    for _ in 0..events {
        let event = alice.next(Op::Unknown { op: "say".into(), payload: long.clone() });
        net.append(&path, event).await.expect_status(201);
    }
    if events == 10_000 {
        // One more is refused: a reader has to check each.
        net.append(&path, alice.clone().add("github:alice")).await.expect_problem(403, "chain_full");
        net.append(&path, alice.clone().revoke("github:alice")).await.expect_problem(403, "chain_full");
    }
    let bytes = net.get(&path).await.expect_status(200).body().len();
    assert!(bytes > events * 4_000, "{bytes}");

    let before = resident_kib();
    let mut readers = Vec::new();
    for _ in 0..32 {
        let mut stream = TcpStream::connect(net.addr()).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut first = [0; 15];
        stream.read_exact(&mut first).await.expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        readers.push(stream);
    }
    // 32 whole chains would be 300 MB and more.
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "32 slow readers cost {grown} KiB");
    let mut reader = readers.pop().expect("a reader");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).await.expect("all of it");
    assert!(rest.len() > bytes, "{} of {bytes}", rest.len());
    drop(readers);

    net.get(&format!("{path}/bundle")).await.expect_problem(409, "bundle_too_large");
    assert_eq!(net.check_chains().await.into_values().collect::<Vec<_>>(), [events as u64]);
}

/// Memory of this process, the server within it.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// What cannot be read at all is not begun: its reader is told so in words.
#[tokio::test]
async fn a_chain_with_a_gap_at_its_beginning_is_503() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    for n in 0..3 {
        net.append(&alice.path(), alice.add(&subject(n))).await.expect_status(201);
    }
    let db = rusqlite::Connection::open(net.args().db).expect("the file opens");
    let deleted = db.execute("DELETE FROM events WHERE place = (SELECT min(place) FROM events)", []);
    assert_eq!(deleted.expect("the file is writable"), 1);
    net.get(&alice.path()).await.expect_problem(503, "storage_unavailable");
}
