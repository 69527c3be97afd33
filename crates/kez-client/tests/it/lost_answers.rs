//! A call whose answer is lost is made again, and done once.

use kez_core::ClaimId;

use crate::town::{Town, random};

#[tokio::test]
async fn key_packages_are_neither_doubled_nor_wasted() {
    let town = Town::start().await;
    for name in ["alice", "bob"] {
        town.register(name).await;
    }
    let (alice, bob) = (town.phone("alice", "phone").await, town.phone("bob", "phone").await);
    town.link.lose_answers(1);
    let more = bob.mls.key_packages(2, town.net.now());
    assert_eq!(bob.client.add_key_packages(&more, None).await.expect("an answer at last").one_time, 5);
    town.link.lose_answers(1);
    let id = ClaimId::from_bytes(random());
    let claimed = alice.client.claim_key_packages(bob.key(), id).await.expect("an answer at last");
    assert_eq!(claimed.key_packages.len(), 1);
    assert_eq!(bob.client.key_package_counts().await.expect("counts").one_time, 4);
}

#[tokio::test]
async fn a_device_is_taken_in_once() {
    let town = Town::start().await;
    town.register("alice").await;
    let phone = town.box_phone("alice", "phone", 0);
    let document = town.document(&phone);
    town.link.lose_answers(2);
    let enrolled = phone.client.enrol(&document).await.expect("an answer at last");
    assert_eq!(enrolled.inbox_head, 0);
    assert_eq!(phone.client.enrol(&document).await.expect("the same"), enrolled);
}
