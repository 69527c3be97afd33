//! Handles, registrations, invites.

use kez_core::{Envelope, Handle, PublicKey, Registration, Seed, Timestamp};

use crate::invite::InviteHash;
use crate::registration::Accepted;
use crate::store::{Past, RegisterRefusal, Registered, Store};

type Shared<S> = std::sync::Arc<S>;

/// 2026-05-25T03:00:00Z.
pub(in crate::store) fn now() -> Timestamp {
    time(0)
}

pub(in crate::store) fn time(after_s: i64) -> Timestamp {
    Timestamp::from_unix(1_779_678_000 + after_s, 0).expect("a valid time")
}

pub(in crate::store) fn key(name: &str) -> PublicKey {
    seed(name).public_key()
}

pub(in crate::store) fn seed(name: &str) -> Seed {
    let mut bytes = [0; 32];
    for (byte, value) in bytes.iter_mut().zip(name.bytes()) {
        *byte = value;
    }
    Seed::from_bytes(bytes)
}

pub(in crate::store) fn wanted(handle: &str, owner: &str) -> Accepted {
    let document = Registration { handle: handle.into(), server: "kez.lat".into() };
    let envelope = Envelope::sign(&document, &seed(owner), now()).expect("plain text");
    let envelope = envelope.verify::<Registration>().expect("just signed");
    Accepted {
        handle: handle.parse().expect("a handle"),
        primary: envelope.primary(),
        envelope: envelope.canonical().to_owned(),
        payload_sha256: *envelope.payload_sha256(),
        invite: None,
        at: now(),
    }
}

fn handle(text: &str) -> Handle {
    text.parse().expect("a handle")
}

async fn register(store: &impl Store, wanted: Accepted) -> Result<Registered, RegisterRefusal> {
    store.register(wanted).await.expect("the store works")
}

async fn count(store: &impl Store) -> usize {
    store.evidence(None, 1_000).await.expect("the store works").len()
}

pub(in crate::store) async fn a_store_is_the_home_of_the_first_name_that_claims_it(
    store: Shared<impl Store>,
) {
    for name in ["kez.lat", "example.org", "kez.lat"] {
        assert_eq!(store.claim(&name.parse().unwrap()).await.unwrap().as_str(), "kez.lat");
    }
}

pub(in crate::store) async fn a_registration_is_found_by_handle_and_by_key(store: Shared<impl Store>) {
    let Ok(Registered::New(alice)) = register(&*store, wanted("alice", "alice")).await else {
        panic!("refused")
    };
    assert_eq!(alice.registered_at, now());
    assert_eq!(store.by_handle(&handle("alice")).await.unwrap().as_ref(), Some(&alice));
    assert_eq!(store.by_primary(&key("alice")).await.unwrap(), Some(alice));
    assert_eq!(store.by_handle(&handle("bob")).await.unwrap(), None);
    assert_eq!(store.by_primary(&key("bob")).await.unwrap(), None);
}

pub(in crate::store) async fn a_repeated_registration_gives_no_second_row(store: Shared<impl Store>) {
    let first = wanted("alice", "alice");
    let Ok(Registered::New(alice)) = register(&*store, first.clone()).await else { panic!("refused") };
    let later = Accepted { at: time(60), ..first.clone() };
    assert_eq!(register(&*store, later).await, Ok(Registered::Before(Past::Holds(alice.clone()))));
    assert_eq!(store.past_registration(&first.payload_sha256).await.unwrap(), Some(Past::Holds(alice)));
    assert_eq!(store.past_registration(&[0; 32]).await.unwrap(), None);
    assert_eq!(count(&*store).await, 1);
}

pub(in crate::store) async fn a_handle_a_key_and_a_look_alike_are_each_refused(store: Shared<impl Store>) {
    register(&*store, wanted("corn-field", "alice")).await.unwrap();
    let refusal = async |handle, owner| register(&*store, wanted(handle, owner)).await.unwrap_err();
    assert_eq!(refusal("corn-field", "bob").await, RegisterRefusal::HandleTaken);
    assert_eq!(refusal("other", "alice").await, RegisterRefusal::KeyTaken);
    assert_eq!(refusal("comfield", "bob").await, RegisterRefusal::HandleConfusable);
    assert_eq!(refusal("corn_field", "alice").await, RegisterRefusal::KeyTaken);
}

pub(in crate::store) async fn a_refused_registration_leaves_nothing_behind(store: Shared<impl Store>) {
    register(&*store, wanted("alice", "alice")).await.unwrap();
    let refused = wanted("alice", "bob");
    register(&*store, refused.clone()).await.unwrap_err();
    assert_eq!(store.past_registration(&refused.payload_sha256).await.unwrap(), None);
    assert_eq!(store.by_primary(&key("bob")).await.unwrap(), None);
    assert_eq!(count(&*store).await, 1);
}

