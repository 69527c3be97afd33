//! Requests, contacts and what they allow.

use kez_client::{CallError, Contact, Happening};
use kez_core::{ContactChange, ContactState, ConversationId, ConversationKind, ConversationState};

use crate::town::{CID, Phone, Town};

/// Two strangers, the first of whom has asked the second.
async fn asked() -> (Town, Phone, Phone) {
    let town = Town::start().await;
    for name in ["alice", "bob"] {
        town.register(name).await;
    }
    let mut alice = town.strange_phone("alice", "phone").await;
    let bob = town.strange_phone("bob", "phone").await;
    let made = alice.begin(ConversationKind::Direct, &bob).await;
    let created =
        alice.client.create_conversation(CID, ConversationKind::Direct, &made).await.expect("a request");
    assert_eq!(created.state, ConversationState::Pending);
    alice.mls.merge(CID);
    (town, alice, bob)
}

async fn contacts(phone: &Phone) -> Vec<Contact> {
    phone.client.contacts().next().await.expect("a page").expect("a first page")
}

/// What happened between the account and others, by its inbox.
async fn changes(phone: &Phone) -> Vec<ContactChange> {
    let events = phone.inbox(0).await;
    let change = |event: kez_client::InboxEvent| match event.what {
        Happening::Contact { cid, change, peer, .. } => {
            assert!(cid == CID && peer.is_some());
            Some(change)
        }
        _ => None,
    };
    events.into_iter().filter_map(change).collect()
}

#[tokio::test]
async fn a_request_is_seen_and_accepted() {
    let (_town, mut alice, mut bob) = asked().await;
    alice.say("it is me, from the choir").await;
    let more = alice.frame("are you there?");
    let fault = alice.client.send(CID, &more).await.expect_err("one frame only");
    assert!(matches!(fault, CallError::RequestPending), "{fault:?}");
    let fault = alice.client.accept(CID).await.expect_err("her own request");
    assert!(matches!(fault, CallError::RequestPending), "{fault:?}");

    let [asking] = &contacts(&bob).await[..] else { panic!("one request") };
    assert_eq!(
        (asking.state, asking.peer.primary, asking.cid),
        (ContactState::Incoming, alice.key(), Some(CID))
    );
    assert_eq!(asking.peer.handle.as_ref().map(ToString::to_string).as_deref(), Some("alice"));
    assert!(asking.peer.registered_at.is_some() && asking.expires_at.is_some());
    for _ in 0..2 {
        bob.client.accept(CID).await.expect("accepted");
    }
    bob.join().await;
    assert_eq!(bob.read(1).await, ["it is me, from the choir"]);
    bob.say("welcome").await;
    assert_eq!(changes(&alice).await, [ContactChange::Outgoing, ContactChange::Accepted]);
    assert_eq!(changes(&bob).await, [ContactChange::Incoming, ContactChange::Accepted]);
    assert_eq!(contacts(&alice).await[0].state, ContactState::Accepted);
    assert_eq!(bob.client.conversation(CID).await.expect("his").state, ConversationState::Open);
}

#[tokio::test]
async fn a_request_is_declined_and_a_contact_removed() {
    let (_town, mut alice, bob) = asked().await;
    let declined = bob.client.remove_contact(alice.key()).await.expect("declined");
    assert_eq!(declined, Some(ContactState::Declined));
    assert_eq!(contacts(&alice).await[0].state, ContactState::Outgoing);
    bob.client.accept(CID).await.expect("he thinks better of it");
    assert_eq!(alice.client.remove_contact(bob.key()).await.expect("removed"), None);
    let late = alice.frame("one more thing");
    let fault = alice.client.send(CID, &late).await.expect_err("over");
    assert!(matches!(fault, CallError::ConversationClosed { replaced_by: None }), "{fault:?}");
    assert!(contacts(&bob).await.is_empty());
}

#[tokio::test]
async fn a_stranger_is_not_added_to_a_group() {
    let (_town, mut alice, bob) = asked().await;
    let other = ConversationId::from_bytes([8; 16]);
    alice.mls.forget(CID);
    let mut made = alice.begin(ConversationKind::Group, &bob).await;
    made.group_info = vec![1];
    let fault = alice.client.create_conversation(CID, ConversationKind::Group, &made).await;
    assert!(matches!(fault, Err(CallError::CidTaken)), "{fault:?}");
    alice.mls.create(other, "group", alice.client.server_time());
    let packages = alice.claim(bob.key()).await;
    let id = kez_core::MessageId::from_bytes(crate::town::random());
    let made = crate::town::bundle(alice.mls.add(other, id, &packages));
    let fault = alice.client.create_conversation(other, ConversationKind::Group, &made).await;
    assert!(
        matches!(fault, Err(CallError::ContactRequired { primary }) if primary == bob.key()),
        "{fault:?}"
    );
}
