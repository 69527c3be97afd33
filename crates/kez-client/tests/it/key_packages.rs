//! Key packages are added, counted and claimed.

use kez_client::CallError;
use kez_core::ClaimId;

use crate::town::{Town, random};

#[tokio::test]
async fn packages_are_handed_out_once_and_the_last_one_for_ever() {
    let town = Town::start().await;
    for name in ["alice", "bob"] {
        town.register(name).await;
    }
    let (alice, bob) = (town.phone("alice", "phone").await, town.phone("bob", "phone").await);
    let last = bob.mls.last_resort(town.net.now());
    let counts = bob.client.add_key_packages(&[], Some(&last)).await.expect("a package of last resort");
    assert_eq!((counts.one_time, counts.last_resort), (3, true));

    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.extend(alice.claim(bob.key()).await);
    }
    claimed.sort();
    claimed.dedup();
    assert_eq!((claimed.len(), claimed.contains(&last)), (3, false));
    assert_eq!(alice.claim(bob.key()).await, [last]);
    assert_eq!(bob.client.key_package_counts().await.expect("counts").one_time, 0);
}

#[tokio::test]
async fn a_claim_that_is_repeated_gives_the_same() {
    let town = Town::start().await;
    for name in ["alice", "bob", "carol"] {
        town.register(name).await;
    }
    let (alice, bob) = (town.phone("alice", "phone").await, town.phone("bob", "phone").await);
    let carol = town.phone("carol", "phone").await;
    let id = ClaimId::from_bytes(random());
    let first = alice.client.claim_key_packages(bob.key(), id).await.expect("a package");
    assert_eq!(first.key_packages[0].device_id, bob.mls.id());
    assert_eq!(alice.client.claim_key_packages(bob.key(), id).await.expect("the same"), first);
    assert_eq!(bob.client.key_package_counts().await.expect("counts").one_time, 2);
    let fault = alice.client.claim_key_packages(carol.key(), id).await.expect_err("another's");
    assert!(matches!(fault, CallError::IdReused), "{fault:?}");
}
