//! Key packages: uploaded, counted, handed out.

use std::collections::BTreeSet;

use kez_core::{ClaimId, Timestamp};

use super::devices::{device, device_with, id, register, revocation};
use super::registry::{key, now, time};
use crate::key_packages::{AcceptedKeyPackage, Upload};
use crate::store::{
    AcceptedDevice, CLAIM_LIFETIME_SECONDS_MIN, CLAIMS_PER_CLAIMER_MAX, CLAIMS_PER_TARGET_MAX, Claim,
    ClaimRefusal, Claimed, KeyPackageCounts, ONE_TIME_MAX, Store, StoredDevice, UploadRefusal,
};

type Shared<S> = std::sync::Arc<S>;

const DAY: i64 = 24 * 60 * 60;

/// Takes in the devices 1 to `devices` of `owner`, who is registered with it.
pub(in crate::store) async fn settle(store: &impl Store, owner: &str, devices: u8) -> Vec<StoredDevice> {
    register(store, owner).await;
    let mut all = Vec::new();
    for n in 1..=devices {
        all.push(store.enrol(device(owner, n)).await.unwrap().unwrap().device);
    }
    store.befriend_everybody().await;
    all
}

/// A package like no other of another `name`, for 83 days.
fn package(name: &str) -> AcceptedKeyPackage {
    package_until(name, time(83 * DAY))
}

fn package_until(name: &str, not_after: Timestamp) -> AcceptedKeyPackage {
    let hash = |what: &str| *key(&format!("{what} {name}")).as_bytes();
    AcceptedKeyPackage {
        bytes: name.into(),
        sha256: hash("package"),
        init_key_sha256: hash("init"),
        not_after,
    }
}

pub(in crate::store) fn packages(name: &str, count: usize) -> Vec<AcceptedKeyPackage> {
    (0..count).map(|n| package(&format!("{name} {n}"))).collect()
}

pub(in crate::store) fn upload(device: &StoredDevice, one_time: Vec<AcceptedKeyPackage>) -> Upload {
    Upload { device: device.device, certificate: device.certificate, one_time, last_resort: None, at: now() }
}

fn with_last_resort(upload: Upload, name: &str) -> Upload {
    Upload { last_resort: Some(package(name)), ..upload }
}

pub(in crate::store) async fn add(
    store: &impl Store,
    upload: Upload,
) -> Result<KeyPackageCounts, UploadRefusal> {
    store.add_key_packages(upload).await.expect("the store works")
}

async fn counts(store: &impl Store, device: &StoredDevice, now: Timestamp) -> (u32, bool) {
    pair(store.key_package_counts(device.device, now).await.expect("the store works"))
}

fn pair(counts: KeyPackageCounts) -> (u32, bool) {
    (counts.one_time, counts.last_resort)
}

/// The claim number `n` of the device's account.
pub(in crate::store) fn claim_of(claimer: &StoredDevice, target: &str, n: u64) -> Claim {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    let id = ClaimId::from_bytes(bytes);
    Claim { claimer: claimer.account, device: claimer.device, id, target: key(target), at: now() }
}

pub(in crate::store) async fn claim(store: &impl Store, claim: Claim) -> Result<Claimed, ClaimRefusal> {
    store.claim_key_packages(claim).await.expect("the store works")
}

/// What was handed out, as text: the number of the device and the package; `*` marks the last resort.
fn given(claimed: &Claimed) -> Vec<String> {
    let one = |package: &crate::store::ClaimedKeyPackage| {
        let mark = if package.last_resort { "*" } else { "" };
        let text = String::from_utf8(package.key_package.0.clone()).expect("text");
        format!("{}: {text}{mark}", package.device_id.as_bytes()[0])
    };
    claimed.key_packages.iter().map(one).collect()
}

pub(in crate::store) async fn an_upload_is_kept_and_counted(store: Shared<impl Store>) {
    let [phone, laptop] = &settle(&*store, "alice", 2).await[..] else { panic!("two devices") };
    assert_eq!(counts(&*store, phone, now()).await, (0, false));
    let first = with_last_resort(upload(phone, packages("a", 3)), "last");
    assert_eq!(pair(add(&*store, first).await.unwrap()), (3, true));
    assert_eq!(pair(add(&*store, upload(phone, packages("b", 2))).await.unwrap()), (5, true));
    assert_eq!(counts(&*store, phone, now()).await, (5, true));
    assert_eq!(counts(&*store, laptop, now()).await, (0, false));
    let too_late = time(83 * DAY - CLAIM_LIFETIME_SECONDS_MIN);
    assert_eq!(counts(&*store, phone, too_late).await, (5, true));
    assert_eq!(counts(&*store, phone, too_late.plus_seconds(1).unwrap()).await, (0, false));
}

