//! Conversations between devices that encrypt.

use kez_client::{CallError, Happening};
use kez_core::{ConversationId, ConversationKind, MessageId};

use crate::town::{CID, Phone, Town, bundle, random};

fn expect_same_epoch(phones: &[&Phone]) {
    let first = phones.first().expect("somebody").mls.epoch_authenticator(CID);
    assert!(phones.iter().all(|phone| phone.mls.epoch_authenticator(CID) == first));
}

#[tokio::test]
async fn two_people_talk() {
    let (_town, mut alice, mut bob) = Town::pair().await;
    bob.join().await;
    alice.say("hello").await;
    let sent = alice.say("are you there?").await;
    assert_eq!(bob.read(1).await, ["hello", "are you there?"]);
    bob.say("yes").await;
    assert_eq!(alice.read(sent.seq).await, ["yes"]);
    expect_same_epoch(&[&alice, &bob]);

    let state = bob.client.conversation(CID).await.expect("a conversation");
    // Who came by the first commit reads what follows it.
    assert_eq!((state.kind, state.epoch, state.seq, state.oldest), (ConversationKind::Direct, 1, 4, 2));
    assert_eq!(state.members, bob.mls.members(CID));
    let listed = alice.client.conversations().next().await.expect("a page").expect("a list");
    assert_eq!(listed.iter().map(|one| one.cid).collect::<Vec<_>>(), [CID]);
}

