//! Devices, members and authenticated data.

use data_encoding::HEXLOWER;
use kez_core::{
    BadCertificate, BadEnrolment, CERTIFICATE_BYTES, Device, DeviceCertificate, DeviceId, DeviceRevocation,
    Enrolment, Envelope, EnvelopeError, Members, PublicKey, Seed, Timestamp, authenticated_data,
};
use proptest::prelude::*;
use serde::Deserialize;

use super::{bytes, each, hex};

#[derive(Deserialize)]
struct Invalid {
    envelope: String,
    error: String,
}

#[test]
fn certificates() {
    #[derive(Deserialize)]
    struct Valid {
        certificate: String,
        mls_key: String,
        seed: String,
        primary: String,
        device_id: String,
        not_before: String,
        not_after: String,
        sha256: String,
    }
    #[derive(Deserialize)]
    struct Invalid {
        certificate: String,
        mls_key: String,
        error: String,
    }
    each("device-certificate", "valid", |case: Valid| {
        let certificate = DeviceCertificate::parse(&hex(&case.certificate)).unwrap();
        let mls_key = PublicKey::from_bytes(bytes(&case.mls_key));
        certificate.verify(&mls_key).unwrap();
        assert_eq!(certificate.primary().to_string(), case.primary);
        assert_eq!(certificate.device_id().to_string(), case.device_id);
        assert_eq!(certificate.not_before(), case.not_before.parse().unwrap());
        assert_eq!(certificate.not_after(), case.not_after.parse().unwrap());
        assert_eq!(HEXLOWER.encode(&certificate.to_bytes()), case.certificate);
        assert_eq!(HEXLOWER.encode(&certificate.sha256()), case.sha256);
        let (from, to) = (certificate.not_before(), certificate.not_after());
        let seed = Seed::from_bytes(bytes(&case.seed));
        let issued = DeviceCertificate::issue(&seed, certificate.device_id(), &mls_key, from, to);
        assert_eq!(issued, Ok(certificate));
    });
    each("device-certificate", "invalid", |case: Invalid| {
        let mls_key = PublicKey::from_bytes(bytes(&case.mls_key));
        let fault = match DeviceCertificate::parse(&hex(&case.certificate)) {
            Ok(certificate) => certificate.verify(&mls_key).map_err(|_| "bad_signature"),
            Err(fault) => Err(BadCertificate::name(fault)),
        };
        assert_eq!(fault, Err(case.error.as_str()));
    });
}

#[test]
fn devices() {
    #[derive(Deserialize)]
    struct Valid {
        envelope: String,
        server: String,
        device_id: String,
        auth_key: String,
        mls_key: String,
        primary: String,
        created_at: String,
        expires_at: String,
        certificate_sha256: String,
        canonical: String,
    }
    fn enrolled(envelope: &str) -> Result<Enrolment, &'static str> {
        let verified = Envelope::parse(envelope.as_bytes())
            .map_err(EnvelopeError::from)
            .and_then(Envelope::verify::<Device>)
            .map_err(|fault| fault.code())?;
        Enrolment::check(verified).map_err(BadEnrolment::name)
    }
    each("device", "valid", |case: Valid| {
        let enrolment = enrolled(&case.envelope).unwrap();
        let device = enrolment.device();
        assert_eq!(device.server, case.server);
        assert_eq!(device.device_id.to_string(), case.device_id);
        assert_eq!(device.auth_key.to_string(), case.auth_key);
        assert_eq!(device.mls_key.to_string(), case.mls_key);
        assert_eq!(enrolment.primary().to_string(), case.primary);
        assert_eq!(enrolment.envelope().created_at(), case.created_at.parse().unwrap());
        assert_eq!(device.expires_at, case.expires_at.parse().unwrap());
        assert_eq!(HEXLOWER.encode(&device.mls_certificate.sha256()), case.certificate_sha256);
        assert_eq!(enrolment.envelope().canonical(), case.canonical);
    });
    each("device", "invalid", |case: Invalid| {
        assert_eq!(enrolled(&case.envelope).unwrap_err(), case.error);
    });
}