pub(in crate::store) async fn a_repeated_upload_changes_nothing(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 1).await[0];
    let bob = &settle(&*store, "bob", 1).await[0];
    let first = with_last_resort(upload(alice, packages("a", 2)), "last");
    for _ in 0..2 {
        assert_eq!(pair(add(&*store, first.clone()).await.unwrap()), (2, true));
    }
    let handed_out = claim(&*store, claim_of(bob, "alice", 1)).await.unwrap();
    assert_eq!(pair(add(&*store, first.clone()).await.unwrap()), (1, true), "what is given stays given");
    let rest = claim(&*store, claim_of(bob, "alice", 2)).await.unwrap();
    assert_eq!([given(&handed_out), given(&rest)].concat(), ["1: a 0", "1: a 1"]);
    assert_eq!(pair(add(&*store, first).await.unwrap()), (0, true));
}

pub(in crate::store) async fn an_init_key_is_taken_once(store: Shared<impl Store>) {
    let [phone, laptop] = &settle(&*store, "alice", 2).await[..] else { panic!("two devices") };
    let used = package("a");
    add(&*store, upload(phone, vec![used.clone()])).await.unwrap();
    let other_bytes = AcceptedKeyPackage { sha256: [7; 32], ..used.clone() };
    let refused = Err(UploadRefusal::InitKeyReused);
    assert_eq!(add(&*store, upload(phone, vec![package("b"), other_bytes.clone()])).await, refused);
    let last_resort = Upload { last_resort: Some(other_bytes), ..upload(phone, vec![package("b")]) };
    assert_eq!(add(&*store, last_resort).await, refused);
    assert_eq!(add(&*store, upload(laptop, vec![used])).await, refused);
    assert_eq!(counts(&*store, phone, now()).await, (1, false), "a refused upload leaves nothing");
    assert_eq!(counts(&*store, laptop, now()).await, (0, false));
}

pub(in crate::store) async fn a_hundred_one_time_packages_are_kept(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 1).await[0];
    let bob = &settle(&*store, "bob", 1).await[0];
    let full = upload(alice, packages("a", 99));
    assert_eq!(pair(add(&*store, full.clone()).await.unwrap()), (99, false));
    assert_eq!(add(&*store, upload(alice, packages("b", 2))).await, Err(UploadRefusal::TooMany));
    assert_eq!(counts(&*store, alice, now()).await, (99, false));
    let last_resort = with_last_resort(upload(alice, vec![package("c")]), "last");
    assert_eq!(pair(add(&*store, last_resort).await.unwrap()), (ONE_TIME_MAX, true));
    assert_eq!(add(&*store, upload(alice, vec![package("d")])).await, Err(UploadRefusal::TooMany));
    assert_eq!(pair(add(&*store, full).await.unwrap()), (100, true), "these are there");
    claim(&*store, claim_of(bob, "alice", 1)).await.unwrap();
    assert_eq!(pair(add(&*store, upload(alice, vec![package("d")])).await.unwrap()), (100, true));
}

pub(in crate::store) async fn a_last_resort_package_is_replaced_for_good(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 1).await[0];
    let bob = &settle(&*store, "bob", 1).await[0];
    let first = with_last_resort(upload(alice, Vec::new()), "first");
    add(&*store, first.clone()).await.unwrap();
    add(&*store, with_last_resort(upload(alice, Vec::new()), "second")).await.unwrap();
    assert_eq!(pair(add(&*store, first).await.unwrap()), (0, true), "an old upload sent again");
    let claimed = claim(&*store, claim_of(bob, "alice", 1)).await.unwrap();
    assert_eq!(given(&claimed), ["1: second*"]);
}

