//! The published cases that JSON readers disagree about, as bodies: none is an envelope.

use kez_testkit::Net;
use serde_json::Value;

use crate::support::base64;

#[tokio::test]
async fn every_case_is_malformed() {
    let net = Net::start().await;
    let set: Value =
        serde_json::from_str(include_str!("../../../../vectors/json/json-test-suite.json")).expect("JSON");
    let cases = set["cases"].as_array().expect("a list");
    assert!(cases.len() > 300, "{}", cases.len());
    for case in cases {
        let answer = net.register(base64(&case["input_base64"])).await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, "malformed"), "{}", case["name"]);
    }
    assert!(net.check_registry().await.accounts.is_empty());
}
