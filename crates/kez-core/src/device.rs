//! The documents by which an account takes a device in and lets it go. SPEC "Devices".

mod certificate;
mod enrolment;

use data_encoding::BASE64URL_NOPAD;

use crate::envelope::{Document, Tag, text};
use crate::ids::DeviceId;
use crate::json::{Malformed, Object};
use crate::key::PublicKey;
use crate::time::Timestamp;

pub use certificate::{BadCertificate, CERTIFICATE_BYTES, DeviceCertificate};
pub use enrolment::{BadEnrolment, DEVICE_SECONDS_MAX, Enrolment, NOT_BEFORE_SKEW_SECONDS_MAX};

/// "This device acts for me on this server, with these two keys, until then."
///
/// That its parts agree with each other is not checked by reading it: see [`Enrolment`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The name of the home server, not yet checked: what a server makes of another's is its policy.
    pub server: String,
    /// The device.
    pub device_id: DeviceId,
    /// The key of its signed calls (RFC 9421).
    pub auth_key: PublicKey,
    /// Its signature key in MLS.
    pub mls_key: PublicKey,
    /// What its MLS credential holds: 129 bytes, base64url without padding in the document.
    pub mls_certificate: DeviceCertificate,
    /// When the device ends by itself.
    pub expires_at: Timestamp,
}

/// "This device no longer acts for me on this server, and never will again."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRevocation {
    /// The name of the home server, not yet checked.
    pub server: String,
    /// The device.
    pub device_id: DeviceId,
}

impl Document for Device {
    type Primary = PublicKey;
    const TAG: Tag = "device";
    const TYPE: &'static str = "kez.chat.device";

    fn from_payload(payload: &Object) -> Result<Self, Malformed> {
        Ok(Self {
            server: text(payload, "server", "payload.server is not a string")?,
            device_id: device_id(payload)?,
            auth_key: text(payload, "auth_key", "payload.auth_key is not a string")?
                .parse()
                .map_err(|_| Malformed::Shape("payload.auth_key is not an ed25519 key"))?,
            mls_key: text(payload, "mls_key", "payload.mls_key is not a string")?
                .parse()
                .map_err(|_| Malformed::Shape("payload.mls_key is not an ed25519 key"))?,
            mls_certificate: certificate(payload)?,
            expires_at: text(payload, "expires_at", "payload.expires_at is not a string")?.parse().map_err(
                |_| Malformed::Shape("payload.expires_at is not a time like 2026-05-25T03:00:00Z"),
            )?,
        })
    }

    fn to_payload(&self) -> Object {
        let certificate = BASE64URL_NOPAD.encode(&self.mls_certificate.to_bytes());
        Object::from([
            ("server".into(), self.server.as_str().into()),
            ("device_id".into(), self.device_id.to_string().as_str().into()),
            ("auth_key".into(), self.auth_key.to_string().as_str().into()),
            ("mls_key".into(), self.mls_key.to_string().as_str().into()),
            ("mls_certificate".into(), certificate.as_str().into()),
            ("expires_at".into(), self.expires_at.to_string().as_str().into()),
        ])
    }
}

impl Document for DeviceRevocation {
    type Primary = PublicKey;
    const TAG: Tag = "device_revocation";
    const TYPE: &'static str = "kez.chat.device_revocation";

    fn from_payload(payload: &Object) -> Result<Self, Malformed> {
        Ok(Self {
            server: text(payload, "server", "payload.server is not a string")?,
            device_id: device_id(payload)?,
        })
    }

    fn to_payload(&self) -> Object {
        Object::from([
            ("server".into(), self.server.as_str().into()),
            ("device_id".into(), self.device_id.to_string().as_str().into()),
        ])
    }
}

fn device_id(payload: &Object) -> Result<DeviceId, Malformed> {
    text(payload, "device_id", "payload.device_id is not a string")?
        .parse()
        .map_err(|_| Malformed::Shape("payload.device_id is not 32 lower-case hex digits"))
}

fn certificate(payload: &Object) -> Result<DeviceCertificate, Malformed> {
    let text = text(payload, "mls_certificate", "payload.mls_certificate is not a string")?;
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .ok()
        .and_then(|bytes| DeviceCertificate::parse(&bytes).ok())
        .ok_or(Malformed::Shape("payload.mls_certificate is not a device certificate in base64url"))
}