pub(in crate::store) async fn packages_that_end_too_soon_make_room(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 1).await[0];
    let bob = &settle(&*store, "bob", 1).await[0];
    let until = time(40 * DAY);
    let short = (0..100).map(|n| package_until(&format!("short {n}"), until)).collect();
    let last_resort = Some(package_until("short last", until));
    add(&*store, Upload { last_resort, ..upload(alice, short) }).await.unwrap();
    let at = time(9 * DAY + 1);
    let late = |n| Claim { at, ..claim_of(bob, "alice", n) };
    let nothing = claim(&*store, late(1)).await.unwrap();
    assert_eq!((given(&nothing), nothing.missing), (vec![], vec![id(1)]));
    let refill = Upload { at, ..upload(alice, packages("long", 100)) };
    assert_eq!(pair(add(&*store, refill).await.unwrap()), (100, false));
    assert_eq!(given(&claim(&*store, late(2)).await.unwrap()), ["1: long 0"]);
}

pub(in crate::store) async fn a_claim_takes_the_oldest_of_each_active_device(store: Shared<impl Store>) {
    let devices = settle(&*store, "alice", 4).await;
    let bob = &settle(&*store, "bob", 1).await[0];
    for (device, name) in devices.iter().zip(["a", "b", "c"]) {
        add(&*store, upload(device, packages(name, 2))).await.unwrap();
    }
    store.revoke(revocation("alice", id(2))).await.unwrap().unwrap();
    let first = claim(&*store, claim_of(bob, "alice", 1)).await.unwrap();
    assert_eq!((given(&first), &first.missing[..]), (vec!["1: a 0".into(), "3: c 0".into()], &[id(4)][..]));
    let second = claim(&*store, claim_of(bob, "alice", 2)).await.unwrap();
    assert_eq!((given(&second), &second.missing[..]), (vec!["1: a 1".into(), "3: c 1".into()], &[id(4)][..]));
    let third = claim(&*store, claim_of(bob, "alice", 3)).await.unwrap();
    assert_eq!((given(&third), third.missing), (vec![], vec![id(1), id(3), id(4)]));
}

pub(in crate::store) async fn the_last_resort_package_stays(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 1).await[0];
    let bob = &settle(&*store, "bob", 1).await[0];
    add(&*store, with_last_resort(upload(alice, vec![package("once")]), "last")).await.unwrap();
    for (n, expected) in [(1, "1: once"), (2, "1: last*"), (3, "1: last*")] {
        assert_eq!(given(&claim(&*store, claim_of(bob, "alice", n)).await.unwrap()), [expected]);
    }
    assert_eq!(counts(&*store, alice, now()).await, (0, true));
}

pub(in crate::store) async fn a_repeated_claim_is_answered_alike_for_ten_minutes(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 2).await[0];
    let [phone, laptop] = &settle(&*store, "bob", 2).await[..] else { panic!("two devices") };
    let carol = &settle(&*store, "carol", 1).await[0];
    add(&*store, upload(alice, packages("a", 9))).await.unwrap();
    let first = claim(&*store, claim_of(phone, "alice", 1)).await.unwrap();
    store.revoke(revocation("alice", id(2))).await.unwrap().unwrap();
    let after = |seconds| Claim { at: time(seconds), ..claim_of(phone, "alice", 1) };
    for seconds in [0, 1, 599] {
        assert_eq!(claim(&*store, after(seconds)).await.as_ref(), Ok(&first));
    }
    assert_eq!(claim(&*store, claim_of(laptop, "alice", 1)).await, Ok(first), "the account's other device");
    assert_eq!(counts(&*store, alice, now()).await, (8, false));
    for target in ["carol", "nobody"] {
        assert_eq!(claim(&*store, claim_of(phone, target, 1)).await, Err(ClaimRefusal::IdReused));
    }
    assert_eq!(
        given(&claim(&*store, claim_of(carol, "alice", 1)).await.unwrap()),
        ["1: a 1"],
        "another's id"
    );
    for seconds in [600, 3_599] {
        assert_eq!(claim(&*store, after(seconds)).await, Err(ClaimRefusal::IdReused));
    }
    assert_eq!(given(&claim(&*store, after(3_600)).await.unwrap()), ["1: a 2"]);
}

