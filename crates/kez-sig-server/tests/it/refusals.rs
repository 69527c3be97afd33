//! `POST /v1/sigchains/{system}/{id}`: what is refused, and that nothing of it stays.

use insta::assert_snapshot;
use kez_core::sigchain::{Event, EventHash, Op};
use kez_testkit::{Answer, ChainWriter, SigNet};
use serde_json::{Value, json};

use crate::subject;

fn add(subject: &str) -> Op {
    Op::Add { subject: subject.parse().expect("an identifier") }
}

/// A server on which alice has three events.
async fn with_alice() -> (SigNet, ChainWriter) {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    for n in 0..3 {
        net.append(&alice.path(), alice.add(&subject(n))).await.expect_status(201);
    }
    (net, alice)
}

/// The next event of `alice`, changed after it was signed.
fn spoilt(alice: &ChainWriter, change: impl FnOnce(&mut Value)) -> String {
    let mut event = serde_json::from_str(alice.peek(add("github:x")).canonical()).expect("JSON");
    change(&mut event);
    event.to_string()
}

async fn still_three(net: &SigNet) {
    assert_eq!(net.check_chains().await.into_values().collect::<Vec<_>>(), [3]);
}

/// Whoever holds no key cannot give an event a second hash.
#[tokio::test]
async fn members_that_nobody_signed_are_refused() {
    let (net, alice) = with_alice().await;
    for body in [
        spoilt(&alice, |event| event["note"] = json!("hello")),
        spoilt(&alice, |event| event["signature"]["note"] = json!("hello")),
        spoilt(&alice, |event| {
            event["signature"]["sig"] = json!(event["signature"]["sig"].as_str().unwrap().to_uppercase());
        }),
        spoilt(&alice, |event| drop(event.as_object_mut().unwrap().remove("kez"))),
        spoilt(&alice, |event| event["payload"]["seq"] = json!(-1)),
        spoilt(&alice, |event| event["payload"]["seq"] = json!("3")),
        spoilt(&alice, |event| event["payload"]["prev"] = json!("3f")),
        spoilt(&alice, |event| event["payload"]["payload"] = json!("github:x")),
        spoilt(&alice, |event| event["payload"]["payload"] = json!({})),
        spoilt(&alice, |event| event["signature"]["alg"] = json!("none")),
        alice.peek(add("github:x")).canonical().replacen('{', "{\"kez\":\"sigchain_event\",", 1),
        alice.peek(add("github:x")).canonical()[..300].to_owned(),
        format!("{0}{0}", alice.peek(add("github:x")).canonical()),
        String::new(),
        "[]".into(),
        "[".repeat(8_000),
        "\u{feff}{}".into(),
    ] {
        net.append(&alice.path(), body).await.expect_problem(400, "malformed");
    }
    still_three(&net).await;
}

#[tokio::test]
async fn another_kind_of_document_is_refused() {
    let (net, alice) = with_alice().await;
    for body in [
        spoilt(&alice, |event| event["kez"] = json!("claim")),
        spoilt(&alice, |event| event["payload"]["type"] = json!("kez.claim")),
        spoilt(&alice, |event| event["payload"]["version"] = json!(2)),
    ] {
        net.append(&alice.path(), body).await.expect_problem(400, "wrong_type");
    }
    still_three(&net).await;
}

#[tokio::test]
async fn what_the_key_did_not_sign_is_refused() {
    let (net, alice) = with_alice().await;
    let bob = net.writer("bob");
    for body in [
        spoilt(&alice, |event| event["payload"]["payload"]["subject"] = json!("github:mallory")),
        spoilt(&alice, |event| event["payload"]["note"] = json!("hello")),
        spoilt(&alice, |event| event["signature"]["sig"] = json!("00".repeat(64))),
        spoilt(&alice, |event| {
            let head = alice.head().unwrap();
            let event_of_bob = bob.sign(&head.next(add("github:x")));
            let event_of_bob: Value = serde_json::from_str(event_of_bob.canonical()).unwrap();
            event["signature"]["sig"] = event_of_bob["signature"]["sig"].clone();
        }),
        spoilt(&alice, |event| event["signature"]["alg"] = json!("nostr-secp256k1-schnorr-sha256-jcs")),
    ] {
        net.append(&alice.path(), body).await.expect_problem(422, "bad_signature");
    }
    let other_key = spoilt(&alice, |event| event["signature"]["key"] = json!(bob.chain().to_string()));
    net.append(&alice.path(), other_key).await.expect_problem(422, "key_mismatch");
    still_three(&net).await;
}

/// A good signature is not enough: it has to be by the chain's key, on the chain's path.
#[tokio::test]
async fn only_the_key_of_the_chain_extends_it() {
    let (net, mut alice) = with_alice().await;
    let bob = net.writer("bob");
    // Bob goes on from alice's end, begins alice's neighbour's chain, and alice's events are sent elsewhere.
    let by_bob = bob.sign(&alice.head().unwrap().next(add("github:x")));
    net.append(&alice.path(), by_bob.canonical().to_owned()).await.expect_problem(422, "wrong_primary");
    let first_of_bob = bob.peek(add("github:x")).canonical().to_owned();
    net.append(&net.writer("carol").path(), first_of_bob).await.expect_problem(422, "wrong_primary");
    let first_of_alice = net.writer("alice").peek(add(&subject(0))).canonical().to_owned();
    net.append(&bob.path(), first_of_alice).await.expect_problem(422, "wrong_primary");
    net.append(&bob.path(), alice.peek(add("github:x")).canonical().to_owned())
        .await
        .expect_problem(409, "bad_sequence");
    still_three(&net).await;

    // After handing over, the old key has no say, and the new one has it on the old path alone.
    let old = alice.clone();
    net.append(&alice.path(), alice.rotate("alice's new key", false)).await.expect_status(201);
    let by_old = old.sign(&alice.head().unwrap().next(add("github:x")));
    net.append(&alice.path(), by_old.canonical().to_owned()).await.expect_problem(422, "wrong_primary");
    let new_path = net.writer("alice's new key").path();
    let by_new = alice.peek(add("github:x")).canonical().to_owned();
    net.append(&new_path, by_new.clone()).await.expect_problem(409, "bad_sequence");
    net.append(&alice.path(), by_new).await.expect_status(201);
    assert_eq!(net.check_chains().await.into_values().collect::<Vec<_>>(), [5]);
}

