//! How often a network may call.

use kez_chat_server::config::Switch;
use kez_testkit::Net;

use super::letter::Letter;

#[tokio::test]
async fn a_network_is_counted_before_its_signatures_are() {
    let net = Net::with(|setup| setup.args.rate_limit = Switch::On).await;
    let phone = net.actor("alice").device("phone");
    phone.set_up().await;
    let mut unsigned = Letter::new(&phone);
    unsigned.is_signed = false;
    let calls = (0..6_000).map(|_| unsigned.call(&net)).collect();
    for answer in net.storm(calls, 16).await {
        answer.expect_problem(401, "signature_missing");
    }
    let answer = Letter::new(&phone).send(&net).await.expect_problem(429, "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("1"));
    net.advance_s(1);
    Letter::new(&phone).send(&net).await.expect_status(200);
}

#[tokio::test]
async fn documents_about_devices_are_counted_whoever_sends_them() {
    let net = Net::with(|setup| setup.args.rate_limit = Switch::On).await;
    let phone = net.actor("alice").device("phone");
    for _ in 0..30 {
        net.post("/v1/devices").json("{}").send().await.expect_problem(400, "malformed");
        net.post("/v1/devices/revoke").json("{}").send().await.expect_problem(400, "malformed");
    }
    phone.enrol().await.expect_problem(429, "rate_limited");
    phone.revoke().await.expect_problem(429, "rate_limited");
    assert!(net.store().devices(&phone.owner().key()).await.unwrap().is_empty());
}