#[tokio::test]
async fn several_frames_go_in_one_call_and_each_has_its_verdict() {
    let (_town, mut alice, mut bob) = Town::pair().await;
    bob.join().await;
    let mut frames = ["one", "two", "three"].map(|text| alice.frame(text));
    frames[1].frame = b"no MLS message".to_vec();
    let kez_client::SentFrames { verdicts, .. } = alice.client.send_all(CID, &frames).await;
    assert_eq!(verdicts.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(verdicts[1].as_ref().err().and_then(CallError::code), Some("bad_frame"));
    assert_eq!(bob.read(1).await, ["one", "three"]);
}

#[tokio::test]
async fn many_large_frames_go_in_several_calls() {
    let (town, mut alice, mut bob) = Town::pair().await;
    bob.join().await;
    let text = |number: usize| format!("{number:02} {}", "x".repeat(60_000));
    let frames: Vec<_> = (0..18).map(|number| alice.frame(&text(number))).collect();
    let sent = alice.client.send_all(CID, &frames).await;
    assert!(sent.stopped.is_none(), "{:?}", sent.stopped);
    let numbers: Vec<_> = sent.verdicts.iter().map(|verdict| verdict.as_ref().expect("taken").seq).collect();
    assert_eq!(numbers, (2..20).collect::<Vec<_>>());
    assert_eq!(town.link.requests(&format!("POST /v1/conversations/{CID}/frames ")), 3);
    assert_eq!(bob.read(1).await, (0..18).map(text).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_pair_has_one_conversation() {
    let (_town, alice, mut bob) = Town::pair().await;
    let other = ConversationId::from_bytes([8; 16]);
    let packages = bob.claim(alice.key()).await;
    bob.mls.create(other, "direct", bob.client.server_time());
    let made = bundle(bob.mls.add(other, MessageId::from_bytes(random()), &packages));
    let fault = bob.client.create_conversation(other, ConversationKind::Direct, &made).await;
    assert!(matches!(fault, Err(CallError::ConversationExists { cid: CID })), "{fault:?}");
    bob.mls.forget(other);
    bob.join().await;
    expect_same_epoch(&[&alice, &bob]);
}

#[tokio::test]
async fn a_second_device_enters_by_itself() {
    let (town, mut alice, mut bob) = Town::pair().await;
    bob.join().await;
    let mut tablet = town.phone("alice", "tablet").await;
    tablet.enter().await;
    assert!(alice.read(1).await.is_empty() && bob.read(1).await.is_empty());
    expect_same_epoch(&[&alice, &bob, &tablet]);
    bob.say("to both of you").await;
    assert_eq!(alice.read(2).await, ["to both of you"]);
    assert_eq!(tablet.read(2).await, ["to both of you"]);
}

#[tokio::test]
async fn people_come_to_a_group_and_go() {
    let town = Town::start().await;
    for name in ["alice", "bob", "carol"] {
        town.register(name).await;
    }
    let mut alice = town.phone("alice", "phone").await;
    let (mut bob, mut carol) = (town.phone("bob", "phone").await, town.phone("carol", "phone").await);
    let made = alice.begin(ConversationKind::Group, &bob).await;
    alice.client.create_conversation(CID, ConversationKind::Group, &made).await.expect("a group");
    alice.mls.merge(CID);
    bob.join().await;
    let fault = carol.client.conversation(CID).await.expect_err("not hers");
    assert!(matches!(fault, CallError::NotAMember), "{fault:?}");

    let packages = alice.claim(carol.key()).await;
    alice.add(&packages).await;
    bob.read(1).await;
    carol.join().await;
    expect_same_epoch(&[&alice, &bob, &carol]);
    carol.say("thank you").await;
    assert_eq!(bob.read(2).await, ["thank you"]);
    assert_eq!(alice.read(2).await, ["thank you"]);

    let made = bundle(alice.mls.remove(CID, MessageId::from_bytes(random()), bob.key()));
    alice.client.commit(CID, &made).await.expect("a commit of this epoch");
    alice.mls.merge(CID);
    carol.read(3).await;
    alice.say("just us").await;
    assert_eq!(carol.read(4).await, ["just us"]);
    let last = bob.inbox(0).await.pop().expect("events");
    let Happening::Frame { mid, frame, .. } = last.what else { panic!("{last:?}") };
    assert_eq!(mid, made.id, "the commit that removes him is the last he gets");
    bob.mls.receive(CID, &frame);
    assert!(!bob.mls.is_in(CID));
}

#[tokio::test]
async fn of_two_commits_one_wins_and_the_other_goes_on_behind_it() {
    let (_town, mut alice, mut bob) = Town::pair().await;
    bob.join().await;
    let lost = bundle(bob.mls.add(CID, MessageId::from_bytes(random()), &[]));
    let late = bob.frame("too late");
    alice.add(&[]).await;
    let fault = bob.client.commit(CID, &lost).await.expect_err("another won");
    assert!(matches!(fault, CallError::StaleEpoch { epoch: 2, seq: 2 }), "{fault:?}");
    bob.mls.discard(CID);
    let fault = bob.client.send(CID, &late).await.expect_err("an old epoch");
    assert!(matches!(fault, CallError::StaleEpoch { epoch: 2, seq: 2 }), "{fault:?}");
    bob.read(1).await;
    bob.add(&[]).await;
    alice.read(2).await;
    expect_same_epoch(&[&alice, &bob]);
}

#[tokio::test]
async fn who_has_sent_enough_is_told_for_how_long() {
    let (town, mut alice, _bob) = Town::pair().await;
    town.net.bound_messages("alice", 16 * 1024).await;
    let frames: Vec<_> = (0..40).map(|n| alice.frame(&n.to_string())).collect();
    let sent = alice.client.send_all(CID, &frames).await;
    let taken = sent.verdicts.iter().filter(|verdict| verdict.is_ok()).count();
    assert!((1..8).contains(&taken) && sent.verdicts.len() == 16, "{taken} of {}", sent.verdicts.len());
    let is_quota = |fault: &CallError| matches!(fault, CallError::QuotaExceeded { retry_after_s: Some(wait) } if *wait > 1000);
    assert!(sent.verdicts.iter().skip(taken).all(|verdict| verdict.as_ref().is_err_and(is_quota)));
    assert!(sent.stopped.as_ref().is_some_and(is_quota));
    let alone = alice.client.send(CID, &frames[39]).await.expect_err("no room");
    assert!(is_quota(&alone), "{alone:?}");
}
