//! Conversations: created, changed, written to, read.

use std::collections::BTreeMap;
use std::sync::mpsc;

use kez_core::{
    ConversationId, ConversationKind, ConversationState, Members, MessageId, PublicKey, Timestamp,
};
use sha2::{Digest as _, Sha256};

use super::devices::{device, id, revocation};
use super::key_packages::settle;
use super::registry::{key, now, time};
use crate::store::{
    AcceptedBundle, AcceptedDevice, AcceptedFrame, Appended, Author, BadCursor, BundleRefusal, Committed,
    Conversation, Creation, FramePage, FrameRefusal, Head, MembersFault, NewWelcome, NotAdmitted, PageLimits,
    PageRefusal, Placed, Recipient, Retention, Store, StoredDevice, Tell, Woken,
};
use ConversationKind::{Direct, Group, OwnDevices};

type Shared<S> = std::sync::Arc<S>;

const ALL: PageLimits = PageLimits { frames_max: 500, bytes_max: 1 << 20 };

pub(in crate::store) fn cid(n: u8) -> ConversationId {
    ConversationId::from_bytes([n; 16])
}

fn mid(name: &str) -> MessageId {
    let digest: [u8; 32] = Sha256::digest(name).into();
    MessageId::from_bytes(*digest.first_chunk().expect("16 of 32 bytes"))
}

fn members(names: &[&str]) -> Members {
    Members::try_from(names.iter().map(|name| key(name)).collect::<Vec<_>>()).expect("members")
}

pub(in crate::store) fn by(device: &StoredDevice) -> Author {
    Author { account: device.account, device: device.device }
}

/// A bundle like no other of another name, that greets the first devices of `welcome`.
pub(in crate::store) fn bundle(name: &str, epoch: u64, after: &[&str], welcome: &[&str]) -> AcceptedBundle {
    let to: Vec<_> = welcome.iter().map(|name| Recipient { primary: key(name), device_id: id(1) }).collect();
    let welcomes =
        if to.is_empty() { Vec::new() } else { vec![NewWelcome { bytes: b"welcome".to_vec(), to }] };
    AcceptedBundle {
        id: mid(name),
        epoch,
        commit: format!("commit {name}").into_bytes(),
        is_external: false,
        welcomes,
        group_info: format!("group info {name}").into_bytes(),
        members_after: members(after),
        request_sha256: *key(name).as_bytes(),
        at: now(),
    }
}

pub(in crate::store) fn frame(name: &str, epoch: u64) -> AcceptedFrame {
    AcceptedFrame { id: mid(name), epoch, bytes: format!("frame {name}").into_bytes() }
}

pub(in crate::store) async fn create(
    store: &impl Store,
    who: &StoredDevice,
    n: u8,
    kind: ConversationKind,
    bundle: AcceptedBundle,
) -> Result<Committed, BundleRefusal> {
    let created = store.create(by(who), cid(n), kind, bundle).await.expect("the store works");
    created.map(|created| match created {
        Creation::Made { committed, .. } => committed,
        Creation::Accepts { .. } => panic!("nobody asked"),
    })
}

pub(in crate::store) async fn commit(
    store: &impl Store,
    who: &StoredDevice,
    n: u8,
    bundle: AcceptedBundle,
) -> Result<Committed, BundleRefusal> {
    store.commit(by(who), cid(n), bundle).await.expect("the store works")
}

pub(in crate::store) async fn append(
    store: &impl Store,
    who: &StoredDevice,
    n: u8,
    frames: Vec<AcceptedFrame>,
) -> Result<Appended, NotAdmitted> {
    let (tell, told) = mpsc::channel();
    let tell = Box::new(move |woken: &[Woken]| tell.send(woken.to_vec()).expect("somebody listens"));
    let appended = store.append(by(who), cid(n), frames, now(), tell).await.expect("the store works");
    // Told before it was answered; of nothing, where nothing was done.
    let told: Vec<_> = told.try_iter().flatten().collect();
    assert_eq!(told, appended.as_ref().map_or_else(|_| Vec::new(), |appended| appended.woken.clone()));
    appended
}

/// Tells nobody.
pub(in crate::store) fn nobody() -> Tell {
    Box::new(|_| {})
}

async fn verdicts(
    store: &impl Store,
    who: &StoredDevice,
    n: u8,
    frames: Vec<AcceptedFrame>,
) -> Vec<Result<Placed, FrameRefusal>> {
    append(store, who, n, frames).await.expect("a member").verdicts
}

