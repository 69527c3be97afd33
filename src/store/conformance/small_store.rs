//! The small store: one winner for each version, and nobody sees another's.

use std::collections::BTreeSet;

use super::devices::{device, id, register, revocation};
use super::registry::now;
use crate::small_store::{DELETED_ENTRIES_MAX, ENTRIES_MAX, ENTRY_BYTES_MAX, Expected};
use crate::store::{Entry, EntryRefusal, EntryWrite, Store, StoredDevice};

type Shared<S> = std::sync::Arc<S>;

async fn settle(store: &impl Store, owner: &str) -> StoredDevice {
    register(store, owner).await;
    store.enrol(device(owner, 1)).await.unwrap().unwrap().device
}

fn write(device: &StoredDevice, name: &str, expected: Expected, value: Option<&str>) -> EntryWrite {
    EntryWrite {
        account: device.account,
        device: device.device,
        name: name.parse().expect("a name"),
        expected,
        bytes: value.map(|value| value.as_bytes().to_vec()),
        at: now(),
    }
}

async fn put(store: &impl Store, write: EntryWrite) -> Result<u64, EntryRefusal> {
    store.write_entry(write).await.expect("the store works")
}

async fn read(store: &impl Store, device: &StoredDevice, name: &str) -> (u64, Option<String>) {
    let Entry { version, bytes } = store.entry(device.account, &name.parse().unwrap()).await.unwrap();
    (version, bytes.map(|bytes| String::from_utf8(bytes).expect("text")))
}

async fn names(store: &impl Store, device: &StoredDevice) -> Vec<(String, u64, u64)> {
    let heads = store.entries(device.account).await.expect("the store works");
    heads.into_iter().map(|head| (head.name, head.version, head.bytes)).collect()
}

fn other(version: u64) -> Result<u64, EntryRefusal> {
    Err(EntryRefusal::OtherVersion { version })
}

pub(in crate::store) async fn a_value_is_replaced_by_who_knows_its_version(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice").await;
    assert_eq!(read(&*store, alice, "rooms").await, (0, None));
    assert_eq!(put(&*store, write(alice, "rooms", Expected::Version(0), Some("x"))).await, other(0));
    assert_eq!(put(&*store, write(alice, "rooms", Expected::Version(1), Some("x"))).await, other(0));
    assert_eq!(put(&*store, write(alice, "rooms", Expected::Nothing, Some("one"))).await, Ok(1));
    assert_eq!(put(&*store, write(alice, "rooms", Expected::Nothing, Some("x"))).await, other(1));
    assert_eq!(put(&*store, write(alice, "rooms", Expected::Version(2), Some("x"))).await, other(1));
    assert_eq!(put(&*store, write(alice, "rooms", Expected::Version(1), Some("second"))).await, Ok(2));
    assert_eq!(put(&*store, write(alice, "rooms", Expected::Version(1), Some("x"))).await, other(2));
    assert_eq!(read(&*store, alice, "rooms").await, (2, Some("second".into())));
    assert_eq!(put(&*store, write(alice, "a", Expected::Nothing, Some(""))).await, Ok(1));
    assert_eq!(names(&*store, alice).await, [("a".into(), 1, 0), ("rooms".into(), 2, 6)]);
}

pub(in crate::store) async fn a_version_is_not_used_twice(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice").await;
    assert_eq!(put(&*store, write(alice, "k", Expected::Nothing, None)).await, Ok(1), "deleting nothing");
    assert_eq!(put(&*store, write(alice, "k", Expected::Nothing, Some("a"))).await, Ok(2));
    assert_eq!(put(&*store, write(alice, "k", Expected::Version(1), None)).await, other(2));
    assert_eq!(put(&*store, write(alice, "k", Expected::Version(2), None)).await, Ok(3));
    assert_eq!((read(&*store, alice, "k").await, names(&*store, alice).await), ((3, None), vec![]));
    assert_eq!(put(&*store, write(alice, "k", Expected::Version(2), Some("late"))).await, other(3));
    assert_eq!(put(&*store, write(alice, "k", Expected::Version(3), Some("b"))).await, Ok(4));
    assert_eq!(put(&*store, write(alice, "k", Expected::Version(4), None)).await, Ok(5));
    assert_eq!(put(&*store, write(alice, "k", Expected::Nothing, Some("c"))).await, Ok(6));
}

