//! `POST /v1/sigchains/{system}/{id}`: what is taken.

use insta::assert_snapshot;
use kez_core::DeviceId;
use kez_core::json::Object;
use kez_core::sigchain::{Op, Sha256Hex};
use kez_testkit::SigNet;

use crate::subject;

#[tokio::test]
async fn an_event_is_taken_once_and_confirmed_again() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    let path = alice.path();
    let first = alice.add("github:alice");
    let taken = net.append(&path, first.clone()).await;
    assert_snapshot!(taken, @r#"
    201 application/json
    {
      "hash": "sha256:3d8825b28c72b0d775452a001ff786b7b5010bc382a4675dd58161754baccd41",
      "seq": 0
    }
    "#);
    assert_eq!(taken.json()["hash"], alice.hash());
    let second = alice.revoke("github:alice");
    net.append(&path, second.clone()).await.expect_status(201);
    net.check_chains().await;

    // Again, also after others, in another spelling, and after a restart.
    for round in 0..2 {
        for (seq, event) in [(0, &first), (1, &second)] {
            let again = net.append(&path, event.clone()).await.expect_status(200);
            assert_eq!(again.json()["seq"], seq, "{round}");
        }
        let spelled = first.replace("{\"created_at\"", "{ \"created_\\u0061t\"").replace(":0,", ": 0 ,");
        assert_ne!(spelled, first);
        let again = net.append(&path, spelled).await.expect_status(200);
        assert_eq!(again.body(), taken.body());
        net.restart().await;
    }
    assert_eq!(net.check_chains().await.into_values().collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn both_names_of_the_path_take_events() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    let alias = format!("{}/events", alice.path());
    net.append(&alias, alice.add("github:alice")).await.expect_status(201);
    net.append(&alice.path(), alice.add("dns:alice.example")).await.expect_status(201);
    net.call("GET", &alias).send().await.expect_problem(405, "method_not_allowed");
    net.check_chains().await;
}

#[tokio::test]
async fn every_operation_is_taken_and_an_unknown_one_kept() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    let path = alice.path();
    let (device_id, certificate_sha256) = (DeviceId::from_bytes([7; 16]), Sha256Hex::of(b"certificate"));
    net.append(&path, alice.add("github:alice")).await.expect_status(201);
    net.append(&path, alice.next(Op::AddDevice { device_id, certificate_sha256 })).await.expect_status(201);
    net.append(&path, alice.next(Op::RevokeDevice { device_id, certificate_sha256 }))
        .await
        .expect_status(201);
    let unknown = Op::Unknown { op: "sing".into(), payload: Object::from([("song".into(), "la".into())]) };
    net.append(&path, alice.next(unknown)).await.expect_status(201);
    net.append(&path, alice.rotate("alice's new key", false)).await.expect_status(201);
    net.append(&path, alice.rotate("alice's nostr key", true)).await.expect_status(201);
    net.append(&path, alice.add("dns:alice.example")).await.expect_status(201);
    assert_eq!(net.check_chains().await.into_values().collect::<Vec<_>>(), [7]);
}

#[tokio::test]
async fn a_nostr_key_has_a_chain_as_well() {
    let net = SigNet::start().await;
    let mut alice = kez_testkit::ChainWriter::nostr("alice");
    assert!(alice.path().starts_with("/v1/sigchains/nostr/npub1"), "{}", alice.path());
    for n in 0..3 {
        net.append(&alice.path(), alice.add(&subject(n))).await.expect_status(201);
    }
    assert_eq!(net.check_chains().await.get(&alice.chain().to_string()), Some(&3));
}

#[tokio::test]
async fn what_was_confirmed_is_there_after_a_restart() {
    let net = SigNet::start().await;
    let mut writers: Vec<_> = (0..20).map(|n| net.writer(&format!("writer-{n}"))).collect();
    for round in 0..5 {
        for writer in &mut writers {
            net.append(&writer.path(), writer.add(&subject(round))).await.expect_status(201);
        }
        net.restart().await;
        let counts = net.check_chains().await;
        assert!(counts.len() == 20 && counts.values().all(|count| *count == round as u64 + 1), "{counts:?}");
    }
}
