//! `POST /v1/devices`, `POST /v1/devices/revoke`, `GET /v1/u/{handle}/devices`.

use std::sync::Arc;

use axum::extract::State;
use kez_core::{Device, DeviceId, DeviceRevocation, Enrolment, Envelope, Handle, PublicKey, Timestamp};
use kez_serve::body::JsonBytes;
use kez_serve::client_addr::Client;
use kez_serve::reply::{Json, Stored};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::lookup::{Param, text};
use super::schema::{DeviceEnvelopeBody, ProblemBody, RevocationEnvelopeBody};
use crate::app::{App, to_the_end};
use crate::devices::{decide_enrolment, decide_revocation};
use crate::error::ApiError;
use crate::store::{EnrolRefusal, EnrolledHow, StoreError, StoredDevice};

/// The longest body, in bytes. SPEC "Device calls".
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024;

/// A device that was taken in.
#[derive(Serialize, ToSchema)]
pub(crate) struct EnrolledDevice {
    /// The key that took it in.
    #[schema(value_type = String, pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: PublicKey,
    /// The device.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    device_id: DeviceId,
    /// The key of its signed calls.
    #[schema(value_type = String, pattern = "^ed25519:[0-9a-f]{64}$")]
    auth_key: PublicKey,
    /// Its signature key in MLS.
    #[schema(value_type = String, pattern = "^ed25519:[0-9a-f]{64}$")]
    mls_key: PublicKey,
    /// When this server took it in first.
    #[schema(value_type = String, format = DateTime)]
    enrolled_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Where its reading of the inbox begins: events up to this number are not for it, or acknowledged by it.
    inbox_head: u64,
}

/// The devices of an account, from which its certificates can be checked.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceList {
    /// The account.
    #[schema(value_type = String, pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: PublicKey,
    /// The active ones, oldest first.
    devices: Vec<ListedDevice>,
    /// Those that were revoked, oldest first.
    revoked: Vec<RevokedDevice>,
}

/// A device that is neither revoked nor expired.
#[derive(Serialize, ToSchema)]
struct ListedDevice {
    /// What its account signed: the last renewal.
    #[schema(value_type = DeviceEnvelopeBody)]
    envelope: Value,
    /// When this server took it in first.
    #[schema(value_type = String, format = DateTime)]
    enrolled_at: Timestamp,
}

/// A device that will never come back.
#[derive(Serialize, ToSchema)]
pub(crate) struct RevokedDevice {
    /// The device.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    device_id: DeviceId,
    /// When this server took the revocation.
    #[schema(value_type = String, format = DateTime)]
    revoked_at: Timestamp,
}

