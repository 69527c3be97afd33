//! Other servers that answer wrongly, slowly, or at length. All of them are answered alike: whoever asks must not learn
//! which step failed.

use std::time::Duration;

use insta::assert_snapshot;
use kez_testkit::{Actor, Answer, Net};
use serde_json::{Value, json};

use super::{HERE, OTHER, honest, jrd, net_with, record, resolve, two};
use crate::elsewhere::{Elsewhere, Names, Reply};

/// The one answer for everything that goes wrong elsewhere.
async fn failed(net: &Net, resource: &str) -> Answer {
    let answer = resolve(net, resource).await.expect_problem(502, "resolve_failed");
    let expected = json!({"type": "urn:kez:problem:resolve_failed", "title": "Other server not reached", "status": 502, "code": "resolve_failed"});
    assert_eq!(answer.json(), expected);
    answer
}

/// An actor whose key stands for a person elsewhere.
async fn person(name: &str) -> Actor {
    Net::start().await.actor(name)
}

#[tokio::test]
async fn the_words_are_always_the_same() {
    let net = net_with(&Names::default(), HERE).await;
    assert_snapshot!(failed(&net, "bob@nowhere.example").await, @r#"
    502 application/problem+json
    {
      "code": "resolve_failed",
      "status": 502,
      "title": "Other server not reached",
      "type": "urn:kez:problem:resolve_failed"
    }
    "#);
}

#[tokio::test]
async fn a_record_of_somebody_else_is_not_believed() {
    let (bob, mallory) = (person("bob").await, person("mallory").await);
    let with = |name: &str, value: Value| {
        let mut record = record(&bob, "bob");
        record[name] = value;
        record
    };
    let mut lacking = record(&bob, "bob");
    lacking.as_object_mut().expect("an object").remove("sigchain_url");
    let records = [
        record(&mallory, "bob"), // not the key that WebFinger names
        record(&bob, "mallory"),
        with("handle", json!("mallory")),
        with("fqhn", json!("bob@kez.lat")),
        with("fqhn", json!("mallory@other.example")),
        with("fqhn", json!("BOB@other.example")),
        with("primary", json!("nostr:npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg")),
        with("primary", json!(bob.key().to_hex())),
        with("registered_at", json!("yesterday")),
        with("sigchain_url", json!(7)),
        with("sigchain_url", json!("javascript:alert(1)")),
        lacking,
        json!([]),
        json!("bob"),
        json!(null),
    ];
    for wrong in records {
        let shown = wrong.to_string();
        let jrd = jrd(&bob, "bob");
        let (net, elsewhere) =
            two(move |target| Reply::json(if target == "/v1/u/bob" { &wrong } else { &jrd })).await;
        failed(&net, "bob@other.example").await;
        assert_eq!(elsewhere.requests().len(), 2, "{shown}");
    }
}

#[tokio::test]
async fn a_jrd_without_the_key_or_the_link_is_not_believed() {
    let bob = person("bob").await;
    let without = |change: fn(&mut Value)| {
        let mut jrd = jrd(&bob, "bob");
        change(&mut jrd);
        jrd
    };
    let jrds = [
        without(|jrd| jrd["properties"] = json!({})),
        without(|jrd| jrd["properties"] = json!({"https://kez.lat/ns/primary": null})),
        without(|jrd| jrd["links"] = json!([])),
        without(|jrd| jrd["links"][2]["type"] = json!("application/jsonl")),
        without(|jrd| jrd["links"][2]["rel"] = json!("me")),
        without(|jrd| jrd["links"] = json!("x")),
        json!({}),
        json!([]),
        json!(null),
    ];
    for wrong in jrds {
        let record = record(&bob, "bob");
        let (net, _elsewhere) =
            two(move |target| Reply::json(if target == "/v1/u/bob" { &record } else { &wrong })).await;
        failed(&net, "bob@other.example").await;
    }
}

#[tokio::test]
async fn statuses_and_bodies_that_are_no_answer() {
    let replies: [fn() -> Reply; 9] = [
        || Reply::of(500, "", "oh"),
        || Reply::of(201, "", "{}"),
        || Reply::of(403, "", "{}"),
        || Reply::of(206, "", "{}"),
        || Reply::of(200, "Content-Type: text/html\r\n", "<html>"),
        || Reply::of(200, "Content-Encoding: gzip\r\n", "{}\u{1f}"),
        || Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec()),
        || Reply::Bytes(b"SSH-2.0-x\r\n".to_vec()),
        || Reply::Bytes(Vec::new()),
    ];
    for reply in replies {
        let (net, elsewhere) = two(move |_| reply()).await;
        failed(&net, "bob@other.example").await;
        assert_eq!(elsewhere.requests().len(), 1);
    }
}

/// 64 KiB are read, and not a byte more; whether the length is announced or not.
#[tokio::test]
async fn an_answer_may_have_64_kibibytes() {
    let bob = person("bob").await;
    for (bytes, status) in [(64 * 1024, 200), (64 * 1024 + 1, 502), (10_000_000, 502)] {
        for announced in [true, false] {
            let (jrd, record) = (jrd(&bob, "bob"), record(&bob, "bob").to_string());
            let (net, _elsewhere) = two(move |target| {
                if target != "/v1/u/bob" {
                    return Reply::json(&jrd);
                }
                let body = record.clone() + &" ".repeat(bytes - record.len());
                if announced {
                    Reply::of(200, "", body)
                } else {
                    Reply::Bytes(format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes())
                }
            })
            .await;
            let answer = resolve(&net, "bob@other.example").await;
            assert_eq!(answer.status(), status, "{bytes} bytes, announced: {announced}");
        }
    }
}

/// A server that failed is left alone for half a minute, then asked again.
#[tokio::test]
async fn a_failure_is_remembered_for_a_moment() {
    let bob = person("bob").await;
    let honest = honest(&bob);
    let (broken, is_broken) = tokio::sync::watch::channel(true);
    let (net, _elsewhere) =
        two(move |target| if *is_broken.borrow() { Reply::of(503, "", "") } else { honest(target) }).await;
    failed(&net, "bob@other.example").await;
    broken.send_replace(false);
    net.advance_s(29);
    failed(&net, "bob@other.example").await;
    net.advance_s(1);
    resolve(&net, "bob@other.example").await.expect_status(200);
}

/// Five seconds for everything. The time is the runtime's, and jumps once the other server has the request.
#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let silences: [&[u8]; 3] =
        [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"];
    for silence in silences {
        let (net, elsewhere) = two(move |_| Reply::Hang(silence.to_vec())).await;
        let asking = tokio::spawn({
            let net = net.clone();
            async move { failed(&net, "bob@other.example").await }
        });
        elsewhere.asked(1).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_millis(5_001)).await;
        tokio::time::resume();
        asking.await.expect("no panic");
    }
}

#[tokio::test]
async fn a_certificate_has_to_be_good_and_of_that_name() {
    let bob = person("bob").await;
    let stranger = Elsewhere::distrusted(OTHER, honest(&bob)).await;
    let wrong_name = Elsewhere::start("another.example", honest(&bob)).await;
    let no_tls = kez_testkit::Net::start().await;
    for addr in [stranger.addr(), wrong_name.addr(), no_tls.addr()] {
        let net = net_with(&Names::default().with(OTHER, [addr]), HERE).await;
        failed(&net, "bob@other.example").await;
    }
    assert!(stranger.requests().is_empty() && wrong_name.requests().is_empty());
}