pub(in crate::store) async fn a_given_up_handle_is_gone_and_stays_reserved(store: Shared<impl Store>) {
    let first = wanted("alice", "alice");
    register(&*store, first.clone()).await.unwrap();
    assert!(store.give_up(&handle("alice")).await.unwrap());
    assert!(!store.give_up(&handle("alice")).await.unwrap());
    assert_eq!(store.by_handle(&handle("alice")).await.unwrap(), None);
    assert_eq!(store.by_primary(&key("alice")).await.unwrap(), None);
    assert_eq!(count(&*store).await, 0);
    // The old registration is not accepted again, nobody else gets the handle or a look-alike, the key may go on.
    assert_eq!(register(&*store, first).await, Ok(Registered::Before(Past::GivenUp)));
    assert_eq!(register(&*store, wanted("alice", "bob")).await, Err(RegisterRefusal::HandleTaken));
    assert_eq!(register(&*store, wanted("a1ice", "bob")).await, Err(RegisterRefusal::HandleConfusable));
    assert!(matches!(register(&*store, wanted("alison", "alice")).await, Ok(Registered::New(_))));
}

pub(in crate::store) async fn an_invite_admits_as_many_as_it_says(store: Shared<impl Store>) {
    let hash = InviteHash([7; 32]);
    let id = store.create_invite(hash, 2, time(60), now()).await.unwrap().unwrap();
    let with_invite = |name| Accepted { invite: Some(hash), ..wanted(name, name) };
    register(&*store, with_invite("alice")).await.unwrap();
    assert_eq!(
        store.invites(now()).await.unwrap().first().map(|invite| (invite.id, invite.uses_left)),
        Some((id, 1))
    );
    register(&*store, with_invite("bob")).await.unwrap();
    assert_eq!(register(&*store, with_invite("carol")).await, Err(RegisterRefusal::InviteRefused));
    assert_eq!(store.invites(now()).await.unwrap(), []);
    // A repetition is answered although the invite is used up.
    assert!(matches!(register(&*store, with_invite("bob")).await, Ok(Registered::Before(_))));
}

pub(in crate::store) async fn a_refused_registration_does_not_use_up_its_invite(store: Shared<impl Store>) {
    let hash = InviteHash([7; 32]);
    store.create_invite(hash, 1, time(60), now()).await.unwrap();
    register(&*store, wanted("alice", "alice")).await.unwrap();
    let taken = Accepted { invite: Some(hash), ..wanted("alice", "bob") };
    assert_eq!(register(&*store, taken).await, Err(RegisterRefusal::HandleTaken));
    let free = Accepted { invite: Some(hash), ..wanted("bob", "bob") };
    assert!(register(&*store, free).await.is_ok());
}

pub(in crate::store) async fn an_expired_or_revoked_invite_admits_nobody(store: Shared<impl Store>) {
    let (old, revoked) = (InviteHash([1; 32]), InviteHash([2; 32]));
    store.create_invite(old, 1, time(0), time(-1)).await.unwrap();
    let id = store.create_invite(revoked, 1, time(60), time(-1)).await.unwrap().unwrap();
    assert!(store.revoke_invite(id, now()).await.unwrap());
    assert!(!store.revoke_invite(id, now()).await.unwrap());
    for invite in [old, revoked, InviteHash([3; 32])] {
        let wanted = Accepted { invite: Some(invite), ..wanted("alice", "alice") };
        assert_eq!(register(&*store, wanted).await, Err(RegisterRefusal::InviteRefused));
    }
    assert_eq!(store.invites(now()).await.unwrap(), []);
}

pub(in crate::store) async fn one_handle_wanted_by_many_at_once_goes_to_one(store: Shared<impl Store>) {
    let tries = (0..64).map(|n| {
        let store = Shared::clone(&store);
        tokio::spawn(async move { register(&*store, wanted("alice", &format!("owner {n}"))).await })
    });
    let mut winners = 0;
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.expect("no panic") {
            Ok(Registered::New(_)) => winners += 1,
            refused => assert_eq!(refused, Err(RegisterRefusal::HandleTaken)),
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(count(&*store).await, 1);
}

pub(in crate::store) async fn evidence_is_paged_by_handle(store: Shared<impl Store>) {
    for name in ["carol", "alice", "bob"] {
        register(&*store, wanted(name, name)).await.unwrap();
    }
    let mut all = store.evidence(None, 2).await.unwrap();
    assert_eq!(all.len(), 2);
    let last = all.last().map(|(account, _)| account.handle.clone());
    all.extend(store.evidence(last.as_ref(), 2).await.unwrap());
    all.sort_by(|(a, _), (b, _)| a.handle.cmp(&b.handle));
    let names: Vec<_> = all.iter().map(|(account, _)| account.handle.as_str()).collect();
    assert_eq!(names, ["alice", "bob", "carol"]);
    for (account, envelope) in all {
        let name = account.handle.as_str();
        assert_eq!(envelope, wanted(name, name).envelope);
    }
}
