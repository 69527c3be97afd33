//! Suspensions, quotas, usage, and the audit of all of it.

use kez_core::{ConversationKind, Handle};
use serde_json::json;

use super::conversations::{append, bundle, by, cid, commit, create, frame, nobody};
use super::devices::{device, id, register, revocation};
use super::key_packages::{add, claim, claim_of, packages, settle, upload};
use super::registry::{key, now, time, wanted as registration};
use crate::blobs::BlobHash;
use crate::invite::InviteHash;
use crate::sending::NoRoom;
use crate::small_store::Expected;
use crate::store::{
    AccountQuota, Action, AuditEntry, AuditId, BlobRefusal, BundleRefusal, ClaimRefusal, EnrolRefusal,
    EntryRefusal, EntryWrite, FrameRefusal, InboxLimits, NoHolder, NoMailbox, NotAdmitted, QuotaChange,
    Reason, ReinstateRefusal, Store, StoredDevice, SuspendRefusal, Suspension, UploadRefusal, UploadWanted,
};

type Shared<S> = std::sync::Arc<S>;

fn handle(text: &str) -> Handle {
    text.parse().expect("a handle")
}

fn reason() -> Reason {
    "spam".parse().expect("a reason")
}

async fn suspend(store: &impl Store, who: &str) -> Result<(), SuspendRefusal> {
    let suspended = store.suspend(&handle(who), Some(reason()), now()).await.expect("the store works");
    suspended.map(|primary| assert_eq!(primary, key(who)))
}

async fn reinstate(store: &impl Store, who: &str) -> Result<Suspension, ReinstateRefusal> {
    store.reinstate(&handle(who), time(60)).await.expect("the store works")
}

async fn audit(store: &impl Store) -> Vec<AuditEntry> {
    store.audit(None, 100).await.expect("the store works")
}

async fn set_quota(store: &impl Store, who: &str, change: QuotaChange) -> Result<AccountQuota, NoHolder> {
    store.set_quota(&handle(who), change, now()).await.expect("the store works")
}

async fn quota(store: &impl Store, who: &str) -> AccountQuota {
    store.quota(&key(who)).await.expect("the store works")
}

/// Devices of alice and bob, who are in the group number 1.
async fn pair(store: &impl Store) -> (StoredDevice, StoredDevice) {
    let (alice, bob) = (settle(store, "alice", 1).await.remove(0), settle(store, "bob", 1).await.remove(0));
    let creation = bundle("creation", 0, &["alice", "bob"], &["bob"]);
    create(store, &alice, 1, ConversationKind::Group, creation).await.expect("created");
    (alice, bob)
}

/// What alice's writes are refused with; `None`: one was accepted.
async fn writes(store: &impl Store, alice: &StoredDevice) -> Vec<Option<&'static str>> {
    let verdict = |refused, is_suspended| match (refused, is_suspended) {
        (false, _) => None,
        (true, true) => Some("suspended"),
        (true, false) => Some("otherwise"),
    };
    let appended = append(store, alice, 1, vec![frame("f", 1)]).await;
    let committed = commit(store, alice, 1, bundle("c", 1, &["alice", "bob"], &[])).await;
    let created =
        create(store, alice, 2, ConversationKind::OwnDevices, bundle("o", 0, &["alice"], &[])).await;
    let acked = store.ack(alice.device, 1).await.expect("the store works");
    let uploaded = add(store, upload(alice, packages("late", 1))).await;
    let claimed = claim(store, claim_of(alice, "bob", 1)).await;
    let name = "settings".parse().expect("a name");
    let entry = EntryWrite {
        account: alice.account,
        device: alice.device,
        name,
        expected: Expected::Nothing,
        bytes: Some(vec![1]),
        at: now(),
    };
    let written = store.write_entry(entry).await.expect("the store works");
    let upload_wanted = UploadWanted {
        account: alice.account,
        device: alice.device,
        hash: BlobHash::from_bytes([1; 32]),
        bytes: 1,
        storage_bytes_max: 1,
        at: now(),
    };
    let opened = store.open_upload(upload_wanted).await.expect("the store works");
    let by_bundle = BundleRefusal::from(NotAdmitted::AccountSuspended);
    vec![
        verdict(appended.is_err(), appended == Err(NotAdmitted::AccountSuspended)),
        verdict(committed.is_err(), committed == Err(by_bundle)),
        verdict(created.is_err(), created == Err(by_bundle)),
        verdict(acked.is_err(), acked == Err(NoMailbox::AccountSuspended.into())),
        verdict(uploaded.is_err(), uploaded == Err(UploadRefusal::AccountSuspended)),
        verdict(claimed.is_err(), claimed == Err(ClaimRefusal::AccountSuspended)),
        verdict(opened.is_err(), opened == Err(BlobRefusal::AccountSuspended)),
        verdict(written.is_err(), written == Err(EntryRefusal::AccountSuspended)),
    ]
}

