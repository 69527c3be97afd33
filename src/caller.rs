//! Whose device signed a call. SPEC "Signed calls".
//!
//! [`Signed`] and [`SignedJson`] are the only makers of a [`Caller`]. They look at the signature before the body: nobody
//! makes the server hold a body without a device of this server.

mod authority;
mod check;
mod known;
mod recent;
mod sessions;
mod stream;

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::header::HeaderName;
use http::request::Parts;
use kez_core::http_signature::check_content_digest;
use kez_core::{DeviceId, PublicKey, Timestamp};
use kez_serve::body::JsonBytes;
use kez_serve::client_addr::Client;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::error::ApiError;
use crate::store::{AccountId, DeviceRow};
pub(crate) use authority::Authorities;
use check::{Call, lines};
pub(crate) use known::KnownDevices;
pub(crate) use sessions::{SESSION_SECONDS_MAX, Sessions, WeakKey};
pub(crate) use stream::{SignedBody, SignedStream};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// The device that signed a call, enrolled and neither revoked nor expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Its account's row.
    pub account: AccountId,
    /// The key that took it in.
    pub primary: PublicKey,
    /// The device.
    pub device_id: DeviceId,
    /// Its own row.
    pub device: DeviceRow,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// How many devices its account had revoked when this was read.
    pub revocations: u64,
}

/// Who calls by another way than a signature, which said so before: over NATS, whose broker lets a device publish to its
/// own subject alone. Stands in a request's extensions, where nothing that a client sends can put it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authenticated(Option<Caller>);

impl Authenticated {
    /// A device, if it is active.
    pub(crate) async fn device(
        app: &App,
        primary: &PublicKey,
        device_id: &DeviceId,
    ) -> Result<Self, ApiError> {
        let known = app.known_devices.find(&*app.store, primary, device_id).await?;
        let known = known.filter(|known| known.caller.expires_at > app.clock.now());
        let known = known.ok_or(ApiError::UnknownDevice)?;
        if known.is_suspended { Err(ApiError::AccountSuspended) } else { Ok(Self(Some(known.caller))) }
    }

    /// A primary key, if it holds a handle. It is no device.
    pub(crate) async fn primary(app: &App, primary: &PublicKey) -> Result<Self, ApiError> {
        match app.store.standing(primary).await? {
            Some(standing) if standing.is_suspended => Err(ApiError::AccountSuspended),
            Some(_) => Ok(Self(None)),
            None => Err(ApiError::UnknownDevice),
        }
    }

    /// The device; `None`: it is a primary key.
    pub(crate) fn caller(&self) -> Option<&Caller> {
        self.0.as_ref()
    }

    /// Of a request that came by such a way: its device.
    fn of(parts: &Parts) -> Option<Result<Caller, ApiError>> {
        parts.extensions.get::<Self>().map(|by| by.0.ok_or(ApiError::DeviceRequired))
    }
}

/// What a caller signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignedWith {
    /// The device's own auth key.
    AuthKey,
    /// The key of a session.
    Session,
}

/// A signed call without a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed(pub Caller);

/// A signed call with an `application/json` body of at most `MAX` bytes, which is what was signed. Not yet parsed.
#[derive(Debug)]
pub(crate) struct SignedJson<const MAX: usize> {
    /// Who signed.
    pub caller: Caller,
    /// What with.
    pub with: SignedWith,
    /// The body.
    pub body: Bytes,
}

impl FromRequestParts<Arc<App>> for Signed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        admit(parts, app).await?;
        if let Some(caller) = Authenticated::of(parts) {
            return caller.map(Self);
        }
        let (caller, _) = Call::read(parts, app, None)?.caller(app).await?;
        Ok(Self(caller))
    }
}

impl<const MAX: usize> FromRequest<Arc<App>> for SignedJson<MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        admit(&mut parts, app).await?;
        if let Some(caller) = Authenticated::of(&parts) {
            let JsonBytes(body) =
                JsonBytes::<MAX>::read(&parts.headers, body).await.map_err(ApiError::body)?;
            return Ok(Self { caller: caller?, with: SignedWith::AuthKey, body });
        }
        let digest = lines(&parts.headers, &CONTENT_DIGEST)?;
        let (caller, with) = Call::read(&parts, app, Some(&digest))?.caller(app).await?;
        let JsonBytes(body) = JsonBytes::<MAX>::read(&parts.headers, body).await.map_err(ApiError::body)?;
        check_content_digest(&digest, &body)?;
        Ok(Self { caller, with, body })
    }
}

impl<const MAX: usize> SignedJson<MAX> {
    /// The body as a `T`; a member that stands twice is refused, as serde does for structs. So is an array, which serde
    /// would take for the members in their order.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        if self.body.trim_ascii_start().first() != Some(&b'{') {
            return Err(ApiError::Shape);
        }
        serde_json::from_slice(&self.body).map_err(|_| ApiError::Shape)
    }
}

/// Counts a call of a client, whoever it says it is.
async fn admit(parts: &mut Parts, app: &App) -> Result<(), ApiError> {
    let client = Client::from_request_parts(parts, &()).await.map_err(ApiError::body)?;
    Ok(app.admit_call(client)?)
}
