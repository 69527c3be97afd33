//! Devices alone with each other.

use kez_core::mls_framing::{AppFrame, CheckedKeyPackage, CommitFrame};
use kez_core::{Enrolment, Envelope};
use kez_serve::clock::{Clock as _, SystemClock};

use super::*;
use crate::net::START;
use crate::seed;

const TOWN: ConversationId = ConversationId::from_bytes([7; 16]);

fn id(byte: u8) -> MessageId {
    MessageId::from_bytes([byte; 16])
}

fn device(owner: &str, name: &str) -> MlsDevice {
    MlsDevice::new(&seed(owner), name, now())
}

fn now() -> Timestamp {
    SystemClock::new().now()
}

/// Alice's device with a conversation, and Bob's which she added.
fn pair() -> (MlsDevice, MlsDevice, Bundle) {
    let (mut alice, mut bob) = (device("alice", "phone"), device("bob", "phone"));
    alice.create(TOWN, "group", now());
    let bundle = alice.add(TOWN, id(1), &bob.key_packages(1, now()));
    alice.merge(TOWN);
    assert_eq!(bob.join(bundle.welcome()), TOWN);
    (alice, bob, bundle)
}

fn expect_same_epoch(devices: &[&MlsDevice]) {
    let [first, others @ ..] = devices else { panic!("nobody") };
    for other in others {
        assert_eq!(other.epoch_authenticator(TOWN), first.epoch_authenticator(TOWN));
        assert_eq!(other.members(TOWN), first.members(TOWN));
    }
}

#[test]
fn a_device_is_one_that_a_server_enrols() {
    let now = now();
    let alice = MlsDevice::new(&seed("alice"), "phone", now);
    let envelope = Envelope::parse(alice.enrolment("kez.lat", now).as_bytes()).expect("an envelope");
    let enrolment = Enrolment::check(envelope.verify().expect("a good signature")).expect("agreement");
    assert_eq!(enrolment.device(), &alice.document("kez.lat"));
}

#[test]
fn key_packages_are_good_at_the_server_whatever_its_time() {
    let start: Timestamp = START.parse().expect("a time");
    for now in [start, now(), now().plus_seconds(40 * 24 * 60 * 60).expect("a time")] {
        let alice = MlsDevice::new(&seed("alice"), "phone", now);
        let check = |bytes: &[u8]| {
            CheckedKeyPackage::check(bytes, &alice.certificate(), &alice.mls_key(), now).expect("good")
        };
        assert!(!check(&alice.key_packages(1, now).concat()).is_last_resort());
        assert!(check(&alice.last_resort(now)).is_last_resort());
    }
}

#[test]
fn what_one_says_the_other_reads() {
    let (mut alice, mut bob, bundle) = pair();
    CommitFrame::check(&bundle.commit, TOWN, bundle.id, &bundle.members_after).expect("a good commit");
    let frame = alice.say(TOWN, id(2), b"hello");
    assert_eq!(AppFrame::check(&frame, TOWN, id(2)).map(|frame| frame.epoch()), Ok(1));
    assert_eq!(bob.receive(TOWN, &frame), Received::Said(b"hello".to_vec()));
    let frame = bob.say(TOWN, id(3), b"hello yourself");
    assert_eq!(alice.receive(TOWN, &frame), Received::Said(b"hello yourself".to_vec()));
    expect_same_epoch(&[&alice, &bob]);
}

#[test]
fn a_second_device_enters_by_itself() {
    let (mut alice, mut bob, bundle) = pair();
    let mut tablet = device("alice", "tablet");
    let entry = tablet.enter(TOWN, id(4), &bundle.group_info, &bundle.members_after);
    let frame = CommitFrame::check(&entry.commit, TOWN, entry.id, &entry.members_after).expect("good");
    assert!(frame.is_external());
    assert_eq!((frame.epoch(), entry.epoch), (1, 1));
    assert_eq!(alice.receive(TOWN, &entry.commit), Received::Commit);
    assert_eq!(bob.receive(TOWN, &entry.commit), Received::Commit);
    expect_same_epoch(&[&alice, &bob, &tablet]);
    assert_eq!(entry.members_after, alice.members(TOWN));
}

#[test]
fn who_is_removed_follows_no_further() {
    let (mut alice, mut bob, _) = pair();
    let mut carol = device("carol", "phone");
    let bundle = bob.add(TOWN, id(5), &[carol.last_resort(now())]);
    bob.merge(TOWN);
    assert_eq!(alice.receive(TOWN, &bundle.commit), Received::Commit);
    carol.join(bundle.welcome());
    expect_same_epoch(&[&alice, &bob, &carol]);
    let bundle = alice.remove(TOWN, id(6), bob.primary());
    alice.merge(TOWN);
    assert_eq!(carol.receive(TOWN, &bundle.commit), Received::Commit);
    assert_eq!(bob.receive(TOWN, &bundle.commit), Received::Commit);
    assert!(!bob.is_in(TOWN) && !bundle.members_after.contains(&bob.primary()));
    expect_same_epoch(&[&alice, &carol]);
    let frame = carol.say(TOWN, id(7), b"alone");
    assert!(bob.try_receive(TOWN, &frame).is_err());
}

#[test]
fn a_commit_that_lost_is_dropped() {
    let (mut alice, mut bob, _) = pair();
    let lost = alice.add(TOWN, id(8), &[]);
    let won = bob.add(TOWN, id(9), &[]);
    assert_eq!((lost.epoch, won.epoch), (1, 1));
    bob.merge(TOWN);
    alice.discard(TOWN);
    assert_eq!(alice.receive(TOWN, &won.commit), Received::Commit);
    expect_same_epoch(&[&alice, &bob]);
}
