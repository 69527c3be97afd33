//! Each refusal by itself: its status, its code, its words, and nothing changed.

use insta::assert_snapshot;
use kez_chat_server::config::RegistrationMode;
use kez_testkit::{Actor, Net, START};
use serde_json::{Value, json};

use super::refused;

#[tokio::test]
async fn malformed() {
    let net = Net::start().await;
    let text = net.actor("alice").registration("alice");
    assert_snapshot!(refused(&net, text.replacen('{', r#"{"more":1,"#, 1)).await, @r#"
    400 application/problem+json
    {
      "code": "malformed",
      "detail": "malformed envelope: an envelope has kez, payload, signature; a signature alg, key, sig",
      "status": 400,
      "title": "Malformed document",
      "type": "urn:kez:problem:malformed"
    }
    "#);
}

#[tokio::test]
async fn wrong_type() {
    let net = Net::start().await;
    let draft = net.actor("alice").draft("alice");
    assert_snapshot!(refused(&net, draft.clone().envelope("kez", "claim").text()).await, @r#"
    400 application/problem+json
    {
      "code": "wrong_type",
      "detail": "not a handle_registration of version 1",
      "status": 400,
      "title": "Another type of document",
      "type": "urn:kez:problem:wrong_type"
    }
    "#);
    for (name, value) in [("type", json!("kez.claim")), ("version", json!(2)), ("version", json!(0))] {
        let answer = refused(&net, draft.clone().payload(name, value).sign().text()).await;
        answer.expect_problem(400, "wrong_type");
    }
}

#[tokio::test]
async fn key_mismatch() {
    let net = Net::start().await;
    let (alice, mallory) = (net.actor("alice"), net.actor("mallory"));
    let foreign = mallory.draft("alice").payload("primary", alice.key().to_string()).sign();
    assert_snapshot!(refused(&net, foreign.text()).await, @r#"
    400 application/problem+json
    {
      "code": "key_mismatch",
      "detail": "signature.key and payload.primary do not name the same key, or not one that signs this document",
      "status": 400,
      "title": "Keys do not agree",
      "type": "urn:kez:problem:key_mismatch"
    }
    "#);
    let foreign = alice.draft("alice").signature("key", mallory.key().to_string()).sign();
    refused(&net, foreign.text()).await.expect_problem(400, "key_mismatch");
    let upper = format!("ed25519:{}", alice.key().to_hex().to_uppercase());
    let upper = alice.draft("alice").payload("primary", upper.as_str()).signature("key", upper).sign();
    refused(&net, upper.text()).await.expect_problem(400, "key_mismatch");
}

#[tokio::test]
async fn bad_signature() {
    let net = Net::start().await;
    let alice = net.actor("alice");
    let changed = alice.registration("alice").replace("\"alice\"", "\"mallory\"");
    assert_snapshot!(refused(&net, changed).await, @r#"
    400 application/problem+json
    {
      "code": "bad_signature",
      "detail": "the signature does not verify",
      "status": 400,
      "title": "Signature does not verify",
      "type": "urn:kez:problem:bad_signature"
    }
    "#);
    let stolen = net.actor("bob").draft("alice").sign().text();
    let stolen: Value = serde_json::from_str(&stolen).expect("JSON");
    let lent = alice.draft("alice").signature("sig", stolen["signature"]["sig"].clone());
    refused(&net, lent.text()).await.expect_problem(400, "bad_signature");
    let zero = alice.draft("alice").signature("sig", "0".repeat(128));
    refused(&net, zero.text()).await.expect_problem(400, "bad_signature");
    let other = alice.draft("alice").signature("alg", "nostr-secp256k1-schnorr-sha256-jcs");
    refused(&net, other.text()).await.expect_problem(400, "bad_signature");
}

/// The signature over another spelling of the same values: only the canonical form counts.
#[tokio::test]
async fn a_signature_over_other_bytes_than_the_canonical_ones() {
    let net = Net::start().await;
    let alice = net.actor("alice");
    let draft = alice.draft("alice");
    let envelope: Value = serde_json::from_str(&draft.text()).expect("JSON");
    let sig = alice.seed().sign(format!("{:#}", envelope["payload"]).as_bytes()).to_hex();
    refused(&net, draft.signature("sig", sig).text()).await.expect_problem(400, "bad_signature");
}

#[tokio::test]
async fn envelope_used() {
    let net = Net::start().await;
    let alice = net.actor("alice");
    let envelope = alice.registration("alice");
    net.register(envelope.clone()).await.expect_status(201);
    net.give_up("alice").await;
    assert_snapshot!(refused(&net, envelope.clone()).await, @r#"
    409 application/problem+json
    {
      "code": "envelope_used",
      "detail": "this registration was used before, and its handle has been given up; sign a new one",
      "status": 409,
      "title": "Registration was used before",
      "type": "urn:kez:problem:envelope_used"
    }
    "#);
    net.restart().await;
    net.clock.set("2026-05-25T02:54:00Z".parse().expect("a time"));
    refused(&net, envelope).await.expect_problem(409, "envelope_used");
    net.clock.set(START.parse().expect("a time"));
    // The key is free, the handle and what looks like it are not.
    refused(&net, alice.draft("alice").payload("again", true).sign().text())
        .await
        .expect_problem(409, "handle_taken");
    refused(&net, alice.registration("a1ice")).await.expect_problem(409, "handle_confusable");
    alice.register("alice-again").await.expect_status(201);
    net.check_registry().await;
}

#[tokio::test]
async fn wrong_server() {
    let net = Net::start().await;
    let draft = net.actor("alice").draft("alice");
    assert_snapshot!(refused(&net, draft.clone().payload("server", "example.org").sign().text()).await, @r#"
    400 application/problem+json
    {
      "code": "wrong_server",
      "detail": "the registration is for another server than kez.lat",
      "server": "kez.lat",
      "status": 400,
      "title": "Signed for another server",
      "type": "urn:kez:problem:wrong_server"
    }
    "#);
    for server in ["KEZ.LAT", "kez.lat.", "", "kez.lat:443", "https://kez.lat", " kez.lat", "127.0.0.1"] {
        let answer = refused(&net, draft.clone().payload("server", server).sign().text()).await;
        answer.expect_problem(400, "wrong_server");
    }
}

#[tokio::test]
async fn bad_handle() {
    let net = Net::start().await;
    let alice = net.actor("alice");
    assert_snapshot!(refused(&net, alice.registration("Alice")).await, @r#"
    400 application/problem+json
    {
      "code": "bad_handle",
      "detail": "a handle is made of the letters a to z in lower case, digits, _ and -",
      "status": 400,
      "title": "Not a handle",
      "type": "urn:kez:problem:bad_handle"
    }
    "#);
    for (name, vector) in crate::support::vectors("handle/invalid") {
        let Some(handle) = vector["input"].as_str() else { panic!("{name}: no input") };
        let answer = refused(&net, alice.draft("alice").payload("handle", handle).sign().text()).await;
        assert_eq!(answer.code(), "bad_handle", "{name}");
    }
}

#[tokio::test]
async fn reserved_handle() {
    let net = Net::start().await;
    let alice = net.actor("alice");
    assert_snapshot!(refused(&net, alice.registration("admin")).await, @r#"
    403 application/problem+json
    {
      "code": "reserved_handle",
      "detail": "the handle is reserved: it is, or looks like, a mailbox that certificate authorities and mail systems trust",
      "status": 403,
      "title": "Handle is reserved",
      "type": "urn:kez:problem:reserved_handle"
    }
    "#);
    for handle in ["postmaster", "adm1n", "a-d-m-i-n", "everyone", "null", "undefined", "openapi", "support"]
    {
        refused(&net, alice.registration(handle)).await.expect_problem(403, "reserved_handle");
    }
}

#[tokio::test]
async fn clock_skew() {
    let net = Net::start().await;
    let alice = net.actor("alice");
    let at = |time: &str| alice.registration_at("alice", time.parse().expect("a time"));
    assert_snapshot!(refused(&net, at("2026-05-25T03:05:00.000000001Z")).await, @r#"
    400 application/problem+json
    {
      "code": "clock_skew",
      "detail": "created_at is more than 300 seconds away from the server's time 2026-05-25T03:00:00Z",
      "server_time": "2026-05-25T03:00:00Z",
      "skew_max_s": 300,
      "status": 400,
      "title": "Clocks do not agree",
      "type": "urn:kez:problem:clock_skew"
    }
    "#);
    for time in [
        "2026-05-25T02:54:59.999999999Z",
        "2026-05-25T03:05:01Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ] {
        let answer = refused(&net, at(time)).await.expect_problem(400, "clock_skew");
        assert_eq!(answer.json()["server_time"], START, "{time}");
    }
    net.clock.set("2026-05-25T03:05:00.5Z".parse().expect("a time"));
    let answer = refused(&net, at(START)).await.expect_problem(400, "clock_skew");
    assert_eq!(answer.json()["server_time"], "2026-05-25T03:05:00Z");
}

#[tokio::test]
async fn the_window_includes_both_its_ends() {
    for created_at in ["2026-05-25T03:05:00Z", "2026-05-25T02:55:00Z", "2026-05-25T02:55:00.000Z"] {
        let net = Net::start().await;
        let alice = net.actor("alice");
        let draft = alice.draft("alice").payload("created_at", created_at).sign();
        let answer = net.register(draft.text()).await.expect_status(201);
        assert_eq!(answer.json()["registered_at"], START, "the server's time, not the signer's");
        net.check_registry().await;
    }
}

#[tokio::test]
async fn registration_closed() {
    let net = Net::with(|setup| setup.args.registration = RegistrationMode::Closed).await;
    assert_snapshot!(refused(&net, net.actor("alice").registration("alice")).await, @r#"
    403 application/problem+json
    {
      "code": "registration_closed",
      "detail": "this server takes no new registrations",
      "status": 403,
      "title": "Registration is closed",
      "type": "urn:kez:problem:registration_closed"
    }
    "#);
    let (_, token) = net.invite(1, 60).await;
    net.actor("alice").register_with("alice", &token).await.expect_problem(403, "registration_closed");
}

#[tokio::test]
async fn handle_taken() {
    let net = Net::start().await;
    net.actor("alice").register("alice").await.expect_status(201);
    assert_snapshot!(refused(&net, net.actor("mallory").registration("alice")).await, @r#"
    409 application/problem+json
    {
      "code": "handle_taken",
      "detail": "the handle is taken",
      "status": 409,
      "title": "Handle is taken",
      "type": "urn:kez:problem:handle_taken"
    }
    "#);
    // Its own holder, in a new envelope.
    net.advance_s(1);
    refused(&net, net.actor("alice").registration("alice")).await.expect_problem(409, "handle_taken");
}

#[tokio::test]
async fn key_taken() {
    let net = Net::start().await;
    let alice = net.actor("alice");
    alice.register("alice").await.expect_status(201);
    assert_snapshot!(refused(&net, alice.registration("alice2")).await, @r#"
    409 application/problem+json
    {
      "code": "key_taken",
      "detail": "this key already holds another handle here",
      "status": 409,
      "title": "Key holds another handle",
      "type": "urn:kez:problem:key_taken"
    }
    "#);
}

#[tokio::test]
async fn handle_confusable() {
    let net = Net::start().await;
    net.actor("modern").register("modern-love10").await.expect_status(201);
    let mallory: Actor = net.actor("mallory");
    assert_snapshot!(refused(&net, mallory.registration("modem-love10")).await, @r#"
    409 application/problem+json
    {
      "code": "handle_confusable",
      "detail": "the handle looks like one that is taken",
      "status": 409,
      "title": "Handle looks like another",
      "type": "urn:kez:problem:handle_confusable"
    }
    "#);
    for handle in ["modernlove10", "modern_love10", "m0dern-l0ve1o", "modern-lovel0", "modern-lovvel0x"] {
        let answer = mallory.register(handle).await;
        if handle.ends_with('x') {
            answer.expect_status(201);
        } else {
            answer.expect_problem(409, "handle_confusable");
        }
    }
    net.check_registry().await;
}

/// `i` is not folded into `l`: these two may both exist.
#[tokio::test]
async fn maria_and_marla_are_two_people() {
    let net = Net::start().await;
    net.actor("maria").register("maria").await.expect_status(201);
    net.actor("marla").register("marla").await.expect_status(201);
    assert_eq!(net.check_registry().await.accounts.len(), 2);
}
