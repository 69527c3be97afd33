//! `GET /v1/by-primary/{primary}`.

use insta::assert_snapshot;
use kez_testkit::Net;

async fn with_alice() -> (Net, String) {
    let net = Net::start().await;
    let alice = net.actor("alice");
    alice.register("alice").await.expect_status(201);
    let hex = alice.key().to_hex();
    (net, hex)
}

#[tokio::test]
async fn the_record_is_the_one_of_the_handle() {
    let (net, hex) = with_alice().await;
    let by_handle = net.get("/v1/u/alice").await.expect_status(200);
    for target in [format!("/v1/by-primary/ed25519:{hex}"), format!("/v1/by-primary/ed25519%3A{hex}")] {
        assert_eq!(net.get(&target).await.expect_status(200).body(), by_handle.body(), "{target}");
    }
}

#[tokio::test]
async fn an_unknown_key_is_not_found() {
    let (net, _) = with_alice().await;
    let unknown = net.actor("bob").key();
    assert_snapshot!(net.get(&format!("/v1/by-primary/{unknown}")).await, @r#"
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

/// A nostr key is a key, but no chat account has one.
#[tokio::test]
async fn a_nostr_key_is_not_found() {
    let (net, _) = with_alice().await;
    let npub = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"; // NIP-19's own example
    net.get(&format!("/v1/by-primary/nostr:{npub}")).await.expect_problem(404, "not_found");
    let damaged = npub.replace("ptg", "ptq");
    net.get(&format!("/v1/by-primary/nostr:{damaged}")).await.expect_problem(400, "bad_key");
}

#[tokio::test]
async fn what_is_no_key_is_a_bad_request() {
    let (net, hex) = with_alice().await;
    assert_snapshot!(net.get("/v1/by-primary/alice").await, @r#"
    400 application/problem+json
    {
      "code": "bad_key",
      "detail": "not a key of the form ed25519:<64 lower-case hex digits> or nostr:npub1…",
      "status": 400,
      "title": "Not a key",
      "type": "urn:kez:problem:bad_key"
    }
    "#);
    let wrong = [
        hex.clone(),
        format!("ed25519:{}", hex.to_uppercase()),
        format!("ED25519:{hex}"),
        format!("ed25519:{}", &hex[..63]),
        format!("ed25519:{hex}0"),
        format!("ed25519:{hex}%00"),
        format!("ed25519:%20{hex}"),
        format!("ed25519::{hex}"),
        "ed25519:".into(),
        "github:alice".into(),
        "%ff".into(),
        "%".into(),
        ":".into(),
    ];
    for key in wrong {
        let answer = net.get(&format!("/v1/by-primary/{key}")).await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, "bad_key"), "{key}");
    }
}
