//! What is stored about people, held against what their keys signed. Pure functions.

use kez_core::{
    Device, DeviceRevocation, Document, Enrolment, Envelope, EnvelopeError, PublicKey, Registration,
    ServerName, Verified,
};

use crate::registration::SKEW_MAX_S;
use crate::store::{Account, StoredDevice};

/// A stored row that its signed document does not bear out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unproven {
    #[error("its document is not believed: {0}")]
    NotBelieved(EnvelopeError),
    #[error("its document is not in canonical form")]
    NotCanonical,
    #[error("its document is by another key")]
    OtherKey,
    #[error("its document does not say what is stored: {0}")]
    Differs(&'static str),
}

/// Whether a key has signed for its handle here.
pub(super) fn registration(server: &ServerName, account: &Account, envelope: &str) -> Result<(), Unproven> {
    let signed = believe::<Registration>(envelope, &account.primary)?;
    let document = signed.document();
    agree("handle", document.handle == account.handle.as_str())?;
    agree("server", document.server == server.as_str())?;
    // The fraction of a second of the acceptance is not stored.
    let skew_max = (u128::from(SKEW_MAX_S) + 1) * 1_000_000_000;
    agree("time", signed.created_at().distance_nanos(account.registered_at) < skew_max)
}

/// Whether a key has taken the device in, and let it go where that is stored.
pub(super) fn device(server: &ServerName, stored: &StoredDevice) -> Result<(), Unproven> {
    let signed = believe::<Device>(&stored.envelope, &stored.primary)?;
    let enrolment = Enrolment::check(signed).map_err(|_| Unproven::Differs("certificate"))?;
    let device = enrolment.device();
    agree("server", device.server == server.as_str())?;
    agree("device", device.device_id == stored.device_id)?;
    agree("keys", (device.auth_key, device.mls_key) == (stored.auth_key, stored.mls_key))?;
    agree("certificate", device.mls_certificate == stored.certificate)?;
    agree("end", device.expires_at == stored.expires_at)?;
    agree("hash", *enrolment.envelope().payload_sha256() == stored.payload_sha256)?;
    let Some((_, revocation)) = &stored.revoked else { return Ok(()) };
    let revocation = believe::<DeviceRevocation>(revocation, &stored.primary)?;
    let document = revocation.document();
    agree("revocation", document.device_id == stored.device_id && document.server == server.as_str())
}

fn believe<D: Document<Primary = PublicKey>>(
    text: &str,
    primary: &PublicKey,
) -> Result<Verified<D>, Unproven> {
    let envelope = Envelope::parse(text.as_bytes()).map_err(EnvelopeError::from);
    let signed = envelope.and_then(Envelope::verify::<D>).map_err(Unproven::NotBelieved)?;
    if signed.canonical() != text {
        return Err(Unproven::NotCanonical);
    }
    if signed.primary() == *primary { Ok(signed) } else { Err(Unproven::OtherKey) }
}

fn agree(what: &'static str, does: bool) -> Result<(), Unproven> {
    if does { Ok(()) } else { Err(Unproven::Differs(what)) }
}