async fn seen(store: &impl Store, who: &StoredDevice, n: u8) -> Option<Conversation> {
    store.conversation(who.account, cid(n), now()).await.expect("the store works")
}

async fn page(
    store: &impl Store,
    who: &StoredDevice,
    n: u8,
    after: u64,
    limits: PageLimits,
) -> Result<FramePage, PageRefusal> {
    store.frames(who.account, cid(n), after, limits).await.expect("the store works")
}

/// The numbers of the frames that somebody may read.
async fn log(store: &impl Store, who: &StoredDevice, n: u8) -> Vec<u64> {
    let page = page(store, who, n, 0, ALL).await.expect("a page");
    page.frames.iter().map(|frame| frame.seq).collect()
}

/// How many events each got since `before`, by key.
fn heads(woken: &[Woken]) -> BTreeMap<PublicKey, u64> {
    woken.iter().map(|woken| (woken.primary, woken.head)).collect()
}

fn new(seq: u64) -> Placed {
    Placed { seq, at: now(), is_repeated: false }
}

fn repeated(seq: u64) -> Placed {
    Placed { seq, at: now(), is_repeated: true }
}

/// One device of each, in a group of all of them by the first, number 1; its head is epoch 1, frame 1.
async fn group(store: &impl Store, names: &[&str]) -> Vec<StoredDevice> {
    let mut devices = Vec::new();
    for name in names {
        devices.extend(settle(store, name, 1).await);
    }
    let (first, rest) = (devices.first().expect("somebody"), names.get(1..).unwrap_or_default());
    create(store, first, 1, Group, bundle("creation", 0, names, rest)).await.expect("created");
    devices
}

pub(in crate::store) async fn a_creation_is_whole(store: Shared<impl Store>) {
    let alice = settle(&*store, "alice", 2).await;
    let (bob, carol) = (settle(&*store, "bob", 1).await, settle(&*store, "carol", 1).await);
    let (alice, bob, carol) = (&alice[0], &bob[0], &carol[0]);
    let created = create(&*store, alice, 1, Direct, bundle("b", 0, &["alice", "bob"], &["bob"])).await;
    let created = created.expect("created");
    assert_eq!((created.placed, created.generation), (new(1), 1));
    let woken: Vec<_> = heads(&created.woken).into_keys().collect();
    assert_eq!(woken, members(&["alice", "bob"]).as_slice());
    let expected = Conversation {
        cid: cid(1),
        kind: Direct,
        state: ConversationState::Open,
        replaced_by: None,
        generation: 1,
        head: Head { epoch: 1, seq: 1 },
        oldest: 1,
        members: members(&["alice", "bob"]),
        group_info: b"group info b".to_vec(),
    };
    assert_eq!(seen(&*store, alice, 1).await, Some(expected.clone()));
    assert_eq!(seen(&*store, bob, 1).await, Some(Conversation { oldest: 2, ..expected }));
    // The creator's other devices need the commit; those who join by the Welcome do not.
    assert_eq!(log(&*store, alice, 1).await, [1]);
    assert_eq!(log(&*store, bob, 1).await, [0_u64; 0]);
    assert_eq!(seen(&*store, carol, 1).await, None);
    assert!(!store.is_member(carol.account, cid(1)).await.unwrap());
    assert!(store.is_member(bob.account, cid(1)).await.unwrap());
}

pub(in crate::store) async fn a_repeated_creation_is_answered_alike(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let (alice, bob) = (&devices[0], &devices[1]);
    let first = bundle("creation", 0, &["alice", "bob"], &["bob"]);
    commit(&*store, alice, 1, bundle("more", 1, &["alice", "bob"], &[])).await.expect("accepted");
    let later = AcceptedBundle { at: time(60), ..first.clone() };
    let again = create(&*store, alice, 1, Group, later).await.expect("accepted before");
    assert_eq!((again.placed, again.woken.len()), (repeated(1), 0));
    let other = bundle("other", 0, &["alice", "bob"], &["bob"]);
    assert_eq!(create(&*store, alice, 1, Group, other).await, Err(BundleRefusal::CidTaken));
    assert_eq!(create(&*store, bob, 1, Group, first).await, Err(BundleRefusal::CidTaken));
    assert_eq!(seen(&*store, alice, 1).await.unwrap().head, Head { epoch: 2, seq: 2 });
}

