//! `POST /v1/session`.

use kez_core::ExchangeKey;
use kez_core::http_signature::Signer;
use kez_testkit::{Answer, DeviceActor, Net};

async fn phone() -> (Net, DeviceActor) {
    let net = Net::start().await;
    let phone = net.actor("alice").device("phone");
    phone.set_up().await;
    (net, phone)
}

/// Makes a call that is refused for its body, and only once its signature was believed.
async fn try_call(net: &Net, signer: &Signer) -> Answer {
    net.post("/v1/session").json("{}").signed(signer, net.now()).send().await
}

#[tokio::test]
async fn a_session_lasts_an_hour_and_opens_no_other() {
    let (net, phone) = phone().await;
    let session = phone.open_session().await;
    let opened = phone.signed(phone.opening(ExchangeKey::from_bytes([9; 32]))).send().await;
    assert_eq!(opened.expect_status(200).json()["expires_at"], "2026-05-25T04:00:00Z");
    try_call(&net, &session).await.expect_problem(401, "signature_malformed");
    net.advance_s(3_599);
    try_call(&net, &session).await.expect_problem(401, "signature_malformed");
    net.advance_s(1);
    try_call(&net, &session).await.expect_problem(401, "session_ended");
}
