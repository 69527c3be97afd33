//! A document with several flaws is refused for the first one in the order of SPEC "Registration".

use kez_chat_server::config::RegistrationMode;
use kez_testkit::{Draft, Net};

/// Flaws in the order in which they are found. A draft has all flaws from some number on.
const FLAWS: [&str; 9] = [
    "malformed",
    "wrong_type",
    "key_mismatch",
    "bad_signature",
    "wrong_server",
    "bad_handle",
    "reserved_handle",
    "clock_skew",
    "invite_required",
];

/// A registration with every flaw of [`FLAWS`] from `first` on.
fn flawed(net: &Net, first: usize) -> String {
    let has = |code: &str| FLAWS.iter().position(|flaw| *flaw == code).expect("a flaw") >= first;
    let mut draft: Draft = net.actor("alice").draft("bob"); // which is taken
    if has("clock_skew") {
        draft = draft.payload("created_at", "2020-01-01T00:00:00Z");
    }
    if has("reserved_handle") {
        draft = draft.payload("handle", "admin");
    }
    if has("bad_handle") {
        draft = draft.payload("handle", "-");
    }
    if has("wrong_server") {
        draft = draft.payload("server", "example.org");
    }
    draft = draft.sign();
    if has("bad_signature") {
        draft = draft.signature("sig", "1".repeat(128));
    }
    if has("key_mismatch") {
        draft = draft.signature("key", net.actor("mallory").key().to_string());
    }
    if has("wrong_type") {
        draft = draft.envelope("kez", "claim");
    }
    if has("malformed") {
        draft = draft.envelope("more", 1);
    }
    draft.text()
}

#[tokio::test]
async fn the_first_flaw_is_the_one_that_is_told() {
    let net = Net::with(|setup| setup.args.registration = RegistrationMode::Invite).await;
    let (_, token) = net.invite(2, 3_600).await;
    net.actor("bob").register_with("bob", &token).await.expect_status(201);
    let before = net.check_registry().await;
    net.post("/v1/register")
        .header("content-type", "text/plain")
        .body(flawed(&net, 0))
        .send()
        .await
        .expect_problem(415, "unsupported_media_type");
    net.register(flawed(&net, 0) + &" ".repeat(20_000)).await.expect_problem(413, "too_large");
    for (first, code) in FLAWS.iter().enumerate() {
        let answer = net.register(flawed(&net, first)).await;
        assert_eq!(answer.code(), *code, "{answer}");
    }
    // An invite that is spent, then a handle that is taken.
    let spent = "kez-invite-AAAAAAAAAAAAAAAAAAAAAA";
    net.actor("alice").register_with("bob", spent).await.expect_problem(403, "invite_required");
    net.actor("alice").register_with("bob", &token).await.expect_problem(409, "handle_taken");
    assert_eq!(net.check_registry().await, before);
}

/// Closed comes before asking for an invite, and both come after the clock.
#[tokio::test]
async fn a_closed_server_says_so_only_for_what_it_would_take() {
    let net = Net::with(|setup| setup.args.registration = RegistrationMode::Closed).await;
    let codes = [7, 8].map(|first| net.register(flawed(&net, first)));
    let [skewed, closed] = codes;
    skewed.await.expect_problem(400, "clock_skew");
    closed.await.expect_problem(403, "registration_closed");
}

#[tokio::test]
async fn taken_handle_then_taken_key_then_look_alike() {
    let net = Net::start().await;
    net.actor("bob").register("bob").await.expect_status(201);
    let alice = net.actor("alice");
    alice.register("alice").await.expect_status(201);
    alice.register("bob").await.expect_problem(409, "handle_taken");
    alice.register("b-o-b").await.expect_problem(409, "key_taken");
    net.actor("carol").register("b-o-b").await.expect_problem(409, "handle_confusable");
    net.check_registry().await;
}

/// The repetition of an accepted registration is answered before everything that may have changed since.
#[tokio::test]
async fn a_repetition_is_known_before_the_clock_is_asked() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    net.register(envelope.clone()).await.expect_status(201);
    net.advance_s(400);
    net.register(envelope.clone()).await.expect_status(200);
    // But not before the signature: the hash of what was signed says nothing about who sends it.
    let sig = envelope.rfind("\"sig\":\"").expect("a signature") + 7;
    let mut spoilt = envelope.into_bytes();
    spoilt[sig] = if spoilt[sig] == b'0' { b'1' } else { b'0' };
    net.register(spoilt).await.expect_problem(400, "bad_signature");
}