pub(in crate::store) async fn the_devices_of_a_suspended_account_write_nothing(store: Shared<impl Store>) {
    let (alice, bob) = pair(&*store).await;
    add(&*store, upload(&bob, packages("bob", 3))).await.expect("kept");
    suspend(&*store, "alice").await.expect("suspended");
    assert_eq!(writes(&*store, &alice).await, [Some("suspended"); 8]);
    append(&*store, &bob, 1, vec![frame("of bob", 1)]).await.expect("bob is not").verdicts[0]
        .expect("stored");
    reinstate(&*store, "alice").await.expect("reinstated");
    assert_eq!(writes(&*store, &alice).await, [None; 8]);
}

pub(in crate::store) async fn a_suspended_account_is_given_nothing_of_and_reads_nothing(
    store: Shared<impl Store>,
) {
    let (alice, bob) = pair(&*store).await;
    add(&*store, upload(&alice, packages("a", 3))).await.expect("kept");
    let first = claim(&*store, claim_of(&bob, "alice", 1)).await.expect("one");
    suspend(&*store, "alice").await.expect("suspended");
    assert_eq!(claim(&*store, claim_of(&bob, "alice", 2)).await, Err(ClaimRefusal::NotFound));
    assert_eq!(claim(&*store, claim_of(&bob, "alice", 1)).await, Err(ClaimRefusal::IdReused), "nor again");
    assert_eq!(store.mailbox(alice.device).await.unwrap(), Err(NoMailbox::AccountSuspended));
    assert!(store.mailbox(bob.device).await.unwrap().is_ok());
    assert!(store.active_device(&key("alice"), &id(1)).await.unwrap().expect("not revoked").is_suspended);
    assert!(!store.active_device(&key("bob"), &id(1)).await.unwrap().expect("a device").is_suspended);
    reinstate(&*store, "alice").await.expect("reinstated");
    assert_eq!(claim(&*store, claim_of(&bob, "alice", 1)).await.as_ref(), Ok(&first));
    assert_eq!(claim(&*store, claim_of(&bob, "alice", 3)).await.expect("the next").key_packages.len(), 1);
    assert!(store.mailbox(alice.device).await.unwrap().is_ok());
}

/// Of a key that never took one in, and so has no account.
pub(in crate::store) async fn a_suspended_key_takes_no_device_in(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    suspend(&*store, "alice").await.expect("suspended");
    let enrol = async |n| store.enrol(device("alice", n)).await.expect("the store works");
    assert_eq!(enrol(1).await, Err(EnrolRefusal::AccountSuspended));
    assert_eq!(store.devices(&key("alice")).await.unwrap(), []);
    reinstate(&*store, "alice").await.expect("reinstated");
    enrol(1).await.expect("taken in");
    // Once there is one: neither another one nor a renewal; but whoever lost one may let it go.
    suspend(&*store, "alice").await.expect("suspended");
    for n in [1, 2] {
        assert_eq!(enrol(n).await, Err(EnrolRefusal::AccountSuspended));
    }
    store.revoke(revocation("alice", id(1))).await.unwrap().expect("revoked");
}

pub(in crate::store) async fn a_suspension_follows_the_key(store: Shared<impl Store>) {
    settle(&*store, "alice", 1).await;
    suspend(&*store, "alice").await.expect("suspended");
    store.give_up(&handle("alice")).await.unwrap();
    assert_eq!(reinstate(&*store, "alice").await, Err(NoHolder::GivenUp.into()));
    store.register(registration("alison", "alice")).await.unwrap().expect("the key may go on");
    assert_eq!(store.enrol(device("alice", 2)).await.unwrap(), Err(EnrolRefusal::AccountSuspended));
    assert!(store.active_device(&key("alice"), &id(1)).await.unwrap().expect("a device").is_suspended);
    reinstate(&*store, "alison").await.expect("by its new name");
    assert_eq!(store.suspension(&key("alice")).await.unwrap(), None);
    store.enrol(device("alice", 2)).await.unwrap().expect("taken in");
}

pub(in crate::store) async fn an_account_is_suspended_once_and_reinstated_once(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    assert_eq!(reinstate(&*store, "alice").await, Err(ReinstateRefusal::NotSuspended));
    suspend(&*store, "alice").await.expect("suspended");
    let suspension = Suspension { since: now(), reason: Some(reason()) };
    assert_eq!(store.suspension(&key("alice")).await.unwrap().as_ref(), Some(&suspension));
    let again = store.suspend(&handle("alice"), None, time(60)).await.unwrap();
    assert_eq!(again, Err(SuspendRefusal::Already(suspension.clone())), "what was said first stands");
    assert_eq!(reinstate(&*store, "alice").await, Ok(suspension));
    assert_eq!(reinstate(&*store, "alice").await, Err(ReinstateRefusal::NotSuspended));
    let done: Vec<_> = audit(&*store).await.iter().map(|entry| entry.action).collect();
    assert_eq!(done, [Action::Reinstate, Action::Suspend], "what is refused was not done");
}