/// Takes a device into the signer's account, or renews it.
///
/// The body is one signed envelope, by the account's primary key. The same envelope sent again is answered 200, so a
/// client that lost the answer may repeat it.
#[utoipa::path(
    post, path = "/v1/devices", tag = "devices",
    request_body = DeviceEnvelopeBody,
    responses(
        (status = 201, description = "Taken in, durably", body = EnrolledDevice),
        (status = 200, description = "Renewed, or the same envelope was accepted before", body = EnrolledDevice),
        (status = 400, description = "`malformed`, `wrong_type`, `key_mismatch`, `bad_signature`, `bad_enrolment`, `wrong_server`, `clock_skew`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`not_registered`, `account_suspended`, `too_many_devices`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`device_revoked`, `device_exists`, `superseded`, `key_in_use`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: more than 16 KiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn enrol(
    State(app): State<Arc<App>>,
    client: Client,
    JsonBytes(body): JsonBytes<BODY_BYTES_MAX>,
) -> Result<Stored<EnrolledDevice>, ApiError> {
    app.admit_device_change(client)?;
    let enrolment = Enrolment::check(Envelope::parse(&body)?.verify::<Device>()?)?;
    if let Some(device) = before(&app, &enrolment).await? {
        return Ok(Stored::Before(device.into()));
    }
    let accepted = decide_enrolment(&enrolment, app.clock.now(), app.server())?;
    let enrolled = to_the_end(async move {
        let primary = accepted.primary;
        let enrolled = app.store.enrol(accepted).await;
        app.devices_changed(&primary); // also after a failure: what was written may yet turn out to be there
        let enrolled = enrolled??;
        app.wake(&enrolled.woken);
        Ok::<_, ApiError>(enrolled)
    })
    .await?;
    Ok(match enrolled.outcome {
        EnrolledHow::New => Stored::New(enrolled.device.into()),
        EnrolledHow::Renewed | EnrolledHow::Before => Stored::Before(enrolled.device.into()),
    })
}

/// The device, if this very enrolment is what is stored of it: its date is then no longer looked at. Whoever asks again
/// may have got no answer, and then nobody may have told the caches.
async fn before(app: &App, enrolment: &Enrolment) -> Result<Option<StoredDevice>, ApiError> {
    let stored = app.store.device(&enrolment.primary(), &enrolment.device().device_id).await?;
    let hash = enrolment.envelope().payload_sha256();
    let Some(same) = stored.filter(|stored| stored.payload_sha256 == *hash) else { return Ok(None) };
    app.devices_changed(&same.primary);
    if same.revoked.is_some() {
        return Err(EnrolRefusal::DeviceRevoked.into());
    }
    match app.store.suspension(&same.primary).await? {
        Some(_) => Err(EnrolRefusal::AccountSuspended.into()),
        None => Ok(Some(same)),
    }
}

/// Lets a device of the signer's account go, for ever.
///
/// The body is one signed envelope, by the account's primary key. From the answer on its calls are refused, and its
/// account's sessions are over. Sent again, the first answer is repeated.
#[utoipa::path(
    post, path = "/v1/devices/revoke", tag = "devices",
    request_body = RevocationEnvelopeBody,
    responses(
        (status = 200, description = "Revoked, durably, now or before", body = RevokedDevice),
        (status = 400, description = "`malformed`, `wrong_type`, `key_mismatch`, `bad_signature`, `wrong_server`, `clock_skew`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: the account has no such device", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: more than 16 KiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    client: Client,
    JsonBytes(body): JsonBytes<BODY_BYTES_MAX>,
) -> Result<Json<RevokedDevice>, ApiError> {
    app.admit_device_change(client)?;
    let envelope = Envelope::parse(&body)?.verify::<DeviceRevocation>()?;
    let (primary, device_id) = (envelope.primary(), envelope.document().device_id);
    let stored = app.store.device(&primary, &device_id).await?;
    if let Some((revoked_at, _)) = stored.and_then(|stored| stored.revoked) {
        app.cut_off(&primary); // the first answer was perhaps a failure, after which nobody told the caches
        return Ok(Json(RevokedDevice { device_id, revoked_at }));
    }
    let accepted = decide_revocation(&envelope, app.clock.now(), app.server())?;
    let revoked = to_the_end(async move {
        let revoked = app.store.revoke(accepted).await;
        app.cut_off(&primary); // also after a failure: what was written may yet turn out to be there
        let revoked = revoked??;
        app.wake(&revoked.woken);
        Ok::<_, ApiError>(revoked)
    })
    .await?;
    Ok(Json(RevokedDevice { device_id, revoked_at: revoked.revoked_at }))
}

/// The devices of whoever holds a handle.
#[utoipa::path(
    get, path = "/v1/u/{handle}/devices", tag = "devices",
    params(("handle" = String, Path, description = "Without `@` and server", example = "alice")),
    responses(
        (status = 200, description = "What the account signed", body = DeviceList),
        (status = 404, description = "`not_found`: nobody holds it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    client: Client,
    handle: Param,
) -> Result<Json<DeviceList>, ApiError> {
    app.admit_lookup(client)?;
    let handle: Handle = text(handle).and_then(|text| text.parse().ok()).ok_or(ApiError::NotFound)?;
    let account = app.store.by_handle(&handle).await?.ok_or(ApiError::NotFound)?;
    let stored = app.store.devices(&account.primary).await?;
    let mut list = DeviceList { primary: account.primary, devices: Vec::new(), revoked: Vec::new() };
    let now = app.clock.now();
    for device in stored {
        match device.revoked {
            Some((revoked_at, _)) => {
                list.revoked.push(RevokedDevice { device_id: device.device_id, revoked_at });
            }
            None if device.expires_at > now => list.devices.push(listed(&device)?),
            None => {}
        }
    }
    Ok(Json(list))
}

fn listed(device: &StoredDevice) -> Result<ListedDevice, StoreError> {
    let envelope = serde_json::from_str(&device.envelope).map_err(StoreError::failed)?;
    Ok(ListedDevice { envelope, enrolled_at: device.enrolled_at })
}

impl From<StoredDevice> for EnrolledDevice {
    fn from(device: StoredDevice) -> Self {
        Self {
            primary: device.primary,
            device_id: device.device_id,
            auth_key: device.auth_key,
            mls_key: device.mls_key,
            enrolled_at: device.enrolled_at,
            expires_at: device.expires_at,
            inbox_head: device.acked,
        }
    }
}