pub(in crate::store) async fn a_pair_has_one_conversation(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 1).await[0];
    let bob = &settle(&*store, "bob", 1).await[0];
    let both = ["alice", "bob"];
    create(&*store, alice, 1, Direct, bundle("1", 0, &both, &["bob"])).await.expect("the first");
    let exists = Err(BundleRefusal::ConversationExists { cid: cid(1) });
    assert_eq!(create(&*store, alice, 2, Direct, bundle("2", 0, &both, &["bob"])).await, exists);
    assert_eq!(create(&*store, bob, 2, Direct, bundle("2", 0, &both, &["alice"])).await, exists);
    create(&*store, alice, 2, OwnDevices, bundle("2", 0, &["alice"], &[])).await.expect("her own");
    let exists = Err(BundleRefusal::ConversationExists { cid: cid(2) });
    assert_eq!(create(&*store, alice, 3, OwnDevices, bundle("3", 0, &["alice"], &[])).await, exists);
    create(&*store, bob, 3, OwnDevices, bundle("3", 0, &["bob"], &[])).await.expect("his own");
    for n in 4..6 {
        let name = n.to_string();
        create(&*store, bob, n, Group, bundle(&name, 0, &both, &["alice"])).await.expect("another group");
    }
}

pub(in crate::store) async fn one_pair_wanted_by_many_at_once_has_one_winner(store: Shared<impl Store>) {
    let alice = settle(&*store, "alice", 1).await.remove(0);
    let bob = settle(&*store, "bob", 1).await.remove(0);
    let tries = (0..32).map(|n| {
        let (store, who) = (Shared::clone(&store), if n % 2 == 0 { alice.clone() } else { bob.clone() });
        let peer = if n % 2 == 0 { "bob" } else { "alice" };
        tokio::spawn(async move {
            let bundle = bundle(&n.to_string(), 0, &["alice", "bob"], &[peer]);
            (n, create(&*store, &who, n, Direct, bundle).await)
        })
    });
    let (mut winners, mut named) = (Vec::new(), Vec::new());
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.expect("no panic") {
            (n, Ok(_)) => winners.push(cid(n)),
            (_, Err(BundleRefusal::ConversationExists { cid })) => named.push(cid),
            (_, Err(other)) => panic!("{other}"),
        }
    }
    assert_eq!((winners.len(), named.len()), (1, 31));
    named.dedup();
    assert_eq!(named, winners);
    let list = store.conversations(bob.account, None, 100, now()).await.unwrap().unwrap();
    assert_eq!(list.iter().map(|one| one.cid).collect::<Vec<_>>(), winners);
}

pub(in crate::store) async fn a_refused_creation_leaves_nothing_behind(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 1).await[0];
    settle(&*store, "bob", 1).await;
    let gone = AcceptedDevice { expires_at: now(), ..device("bob", 2) };
    store.enrol(gone).await.unwrap().unwrap();
    store.enrol(device("bob", 3)).await.unwrap().unwrap();
    store.revoke(revocation("bob", id(3))).await.unwrap().unwrap();
    let both = ["alice", "bob"];
    let good = bundle("1", 0, &both, &["bob"]);
    let to = |primary: &str, n| {
        let to = vec![Recipient { primary: key(primary), device_id: id(n) }];
        AcceptedBundle { welcomes: vec![NewWelcome { bytes: vec![1], to }], ..good.clone() }
    };
    let unknown = bundle("1", 0, &["alice", "bob", "carol"], &["bob"]);
    let members = BundleRefusal::BadMembers;
    for (wrong, refusal) in [
        (unknown, members(MembersFault::Unknown)),
        (bundle("1", 0, &both, &[]), members(MembersFault::NoWelcome)),
        (to("alice", 1), members(MembersFault::NoWelcome)),
        (to("bob", 2), BundleRefusal::BadWelcome), // expired
        (to("bob", 3), BundleRefusal::BadWelcome), // revoked
        (to("bob", 4), BundleRefusal::BadWelcome), // never enrolled
        (to("carol", 1), BundleRefusal::BadWelcome),
    ] {
        assert_eq!(create(&*store, alice, 1, Group, wrong).await, Err(refusal));
        assert_eq!(seen(&*store, alice, 1).await, None);
    }
    create(&*store, alice, 1, Direct, good).await.expect("nothing is in its way");
}