pub(in crate::store) async fn a_claim_of_ones_own_leaves_the_calling_device_out(store: Shared<impl Store>) {
    let devices = settle(&*store, "alice", 2).await;
    for (device, name) in devices.iter().zip(["a", "b"]) {
        add(&*store, upload(device, packages(name, 2))).await.unwrap();
    }
    let claimed = claim(&*store, claim_of(&devices[0], "alice", 1)).await.unwrap();
    assert_eq!((given(&claimed), claimed.missing), (vec!["2: b 0".into()], vec![]));
    assert_eq!(counts(&*store, &devices[0], now()).await, (2, false));
    let alone = &settle(&*store, "bob", 1).await[0];
    let nothing = claim(&*store, claim_of(alone, "bob", 1)).await.unwrap();
    assert_eq!((given(&nothing), nothing.missing), (vec![], vec![]));
}

pub(in crate::store) async fn nobody_without_an_active_device_is_found(store: Shared<impl Store>) {
    let bob = &settle(&*store, "bob", 1).await[0];
    register(&*store, "carol").await;
    settle(&*store, "dave", 1).await;
    store.revoke(revocation("dave", id(1))).await.unwrap().unwrap();
    let erin = &settle(&*store, "erin", 1).await[0];
    add(&*store, upload(erin, packages("e", 1))).await.unwrap();
    let frank = &settle(&*store, "frank", 1).await[0];
    add(&*store, upload(frank, packages("f", 1))).await.unwrap();
    store.give_up(&"frank".parse().unwrap()).await.unwrap();
    for target in ["nobody", "carol", "dave", "frank"] {
        assert_eq!(claim(&*store, claim_of(bob, target, 1)).await, Err(ClaimRefusal::NotFound), "{target}");
    }
    let expired = Claim { at: time(30 * DAY), ..claim_of(bob, "erin", 1) };
    assert_eq!(claim(&*store, expired.clone()).await, Err(ClaimRefusal::NotFound));
    assert!(
        claim(&*store, Claim { at: time(30 * DAY - 1), ..expired }).await.is_ok(),
        "refusals use no id up"
    );
}

pub(in crate::store) async fn claims_of_one_target_are_limited(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 1).await[0];
    let bob = &settle(&*store, "bob", 1).await[0];
    let carol = &settle(&*store, "carol", 1).await[0];
    add(&*store, upload(alice, packages("a", 100))).await.unwrap();
    let max = u64::from(CLAIMS_PER_TARGET_MAX);
    let at = |seconds, n| Claim { at: time(seconds), ..claim_of(bob, "alice", n) };
    claim(&*store, at(0, 0)).await.unwrap();
    for n in 1..max {
        claim(&*store, at(60, n)).await.unwrap();
    }
    let limited = |retry_after_s| Err(ClaimRefusal::Limited { retry_after_s });
    assert_eq!(claim(&*store, at(60, max)).await, limited(3_540));
    assert_eq!(counts(&*store, alice, now()).await, (80, false));
    assert!(claim(&*store, at(61, 0)).await.is_ok(), "a repetition is not counted");
    assert!(claim(&*store, claim_of(carol, "alice", max)).await.is_ok(), "others are not counted");
    assert!(claim(&*store, claim_of(bob, "carol", max + 1)).await.is_ok(), "nor are other targets");
    assert_eq!(claim(&*store, at(3_599, max)).await, limited(1));
    claim(&*store, at(3_600, max)).await.unwrap();
    assert_eq!(claim(&*store, at(3_600, max + 2)).await, limited(60));
}

pub(in crate::store) async fn claims_of_all_targets_are_limited(store: Shared<impl Store>) {
    let bob = &settle(&*store, "bob", 1).await[0];
    let per_target = CLAIMS_PER_TARGET_MAX;
    let targets = CLAIMS_PER_CLAIMER_MAX / per_target;
    let name = |n: u32| format!("target-{n}-");
    for target in 0..=targets {
        settle(&*store, &name(target), 1).await;
    }
    for n in 0..CLAIMS_PER_CLAIMER_MAX {
        claim(&*store, claim_of(bob, &name(n / per_target), n.into())).await.unwrap();
    }
    let one_more = claim_of(bob, &name(targets), CLAIMS_PER_CLAIMER_MAX.into());
    let limited = Err(ClaimRefusal::Limited { retry_after_s: 3_600 });
    assert_eq!(claim(&*store, one_more.clone()).await, limited);
    assert!(claim(&*store, Claim { at: time(3_600), ..one_more }).await.is_ok());
}

