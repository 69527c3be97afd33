//! Calls over NATS are the routes of HTTP, by who the subject names.

use kez_testkit::{NatsPeer, NatsVersion, Net, Said, Wire, nats_login};
use serde_json::{Value, json};

use super::device;

#[tokio::test]
async fn a_call_is_answered_as_over_http() {
    for version in [NatsVersion::Current, NatsVersion::Old] {
        let Some((net, nats)) = Net::with_nats(version, |_| {}).await else { return };
        let alice = device(&net, "alice", "phone").await;
        for wire in [Wire::Tcp, Wire::WebSocket] {
            let mut peer = NatsPeer::of(&nats, wire, &alice).await;
            let hello = peer.call(&alice, "hello", &json!({})).await;
            assert_eq!(hello["status"], 200, "{hello}");
            let inbox = hello["body"]["inbox"].as_str().expect("a subject");
            assert!(inbox.starts_with(&format!("kez.inbox.{}.", alice.owner().key().to_hex())), "{inbox}");
            let found = peer.call(&alice, "by_handle", &json!({"path": {"handle": "alice"}})).await;
            assert_eq!(found["body"], net.get("/v1/u/alice").await.json());
            let counted = peer.call(&alice, "key_packages_count", &json!({})).await;
            assert_eq!(counted["status"], 200, "{counted}");
            let inbox = peer.call(&alice, "inbox", &json!({"query": {"after": 0, "limit": 10}})).await;
            assert_eq!(inbox["body"]["events"][0]["type"], "device", "{inbox}");
            let acked = peer.call(&alice, "inbox_ack", &json!({"body": {"n": 1}})).await;
            assert_eq!(acked["status"], 200, "{acked}");
        }
    }
}

#[tokio::test]
async fn the_small_store_keeps_its_versions_over_nats() {
    let Some((net, nats)) = Net::with_nats(NatsVersion::Current, |_| {}).await else { return };
    let alice = device(&net, "alice", "phone").await;
    let mut peer = NatsPeer::of(&nats, Wire::Tcp, &alice).await;
    let write = |if_match: &str| json!({"path": {"name": "settings"}, "body": {"data": "AAAA"}, "if_match": if_match});
    let first = json!({"path": {"name": "settings"}, "body": {"data": "AAAA"}, "if_none_match": "*"});
    let written = peer.call(&alice, "store_write", &first).await;
    assert_eq!(written["status"], 200, "{written}");
    let etag = written["etag"].as_str().expect("a tag").to_owned();
    assert_eq!(peer.call(&alice, "store_write", &write(&etag)).await["status"], 200);
    assert_eq!(peer.call(&alice, "store_write", &write(&etag)).await["status"], 412);
}

#[tokio::test]
async fn what_a_call_says_of_its_caller_does_not_count() {
    let Some((net, nats)) = Net::with_nats(NatsVersion::Current, |_| {}).await else { return };
    let (alice, bob) = (device(&net, "alice", "phone").await, device(&net, "bob", "phone").await);
    let mut peer = NatsPeer::of(&nats, Wire::Tcp, &bob).await;
    let key = alice.owner().key().to_string();
    for call in [
        json!({"account": key}),
        json!({"primary": key}),
        json!({"headers": {"signature-input": "x"}}),
        json!({"path": {"account": key}}),
        json!([1]),
        Value::Null,
    ] {
        let answer = peer.call(&bob, "inbox", &call).await;
        assert_eq!(answer["body"]["code"], "malformed", "{call}: {answer}");
    }
    let unknown = peer.call(&bob, "no_such_op", &json!({})).await;
    assert_eq!(unknown["body"]["code"], "not_found", "{unknown}");
}

#[tokio::test]
async fn a_primary_key_looks_up_and_is_no_device() {
    let Some((net, nats)) = Net::with_nats(NatsVersion::Current, |_| {}).await else { return };
    let alice = device(&net, "alice", "phone").await;
    let mut peer = NatsPeer::open(&nats, Wire::Tcp).await;
    let login = nats_login(alice.owner().seed(), &peer.nonce());
    peer.log_in(&login).await.expect("a registered key");
    let account = alice.owner().key().to_hex();
    let reply = format!("_INBOX_{account}_primary.1");
    peer.subscribe(&reply, None).await;
    for (op, status) in [("hello", 200), ("server", 200), ("inbox", 403)] {
        peer.publish(&format!("kez.rpc.{account}.primary.{op}"), Some(&reply), "{}").await;
        let Said::Message { payload, .. } = peer.next().await else { panic!("an answer") };
        let answer: Value = serde_json::from_str(&payload).expect("JSON");
        assert_eq!(answer["status"], status, "{op}: {answer}");
        if op == "inbox" {
            assert_eq!(answer["body"]["code"], "device_required");
        }
    }
}

#[tokio::test]
async fn a_hint_comes_below_the_inbox_that_hello_names() {
    let Some((net, nats)) = Net::with_nats(NatsVersion::Current, |_| {}).await else { return };
    let alice = device(&net, "alice", "phone").await;
    let mut peer = NatsPeer::of(&nats, Wire::Tcp, &alice).await;
    let hello = peer.call(&alice, "hello", &json!({})).await;
    let inbox = hello["body"]["inbox"].as_str().expect("a subject").to_owned();
    peer.subscribe(&format!("{inbox}.>"), None).await;
    assert_eq!(peer.flush().await, []);
    net.actor("alice").device("laptop").enrol().await.expect_status(201); // puts an event
    let Said::Message { subject, payload, .. } = peer.next().await else { panic!("a hint") };
    let head = hello["body"]["head"].as_u64().expect("a number") + 1;
    assert_eq!((subject, payload), (format!("{inbox}.wake"), json!({"head": head}).to_string()));
}

#[tokio::test]
async fn a_call_without_reply_and_one_to_nobody() {
    let Some((net, nats)) = Net::with_nats(NatsVersion::Current, |_| {}).await else { return };
    let alice = device(&net, "alice", "phone").await;
    let mut peer = NatsPeer::of(&nats, Wire::Tcp, &alice).await;
    peer.publish(&alice.call_subject("hello"), None, "{}").await;
    assert_eq!(peer.flush().await, []);
    net.stop().await;
    let answer = peer.call(&alice, "hello", &json!({})).await;
    assert!(answer.as_str().is_some_and(|text| text.contains("503")), "no responders: {answer}");
}