#[tokio::test]
async fn a_chain_is_handed_over_by_both_keys_or_not_at_all() {
    let (net, alice) = with_alice().await;
    let mut elsewhere = net.writer("bob");
    elsewhere.add("github:bob");
    // Bob's chain goes over to mallory's key; that consent is put into alice's chain.
    let given_to_bob: Value = serde_json::from_str(&elsewhere.rotate("mallory", false)).expect("JSON");
    let proof = &given_to_bob["payload"]["payload"]["proof"];
    let proof = kez_core::Envelope::parse(proof.to_string().as_bytes()).expect("an envelope");
    let new_primary = net.writer("mallory").chain();
    let rotate = alice.peek(Op::Rotate { new_primary, proof: Box::new(proof) });
    net.append(&alice.path(), rotate.canonical().to_owned()).await.expect_problem(422, "bad_rotation");
    still_three(&net).await;
}

/// The end of the chain, as the refusal tells it.
fn told(answer: &Answer) -> Value {
    let problem = answer.json();
    json!([problem["seq"], problem["hash"], problem["count"]])
}

#[tokio::test]
async fn a_fork_is_refused_with_the_end_of_the_chain() {
    let (net, alice) = with_alice().await;
    let end = json!([2, alice.hash(), 3]);
    let prev = alice.head().unwrap().hash;
    let event = |seq, prev| alice.sign(&Event { seq, prev, op: add("github:fork") }).canonical().to_owned();
    let other = EventHash::from_bytes([7; 32]);
    for (body, code) in [
        (event(0, None), "bad_sequence"),
        (event(1, Some(other)), "bad_sequence"),
        (event(2, Some(prev)), "bad_sequence"),
        (event(4, Some(prev)), "bad_sequence"),
        (event(9_007_199_254_740_991, Some(prev)), "bad_sequence"),
        (event(3, Some(other)), "wrong_prev"),
    ] {
        let answer = net.append(&alice.path(), body).await.expect_problem(409, code);
        assert_eq!(told(&answer), end);
    }
    let answer = net.append(&net.writer("bob").path(), event(3, Some(prev))).await;
    assert_eq!(told(&answer), json!([null, null, 0]));
    assert_snapshot!(answer, @r#"
    409 application/problem+json
    {
      "code": "bad_sequence",
      "count": 0,
      "detail": "event 3 stands where event 0 belongs",
      "hash": null,
      "seq": null,
      "status": 409,
      "title": "Does not extend the chain",
      "type": "urn:kez:problem:bad_sequence"
    }
    "#);
    still_three(&net).await;
}

#[tokio::test]
async fn what_is_no_key_has_no_chain() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    let event = alice.add("github:alice");
    let hex = alice.chain().value();
    for path in [
        format!("/v1/sigchains/ed25519/{}", hex.to_uppercase()),
        format!("/v1/sigchains/ed25519/{}", &hex[..63]),
        format!("/v1/sigchains/Ed25519/{hex}"),
        format!("/v1/sigchains/nostr/{hex}"),
        "/v1/sigchains/github/alice".into(),
        "/v1/sigchains/ed25519/%ff".into(),
        format!("/v1/sigchains/ed25519/%20{hex}"),
    ] {
        net.append(&path, event.clone()).await.expect_problem(400, "bad_key");
        net.get(&path).await.expect_problem(400, "bad_key");
        net.get(&format!("{path}/head")).await.expect_problem(400, "bad_key");
        net.get(&format!("{path}/bundle")).await.expect_problem(400, "bad_key");
    }
    for path in ["/v1/sigchains", "/v1/sigchains/ed25519", "/v1/sigchains/ed25519/", "/v1/nothing"] {
        net.append(path, event.clone()).await.expect_problem(404, "not_found");
    }
    assert!(net.check_chains().await.is_empty());
}

#[tokio::test]
async fn size_and_kind_of_the_body_are_bounded() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    let event = alice.add("github:alice");
    let padded = |bytes: usize| format!("{event}{}", " ".repeat(bytes - event.len()));
    let answer = net.append(&alice.path(), padded(16 * 1024 + 1)).await.expect_problem(413, "too_large");
    assert_eq!(answer.json()["bytes_max"], 16 * 1024);
    let plain = net.post(&alice.path()).header("content-type", "text/plain").body(event.clone()).send().await;
    plain.expect_problem(415, "unsupported_media_type");
    let packed = net.post(&alice.path()).header("content-encoding", "gzip").json(event.clone()).send().await;
    packed.expect_problem(415, "unsupported_media_type");
    let head = format!("POST {} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n", alice.path());
    let announced = net.raw(format!("{head}Content-Length: 9000000\r\n\r\n")).await;
    assert_eq!((announced[0].status(), announced[0].code().as_str()), (413, "too_large"));
    assert!(net.check_chains().await.is_empty());
    net.append(&alice.path(), padded(16 * 1024)).await.expect_status(201);
    net.check_chains().await;
}
