//! Verifies every stored device again, from the signed documents up.

use std::collections::{BTreeMap, BTreeSet};

use kez_chat_server::store::{ACTIVE_DEVICES_MAX, DEVICES_EVER_MAX, StoredDevice};
use kez_core::{Device, DeviceRevocation, Document, Enrolment, Envelope, EnvelopeError, PublicKey, Verified};

use crate::net::Net;

/// Devices asked for at a time: small, so that paging is exercised.
const PAGE: u32 = 7;

/// What is stored of devices, once it has been verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Devices {
    /// Neither revoked nor expired.
    pub active: usize,
    /// Expired by themselves.
    pub expired: usize,
    /// Revoked.
    pub revoked: usize,
}

impl Net {
    /// Verifies every stored device again from its envelope and every revoked one from its revocation, the rules between
    /// them, and that the store's ways of finding a device agree.
    pub async fn check_devices(&self) -> Devices {
        let all = self.device_evidence().await;
        let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
        let (mut active, mut ever) = (BTreeMap::<_, u32>::new(), BTreeMap::<_, u32>::new());
        let mut found = Devices { active: 0, expired: 0, revoked: 0 };
        for device in &all {
            self.check_enrolment(device);
            assert!(ids.insert((device.primary, device.device_id)), "a device stands twice");
            for key in [device.auth_key, device.mls_key] {
                assert!(keys.insert(key), "{key} has two jobs");
            }
            *ever.entry(device.primary).or_default() += 1;
            match &device.revoked {
                Some((_, envelope)) => {
                    self.check_revocation(device, envelope);
                    found.revoked += 1;
                }
                None if device.expires_at > self.now() => {
                    *active.entry(device.primary).or_default() += 1;
                    found.active += 1;
                }
                None => found.expired += 1,
            }
            self.check_finding(device).await;
        }
        assert!(active.values().all(|count| *count <= ACTIVE_DEVICES_MAX), "too many devices are active");
        assert!(ever.values().all(|count| *count <= DEVICES_EVER_MAX), "an account took in too many devices");
        for primary in ever.keys() {
            self.check_revocations(primary, &all).await;
        }
        found
    }

    async fn device_evidence(&self) -> Vec<StoredDevice> {
        let mut all = Vec::<StoredDevice>::new();
        loop {
            let after = all.last().map(|last| last.device);
            let page = self.store().device_evidence(after, PAGE).await.expect("the store answers");
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    /// Believes nothing about a device but what its account has signed.
    fn check_enrolment(&self, stored: &StoredDevice) {
        let envelope = believed::<Device>(&stored.envelope, &stored.primary);
        let enrolment = Enrolment::check(envelope).expect("a document whose parts agree");
        let signed = enrolment.device();
        assert_eq!(signed.server, self.server_name());
        assert_eq!((signed.device_id, signed.auth_key), (stored.device_id, stored.auth_key));
        assert_eq!((signed.mls_key, signed.mls_certificate), (stored.mls_key, stored.certificate));
        assert_eq!(
            (signed.expires_at, enrolment.envelope().created_at()),
            (stored.expires_at, stored.signed_at)
        );
        assert_eq!(*enrolment.envelope().payload_sha256(), stored.payload_sha256);
    }

    fn check_revocation(&self, stored: &StoredDevice, envelope: &str) {
        let signed = believed::<DeviceRevocation>(envelope, &stored.primary);
        assert_eq!(signed.document().device_id, stored.device_id);
        assert_eq!(signed.document().server, self.server_name());
    }

    /// Alone, and as what calls are checked against.
    async fn check_finding(&self, stored: &StoredDevice) {
        let (store, id) = (self.store(), stored.device_id);
        let found = store.device(&stored.primary, &id).await.expect("the store answers");
        assert_eq!(found.as_ref(), Some(stored));
        let active = store.active_device(&stored.primary, &id).await.expect("the store answers");
        assert_eq!(
            active.is_some(),
            stored.revoked.is_none(),
            "{id} is found although it is revoked, or not found"
        );
        if let Some(active) = active {
            assert_eq!((active.account, active.device), (stored.account, stored.device));
            assert_eq!((active.auth_key, active.mls_key), (stored.auth_key, stored.mls_key));
            assert_eq!((active.certificate, active.expires_at), (stored.certificate, stored.expires_at));
        }
    }

    /// The list of an account, and its count of revocations, which ends sessions.
    async fn check_revocations(&self, primary: &PublicKey, all: &[StoredDevice]) {
        let own: Vec<_> = all.iter().filter(|device| device.primary == *primary).cloned().collect();
        let listed = self.store().devices(primary).await.expect("the store answers");
        assert_eq!(listed, own);
        let revoked = own.iter().filter(|device| device.revoked.is_some()).count() as u64;
        for device in own.iter().filter(|device| device.revoked.is_none()) {
            let active =
                self.store().active_device(primary, &device.device_id).await.expect("the store answers");
            assert_eq!(active.map(|active| active.revocations), Some(revoked));
        }
    }
}

fn believed<D: Document<Primary = PublicKey>>(text: &str, primary: &PublicKey) -> Verified<D> {
    let envelope: Verified<D> = Envelope::parse(text.as_bytes())
        .map_err(EnvelopeError::from)
        .and_then(Envelope::verify)
        .unwrap_or_else(|error| panic!("a document of {primary} is not believed: {error}"));
    assert_eq!(envelope.canonical(), text, "a document of {primary} is not canonical");
    assert_eq!(envelope.primary(), *primary);
    envelope
}
