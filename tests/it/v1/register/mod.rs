//! `POST /v1/register`.

mod invites;
mod json_test_suite;
mod limits;
mod malformed;
mod order;
mod refusals;
mod storms;

use insta::assert_snapshot;
use kez_testkit::{Answer, Net};

/// Sends a registration that has to be refused, and checks that it changed nothing.
#[track_caller]
fn refused(net: &Net, envelope: impl Into<bytes::Bytes>) -> impl Future<Output = Answer> {
    let (net, envelope) = (net.clone(), envelope.into());
    async move {
        let before = net.check_registry().await;
        let answer = net.register(envelope).await;
        assert!(answer.status() >= 400, "{answer}");
        assert_eq!(net.check_registry().await, before, "{answer}");
        answer
    }
}

#[tokio::test]
async fn a_key_takes_a_handle() {
    let net = Net::start().await;
    assert_snapshot!(net.actor("alice").register("alice").await, @r#"
    201 application/json
    {
      "fqhn": "alice@kez.lat",
      "handle": "alice",
      "primary": "ed25519:f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610",
      "registered_at": "2026-05-25T03:00:00Z",
      "sigchain_url": "http://localhost:7878/v1/sigchains/ed25519/f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610"
    }
    "#);
    assert_eq!(net.check_registry().await.accounts.len(), 1);
}

#[tokio::test]
async fn the_body_has_exactly_the_five_members_in_their_order() {
    let net = Net::start().await;
    let answer = net.actor("alice").register("alice").await.expect_status(201);
    let names: Vec<_> =
        answer.text().split('"').filter(|name| answer.members().contains(&(*name).to_owned())).collect();
    assert_eq!(names, ["handle", "fqhn", "primary", "sigchain_url", "registered_at"]);
    assert_eq!(answer.members().len(), 5);
}

#[tokio::test]
async fn the_same_registration_again_is_answered_with_the_same_record() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let first = net.register(envelope.clone()).await.expect_status(201);
    net.advance_s(3);
    let again = net.register(envelope.clone()).await.expect_status(200);
    assert_eq!(first.body(), again.body());
    assert_eq!(net.check_registry().await.accounts.len(), 1);
}

/// A client that lost the answer may ask for it whenever it comes back.
#[tokio::test]
async fn it_is_still_the_same_registration_after_hours_a_restart_and_the_end_of_registration() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let first = net.register(envelope.clone()).await.expect_status(201);
    net.advance_s(7 * 86_400);
    net.restart_with(|setup| setup.args.registration = kez_chat_server::config::RegistrationMode::Closed)
        .await;
    let again = net.register(envelope).await.expect_status(200);
    assert_eq!(first.body(), again.body());
}

/// What counts is what was signed, not how it was spelt.
#[tokio::test]
async fn another_spelling_of_the_envelope_is_the_same_registration() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    net.register(envelope.clone()).await.expect_status(201);
    let spelt: serde_json::Value = serde_json::from_str(&envelope).expect("JSON");
    net.register(format!("\r\n{spelt:#}\t")).await.expect_status(200);
    net.register(envelope.replace("alice", "\\u0061lice")).await.expect_status(200);
    assert_eq!(net.check_registry().await.accounts.len(), 1);
}

/// The shape of the published example, with a member that this version does not know.
#[tokio::test]
async fn unknown_members_of_the_payload_are_signed_and_kept() {
    let net = Net::start().await;
    let draft =
        net.actor("alice").draft("alice").payload("x-note", serde_json::json!({"a": [1, "\u{2028}", null]}));
    net.register(draft.sign().text()).await.expect_status(201);
    let evidence = net.store().evidence(None, 10).await.expect("the store answers");
    assert!(evidence[0].1.contains("x-note"));
    net.check_registry().await;
}

/// RFC 8032's other signers, and dates with fractions: everything that is valid as a document is never called
/// malformed, mistyped or badly signed.
#[tokio::test]
async fn valid_vectors_pass_the_checks_of_the_document() {
    for (name, vector) in crate::support::vectors("registration/valid") {
        let server = vector["server"].as_str().expect("a server").to_owned();
        let net = Net::with(|setup| {
            if let Ok(server) = server.parse() {
                setup.args.server = server;
            }
        })
        .await;
        net.clock.set(vector["created_at"].as_str().expect("a time").parse().expect("a time"));
        let answer = net.register(vector["envelope"].as_str().expect("text").to_owned()).await;
        let beyond = ["wrong_server", "bad_handle", "reserved_handle"];
        if answer.status() == 201 {
            assert_eq!(answer.json()["handle"], vector["handle"], "{name}");
            assert_eq!(answer.json()["primary"], vector["primary"], "{name}");
        } else {
            assert!(beyond.contains(&answer.code().as_str()), "{name}: {answer}");
        }
        net.check_registry().await;
    }
}
