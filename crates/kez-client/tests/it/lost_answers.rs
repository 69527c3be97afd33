//! A call whose answer is lost is made again, and done once.

use kez_core::{ClaimId, ConversationKind, MessageId};

use crate::town::{CID, Town, bundle, random};

#[tokio::test]
async fn a_frame_is_not_doubled() {
    let (town, mut alice, mut bob) = Town::pair().await;
    bob.join().await;
    let frame = alice.frame("once");
    town.link.lose_answers(2);
    let sent = alice.client.send(CID, &frame).await.expect("an answer at last");
    assert_eq!(town.link.requests(&format!("POST /v1/conversations/{CID}/frames ")), 3);
    assert_eq!(alice.client.send(CID, &frame).await.expect("the same"), sent);
    assert_eq!(bob.read(1).await, ["once"]);
}

#[tokio::test]
async fn a_commit_is_not_lost_to_itself() {
    let (town, mut alice, mut bob) = Town::pair().await;
    bob.join().await;
    let made = bundle(alice.mls.add(CID, MessageId::from_bytes(random()), &[]));
    town.link.lose_answers(1);
    let first = alice.client.commit(CID, &made).await.expect("an answer at last");
    alice.mls.merge(CID);
    assert_eq!((first.epoch, first.seq, first.already), (2, 2, true));
    alice.say("further on").await;
    assert_eq!(alice.client.commit(CID, &made).await.expect("the first answer"), first);
    assert_eq!(bob.read(1).await, ["further on"]);
}

#[tokio::test]
async fn a_conversation_begins_once() {
    let town = Town::start().await;
    for name in ["alice", "bob"] {
        town.register(name).await;
    }
    let (mut alice, mut bob) = (town.phone("alice", "phone").await, town.phone("bob", "phone").await);
    let made = alice.begin(ConversationKind::Direct, &bob).await;
    town.link.lose_answers(1);
    let created = alice.client.create_conversation(CID, ConversationKind::Direct, &made).await;
    let created = created.expect("an answer at last");
    assert!(created.already, "the first answer was lost");
    assert_eq!((created.epoch, created.seq), (1, 1));
    bob.join().await;
    assert_eq!(bob.inbox(0).await.len(), 2, "its enrolment and one Welcome");
}

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
