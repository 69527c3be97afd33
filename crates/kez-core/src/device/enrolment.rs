//! A device document whose parts agree.

use super::Device;
use crate::envelope::Verified;
use crate::key::PublicKey;
use crate::time::Timestamp;

/// The longest life of a device, in seconds: 365 days after it was signed. A forgotten device ends by itself, and its
/// owner confirms the others once a year.
pub const DEVICE_SECONDS_MAX: i64 = 365 * 24 * 60 * 60;

/// How far a certificate's `not_before` may lie from `created_at` in either direction, in seconds: one day.
///
/// Members compare the window with the time at which a leaf enters, and allow one day. A window that begins later than
/// that is a device whose commits everybody refuses; one that begins earlier says the device spoke for its owner before
/// the owner took it in.
pub const NOT_BEFORE_SKEW_SECONDS_MAX: i64 = 24 * 60 * 60;

/// A [`Device`] document in which everything agrees. [`Enrolment::check`] is the only constructor.
#[derive(Debug, Clone)]
pub struct Enrolment(Verified<Device>);

/// Why a well-signed device document takes no device in, in the order in which it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadEnrolment {
    /// The certificate names another primary than the envelope.
    #[error("the certificate is by another primary key")]
    Primary,
    /// The certificate names another device than the envelope.
    #[error("the certificate is for another device")]
    DeviceId,
    /// The certificate's `not_after` is not the envelope's `expires_at`, to the second and without a fraction.
    #[error("the certificate does not end at expires_at")]
    NotAfter,
    /// Primary, `auth_key` and `mls_key` are not three keys. In MLS, signature keys are unique in a group (RFC 9420
    /// section 7.3), and each key has one job.
    #[error("the primary key, auth_key and mls_key are not three different keys")]
    KeyReused,
    /// `expires_at` is not later than `created_at`.
    #[error("the device expires before it was signed")]
    Expired,
    /// `expires_at` is more than [`DEVICE_SECONDS_MAX`] after `created_at`.
    #[error("the device lives longer than 365 days")]
    TooLong,
    /// The certificate's `not_before` is more than [`NOT_BEFORE_SKEW_SECONDS_MAX`] from `created_at`.
    #[error("the certificate begins more than a day from created_at")]
    NotBefore,
    /// The primary key did not certify this `mls_key`.
    #[error("the certificate's signature does not verify for mls_key")]
    CertificateSignature,
}

impl BadEnrolment {
    /// A stable name of the fault, for vectors and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::DeviceId => "device_id",
            Self::NotAfter => "not_after",
            Self::KeyReused => "key_reused",
            Self::Expired => "expired",
            Self::TooLong => "too_long",
            Self::NotBefore => "not_before",
            Self::CertificateSignature => "certificate_signature",
        }
    }
}

impl Enrolment {
    /// Checks that the parts of the document agree. The server's name, the clock and what was enrolled or revoked
    /// before are the server's to judge.
    pub fn check(envelope: Verified<Device>) -> Result<Self, BadEnrolment> {
        check_agreement(envelope.document(), envelope.primary())?;
        check_times(envelope.document(), envelope.created_at())?;
        // Last: it costs the most.
        let Device { mls_certificate, mls_key, .. } = envelope.document();
        mls_certificate.verify(mls_key).map_err(|_| BadEnrolment::CertificateSignature)?;
        Ok(Self(envelope))
    }

    /// What the document says.
    pub fn device(&self) -> &Device {
        self.0.document()
    }

    /// The key that takes the device in.
    pub fn primary(&self) -> PublicKey {
        self.0.primary()
    }

    /// The signed document: its time, hashes and canonical form.
    pub fn envelope(&self) -> &Verified<Device> {
        &self.0
    }
}

fn check_agreement(device: &Device, primary: PublicKey) -> Result<(), BadEnrolment> {
    let certificate = &device.mls_certificate;
    if certificate.primary() != primary {
        return Err(BadEnrolment::Primary);
    }
    if certificate.device_id() != device.device_id {
        return Err(BadEnrolment::DeviceId);
    }
    if certificate.not_after() != device.expires_at {
        return Err(BadEnrolment::NotAfter);
    }
    if primary == device.auth_key || primary == device.mls_key || device.auth_key == device.mls_key {
        return Err(BadEnrolment::KeyReused);
    }
    Ok(())
}

fn check_times(device: &Device, created_at: Timestamp) -> Result<(), BadEnrolment> {
    if device.expires_at <= created_at {
        return Err(BadEnrolment::Expired);
    }
    if created_at.plus_seconds(DEVICE_SECONDS_MAX).is_some_and(|end| device.expires_at > end) {
        return Err(BadEnrolment::TooLong);
    }
    let skew_max = u128::from(NOT_BEFORE_SKEW_SECONDS_MAX.unsigned_abs()) * 1_000_000_000;
    if device.mls_certificate.not_before().distance_nanos(created_at) > skew_max {
        return Err(BadEnrolment::NotBefore);
    }
    Ok(())
}
