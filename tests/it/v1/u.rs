//! `GET /v1/u/{handle}`.

use insta::assert_snapshot;
use kez_testkit::Net;

async fn with_alice() -> Net {
    let net = Net::start().await;
    net.actor("alice").register("alice").await.expect_status(201);
    net
}

#[tokio::test]
async fn found() {
    let net = with_alice().await;
    net.advance_s(1_000);
    let answer = net.get("/v1/u/alice").await;
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_snapshot!(answer, @r#"
    200 application/json
    {
      "fqhn": "alice@kez.lat",
      "handle": "alice",
      "primary": "ed25519:f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610",
      "registered_at": "2026-05-25T03:00:00Z",
      "sigchain_url": "http://localhost:7878/v1/sigchains/ed25519/f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610"
    }
    "#);
}

#[tokio::test]
async fn not_found() {
    let net = with_alice().await;
    assert_snapshot!(net.get("/v1/u/bob").await, @r#"
    404 application/problem+json
    {
      "code": "not_found",
      "detail": "nothing is known here by that name",
      "status": 404,
      "title": "Not found",
      "type": "urn:kez:problem:not_found"
    }
    "#);
}

/// Whatever is wrong with a name, and whoever asks: nobody has it, and the answer is the same.
#[tokio::test]
async fn what_is_no_handle_is_not_found_either() {
    let net = with_alice().await;
    let expected = net.get("/v1/u/nobody-here").await.expect_problem(404, "not_found");
    let names = [
        "ALICE",
        "Alice",
        "al",
        "alice%2F",
        "%2Falice",
        "alice@kez.lat",
        "@alice",
        "%ff",
        "alice%00",
        "alice%20",
        "%61%6",
        "-alice",
        "admin",
        "postmaster",
        "ali%63e%0d%0aSet-Cookie:x=1",
        "alice.",
        "%252e",
        "al%C4%B1ce",
        "%",
        "%zz",
        "a'%20OR%201=1",
        &"a".repeat(33),
        &"a".repeat(3000),
    ];
    for name in names {
        let answer = net.get(&format!("/v1/u/{name}")).await.expect_problem(404, "not_found");
        assert_eq!(answer.body(), expected.body(), "{name}");
    }
    for target in ["/v1/u", "/v1/u/", "/v1/u/alice/", "/v1/u/alice/devices/", "/v1//u/alice", "/v1/u//alice"]
    {
        net.get(target).await.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_percent_encoded_handle_is_the_handle() {
    let net = with_alice().await;
    let plain = net.get("/v1/u/alice").await.expect_status(200);
    for target in ["/v1/u/%61lice", "/v1/u/%61%6c%69%63%65", "/v1/u/alice?", "/v1/u/alice?x=1"] {
        assert_eq!(net.get(target).await.expect_status(200).body(), plain.body(), "{target}");
    }
}

#[tokio::test]
async fn a_given_up_handle_is_not_found() {
    let net = with_alice().await;
    net.give_up("alice").await;
    net.get("/v1/u/alice").await.expect_problem(404, "not_found");
    let key = net.actor("alice").key();
    net.get(&format!("/v1/by-primary/{key}")).await.expect_problem(404, "not_found");
    net.get("/.well-known/webfinger?resource=acct:alice@kez.lat").await.expect_problem(404, "not_found");
    net.get("/v1/resolve?resource=alice@kez.lat").await.expect_problem(404, "not_found");
    net.check_registry().await;
}

#[tokio::test]
async fn a_network_looks_up_six_hundred_times_a_minute() {
    let net = Net::with(|setup| setup.args.rate_limit = kez_chat_server::config::Switch::On).await;
    let finger = "/.well-known/webfinger?resource=acct:alice@kez.lat";
    let key = format!("/v1/by-primary/{}", net.actor("alice").key());
    let calls = (0..600).map(|n| net.call("GET", ["/v1/u/alice", finger, &key][n % 3])).collect();
    for answer in net.storm(calls, 16).await {
        answer.expect_problem(404, "not_found");
    }
    for target in ["/v1/u/alice", finger, &key] {
        let answer = net.get(target).await.expect_problem(429, "rate_limited");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // What is not about people is not counted.
    net.get("/v1/healthz").await.expect_status(200);
    net.get("/").await.expect_status(200);
    net.advance_s(1);
    net.get(finger).await.expect_problem(404, "not_found");
}
