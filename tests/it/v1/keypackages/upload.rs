//! What a device leaves.

use kez_testkit::Net;
use serde_json::json;

use super::{claim, counts, packages, put, refused, settle};

#[tokio::test]
async fn packages_are_added_and_counted() {
    let net = Net::start().await;
    let [phone, laptop] = settle(&net, "alice", ["phone", "laptop"]).await;
    assert_eq!(counts(&net, &phone).await, json!({"one_time": 0, "last_resort": false}));
    let first = packages(&phone.key_packages(3, net.now()), Some(&phone.last_resort(net.now())));
    let answer = put(&net, &phone, &first).await.expect_status(200);
    assert_eq!(answer.text(), r#"{"one_time":3,"last_resort":true}"#);
    let second = packages(&phone.key_packages(2, net.now()), None);
    assert_eq!(put(&net, &phone, &second).await.json(), json!({"one_time": 5, "last_resort": true}));
    assert_eq!(put(&net, &phone, &json!({})).await.json(), json!({"one_time": 5, "last_resort": true}));
    assert_eq!(counts(&net, &phone).await, json!({"one_time": 5, "last_resort": true}));
    assert_eq!(counts(&net, &laptop).await, json!({"one_time": 0, "last_resort": false}));
    net.restart().await;
    assert_eq!(counts(&net, &phone).await, json!({"one_time": 5, "last_resort": true}));
    net.check_key_packages();
}

#[tokio::test]
async fn an_upload_sent_again_brings_nothing_back() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let [bob] = settle(&net, "bob", ["phone"]).await;
    let body = packages(&alice.key_packages(2, net.now()), Some(&alice.last_resort(net.now())));
    for _ in 0..2 {
        assert_eq!(put(&net, &alice, &body).await.json(), json!({"one_time": 2, "last_resort": true}));
    }
    claim(&net, &bob, alice.primary(), 1).await.expect_status(200);
    assert_eq!(put(&net, &alice, &body).await.json(), json!({"one_time": 1, "last_resort": true}));
    let newer = packages(&[], Some(&alice.last_resort(net.now())));
    put(&net, &alice, &newer).await.expect_status(200);
    assert_eq!(put(&net, &alice, &body).await.json(), json!({"one_time": 1, "last_resort": true}));
    claim(&net, &bob, alice.primary(), 2).await.expect_status(200);
    let last = claim(&net, &bob, alice.primary(), 3).await.json();
    assert_eq!(last["key_packages"][0]["key_package"], newer["last_resort"], "the newer one stays");
    net.check_key_packages();
}

#[tokio::test]
async fn a_hundred_one_time_packages_are_kept_and_no_more() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let too_many = packages(&alice.key_packages(101, net.now()), None);
    let put_call = |body| net.signed(&alice, "PUT", "/v1/keypackages", body);
    refused(&net, put_call(&too_many), 403, "too_many_key_packages").await;
    let full = packages(&alice.key_packages(100, net.now()), Some(&alice.last_resort(net.now())));
    assert_eq!(put(&net, &alice, &full).await.json(), json!({"one_time": 100, "last_resort": true}));
    let one_more = packages(&alice.key_packages(1, net.now()), None);
    refused(&net, put_call(&one_more), 403, "too_many_key_packages").await;
    assert_eq!(put(&net, &alice, &full).await.json(), json!({"one_time": 100, "last_resort": true}));
    let last_resort = packages(&[], Some(&alice.last_resort(net.now())));
    put(&net, &alice, &last_resort).await.expect_status(200);
}

/// One that would never be handed out takes no place and is not taken.
#[tokio::test]
async fn packages_that_end_too_soon_are_refused_and_dropped() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let [bob] = settle(&net, "bob", ["phone"]).await;
    let old = alice.key_packages(2, net.now());
    put(&net, &alice, &packages(&old[..1], None)).await.expect_status(200);
    net.advance_s(52 * 86_400);
    assert_eq!(counts(&net, &alice).await, json!({"one_time": 1, "last_resort": false}));
    assert_eq!(put(&net, &alice, &packages(&old[1..], None)).await.json()["one_time"], 2);
    net.advance_s(1);
    assert_eq!(counts(&net, &alice).await, json!({"one_time": 0, "last_resort": false}));
    let claimed = claim(&net, &bob, alice.primary(), 1).await.expect_status(200).json();
    assert_eq!(claimed, json!({"key_packages": [], "missing": [alice.id()]}));
    let call = net.signed(&alice, "PUT", "/v1/keypackages", &packages(&old, None));
    let answer = refused(&net, call, 400, "bad_key_package").await;
    assert_eq!(answer.json()["detail"], "one_time[0]: less than 31 days are left of its lifetime");
    let new = packages(&alice.key_packages(100, net.now()), None);
    assert_eq!(put(&net, &alice, &new).await.json()["one_time"], 100, "those of before take no place");
}

#[tokio::test]
async fn a_network_uploads_thirty_times_a_minute() {
    let net = Net::with(|setup| setup.args.rate_limit = kez_chat_server::config::Switch::On).await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    for _ in 0..30 {
        put(&net, &alice, &json!({})).await.expect_status(200);
    }
    let answer = put(&net, &alice, &json!({})).await.expect_problem(429, "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("2"));
    net.advance_s(2);
    put(&net, &alice, &json!({})).await.expect_status(200);
}
