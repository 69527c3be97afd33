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

#[tokio::test]
async fn a_key_that_everybody_could_derive_from_opens_nothing() {
    let (net, phone) = phone().await;
    // The points of small order (RFC 7748 section 6.1) and their other encodings: zero, one, the two of order 8, p - 1,
    // p, p + 1.
    let p = |low: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, 0x7f);
        bytes
    };
    let order_8 = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ];
    let order_8 =
        order_8.map(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap());
    let mut one = [0; 32];
    one[0] = 1;
    let before = net.contents();
    for bytes in [[0; 32], one, p(0xec), p(0xed), p(0xee)].into_iter().chain(order_8) {
        let opening = phone.opening(ExchangeKey::from_bytes(bytes));
        phone.signed(opening).send().await.expect_problem(400, "bad_key");
    }
    assert_eq!(net.contents(), before);
}

#[tokio::test]
async fn an_opening_that_is_replayed_gains_nothing() {
    let (net, phone) = phone().await;
    let before = net.contents();
    let opening = || phone.opening(ExchangeKey::from_bytes([9; 32])).signed(&phone.signer(), net.now());
    for _ in 0..3 {
        opening().send().await.expect_status(200);
    }
    assert_eq!(net.contents(), before, "something is stored of a session");
}