#[test]
fn revocations() {
    #[derive(Deserialize)]
    struct Valid {
        envelope: String,
        server: String,
        device_id: String,
        primary: String,
        canonical: String,
    }
    each("device-revocation", "valid", |case: Valid| {
        let verified =
            Envelope::parse(case.envelope.as_bytes()).unwrap().verify::<DeviceRevocation>().unwrap();
        assert_eq!(verified.document().server, case.server);
        assert_eq!(verified.document().device_id.to_string(), case.device_id);
        assert_eq!(verified.primary().to_string(), case.primary);
        assert_eq!(verified.canonical(), case.canonical);
    });
    each("device-revocation", "invalid", |case: Invalid| {
        let verified = Envelope::parse(case.envelope.as_bytes())
            .map_err(EnvelopeError::from)
            .and_then(Envelope::verify::<DeviceRevocation>);
        assert_eq!(verified.unwrap_err().code(), case.error);
    });
}

#[test]
fn members() {
    #[derive(Deserialize)]
    struct Valid {
        members: Members,
        sorted: Vec<PublicKey>,
        hash: String,
    }
    #[derive(Deserialize)]
    struct Invalid {
        members: Vec<PublicKey>,
        error: String,
    }
    each("members", "valid", |case: Valid| {
        assert_eq!(case.members.as_slice(), case.sorted);
        assert_eq!(HEXLOWER.encode(&case.members.hash()), case.hash);
        assert!(case.sorted.iter().all(|member| case.members.contains(member)));
        assert!(!case.members.contains(&PublicKey::from_bytes([0; 32])));
        assert_eq!(Vec::from(case.members), case.sorted);
    });
    each("members", "invalid", |case: Invalid| {
        assert_eq!(Members::try_from(case.members).unwrap_err().name(), case.error);
    });
}

#[test]
fn frame_authenticated_data() {
    #[derive(Deserialize)]
    struct Case {
        kind: String,
        cid: kez_core::ConversationId,
        mid: kez_core::MessageId,
        members_after: Vec<PublicKey>,
        authenticated_data: String,
    }
    each("frame-aad", "valid", |case: Case| {
        let data = match case.kind.as_str() {
            "app" => authenticated_data::app(case.cid, case.mid),
            _ => authenticated_data::commit(
                case.cid,
                case.mid,
                &Members::try_from(case.members_after).unwrap(),
            ),
        };
        assert_eq!(HEXLOWER.encode(&data), case.authenticated_data);
    });
}

proptest! {
    #[test]
    fn no_bit_of_a_certificate_can_change(
        seed in any::<[u8; 32]>(),
        device_id in any::<[u8; 16]>(),
        not_before in 0..253_402_300_798_i64,
        flip in 0..CERTIFICATE_BYTES * 8,
    ) {
        let mls_key = Seed::from_bytes([7; 32]).public_key();
        let [from, to] = [not_before, 253_402_300_799].map(|at| Timestamp::from_unix(at, 0).unwrap());
        let certificate =
            DeviceCertificate::issue(&Seed::from_bytes(seed), DeviceId::from_bytes(device_id), &mls_key, from, to)
                .unwrap();
        let mut bytes = certificate.to_bytes();
        prop_assert_eq!(DeviceCertificate::parse(&bytes), Ok(certificate));
        prop_assert!(certificate.verify(&mls_key).is_ok());
        bytes[flip / 8] ^= 1 << (flip % 8);
        prop_assert!(!DeviceCertificate::parse(&bytes).is_ok_and(|other| other.verify(&mls_key).is_ok()));
    }

    #[test]
    fn the_order_of_members_does_not_matter(keys in prop::collection::btree_set(any::<[u8; 32]>(), 1..=64)) {
        let keys: Vec<PublicKey> = keys.into_iter().map(PublicKey::from_bytes).collect();
        let turned: Vec<PublicKey> = keys.iter().rev().copied().collect();
        let members = Members::try_from(turned).unwrap();
        prop_assert_eq!(members.as_slice(), keys.as_slice());
        prop_assert_eq!(members.hash(), Members::try_from(keys).unwrap().hash());
    }
}
