//! What others are given.

use insta::assert_snapshot;
use kez_testkit::Net;
use serde_json::json;

use super::{claim, claiming, counts, fill, packages, put, refused, settle};

#[tokio::test]
async fn a_claim_is_given_the_oldest_package_of_each_device() {
    let net = Net::start().await;
    let [phone, laptop, tablet] = settle(&net, "alice", ["phone", "laptop", "tablet"]).await;
    let [bob] = settle(&net, "bob", ["phone"]).await;
    let uploads = [&phone, &laptop].map(|device| packages(&device.key_packages(2, net.now()), None));
    for (device, body) in [&phone, &laptop].into_iter().zip(&uploads) {
        put(&net, device, body).await.expect_status(200);
    }
    for n in 0..2 {
        let given = claim(&net, &bob, phone.primary(), n).await.expect_status(200).json();
        let package = |device: &kez_testkit::MlsDevice, upload: usize| {
            let index = usize::try_from(n).expect("small");
            json!({"device_id": device.id(), "key_package": uploads[upload]["one_time"][index], "last_resort": false})
        };
        let expected =
            json!({"key_packages": [package(&phone, 0), package(&laptop, 1)], "missing": [tablet.id()]});
        assert_eq!(given, expected);
    }
    assert_snapshot!(claim(&net, &bob, phone.primary(), 2).await, @r#"
    200 application/json
    {
      "key_packages": [],
      "missing": [
        "36319cc1925c1347afae1c464f8ba705",
        "465f2fb4d64d5a60d3dad233e34c0f40",
        "cdeaefacc23a83cb9de5abe14e86df92"
      ]
    }
    "#);
    net.check_key_packages();
}

#[tokio::test]
async fn the_last_resort_is_given_when_nothing_else_is_left_and_stays() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let [bob] = settle(&net, "bob", ["phone"]).await;
    fill(&net, &alice, 1).await;
    for (n, is_last_resort) in [(1, false), (2, true), (3, true)] {
        let given = claim(&net, &bob, alice.primary(), n).await.expect_status(200).json();
        assert_eq!(given["key_packages"][0]["last_resort"], is_last_resort);
    }
    assert_eq!(counts(&net, &alice).await, json!({"one_time": 0, "last_resort": true}));
}

#[tokio::test]
async fn the_same_claim_is_answered_byte_for_byte_for_ten_minutes() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let [bob, other_of_bob] = settle(&net, "bob", ["phone", "laptop"]).await;
    let [carol] = settle(&net, "carol", ["phone"]).await;
    fill(&net, &alice, 5).await;
    fill(&net, &carol, 5).await;
    let first = claim(&net, &bob, alice.primary(), 7).await.expect_status(200);
    net.restart().await;
    for device in [&bob, &other_of_bob] {
        let again = claim(&net, device, alice.primary(), 7).await.expect_status(200);
        assert_eq!(first.body(), again.body());
    }
    refused(&net, claiming(&net, &bob, carol.primary(), 7), 409, "id_reused").await;
    let of_carol = claim(&net, &carol, alice.primary(), 7).await.expect_status(200);
    assert_ne!(first.body(), of_carol.body(), "another account's id is another claim");
    net.advance_s(599);
    assert_eq!(first.body(), claim(&net, &bob, alice.primary(), 7).await.expect_status(200).body());
    net.advance_s(1);
    refused(&net, claiming(&net, &bob, alice.primary(), 7), 409, "id_reused").await;
    assert_eq!(counts(&net, &alice).await["one_time"], 3);
    net.check_key_packages();
}

#[tokio::test]
async fn of_ones_own_devices_the_calling_one_is_left_out() {
    let net = Net::start().await;
    let [phone, laptop] = settle(&net, "alice", ["phone", "laptop"]).await;
    fill(&net, &phone, 1).await;
    fill(&net, &laptop, 1).await;
    let given = claim(&net, &phone, phone.primary(), 1).await.expect_status(200).json();
    assert_eq!(given["key_packages"].as_array().map(Vec::len), Some(1));
    assert_eq!(given["key_packages"][0]["device_id"], laptop.id().to_string());
    assert_eq!(counts(&net, &phone).await["one_time"], 1);
    let [alone] = settle(&net, "bob", ["phone"]).await;
    let nothing = claim(&net, &alone, alone.primary(), 1).await.expect_status(200).json();
    assert_eq!(nothing, json!({"key_packages": [], "missing": []}));
}

#[tokio::test]
async fn strangers_and_people_without_devices_look_alike() {
    let net = Net::start().await;
    let [bob] = settle(&net, "bob", ["phone"]).await;
    let [gone] = settle(&net, "gone", ["phone"]).await;
    fill(&net, &gone, 1).await;
    net.give_up("gone").await;
    net.actor("quiet").register("quiet").await.expect_status(201);
    let mut answers = Vec::new();
    for name in ["nobody", "quiet", "gone"] {
        let call = claiming(&net, &bob, net.actor(name).key(), 1);
        answers.push(refused(&net, call, 404, "not_found").await.text().to_owned());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn a_claimer_drains_nobody() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let [bob, other_of_bob] = settle(&net, "bob", ["phone", "laptop"]).await;
    let [carol] = settle(&net, "carol", ["phone"]).await;
    fill(&net, &alice, 50).await;
    for n in 0..20 {
        let device = if n % 2 == 0 { &bob } else { &other_of_bob };
        claim(&net, device, alice.primary(), n).await.expect_status(200);
    }
    net.advance_s(60);
    net.restart().await;
    for device in [&bob, &other_of_bob] {
        let answer = refused(&net, claiming(&net, device, alice.primary(), 20), 429, "claims_limited").await;
        assert_eq!(answer.header("retry-after"), Some("3540"));
    }
    assert_eq!(counts(&net, &alice).await["one_time"], 30);
    claim(&net, &bob, alice.primary(), 19).await.expect_status(200);
    claim(&net, &carol, alice.primary(), 0).await.expect_status(200);
    net.advance_s(3_540);
    claim(&net, &bob, alice.primary(), 20).await.expect_status(200);
    net.check_key_packages();
}
