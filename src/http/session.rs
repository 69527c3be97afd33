//! `POST /v1/session`.

use std::sync::Arc;

use axum::extract::State;
use kez_core::http_signature::SignatureError;
use kez_core::{ExchangeKey, SessionToken, Timestamp};
use kez_serve::reply::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schema::ProblemBody;
use crate::app::App;
use crate::caller::{SignedJson, SignedWith};
use crate::error::ApiError;

/// The longest body, in bytes: many times what one key needs.
const BODY_BYTES_MAX: usize = 1024;

/// A fresh key of the client.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionRequest {
    /// An X25519 public key (RFC 7748), 32 bytes in base64url without padding, made for this session.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{43}$")]
    key: ExchangeKey,
}

/// A session of the device that asked.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionAnswer {
    /// The `keyid` of the session's calls.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,256}$")]
    session: SessionToken,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Opens a session, whose calls are signed with HMAC.
///
/// Signed with the device's auth key only: a session opens no other one. Both sides derive the session's key from the
/// client's key and `session_key` of `/v1/server`; the server stores nothing.
#[utoipa::path(
    post, path = "/v1/session", tag = "devices",
    request_body = SessionRequest,
    security(("signature" = [])),
    responses(
        (status = 200, description = "Opened", body = SessionAnswer),
        (status = 400, description = "`malformed`, `bad_key`, `digest_mismatch`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: more than 1 KiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    signed: SignedJson<BODY_BYTES_MAX>,
) -> Result<Json<SessionAnswer>, ApiError> {
    if signed.with == SignedWith::Session {
        return Err(SignatureError::KeyKind.into());
    }
    let SessionRequest { key } = signed.parse()?;
    let opened = app.sessions.open(&signed.caller, key, app.clock.now())?;
    Ok(Json(SessionAnswer { session: opened.token, expires_at: opened.expires_at }))
}