pub(in crate::store) async fn frames_are_numbered_without_gaps(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let (alice, bob) = (&devices[0], &devices[1]);
    let before = heads(&append(&*store, alice, 1, vec![frame("1", 1)]).await.unwrap().woken);
    let mixed = vec![frame("2", 1), frame("stale", 0), frame("3", 1), frame("ahead", 2), frame("2", 1)];
    let appended = append(&*store, bob, 1, mixed).await.unwrap();
    let stale = |seq| Err(FrameRefusal::StaleEpoch(Head { epoch: 1, seq }));
    assert_eq!(appended.verdicts, [Ok(new(3)), stale(3), Ok(new(4)), stale(4), Ok(repeated(3))]);
    let after: BTreeMap<_, _> = before.iter().map(|(primary, head)| (*primary, head + 2)).collect();
    assert_eq!((before.len(), heads(&appended.woken)), (2, after));
    assert_eq!(log(&*store, alice, 1).await, [1, 2, 3, 4]);
    assert_eq!(log(&*store, bob, 1).await, [2, 3, 4]);
    let stale = append(&*store, bob, 1, vec![frame("stale", 0)]).await.unwrap();
    assert_eq!(stale.woken, []);
}

pub(in crate::store) async fn a_repeated_frame_is_answered_alike(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let (alice, bob) = (&devices[0], &devices[1]);
    verdicts(&*store, alice, 1, vec![frame("1", 1)]).await;
    let other_bytes = AcceptedFrame { bytes: b"other".to_vec(), ..frame("1", 1) };
    let of_the_commit = AcceptedFrame { id: mid("creation"), ..frame("1", 1) };
    for _ in 0..2 {
        let later =
            store.append(by(alice), cid(1), vec![frame("1", 1)], time(60), nobody()).await.unwrap().unwrap();
        assert_eq!((later.verdicts, later.woken.len()), (vec![Ok(repeated(2))], 0));
        for wrong in [other_bytes.clone(), of_the_commit.clone()] {
            assert_eq!(verdicts(&*store, alice, 1, vec![wrong]).await, [Err(FrameRefusal::MidReused)]);
        }
        assert_eq!(verdicts(&*store, bob, 1, vec![frame("1", 1)]).await, [Err(FrameRefusal::MidReused)]);
        // The same again in another epoch.
        let epoch = seen(&*store, alice, 1).await.unwrap().head.epoch;
        let name = format!("epoch {epoch}");
        commit(&*store, bob, 1, bundle(&name, epoch, &["alice", "bob"], &[])).await.expect("accepted");
    }
    // One id is one message in one conversation.
    create(&*store, alice, 2, Group, bundle("creation", 0, &["alice"], &[])).await.expect("created");
    assert_eq!(verdicts(&*store, alice, 2, vec![frame("1", 1)]).await, [Ok(new(2))]);
}

pub(in crate::store) async fn one_commit_ends_an_epoch(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    for epoch in 1..6 {
        let tries = (0..8).map(|n| {
            let (store, who) = (Shared::clone(&store), devices[n % 2].clone());
            let bundle = bundle(&format!("{epoch} {n}"), epoch, &["alice", "bob"], &[]);
            tokio::spawn(async move { commit(&*store, &who, 1, bundle).await })
        });
        let mut winners = 0;
        let head = Head { epoch: epoch + 1, seq: epoch + 1 };
        for attempt in tries.collect::<Vec<_>>() {
            match attempt.await.expect("no panic") {
                Ok(committed) => winners += usize::from(committed.placed == new(epoch + 1)),
                refused => assert_eq!(refused, Err(FrameRefusal::StaleEpoch(head).into())),
            }
        }
        assert_eq!(winners, 1);
        assert_eq!(seen(&*store, &devices[0], 1).await.unwrap().head, head);
    }
    assert_eq!(log(&*store, &devices[0], 1).await, [1, 2, 3, 4, 5, 6]);
}

pub(in crate::store) async fn a_repeated_commit_is_answered_alike(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let (alice, bob) = (&devices[0], &devices[1]);
    let first = bundle("1", 1, &["alice", "bob"], &[]);
    commit(&*store, alice, 1, first.clone()).await.expect("accepted");
    commit(&*store, alice, 1, bundle("2", 2, &["alice", "bob"], &[])).await.expect("accepted");
    let later = AcceptedBundle { at: time(60), ..first.clone() };
    let again = commit(&*store, alice, 1, later).await.expect("accepted before");
    assert_eq!((again.placed, again.woken.len()), (repeated(2), 0));
    let reused = Err(FrameRefusal::MidReused.into());
    assert_eq!(commit(&*store, bob, 1, first.clone()).await, reused);
    let other = AcceptedBundle { request_sha256: [0; 32], ..first };
    assert_eq!(commit(&*store, alice, 1, other).await, reused);
    verdicts(&*store, alice, 1, vec![frame("said", 3)]).await;
    assert_eq!(commit(&*store, alice, 1, bundle("said", 3, &["alice", "bob"], &[])).await, reused);
    assert_eq!(seen(&*store, alice, 1).await.unwrap().group_info, b"group info 2");
}