pub(in crate::store) async fn accounts_do_not_share_names(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice").await;
    let mallory = &settle(&*store, "mallory").await;
    assert_eq!(put(&*store, write(alice, "rooms", Expected::Nothing, Some("hers"))).await, Ok(1));
    assert_eq!(read(&*store, mallory, "rooms").await, (0, None));
    assert_eq!(names(&*store, mallory).await, []);
    assert_eq!(put(&*store, write(mallory, "rooms", Expected::Version(1), Some("x"))).await, other(0));
    assert_eq!(put(&*store, write(mallory, "rooms", Expected::Version(1), None)).await, other(0));
    assert_eq!(put(&*store, write(mallory, "rooms", Expected::Nothing, Some("his"))).await, Ok(1));
    assert_eq!(read(&*store, alice, "rooms").await, (1, Some("hers".into())));
}

pub(in crate::store) async fn a_revoked_device_writes_no_entry(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice").await;
    store.revoke(revocation("alice", id(1))).await.unwrap().unwrap();
    let refused = put(&*store, write(alice, "rooms", Expected::Nothing, Some("x"))).await;
    assert_eq!(refused, Err(EntryRefusal::DeviceRevoked));
    assert_eq!(read(&*store, alice, "rooms").await, (0, None));
}

pub(in crate::store) async fn each_version_has_one_writer(store: Shared<impl Store>) {
    let alice = settle(&*store, "alice").await;
    put(&*store, write(&alice, "race", Expected::Nothing, Some("0"))).await.unwrap();
    for version in 1..=8 {
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..32 {
            let (store, alice) = (Shared::clone(&store), alice.clone());
            writers.spawn(async move {
                let value = format!("{version} {n}");
                let wanted = write(&alice, "race", Expected::Version(version), Some(&value));
                (put(&*store, wanted).await, value)
            });
        }
        let outcomes = writers.join_all().await;
        let winners: Vec<_> = outcomes.iter().filter(|(outcome, _)| outcome.is_ok()).collect();
        let [(won, value)] = winners[..] else { panic!("{} winners", winners.len()) };
        assert_eq!(*won, Ok(version + 1));
        assert!(outcomes.iter().all(|(outcome, _)| *outcome == *won || *outcome == other(version + 1)));
        assert_eq!(read(&*store, &alice, "race").await, (version + 1, Some(value.clone())));
    }
}

pub(in crate::store) async fn names_are_bounded_also_those_that_were_deleted(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice").await;
    let full = "x".repeat(ENTRY_BYTES_MAX);
    for n in 0..ENTRIES_MAX {
        let wanted = write(alice, &format!("n{n}"), Expected::Nothing, Some(&full));
        assert_eq!(put(&*store, wanted).await, Ok(1));
    }
    let more = write(alice, "more", Expected::Nothing, Some(""));
    assert_eq!(put(&*store, more.clone()).await, Err(EntryRefusal::TooMany));
    assert_eq!(read(&*store, alice, "more").await, (0, None), "a refusal leaves nothing behind");
    assert_eq!(put(&*store, write(alice, "n0", Expected::Version(1), Some("y"))).await, Ok(2));
    assert_eq!(put(&*store, write(alice, "n0", Expected::Version(2), None)).await, Ok(3));
    assert_eq!(put(&*store, more).await, Ok(1));

    for n in 0..DELETED_ENTRIES_MAX {
        assert_eq!(put(&*store, write(alice, &format!("d{n}"), Expected::Nothing, None)).await, Ok(1));
    }
    assert_eq!(read(&*store, alice, "n0").await, (0, None), "the deletion longest ago is forgotten");
    assert_eq!(read(&*store, alice, "d0").await, (1, None));
    let names: BTreeSet<_> = names(&*store, alice).await.into_iter().map(|(name, ..)| name).collect();
    assert_eq!((names.len(), names.contains("more")), (256, true));
}
