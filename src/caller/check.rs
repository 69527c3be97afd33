//! The checks of a call, each once, in the order of SPEC "Signed calls".

use std::borrow::Cow;

use http::header::{HOST, HeaderMap, HeaderName};
use http::request::Parts;
use kez_core::http_signature::{KeyId, RequestParts, SignatureClaim, SignatureError};
use kez_core::{DeviceId, PublicKey, SessionToken, Timestamp};
use kez_serve::client_addr::is_local;

use super::known::KnownDevice;
use super::{Caller, SignedWith};
use crate::app::App;
use crate::error::ApiError;

const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// A call whose headers are in order: fresh, and meant for this server. Who made it is not known yet.
pub(super) struct Call<'a> {
    claim: SignatureClaim,
    parts: RequestParts<'a>,
    now: Timestamp,
}

impl<'a> Call<'a> {
    pub(super) fn read(
        parts: &'a Parts,
        app: &'a App,
        content_digest: Option<&'a str>,
    ) -> Result<Self, ApiError> {
        let claim = SignatureClaim::parse(
            &lines(&parts.headers, &SIGNATURE_INPUT)?,
            &lines(&parts.headers, &SIGNATURE)?,
        )?;
        let now = app.clock.now();
        claim
            .check_time(now)
            .map_err(|error| ApiError::SignatureTime { error, server_time: now.truncated() })?;
        let host = host(parts).ok_or(ApiError::WrongAuthority)?;
        let is_local = is_local(parts).map_err(ApiError::body)?;
        let authority = app.authorities.accepted(host, is_local).ok_or(ApiError::WrongAuthority)?;
        let parts = RequestParts {
            method: parts.method.as_str(),
            authority,
            path: parts.uri.path(),
            query: parts.uri.query(),
            content_digest,
        };
        Ok(Self { claim, parts, now })
    }

    pub(super) async fn caller(self, app: &App) -> Result<(Caller, SignedWith), ApiError> {
        let (device, with) = match self.claim.key_id() {
            KeyId::Device { primary, device_id } => {
                (self.by_device(app, primary, device_id).await?, SignedWith::AuthKey)
            }
            KeyId::Session(token) => (self.by_session(app, token).await?, SignedWith::Session),
        };
        // Last: only who holds the key learns it.
        if device.is_suspended { Err(ApiError::AccountSuspended) } else { Ok((device.caller, with)) }
    }

    async fn by_device(
        &self,
        app: &App,
        primary: &PublicKey,
        device_id: &DeviceId,
    ) -> Result<KnownDevice, ApiError> {
        let device = app.known_devices.find(&*app.store, primary, device_id).await?;
        let device = device.ok_or(ApiError::UnknownDevice)?;
        self.claim.verify_device(&device.auth_key, &self.parts)?;
        if device.caller.expires_at <= self.now { Err(ApiError::UnknownDevice) } else { Ok(device) }
    }

    /// A session is over when its hour is, when its device is revoked or expires, and when any device of the account is
    /// revoked after it was opened.
    async fn by_session(&self, app: &App, token: &SessionToken) -> Result<KnownDevice, ApiError> {
        let session = app.sessions.find(token).ok_or(ApiError::SessionEnded)?;
        if session.expires_at <= self.now {
            return Err(ApiError::SessionEnded);
        }
        let device = app.known_devices.find(&*app.store, &session.primary, &session.device_id).await?;
        let device = device.ok_or(ApiError::SessionEnded)?;
        self.claim.verify_session(&session.key, &self.parts)?;
        if device.caller.revocations != session.revocations || device.caller.expires_at <= self.now {
            return Err(ApiError::SessionEnded);
        }
        Ok(device)
    }
}

/// The value of a header, its lines joined as RFC 9421 section 2.1 has it; empty, when there is none.
pub(super) fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Cow<'a, str>, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let text = |value: &'a http::HeaderValue| value.to_str().map_err(|_| SignatureError::RequestParts);
    let Some(first) = values.next() else { return Ok(Cow::Borrowed("")) };
    let mut joined = Cow::Borrowed(text(first)?);
    for value in values {
        let joined = joined.to_mut();
        joined.push_str(", ");
        joined.push_str(text(value)?);
    }
    Ok(joined)
}

/// RFC 9112 section 3.2.2: the authority of an absolute target counts, and `Host` is then not looked at.
fn host(parts: &Parts) -> Option<&str> {
    match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(HOST)?.to_str().ok(),
    }
}