pub(in crate::store) async fn members_come_and_go_with_a_commit(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let (alice, bob) = (&devices[0], &devices[1]);
    let carol = &settle(&*store, "carol", 1).await[0];
    let swap = bundle("swap", 1, &["alice", "carol"], &["carol"]);
    let swapped = commit(&*store, alice, 1, swap).await.expect("accepted");
    // The removed learn of it, the newcomer gets a Welcome.
    assert_eq!(
        heads(&swapped.woken).into_keys().collect::<Vec<_>>(),
        members(&["alice", "bob", "carol"]).as_slice()
    );
    assert_eq!(seen(&*store, alice, 1).await.unwrap().members, members(&["alice", "carol"]));
    assert_eq!(seen(&*store, bob, 1).await, None);
    let said = append(&*store, carol, 1, vec![frame("1", 2)]).await.unwrap();
    assert_eq!(heads(&said.woken).into_keys().collect::<Vec<_>>(), members(&["alice", "carol"]).as_slice());
    assert_eq!(append(&*store, bob, 1, vec![frame("2", 2)]).await, Err(NotAdmitted::NotAMember));
    let late = bundle("late", 2, &["alice", "bob"], &[]);
    assert_eq!(commit(&*store, bob, 1, late).await, Err(NotAdmitted::NotAMember.into()));
    assert_eq!(log(&*store, alice, 1).await, [1, 2, 3]);
    assert_eq!(log(&*store, bob, 1).await, [2]); // up to the commit that removed him
    assert_eq!(log(&*store, carol, 1).await, [3]); // after the commit that added her
    assert_eq!(page(&*store, bob, 1, 0, ALL).await.unwrap().head, 2);
    // Bob comes back: he reads from then on.
    let back = bundle("back", 2, &["alice", "bob", "carol"], &["bob"]);
    commit(&*store, carol, 1, back).await.expect("accepted");
    verdicts(&*store, bob, 1, vec![frame("3", 3)]).await;
    assert_eq!(log(&*store, bob, 1).await, [5]);
    assert_eq!(log(&*store, alice, 1).await, [1, 2, 3, 4, 5]);
}

pub(in crate::store) async fn a_commit_changes_members_by_the_rules_or_nothing(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let alice = &devices[0];
    settle(&*store, "carol", 1).await;
    create(&*store, alice, 2, Direct, bundle("2", 0, &["alice", "bob"], &["bob"])).await.expect("created");
    let all = ["alice", "bob", "carol"];
    let fixed = |bundle| (bundle, BundleRefusal::BadMembers(MembersFault::Fixed));
    let external = |bundle| AcceptedBundle { is_external: true, ..bundle };
    let wrong = [
        (1, (bundle("3", 1, &all, &[]), BundleRefusal::BadMembers(MembersFault::NoWelcome))),
        (1, (bundle("3", 1, &all, &["dora"]), BundleRefusal::BadWelcome)),
        (1, (bundle("3", 1, &["alice", "dora"], &[]), BundleRefusal::BadMembers(MembersFault::Unknown))),
        (1, fixed(external(bundle("3", 1, &all, &["carol"])))),
        (1, fixed(external(bundle("3", 1, &["alice"], &[])))),
        (2, fixed(bundle("3", 1, &all, &["carol"]))),
        (2, fixed(bundle("3", 1, &["alice"], &[]))),
        (2, fixed(bundle("3", 1, &["alice", "carol"], &["carol"]))),
    ];
    for (n, (bundle, refusal)) in wrong {
        let before = seen(&*store, alice, n).await;
        assert_eq!(commit(&*store, alice, n, bundle).await, Err(refusal));
        assert_eq!(seen(&*store, alice, n).await, before);
    }
    // The epoch comes first: who lost a race learns that, not what it would have done wrong.
    let late = commit(&*store, alice, 2, bundle("3", 0, &["alice"], &[])).await;
    assert_eq!(late, Err(FrameRefusal::StaleEpoch(Head { epoch: 1, seq: 1 }).into()));
    commit(&*store, alice, 2, external(bundle("3", 1, &["alice", "bob"], &[])))
        .await
        .expect("the same members");
}

