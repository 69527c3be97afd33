//! What the devices of an account keep for each other.

use kez_client::{CallError, Replaces};
use kez_core::EntryName;

use crate::town::{Phone, Town};

async fn start() -> (Town, Phone, Phone, EntryName) {
    let town = Town::start().await;
    town.register("alice").await;
    let (phone, laptop) = (town.phone("alice", "phone").await, town.phone("alice", "laptop").await);
    (town, phone, laptop, "rooms".parse().expect("a name"))
}

/// The stored version of which a refusal speaks.
fn stored(fault: Result<u64, CallError>) -> u64 {
    match fault {
        Err(CallError::VersionMismatch { version }) => version,
        other => panic!("a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn who_writes_names_what_is_replaced() {
    let (_town, phone, laptop, name) = start().await;
    let (phone, laptop) = (&phone.client, &laptop.client);
    assert!(matches!(phone.entry(&name).await, Err(CallError::NoValue { version: 0 })));
    assert_eq!(phone.write_entry(&name, b"one", Replaces::Nothing).await.expect("written"), 1);
    assert_eq!(stored(laptop.write_entry(&name, b"two", Replaces::Nothing).await), 1);
    assert_eq!(laptop.write_entry(&name, b"two", Replaces::Version(1)).await.expect("written"), 2);
    assert_eq!(stored(phone.write_entry(&name, b"three", Replaces::Version(1)).await), 2, "it lost");
    let entry = phone.entry(&name).await.expect("a value");
    assert_eq!((entry.version, entry.data), (2, b"two".to_vec()));

    let other: EntryName = "settings".parse().expect("a name");
    let longest = vec![7; 64 * 1024];
    phone.write_entry(&other, &longest, Replaces::Nothing).await.expect("the longest value");
    let heads = laptop.entries().await.expect("a list");
    let heads: Vec<_> = heads.iter().map(|head| (head.name.as_str(), head.version, head.bytes)).collect();
    assert_eq!(heads, [("rooms", 2, 3), ("settings", 1, 65_536)]);
    assert_eq!(phone.entry(&other).await.expect("a value").data, longest);

    assert_eq!(stored(phone.delete_entry(&name, 1).await), 2);
    assert_eq!(phone.delete_entry(&name, 2).await.expect("deleted"), 3);
    assert!(matches!(laptop.entry(&name).await, Err(CallError::NoValue { version: 3 })));
    assert_eq!(laptop.write_entry(&name, b"four", Replaces::Nothing).await.expect("written"), 4);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_done_once() {
    let (town, phone, laptop, name) = start().await;
    let (phone, laptop) = (&phone.client, &laptop.client);
    for (replaces, version) in [(Replaces::Nothing, 1), (Replaces::Version(1), 2)] {
        town.link.lose_answers(1);
        let data = version.to_string();
        assert_eq!(phone.write_entry(&name, data.as_bytes(), replaces).await.expect("written"), version);
    }
    town.link.lose_answers(1);
    assert_eq!(phone.delete_entry(&name, 2).await.expect("deleted"), 3);
    // Nothing of this lets a write pass that another device won.
    laptop.write_entry(&name, b"theirs", Replaces::Nothing).await.expect("written");
    assert_eq!(stored(phone.write_entry(&name, b"ours", Replaces::Version(3)).await), 4);
    assert_eq!(stored(phone.delete_entry(&name, 3).await), 4);
}
