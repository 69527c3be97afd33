//! Devices of the accounts.

use kez_core::{Device, DeviceCertificate, DeviceId, DeviceRevocation, Envelope, PublicKey, Timestamp};

use super::registry::{key, now, seed, time, wanted as registration};
use crate::store::{
    ACTIVE_DEVICES_MAX, AcceptedDevice, AcceptedRevocation, ActiveDevice, DEVICES_EVER_MAX, EnrolRefusal,
    Enrolled, EnrolledHow, RevokeRefusal, Store, StoredDevice,
};

type Shared<S> = std::sync::Arc<S>;

const DAY: i64 = 24 * 60 * 60;

pub(in crate::store) fn id(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

/// An enrolment of `owner`'s device number `n`, with keys of its own, for 30 days.
pub(in crate::store) fn device(owner: &str, n: u8) -> AcceptedDevice {
    device_with(owner, id(n), &format!("{owner} {n}"), now())
}

/// An enrolment with keys that are made of `keys`.
pub(in crate::store) fn device_with(
    owner: &str,
    device_id: DeviceId,
    keys: &str,
    signed_at: Timestamp,
) -> AcceptedDevice {
    let (auth_key, mls_key) = (key(&format!("auth {keys}")), key(&format!("mls {keys}")));
    let expires_at = signed_at.truncated().plus_seconds(30 * DAY).expect("a valid time");
    let certificate =
        DeviceCertificate::issue(&seed(owner), device_id, &mls_key, signed_at, expires_at).expect("a window");
    let document = Device {
        server: "kez.lat".into(),
        device_id,
        auth_key,
        mls_key,
        mls_certificate: certificate,
        expires_at,
    };
    let envelope = Envelope::sign(&document, &seed(owner), signed_at).expect("plain text");
    let envelope = envelope.verify::<Device>().expect("just signed");
    AcceptedDevice {
        primary: envelope.primary(),
        device_id,
        auth_key,
        mls_key,
        certificate,
        envelope: envelope.canonical().to_owned(),
        payload_sha256: *envelope.payload_sha256(),
        signed_at,
        expires_at,
        at: now(),
    }
}

pub(in crate::store) fn revocation(owner: &str, device_id: DeviceId) -> AcceptedRevocation {
    let document = DeviceRevocation { server: "kez.lat".into(), device_id };
    let envelope = Envelope::sign(&document, &seed(owner), now()).expect("plain text");
    let envelope = envelope.canonical().to_owned();
    AcceptedRevocation { primary: key(owner), device_id, envelope, at: time(60) }
}

/// Registers `owner` under its own name.
pub(in crate::store) async fn register(store: &impl Store, owner: &str) {
    store.register(registration(owner, owner)).await.expect("the store works").expect("a free handle");
}

async fn enrol(store: &impl Store, wanted: AcceptedDevice) -> Result<Enrolled, EnrolRefusal> {
    store.enrol(wanted).await.expect("the store works")
}

async fn revoke(store: &impl Store, owner: &str, n: u8) -> Result<Timestamp, RevokeRefusal> {
    let revoked = store.revoke(revocation(owner, id(n))).await.expect("the store works");
    revoked.map(|revoked| revoked.revoked_at)
}

async fn active(store: &impl Store, owner: &str, n: u8) -> Option<ActiveDevice> {
    store.active_device(&key(owner), &id(n)).await.expect("the store works")
}

async fn all(store: &impl Store, owner: &PublicKey) -> Vec<StoredDevice> {
    store.devices(owner).await.expect("the store works")
}

pub(in crate::store) async fn only_a_registered_key_takes_devices_in(store: Shared<impl Store>) {
    assert_eq!(enrol(&*store, device("alice", 1)).await, Err(EnrolRefusal::NotRegistered));
    assert_eq!(active(&*store, "alice", 1).await, None);
    register(&*store, "alice").await;
    assert_eq!(enrol(&*store, device("bob", 1)).await, Err(EnrolRefusal::NotRegistered));
    assert!(enrol(&*store, device("alice", 1)).await.is_ok());
}

pub(in crate::store) async fn a_device_is_found_and_listed(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    let wanted = device("alice", 1);
    let enrolled = enrol(&*store, wanted.clone()).await.unwrap();
    assert_eq!(enrolled.outcome, EnrolledHow::New);
    let stored = enrolled.device;
    assert_eq!((stored.primary, stored.device_id), (wanted.primary, wanted.device_id));
    assert_eq!((stored.auth_key, stored.mls_key), (wanted.auth_key, wanted.mls_key));
    assert_eq!((stored.certificate, &stored.envelope), (wanted.certificate, &wanted.envelope));
    assert_eq!((stored.signed_at, stored.expires_at), (wanted.signed_at, wanted.expires_at));
    assert_eq!((stored.enrolled_at, stored.acked, &stored.revoked), (now(), 0, &None));
    let found = active(&*store, "alice", 1).await.unwrap();
    assert_eq!((found.account, found.device), (stored.account, stored.device));
    assert_eq!((found.primary, found.device_id), (wanted.primary, wanted.device_id));
    assert_eq!((found.auth_key, found.mls_key), (wanted.auth_key, wanted.mls_key));
    assert_eq!((found.certificate, found.expires_at), (wanted.certificate, wanted.expires_at));
    assert_eq!(found.revocations, 0);
    let second = enrol(&*store, device("alice", 2)).await.unwrap().device;
    assert_eq!(store.device(&key("alice"), &id(2)).await.unwrap().as_ref(), Some(&second));
    assert_eq!(all(&*store, &key("alice")).await, [stored, second]);
}

pub(in crate::store) async fn a_repeated_enrolment_changes_nothing(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    let wanted = device("alice", 1);
    let first = enrol(&*store, wanted.clone()).await.unwrap().device;
    let again = enrol(&*store, AcceptedDevice { at: time(DAY), ..wanted }).await.unwrap();
    assert_eq!((again.outcome, again.woken.len()), (EnrolledHow::Before, 0));
    assert_eq!(again.device, first);
    assert_eq!(all(&*store, &key("alice")).await, [first]);
}

pub(in crate::store) async fn a_renewal_moves_the_end_and_nothing_else(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    let first = enrol(&*store, device("alice", 1)).await.unwrap().device;
    let wanted = device_with("alice", id(1), "alice 1", time(DAY));
    let renewed = enrol(&*store, AcceptedDevice { at: time(DAY), ..wanted.clone() }).await.unwrap();
    assert_eq!(renewed.outcome, EnrolledHow::Renewed);
    let expected = StoredDevice {
        certificate: wanted.certificate,
        envelope: wanted.envelope,
        payload_sha256: wanted.payload_sha256,
        signed_at: wanted.signed_at,
        expires_at: wanted.expires_at,
        ..first
    };
    assert_eq!(renewed.device, expected);
    assert_eq!(active(&*store, "alice", 1).await.unwrap().expires_at, wanted.expires_at);
    assert_eq!(all(&*store, &key("alice")).await, [expected]);
}

pub(in crate::store) async fn an_older_renewal_is_superseded(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    let half = Timestamp::from_unix(now().unix_seconds(), 500_000_000).unwrap();
    let stored = enrol(&*store, device_with("alice", id(1), "alice 1", half)).await.unwrap().device;
    let before = Timestamp::from_unix(now().unix_seconds(), 499_999_999).unwrap();
    for older in [now(), before] {
        let older = device_with("alice", id(1), "alice 1", older);
        assert_eq!(enrol(&*store, older).await, Err(EnrolRefusal::Superseded));
    }
    // Another document of the very same instant is not later either.
    let twin = AcceptedDevice { payload_sha256: [9; 32], ..device_with("alice", id(1), "alice 1", half) };
    assert_eq!(enrol(&*store, twin).await, Err(EnrolRefusal::Superseded));
    assert_eq!(all(&*store, &key("alice")).await, [stored]);
}

pub(in crate::store) async fn an_id_keeps_its_keys(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    let stored = enrol(&*store, device("alice", 1)).await.unwrap().device;
    let renewal = device_with("alice", id(1), "alice 1", time(1));
    for other in [
        device_with("alice", id(1), "alice 2", time(1)),
        AcceptedDevice { auth_key: key("other"), ..renewal.clone() },
        AcceptedDevice { mls_key: key("other"), ..renewal },
    ] {
        assert_eq!(enrol(&*store, other).await, Err(EnrolRefusal::DeviceExists));
    }
    assert_eq!(all(&*store, &key("alice")).await, [stored]);
}

pub(in crate::store) async fn a_key_serves_one_device(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    register(&*store, "bob").await;
    let first = enrol(&*store, device("alice", 1)).await.unwrap().device;
    for owner in ["alice", "bob"] {
        let fresh = device(owner, 2);
        for wanted in [
            AcceptedDevice { auth_key: first.auth_key, ..fresh.clone() },
            AcceptedDevice { mls_key: first.mls_key, ..fresh.clone() },
            AcceptedDevice { auth_key: first.mls_key, ..fresh.clone() },
            AcceptedDevice { mls_key: first.auth_key, ..fresh },
        ] {
            assert_eq!(enrol(&*store, wanted).await, Err(EnrolRefusal::KeyInUse));
        }
    }
    revoke(&*store, "alice", 1).await.unwrap();
    let wanted = AcceptedDevice { auth_key: first.auth_key, ..device("bob", 2) };
    assert_eq!(enrol(&*store, wanted).await, Err(EnrolRefusal::KeyInUse));
    assert_eq!(all(&*store, &key("bob")).await, []);
}

pub(in crate::store) async fn a_revoked_device_never_comes_back(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    for n in [1, 2] {
        enrol(&*store, device("alice", n)).await.unwrap();
    }
    assert_eq!(revoke(&*store, "alice", 1).await, Ok(time(60)));
    let later = AcceptedRevocation { at: time(DAY), ..revocation("alice", id(1)) };
    assert_eq!(store.revoke(later).await.unwrap().unwrap().revoked_at, time(60));
    assert_eq!(active(&*store, "alice", 1).await, None);
    assert_eq!(active(&*store, "alice", 2).await.unwrap().revocations, 1, "a repetition counts once");
    let listed = all(&*store, &key("alice")).await;
    assert_eq!(listed[0].revoked, Some((time(60), revocation("alice", id(1)).envelope)));
    assert_eq!(listed[1].revoked, None);
    for wanted in [
        device("alice", 1),
        device_with("alice", id(1), "alice 1", time(DAY)),
        device_with("alice", id(1), "alice 3", time(DAY)),
    ] {
        assert_eq!(enrol(&*store, wanted).await, Err(EnrolRefusal::DeviceRevoked));
    }
    assert_eq!(all(&*store, &key("alice")).await, listed);
}

pub(in crate::store) async fn a_revocation_needs_a_device_of_the_account(store: Shared<impl Store>) {
    for owner in ["alice", "bob"] {
        register(&*store, owner).await;
    }
    let stored = enrol(&*store, device("alice", 1)).await.unwrap().device;
    for (owner, n) in [("bob", 1), ("alice", 2), ("carol", 1)] {
        assert_eq!(revoke(&*store, owner, n).await, Err(RevokeRefusal::UnknownDevice));
    }
    assert_eq!(all(&*store, &key("alice")).await, [stored]);
}

pub(in crate::store) async fn accounts_do_not_see_each_others_devices(store: Shared<impl Store>) {
    for owner in ["alice", "bob"] {
        register(&*store, owner).await;
        enrol(&*store, device(owner, 1)).await.unwrap(); // the same id, in each account once
    }
    revoke(&*store, "bob", 1).await.unwrap();
    assert_eq!(active(&*store, "alice", 1).await.unwrap().revocations, 0);
    assert_eq!(active(&*store, "bob", 1).await, None);
    assert_eq!(all(&*store, &key("alice")).await.len(), 1);
    assert_eq!(all(&*store, &key("carol")).await, []);
}

pub(in crate::store) async fn sixteen_devices_are_active_at_once(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    let max = u8::try_from(ACTIVE_DEVICES_MAX).unwrap();
    for n in 1..=max {
        enrol(&*store, device("alice", n)).await.unwrap();
    }
    let one_more = device("alice", max + 1);
    assert_eq!(enrol(&*store, one_more.clone()).await, Err(EnrolRefusal::TooManyDevices));
    let renewal = device_with("alice", id(1), "alice 1", time(1));
    assert_eq!(enrol(&*store, renewal).await.unwrap().outcome, EnrolledHow::Renewed);
    revoke(&*store, "alice", 2).await.unwrap();
    enrol(&*store, one_more).await.unwrap();
    // Once all have expired there is room again, but not for more than before.
    let at = time(31 * DAY);
    let next = |n| AcceptedDevice { at, ..device_with("alice", id(n), &format!("alice {n}"), at) };
    for n in max + 2..=2 * max + 1 {
        enrol(&*store, next(n)).await.unwrap();
    }
    let back = AcceptedDevice { at, ..device_with("alice", id(3), "alice 3", at) };
    assert_eq!(
        enrol(&*store, back).await,
        Err(EnrolRefusal::TooManyDevices),
        "an expired one would be active"
    );
}

pub(in crate::store) async fn an_account_takes_in_256_devices_in_its_life(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    let max = u8::try_from(DEVICES_EVER_MAX - 1).unwrap();
    for n in 0..=max {
        enrol(&*store, device("alice", n)).await.unwrap();
        revoke(&*store, "alice", n).await.unwrap();
    }
    let one_more = device_with("alice", DeviceId::from_bytes(*b"one device more!"), "new", now());
    assert_eq!(enrol(&*store, one_more).await, Err(EnrolRefusal::TooManyDevices));
    assert_eq!(all(&*store, &key("alice")).await.len(), usize::from(max) + 1);
}

pub(in crate::store) async fn one_device_wanted_by_many_at_once_is_taken_in_once(store: Shared<impl Store>) {
    register(&*store, "alice").await;
    let attempts = (0..16).map(|_| {
        let store = Shared::clone(&store);
        tokio::spawn(async move { store.enrol(device("alice", 1)).await.unwrap().unwrap().outcome })
    });
    let mut new = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        new += usize::from(attempt.await.unwrap() == EnrolledHow::New);
    }
    assert_eq!((new, all(&*store, &key("alice")).await.len()), (1, 1));
}

pub(in crate::store) async fn evidence_is_paged_by_row(store: Shared<impl Store>) {
    for owner in ["alice", "bob"] {
        register(&*store, owner).await;
        enrol(&*store, device(owner, 1)).await.unwrap();
        enrol(&*store, device(owner, 2)).await.unwrap();
    }
    revoke(&*store, "bob", 1).await.unwrap();
    let mut seen = Vec::new();
    while let page =
        store.device_evidence(seen.last().map(|last: &StoredDevice| last.device), 3).await.unwrap()
        && !page.is_empty()
    {
        seen.extend(page);
    }
    let mut expected = all(&*store, &key("alice")).await;
    expected.extend(all(&*store, &key("bob")).await);
    assert_eq!(seen, expected);
}