pub(in crate::store) async fn a_revoked_device_writes_nothing(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let (alice, bob) = (&devices[0], &devices[1]);
    store.revoke(revocation("alice", id(1))).await.unwrap().unwrap();
    let revoked = NotAdmitted::DeviceRevoked;
    assert_eq!(append(&*store, alice, 1, vec![frame("1", 1)]).await, Err(revoked));
    assert_eq!(commit(&*store, alice, 1, bundle("1", 1, &["alice", "bob"], &[])).await, Err(revoked.into()));
    assert_eq!(create(&*store, alice, 2, Group, bundle("2", 0, &["alice"], &[])).await, Err(revoked.into()));
    // Nor does a device under another account's name.
    let forged = Author { account: bob.account, device: alice.device };
    let answer = store.append(forged, cid(1), vec![frame("1", 1)], now(), nobody()).await.unwrap();
    assert_eq!(answer, Err(revoked));
    assert_eq!(log(&*store, alice, 1).await, [1]);
    verdicts(&*store, bob, 1, vec![frame("1", 1)]).await;
}

pub(in crate::store) async fn a_stranger_learns_nothing(store: Shared<impl Store>) {
    group(&*store, &["alice", "bob"]).await;
    let carol = &settle(&*store, "carol", 1).await[0];
    for n in [1, 9] {
        assert_eq!(append(&*store, carol, n, vec![frame("1", 1)]).await, Err(NotAdmitted::NotAMember));
        let bundle = bundle("1", 1, &["alice", "carol"], &[]);
        assert_eq!(commit(&*store, carol, n, bundle).await, Err(NotAdmitted::NotAMember.into()));
        assert_eq!(seen(&*store, carol, n).await, None);
        assert_eq!(page(&*store, carol, n, 0, ALL).await, Err(PageRefusal::NotAMember));
        assert!(!store.is_member(carol.account, cid(n)).await.unwrap());
        assert_eq!(
            store.conversations(carol.account, Some(cid(n)), 10, now()).await.unwrap(),
            Err(BadCursor)
        );
    }
    assert_eq!(store.conversations(carol.account, None, 10, now()).await.unwrap(), Ok(Vec::new()));
}

pub(in crate::store) async fn conversations_are_listed_in_pages(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let alice = &devices[0];
    for n in [9, 2, 5] {
        create(&*store, alice, n, Group, bundle(&n.to_string(), 0, &["alice"], &[])).await.expect("created");
    }
    let list = async |after: Option<u8>, limit| {
        let page = store.conversations(alice.account, after.map(cid), limit, now()).await.unwrap().unwrap();
        page.iter().map(|one| one.cid).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 10).await, [1, 9, 2, 5].map(cid));
    assert_eq!(list(None, 2).await, [1, 9].map(cid));
    assert_eq!(list(Some(9), 2).await, [2, 5].map(cid));
    assert_eq!(list(Some(5), 2).await, [0_u8; 0].map(cid));
    // One that was left is not listed, and can still be gone on after.
    commit(&*store, &devices[1], 1, bundle("bye", 1, &["bob"], &[])).await.expect("accepted");
    assert_eq!(list(None, 1).await, [9].map(cid));
    assert_eq!(list(Some(1), 1).await, [9].map(cid));
}

