//! Taking devices in, listing them, letting them go. These documents are signed by the primary key, so no device has to
//! sign the call.

use kez_core::{
    Device, DeviceId, DeviceRevocation, Enrolment, Envelope, Fqhn, PublicKey, Timestamp, Verified,
};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::{LARGE_BYTES_MAX, is_new};
use crate::call_error::CallError;
use crate::device_client::DeviceClient;
use crate::error::{AnswerFault, ClientError, Contradiction};
use crate::home_server::{HomeServer, found};
use crate::transport::Answer;

/// The answer to an accepted enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct EnrolledDevice {
    /// The account.
    pub primary: PublicKey,
    /// The device.
    pub device_id: DeviceId,
    /// The key of its signed calls.
    pub auth_key: PublicKey,
    /// Its signature key in MLS.
    pub mls_key: PublicKey,
    /// When the server first took it in.
    pub enrolled_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// The number of the inbox's last event before the device was taken in: it reads from there.
    pub inbox_head: u64,
}

/// The devices of an account, verified.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeviceList {
    /// The account.
    pub primary: PublicKey,
    /// The active ones, oldest first.
    pub devices: Vec<ListedDevice>,
    /// Those that were revoked; the server's word.
    pub revoked: Vec<RevokedDevice>,
}

/// An active device.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListedDevice {
    /// The document by which the primary key took it in, checked.
    pub enrolment: Enrolment,
    /// When the server first took it in.
    pub enrolled_at: Timestamp,
}

/// A device that was let go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RevokedDevice {
    /// The device.
    pub device_id: DeviceId,
    /// When the server let it go.
    pub revoked_at: Timestamp,
}

#[derive(Deserialize)]
struct WireList {
    primary: PublicKey,
    devices: Vec<WireDevice>,
    revoked: Vec<RevokedDevice>,
}

#[derive(Deserialize)]
struct WireDevice {
    envelope: Value,
    enrolled_at: Timestamp,
}

impl HomeServer {
    /// Takes a device in, or renews it. Sending the same document again is safe.
    pub async fn enrol_device(&self, device: &Verified<Device>) -> Result<EnrolledDevice, CallError> {
        let answer = self.post_envelope(&["devices"], device.canonical()).await?;
        if !is_new(&answer) && answer.status() != StatusCode::OK {
            return Err(CallError::of(&answer));
        }
        let enrolled: EnrolledDevice = answer.json()?;
        let wanted = device.document();
        let is_same = enrolled.primary == device.primary()
            && enrolled.device_id == wanted.device_id
            && enrolled.auth_key == wanted.auth_key
            && enrolled.mls_key == wanted.mls_key;
        if is_same { Ok(enrolled) } else { Err(answer.contradiction(Contradiction::OtherDevice).into()) }
    }

    /// Lets a device go for ever. Repeating it is safe.
    pub async fn revoke_device(
        &self,
        revocation: &Verified<DeviceRevocation>,
    ) -> Result<RevokedDevice, CallError> {
        let answer = self.post_envelope(&["devices", "revoke"], revocation.canonical()).await?;
        if answer.status() != StatusCode::OK {
            return Err(CallError::of(&answer));
        }
        let revoked: RevokedDevice = answer.json()?;
        if revoked.device_id != revocation.document().device_id {
            return Err(answer.contradiction(Contradiction::OtherDevice).into());
        }
        Ok(revoked)
    }

    /// The devices of `address`, whose key is known to be `primary`; `None` when nobody holds the handle. Each document
    /// is verified. That the server shows all of them is its word.
    pub async fn devices(&self, address: &Fqhn, primary: PublicKey) -> Result<Option<DeviceList>, CallError> {
        let url = self.call(&["u", address.handle().as_str(), "devices"]);
        let answer = self.transport().get_large(&url, LARGE_BYTES_MAX).await?;
        if !found(&answer)? {
            return Ok(None);
        }
        let wire: WireList = answer.json()?;
        if wire.primary != primary {
            return Err(answer.contradiction(Contradiction::OtherKey).into());
        }
        let devices = wire.devices.iter().map(|device| checked(&answer, device, primary));
        Ok(Some(DeviceList { primary, devices: devices.collect::<Result<_, _>>()?, revoked: wire.revoked }))
    }

    /// `POST` of a document that needs no other signature.
    pub(super) async fn post_envelope(
        &self,
        segments: &[&str],
        envelope: &str,
    ) -> Result<Answer, ClientError> {
        self.transport().post(&self.call(segments), envelope.to_owned(), HeaderMap::new()).await
    }
}

impl DeviceClient {
    /// [`HomeServer::enrol_device`] within the client's [`Patience`](crate::Patience).
    pub async fn enrol(&self, device: &Verified<Device>) -> Result<EnrolledDevice, CallError> {
        self.patiently(|| self.home().enrol_device(device)).await
    }

    /// [`HomeServer::revoke_device`] within the client's [`Patience`](crate::Patience).
    pub async fn revoke(&self, revocation: &Verified<DeviceRevocation>) -> Result<RevokedDevice, CallError> {
        self.patiently(|| self.home().revoke_device(revocation)).await
    }
}

fn checked(answer: &Answer, wire: &WireDevice, primary: PublicKey) -> Result<ListedDevice, ClientError> {
    let unfit = || answer.contradiction(Contradiction::UnfitDevice);
    let envelope = Envelope::parse(wire.envelope.to_string().as_bytes())
        .map_err(|_| answer.not_protocol(AnswerFault::NotJson))?;
    let verified = envelope.verify::<Device>().map_err(|_| unfit())?;
    let enrolment = Enrolment::check(verified).map_err(|_| unfit())?;
    if enrolment.primary() != primary {
        return Err(answer.contradiction(Contradiction::OtherKey));
    }
    Ok(ListedDevice { enrolment, enrolled_at: wire.enrolled_at })
}