pub(in crate::store) async fn an_unknown_and_a_given_up_handle_are_told_apart(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    store.give_up(&handle("alice")).await.unwrap();
    for (who, fault) in [("alice", NoHolder::GivenUp), ("bob", NoHolder::Unknown)] {
        assert_eq!(suspend(&*store, who).await, Err(fault.into()));
        assert_eq!(reinstate(&*store, who).await, Err(fault.into()));
        assert_eq!(set_quota(&*store, who, QuotaChange::default()).await, Err(fault));
    }
    assert_eq!(audit(&*store).await, []);
}

pub(in crate::store) async fn a_suspended_account_loses_nothing(store: Shared<impl Store>) {
    let (alice, bob) = pair(&*store).await;
    add(&*store, upload(&alice, packages("a", 3))).await.expect("kept");
    append(&*store, &alice, 1, vec![frame("before", 1)]).await.expect("stored");
    let everything = async || {
        let limits = InboxLimits { events: 100, bytes: 1 << 20 };
        (
            store.by_handle(&handle("alice")).await.unwrap(),
            store.devices(&key("alice")).await.unwrap(),
            store.conversation(bob.account, cid(1), now()).await.unwrap(),
            store.key_package_counts(alice.device, now()).await.unwrap(),
            store.events(alice.account, 0, limits).await.unwrap(),
        )
    };
    let before = everything().await;
    suspend(&*store, "alice").await.expect("suspended");
    assert_eq!(everything().await, before);
    // It goes on to be a member, so that nothing is missing when it is back.
    append(&*store, &bob, 1, vec![frame("meanwhile", 1)]).await.expect("stored");
    reinstate(&*store, "alice").await.expect("reinstated");
    assert_eq!(store.mailbox(alice.device).await.unwrap().expect("a mailbox").head, 4);
    assert_eq!(
        store.append(by(&alice), cid(1), vec![frame("after", 1)], now(), nobody()).await.unwrap().err(),
        None
    );
}

pub(in crate::store) async fn one_of_many_suspensions_at_once_is_audited(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    let tries = (0..32).map(|_| {
        let store = Shared::clone(&store);
        tokio::spawn(async move { suspend(&*store, "alice").await.is_ok() })
    });
    let mut done = 0;
    for attempt in tries.collect::<Vec<_>>() {
        done += u32::from(attempt.await.expect("no panic"));
    }
    assert_eq!((done, audit(&*store).await.len()), (1, 1));
}

pub(in crate::store) async fn every_action_is_audited_and_pages_go_back(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    assert_eq!(store.audit_head().await.unwrap(), AuditId::default());
    let invite = store.create_invite(InviteHash([7; 32]), 2, time(60), now()).await.unwrap().unwrap();
    store.revoke_invite(invite, time(1)).await.unwrap();
    store.revoke_invite(invite, time(2)).await.unwrap();
    suspend(&*store, "alice").await.unwrap();
    set_quota(&*store, "alice", QuotaChange { blobs: Some(Some(5)), ..QuotaChange::default() })
        .await
        .unwrap();
    reinstate(&*store, "alice").await.unwrap();
    store.note(Action::Backup, json!({"to": "a folder"}), time(61)).await.unwrap();
    let mut all = audit(&*store).await;
    let noted = all.remove(0);
    assert_eq!((noted.id, noted.at, noted.action), (AuditId(6), time(61), Action::Backup));
    assert_eq!((noted.handle, noted.primary, noted.detail), (None, None, json!({"to": "a folder"})));
    let shown: Vec<_> =
        all.iter().map(|entry| (entry.id.0, entry.action.as_str(), entry.detail.clone())).collect();
    let expected = [
        (5, "reinstate", json!({"since": now()})),
        (4, "quota", json!({"messages": null, "blobs": 5})),
        (3, "suspend", json!({"reason": "spam"})),
        (2, "invite_revoke", json!({"invite": invite})),
        (1, "invite_create", json!({"invite": invite, "uses": 2, "expires_at": time(60)})),
    ];
    assert_eq!(shown, expected);
    assert_eq!((all[0].at, all[2].at), (time(60), now()));
    assert_eq!((all[2].handle.clone(), all[2].primary), (Some(handle("alice")), Some(key("alice"))));
    assert_eq!((all[4].handle.clone(), all[4].primary), (None, None));
    assert_eq!(store.audit(Some(AuditId(4)), 2).await.unwrap(), all[2..4]);
    assert_eq!(store.audit_head().await.unwrap(), AuditId(6));
    let after = store.audited_after(AuditId(1), 2).await.unwrap();
    assert_eq!(after, [(AuditId(2), None), (AuditId(3), Some(key("alice")))]);
    assert_eq!(store.audited_after(AuditId(6), 2).await.unwrap(), []);
}