pub(in crate::store) async fn a_log_is_read_in_pages(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let alice = &devices[0];
    for n in 2..=10_u64 {
        let bytes = vec![7; if n == 5 { 1_000 } else { 100 }];
        let frame = AcceptedFrame { bytes, ..frame(&n.to_string(), 1) };
        assert_eq!(verdicts(&*store, alice, 1, vec![frame]).await, [Ok(new(n))]);
    }
    let numbers = async |after, frames_max, bytes_max| {
        let page = page(&*store, alice, 1, after, PageLimits { frames_max, bytes_max }).await.unwrap();
        assert_eq!((page.head, page.oldest), (10, 1));
        page.frames.iter().map(|frame| frame.seq).collect::<Vec<_>>()
    };
    assert_eq!(numbers(0, 500, 1 << 20).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(numbers(1, 2, 1 << 20).await, [2, 3]);
    assert_eq!(numbers(1, 500, 250).await, [2, 3]);
    assert_eq!(numbers(3, 500, 250).await, [4]);
    assert_eq!(numbers(4, 500, 250).await, [5]); // more than a page, but the first
    assert_eq!(numbers(10, 500, 250).await, [0_u64; 0]);
    assert_eq!(numbers(u64::MAX, 500, 250).await, [0_u64; 0]);
}

/// Who was removed is not told by the log how it goes on without it.
pub(in crate::store) async fn who_left_does_not_see_the_log_move(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let [alice, bob] = devices.as_slice() else { panic!("two devices") };
    commit(&*store, alice, 1, bundle("without bob", 1, &["alice"], &[])).await.expect("committed");
    frames_dropped(&*store, bob, 0).await;
    for name in ["a", "b", "c"] {
        verdicts(&*store, alice, 1, vec![frame(name, 2)]).await;
        frames_dropped(&*store, alice, 0).await;
        let answers = [page(&*store, bob, 1, 0, ALL).await, page(&*store, bob, 1, 2, ALL).await];
        let empty = FramePage { frames: Vec::new(), head: 2, oldest: 3 };
        assert_eq!(answers, [Err(PageRefusal::Gone { oldest: 3 }), Ok(empty)]);
    }
    assert_eq!(page(&*store, alice, 1, 0, ALL).await, Err(PageRefusal::Gone { oldest: 6 }));
}

/// Acknowledges all but the last `but` events and sweeps; how many frames went.
async fn frames_dropped(store: &impl Store, who: &StoredDevice, but: u64) -> u64 {
    let head = store.mailbox(who.device).await.expect("the store works").expect("an active device").head;
    store.ack(who.device, head - but).await.expect("the store works").expect("acknowledged");
    let retention = Retention { now: time(700), settled_at: time(100), expired_at: time(-100) };
    let swept = store.sweep_inboxes(None, retention).await.expect("the store works");
    assert_eq!(swept.next, None);
    let left_over = store.sweep_conversations(None, retention).await.expect("the store works");
    assert_eq!((left_over.frames, left_over.next), (0, None), "nothing was left over");
    swept.frames
}

pub(in crate::store) async fn a_frame_goes_with_the_last_inbox_that_points_to_it(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let [alice, bob] = devices.as_slice() else { panic!("two devices") };
    verdicts(&*store, alice, 1, vec![frame("a", 1), frame("b", 1), frame("c", 1)]).await;
    assert_eq!(frames_dropped(&*store, alice, 0).await, 1, "the creation was for her alone");
    assert_eq!(log(&*store, bob, 1).await, [2, 3, 4]);
    assert_eq!(frames_dropped(&*store, bob, 1).await, 2);
    assert_eq!(page(&*store, bob, 1, 2, ALL).await, Err(PageRefusal::Gone { oldest: 4 }));
    let page = page(&*store, alice, 1, 3, ALL).await.expect("a page");
    assert_eq!(page.frames.iter().map(|frame| frame.seq).collect::<Vec<_>>(), [4]);
    assert_eq!(frames_dropped(&*store, bob, 0).await, 1);
}

/// What was still in somebody's inbox when it was removed stays there when it comes back.
pub(in crate::store) async fn who_comes_back_misses_nothing_that_was_for_it(store: Shared<impl Store>) {
    let devices = group(&*store, &["alice", "bob"]).await;
    let [alice, bob] = devices.as_slice() else { panic!("two devices") };
    verdicts(&*store, alice, 1, vec![frame("a", 1)]).await;
    commit(&*store, alice, 1, bundle("without bob", 1, &["alice"], &[])).await.expect("committed");
    commit(&*store, alice, 1, bundle("with bob", 2, &["alice", "bob"], &["bob"])).await.expect("committed");
    frames_dropped(&*store, alice, 0).await;
    let limits = crate::store::InboxLimits { events: 100, bytes: usize::MAX };
    let inbox = store.events(bob.account, 0, limits).await.expect("the store works").expect("a page");
    let seqs = inbox.events.iter().filter_map(|event| match &event.news {
        crate::store::News::Frame { seq, .. } => Some(*seq),
        _ => None,
    });
    assert_eq!(seqs.collect::<Vec<_>>(), [2, 3]);
}

/// A clock that was set back leaves events that look younger than those after them.
pub(in crate::store) async fn no_frame_goes_under_an_inbox_whose_front_looks_young(
    store: Shared<impl Store>,
) {
    const DAY: i64 = 24 * 60 * 60;
    let devices = group(&*store, &["alice", "bob"]).await;
    let [alice, bob] = devices.as_slice() else { panic!("two devices") };
    create(&*store, alice, 2, Group, bundle("2", 0, &["alice", "bob"], &["bob"])).await.expect("created");
    for (n, name, at) in [(1, "ahead", time(20 * DAY)), (2, "set back", now())] {
        let appended = store
            .append(by(alice), cid(n), vec![frame(name, 1)], at, nobody())
            .await
            .expect("the store works");
        assert_eq!(appended.expect("a member").verdicts.len(), 1);
    }
    let retention = Retention { now: time(31 * DAY), settled_at: time(31 * DAY), expired_at: time(DAY) };
    store.sweep_inboxes(None, retention).await.expect("the store works");
    let mut after = None;
    while let Some(next) = store.sweep_conversations(after, retention).await.expect("the store works").next {
        after = Some(next);
    }
    for (device, n, seq) in [(alice, 1, 2), (alice, 2, 2), (bob, 1, 2), (bob, 2, 2)] {
        let page = page(&*store, device, n, 1, ALL).await.expect("a page");
        assert_eq!(page.frames.iter().map(|frame| frame.seq).collect::<Vec<_>>(), [seq], "{n}");
        let limits = crate::store::InboxLimits { events: 100, bytes: usize::MAX };
        let oldest = store.mailbox(device.device).await.expect("the store works").expect("active").oldest;
        let inbox = store.events(device.account, oldest - 1, limits).await.expect("the store works");
        assert_eq!(inbox.expect("a page").events.len(), 2);
    }
}

/// Sweeps everything, with events kept for ten days.
async fn sweep_at(store: &impl Store, now: Timestamp) {
    let before = |days: i64| now.plus_seconds(-days * 24 * 60 * 60).expect("a time");
    let retention = Retention { now, settled_at: now, expired_at: before(10) };
    assert_eq!(store.sweep_inboxes(None, retention).await.expect("the store works").next, None);
    let mut after = None;
    while let Some(next) = store.sweep_conversations(after, retention).await.expect("the store works").next {
        after = Some(next);
    }
}

/// Whoever was away for longer than messages are kept, and sends again what it got no answer to.
pub(in crate::store) async fn an_id_is_known_after_its_frame_is_gone(store: Shared<impl Store>) {
    const DAY: i64 = 24 * 60 * 60;
    let devices = group(&*store, &["alice", "bob"]).await;
    let [alice, bob] = devices.as_slice() else { panic!("two devices") };
    assert_eq!(
        verdicts(&*store, alice, 1, vec![frame("a", 1), frame("b", 1)]).await,
        [Ok(new(2)), Ok(new(3))]
    );
    assert_eq!(verdicts(&*store, bob, 1, vec![frame("c", 1)]).await, [Ok(new(4))]);
    // Bob has seen his own.
    let head = store.mailbox(bob.device).await.expect("the store works").expect("active").head;
    store.ack(bob.device, head).await.expect("the store works").expect("acknowledged");
    sweep_at(&*store, time(10 * DAY)).await;
    assert_eq!(page(&*store, alice, 1, 1, ALL).await, Err(PageRefusal::Gone { oldest: 5 }));
    let again = [frame("a", 1), frame("b", 1)];
    let other = AcceptedFrame { bytes: b"other".to_vec(), ..frame("a", 1) };
    let reused = Err(FrameRefusal::MidReused);
    for _ in 0..2 {
        let first = [Ok(repeated(2)), Ok(repeated(3))];
        assert_eq!(verdicts(&*store, alice, 1, again.to_vec()).await, first);
        assert_eq!(verdicts(&*store, alice, 1, vec![other.clone()]).await, [reused]);
        assert_eq!(verdicts(&*store, bob, 1, again.to_vec()).await, [reused, reused]);
        sweep_at(&*store, time(41 * DAY - 1)).await;
    }
    assert_eq!(
        commit(&*store, bob, 1, bundle("a", 1, &["alice", "bob"], &[])).await,
        Err(FrameRefusal::MidReused.into())
    );
    // Kept as long as it may come again, and no longer.
    sweep_at(&*store, time(41 * DAY)).await;
    assert_eq!(verdicts(&*store, alice, 1, vec![frame("a", 1)]).await, [Ok(new(5))]);
}

/// Of another epoch than the head no frame is taken, so nothing is kept of it.
pub(in crate::store) async fn no_id_of_an_epoch_that_is_over_is_kept(store: Shared<impl Store>) {
    const DAY: i64 = 24 * 60 * 60;
    let devices = group(&*store, &["alice", "bob"]).await;
    let [alice, bob] = devices.as_slice() else { panic!("two devices") };
    verdicts(&*store, alice, 1, vec![frame("a", 1)]).await;
    commit(&*store, bob, 1, bundle("on", 1, &["alice", "bob"], &[])).await.expect("accepted");
    sweep_at(&*store, time(10 * DAY)).await;
    let stale = Err(FrameRefusal::StaleEpoch(Head { epoch: 2, seq: 3 }));
    assert_eq!(verdicts(&*store, alice, 1, vec![frame("a", 1)]).await, [stale]);
    assert_eq!(verdicts(&*store, alice, 1, vec![frame("a", 2)]).await, [Ok(new(4))]);
}
