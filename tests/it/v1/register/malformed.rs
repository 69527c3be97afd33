//! Bytes that are no registration: always 4xx with a stable code, and the table unchanged.

use kez_testkit::Net;

use super::limits::BODY_BYTES_MAX;
use crate::support::{base64, vectors};

#[tokio::test]
async fn invalid_registrations_give_the_code_of_their_vector() {
    let net = Net::start().await;
    for (name, vector) in vectors("registration/invalid") {
        let envelope = vector["envelope"].as_str().expect("text").to_owned();
        let answer = net.register(envelope).await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (400, vector["error"].as_str().expect("a code")),
            "{name}"
        );
    }
    assert!(net.check_registry().await.accounts.is_empty());
}

#[tokio::test]
async fn what_is_no_strict_json_is_malformed() {
    let net = Net::start().await;
    for (name, vector) in vectors("json/invalid") {
        let bytes = base64(&vector["input_base64"]);
        let expected = if bytes.len() > BODY_BYTES_MAX { (413, "too_large") } else { (400, "malformed") };
        let answer = net.register(bytes).await;
        assert_eq!((answer.status(), answer.code().as_str()), expected, "{name}");
    }
    assert!(net.check_registry().await.accounts.is_empty());
}

#[tokio::test]
async fn json_that_is_no_envelope_is_malformed() {
    let net = Net::start().await;
    for (name, vector) in vectors("json/valid") {
        let answer = net.register(base64(&vector["input_base64"])).await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, "malformed"), "{name}");
    }
    assert!(net.check_registry().await.accounts.is_empty());
}

/// A broken document inside a good one: in the place of the payload, and as its member.
#[tokio::test]
async fn broken_json_inside_an_envelope_is_malformed() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let at = envelope.find("\"payload\":{").expect("a payload") + "\"payload\":{".len();
    for (name, vector) in vectors("json/invalid") {
        let bytes = base64(&vector["input_base64"]);
        let mut body = envelope.as_bytes()[..at].to_vec();
        body.extend_from_slice(b"\"x\":");
        body.extend_from_slice(&bytes);
        body.push(b',');
        body.extend_from_slice(&envelope.as_bytes()[at..]);
        let is_long = body.len() > BODY_BYTES_MAX;
        let answer = net.register(body).await;
        let expected: &[_] = if is_long { &["too_large"] } else { &["malformed", "bad_signature"] };
        assert!(expected.contains(&answer.code().as_str()), "{name}: {answer}");
    }
    assert!(net.check_registry().await.accounts.is_empty());
}

/// Each byte of a good registration changed, in two ways: nothing passes.
#[tokio::test]
async fn no_single_changed_byte_is_let_through() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice").into_bytes();
    let changed = (0..envelope.len()).flat_map(|at| {
        [0x01, 0x80].map(|bit| {
            let mut copy = envelope.clone();
            copy[at] ^= bit;
            net.post("/v1/register").json(copy)
        })
    });
    for answer in net.storm(changed.collect(), 32).await {
        assert_eq!(answer.status(), 400, "{answer}");
        answer.code();
    }
    assert!(net.check_registry().await.accounts.is_empty());
}

#[tokio::test]
async fn a_cut_registration_is_malformed() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let cuts = (0..envelope.len()).map(|end| net.post("/v1/register").json(envelope[..end].to_owned()));
    for answer in net.storm(cuts.collect(), 32).await {
        answer.expect_problem(400, "malformed");
    }
    assert!(net.check_registry().await.accounts.is_empty());
}