pub(in crate::store) async fn quotas_are_kept_by_key(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    register(&*store, "bob").await;
    assert_eq!(quota(&*store, "alice").await, AccountQuota::default());
    let messages = |bytes| QuotaChange { messages: Some(bytes), blobs: None };
    let blobs = |bytes| QuotaChange { messages: None, blobs: Some(bytes) };
    set_quota(&*store, "alice", messages(Some(1))).await.unwrap();
    let both = set_quota(&*store, "alice", blobs(Some(u64::MAX))).await.unwrap();
    assert_eq!(both, AccountQuota { messages: Some(1), blobs: Some(i64::MAX.cast_unsigned()) });
    assert_eq!(quota(&*store, "alice").await, both);
    assert_eq!(quota(&*store, "bob").await, AccountQuota::default());
    set_quota(&*store, "alice", messages(None)).await.unwrap();
    assert_eq!(quota(&*store, "alice").await, AccountQuota { messages: None, ..both });
    assert_eq!(set_quota(&*store, "alice", blobs(None)).await, Ok(AccountQuota::default()));
    assert_eq!(quota(&*store, "alice").await, AccountQuota::default());
}

/// Each message counts 2 KiB at least, and the creation of the pair is one.
pub(in crate::store) async fn a_quota_bounds_what_an_account_sends(store: Shared<impl Store>) {
    let (alice, bob) = pair(&*store).await;
    let kib = |count: u64| QuotaChange { messages: Some(Some(count * 1024)), ..QuotaChange::default() };
    set_quota(&*store, "alice", kib(6)).await.unwrap();
    let names = ["1", "2", "3"];
    let frames = || names.map(|name| frame(name, 1)).to_vec();
    let is_quota = |refusal: &FrameRefusal| {
        matches!(refusal, FrameRefusal::NoRoom(NoRoom::Quota { retry_after_s: Some(1..) }))
    };
    for is_repeated in [false, true] {
        let verdicts = append(&*store, &alice, 1, frames()).await.unwrap().verdicts;
        let taken = verdicts.iter().flatten().filter(|placed| placed.is_repeated == is_repeated).count();
        assert!(taken == 2 && verdicts[2].as_ref().is_err_and(is_quota), "{verdicts:?}");
    }
    let refused = commit(&*store, &alice, 1, bundle("c", 1, &["alice", "bob"], &[])).await.unwrap_err();
    assert!(matches!(&refused, BundleRefusal::Frame(refusal) if is_quota(refusal)), "{refused:?}");
    let own = bundle("o", 0, &["alice"], &[]);
    let refused = create(&*store, &alice, 2, ConversationKind::OwnDevices, own).await.unwrap_err();
    assert!(matches!(&refused, BundleRefusal::Frame(refusal) if is_quota(refusal)), "{refused:?}");
    assert!(append(&*store, &bob, 1, vec![frame("bob's", 1)]).await.unwrap().verdicts[0].is_ok());
    set_quota(&*store, "alice", kib(8)).await.unwrap();
    assert!(append(&*store, &alice, 1, frames()).await.unwrap().verdicts.iter().all(Result::is_ok));
}

pub(in crate::store) async fn usage_shows_the_largest_first(store: Shared<impl Store>) {
    let (alice, bob) = pair(&*store).await;
    settle(&*store, "carol", 2).await;
    store.give_up(&handle("carol")).await.unwrap();
    register(&*store, "dora").await;
    add(&*store, upload(&bob, packages("b", 3))).await.expect("kept");
    append(&*store, &bob, 1, vec![frame("1", 1), frame("2", 1)]).await.expect("stored");
    append(&*store, &alice, 1, vec![frame("3", 1)]).await.expect("stored");
    suspend(&*store, "bob").await.unwrap();
    let usage = store.usage(10, now()).await.unwrap();
    let shown: Vec<_> = usage
        .iter()
        .map(|one| {
            let name = one.handle.as_ref().map_or("-", Handle::as_str);
            let counts = (one.frames, one.frame_bytes, one.inbox_events, one.devices, one.key_packages);
            (name, counts, one.suspended)
        })
        .collect();
    // alice: the creation and a frame; both: an event of the device, the creation or its Welcome, three frames.
    let expected =
        [("alice", (2, 22, 5, 1, 0), false), ("bob", (2, 14, 5, 1, 3), true), ("-", (0, 0, 2, 2, 0), false)];
    assert_eq!(shown, expected);
    assert_eq!(store.usage(1, now()).await.unwrap(), usage[..1]);
}