pub(in crate::store) async fn a_revoked_device_uploads_claims_and_gives_nothing(store: Shared<impl Store>) {
    let [phone, laptop] = &settle(&*store, "alice", 2).await[..] else { panic!("two devices") };
    let bob = &settle(&*store, "bob", 1).await[0];
    let full = with_last_resort(upload(phone, packages("a", 2)), "last");
    add(&*store, full.clone()).await.unwrap();
    add(&*store, upload(bob, packages("b", 1))).await.unwrap();
    store.revoke(revocation("alice", id(1))).await.unwrap().unwrap();
    assert_eq!(counts(&*store, phone, now()).await, (0, false), "its packages are gone");
    assert_eq!(add(&*store, full).await, Err(UploadRefusal::DeviceRevoked));
    assert_eq!(claim(&*store, claim_of(phone, "bob", 1)).await, Err(ClaimRefusal::DeviceRevoked));
    let of_another = Claim { claimer: bob.account, ..claim_of(laptop, "alice", 1) };
    assert_eq!(claim(&*store, of_another).await, Err(ClaimRefusal::DeviceRevoked));
    let claimed = claim(&*store, claim_of(bob, "alice", 1)).await.unwrap();
    assert_eq!((given(&claimed), claimed.missing), (vec![], vec![id(2)]));
    assert_eq!(counts(&*store, bob, now()).await, (1, false));
}

pub(in crate::store) async fn a_renewed_device_begins_anew(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 1).await[0];
    let bob = &settle(&*store, "bob", 1).await[0];
    let old = with_last_resort(upload(alice, packages("a", 2)), "last");
    add(&*store, old.clone()).await.unwrap();
    let wanted = AcceptedDevice { at: time(DAY), ..device_with("alice", id(1), "alice 1", time(DAY)) };
    let renewed = store.enrol(wanted).await.unwrap().unwrap().device;
    assert_eq!(counts(&*store, &renewed, now()).await, (0, false));
    let claimed = claim(&*store, claim_of(bob, "alice", 1)).await.unwrap();
    assert_eq!((given(&claimed), claimed.missing), (vec![], vec![id(1)]));
    assert_eq!(add(&*store, old.clone()).await, Err(UploadRefusal::OtherCertificate));
    let same = Upload { certificate: renewed.certificate, ..old };
    assert_eq!(pair(add(&*store, same).await.unwrap()), (0, false), "these were taken before");
    assert_eq!(pair(add(&*store, upload(&renewed, packages("b", 1))).await.unwrap()), (1, false));
}

pub(in crate::store) async fn many_claims_at_once_share_no_one_time_package(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 1).await[0];
    add(&*store, with_last_resort(upload(alice, packages("a", 10)), "last")).await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..16 {
        let claimer = settle(&*store, &format!("claimer{}", char::from(b'a' + n)), 1).await.remove(0);
        let store = Shared::clone(&store);
        tasks
            .push(tokio::spawn(async move { claim(&*store, claim_of(&claimer, "alice", 1)).await.unwrap() }));
    }
    let (mut once, mut last) = (BTreeSet::new(), 0);
    for task in tasks {
        match &given(&task.await.unwrap())[..] {
            [package] if package.ends_with('*') => last += 1,
            [package] => assert!(once.insert(package.clone()), "{package} was given twice"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((once.len(), last), (10, 6));
}

/// An `init_key` is remembered to the end of its package; later nobody could use it.
pub(in crate::store) async fn what_is_old_is_swept(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice", 1).await[0];
    let bob = &settle(&*store, "bob", 1).await[0];
    let first = upload(alice, vec![package("a")]);
    add(&*store, first.clone()).await.unwrap();
    claim(&*store, claim_of(bob, "alice", 1)).await.unwrap();
    let at = |at: Timestamp| Upload { at, ..first.clone() };
    assert_eq!(pair(add(&*store, at(time(83 * DAY))).await.unwrap()), (0, false), "it is remembered");
    // The end of the package has passed: as far as the store knows it is a new one, if never to be given.
    let again = AcceptedKeyPackage { not_after: time(200 * DAY), ..package("a") };
    let late = Upload { one_time: vec![again], at: time(83 * DAY + 1), ..first };
    assert_eq!(pair(add(&*store, late).await.unwrap()), (1, false), "it is forgotten");
}
