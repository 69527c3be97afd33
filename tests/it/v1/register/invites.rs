//! Registering on a server that asks for invites.

use insta::assert_snapshot;
use kez_chat_server::config::RegistrationMode;
use kez_testkit::Net;

use super::refused;

async fn by_invite() -> Net {
    Net::with(|setup| setup.args.registration = RegistrationMode::Invite).await
}

#[tokio::test]
async fn without_a_token_nobody_registers() {
    let net = by_invite().await;
    assert_snapshot!(refused(&net, net.actor("alice").registration("alice")).await, @r#"
    403 application/problem+json
    {
      "code": "invite_required",
      "detail": "registering here needs an invite token",
      "status": 403,
      "title": "An invite is required",
      "type": "urn:kez:problem:invite_required"
    }
    "#);
}

#[tokio::test]
async fn a_token_admits_as_many_as_it_says() {
    let net = by_invite().await;
    let (id, token) = net.invite(2, 3_600).await;
    net.actor("alice").register_with("alice", &token).await.expect_status(201);
    assert_eq!(net.check_registry().await.invites[&id], 1);
    net.actor("bob").register_with("bob", &token).await.expect_status(201);
    net.actor("carol").register_with("carol", &token).await.expect_problem(403, "invite_required");
    let registry = net.check_registry().await;
    assert_eq!((registry.accounts.len(), registry.invites[&id]), (2, 0));
}

#[tokio::test]
async fn a_refusal_does_not_use_a_token_up() {
    let net = by_invite().await;
    let (id, token) = net.invite(2, 3_600).await;
    net.actor("alice").register_with("alice", &token).await.expect_status(201);
    net.actor("mallory").register_with("alice", &token).await.expect_problem(409, "handle_taken");
    net.actor("alice").register_with("alice2", &token).await.expect_problem(409, "key_taken");
    net.actor("mallory").register_with("a1ice", &token).await.expect_problem(409, "handle_confusable");
    net.actor("mallory").register_with("admin", &token).await.expect_problem(403, "reserved_handle");
    assert_eq!(net.check_registry().await.invites[&id], 1);
}

/// A client that lost the answer does not pay twice, and needs no token any more.
#[tokio::test]
async fn a_repetition_does_not_use_a_token_up() {
    let net = by_invite().await;
    let (id, token) = net.invite(2, 3_600).await;
    let alice = net.actor("alice");
    let envelope = alice.registration("alice");
    let send = |envelope: String| net.post("/v1/register").header("kez-invite", &token).json(envelope).send();
    send(envelope.clone()).await.expect_status(201);
    send(envelope.clone()).await.expect_status(200);
    net.register(envelope).await.expect_status(200);
    assert_eq!(net.check_registry().await.invites[&id], 1);
}

#[tokio::test]
async fn a_wrong_token_is_as_good_as_none() {
    let net = by_invite().await;
    let (id, token) = net.invite(1, 3_600).await;
    let swapped = format!("{token}A");
    let wrong = [
        "kez-invite-AAAAAAAAAAAAAAAAAAAAAA",
        "kez-invite-",
        "x",
        "",
        &swapped,
        &token.to_uppercase(),
        "kez-invite-%00",
    ];
    for wrong in wrong {
        net.actor("alice").register_with("alice", wrong).await.expect_problem(403, "invite_required");
    }
    let bytes = net.actor("alice").registering("alice").header("kez-invite", "kez-invite-ä");
    bytes.send().await.expect_problem(403, "invite_required");
    assert_eq!(net.check_registry().await.invites[&id], 1);
}

#[tokio::test]
async fn a_token_ends_when_it_says() {
    let net = by_invite().await;
    let (_, token) = net.invite(5, 3_600).await;
    net.advance_s(3_599);
    net.actor("alice").register_with("alice", &token).await.expect_status(201);
    net.advance_s(1);
    net.actor("bob").register_with("bob", &token).await.expect_problem(403, "invite_required");
    net.check_registry().await;
}

#[tokio::test]
async fn a_revoked_token_does_not_work() {
    let net = by_invite().await;
    let (id, token) = net.invite(5, 3_600).await;
    assert!(net.store().revoke_invite(id, net.now()).await.expect("the store works"));
    net.actor("alice").register_with("alice", &token).await.expect_problem(403, "invite_required");
    assert!(net.check_registry().await.accounts.is_empty());
}

/// Where registration is open, a token is neither needed nor used.
#[tokio::test]
async fn an_open_server_takes_no_tokens() {
    let net = Net::start().await;
    let (id, token) = net.invite(1, 3_600).await;
    net.actor("alice").register_with("alice", &token).await.expect_status(201);
    net.actor("bob").register_with("bob", "nonsense").await.expect_status(201);
    assert_eq!(net.check_registry().await.invites[&id], 1);
}
