//! Calls of sessions.

use data_encoding::BASE64URL_NOPAD;
use kez_core::http_signature::Signer;
use kez_core::{SessionKey, SessionToken};
use kez_testkit::{Answer, Net};

use super::letter::{TARGET, fill_inboxes, next};
use super::town;

/// A call that writes something if it is believed, and nothing if not.
async fn try_call(net: &Net, signer: &Signer) -> Answer {
    fill_inboxes(net);
    net.sweep_events().await; // what has become old meanwhile goes now, not beside the call
    let before = net.contents();
    let answer = net.post(TARGET).json(next()).signed(signer, net.now()).send().await;
    assert_eq!(net.contents() != before, answer.status() == 200, "{answer}");
    answer
}

#[track_caller]
fn believed(answer: Answer) {
    answer.expect_status(200);
}

fn parts(session: Signer) -> (SessionToken, SessionKey) {
    let Signer::Session { token, key } = session else { panic!("no session") };
    (token, key)
}

#[tokio::test]
async fn no_bit_of_a_token_can_be_changed() {
    let (net, phone, _) = town().await;
    let session = phone.open_session().await;
    believed(try_call(&net, &session).await);
    let (token, key) = parts(session.clone());
    let bytes = BASE64URL_NOPAD.decode(token.as_str().as_bytes()).unwrap();
    let before = net.contents();
    let spoilt = (0..bytes.len() * 8).map(|bit| {
        let mut spoilt = bytes.clone();
        spoilt[bit / 8] ^= 1 << (bit % 8);
        BASE64URL_NOPAD.encode(&spoilt)
    });
    let lengths = [&bytes[..bytes.len() - 1], &[bytes.as_slice(), &[0]].concat(), b"x"]
        .map(|bytes| BASE64URL_NOPAD.encode(bytes));
    for token in spoilt.chain(lengths) {
        let forged = Signer::Session { token: token.parse().unwrap(), key: key.clone() };
        try_call(&net, &forged).await.expect_problem(401, "session_ended");
    }
    assert_eq!(net.contents(), before);
    believed(try_call(&net, &session).await);
}

#[tokio::test]
async fn a_session_is_of_use_with_its_own_key_only() {
    let (net, phone, other) = town().await;
    let (token, key) = parts(phone.open_session().await);
    let (others_token, others_key) = parts(other.open_session().await);
    for (token, key) in
        [(token.clone(), others_key.clone()), (others_token, key), (token, SessionKey::from_bytes([0; 32]))]
    {
        let forged = Signer::Session { token, key };
        try_call(&net, &forged).await.expect_problem(401, "bad_signature");
    }
}

#[tokio::test]
async fn a_session_ends_with_any_revocation_in_its_account() {
    let (net, phone, other) = town().await;
    let tablet = net.actor("alice").device("tablet");
    tablet.enrol().await.expect_status(201);
    let (session, lost) = (phone.open_session().await, tablet.open_session().await);
    let others = other.open_session().await;
    for signer in [&session, &lost, &others] {
        believed(try_call(&net, signer).await);
    }
    tablet.revoke().await.expect_status(200);
    for signer in [&session, &lost] {
        try_call(&net, signer).await.expect_problem(401, "session_ended");
    }
    believed(try_call(&net, &others).await);
    net.restart().await; // nothing was stored of them, and nothing kept
    for signer in [&session, &lost] {
        try_call(&net, signer).await.expect_problem(401, "session_ended");
    }
    believed(try_call(&net, &others).await);
    believed(try_call(&net, &phone.open_session().await).await);
}

#[tokio::test]
async fn a_session_ends_no_later_than_its_device() {
    let (net, phone, _) = town().await;
    let short = net.actor("alice").device("short");
    net.post("/v1/devices").json(short.enrolment_for(600)).send().await.expect_status(201);
    let session = short.open_session().await;
    net.advance_s(599);
    believed(try_call(&net, &session).await);
    net.advance_s(1);
    try_call(&net, &session).await.expect_problem(401, "session_ended");
    // Renewed, the device comes back; what was over stays so.
    net.post("/v1/devices").json(short.enrolment_for(600)).send().await.expect_status(200);
    try_call(&net, &session).await.expect_problem(401, "session_ended");
    believed(try_call(&net, &phone.open_session().await).await);
}

#[tokio::test]
async fn a_session_is_known_by_the_secret_that_it_was_opened_under() {
    let (net, phone, _) = town().await;
    let session = phone.open_session().await;
    let path = net.args().secret_file();
    let old = std::fs::read_to_string(&path).unwrap();
    let new = format!("0badf00d {}\n", "17".repeat(32));
    // Rotated: the older line goes on to be accepted.
    net.stop().await;
    std::fs::write(&path, format!("{new}{old}")).unwrap();
    net.start_again().await;
    believed(try_call(&net, &session).await);
    let later = phone.open_session().await;
    believed(try_call(&net, &later).await);
    // The old secret is gone.
    net.stop().await;
    std::fs::write(&path, &new).unwrap();
    net.start_again().await;
    try_call(&net, &session).await.expect_problem(401, "session_ended");
    believed(try_call(&net, &later).await);
    // Another server's secret under the same id.
    net.stop().await;
    std::fs::write(&path, new.replace("17", "71")).unwrap();
    net.start_again().await;
    try_call(&net, &later).await.expect_problem(401, "session_ended");
}
