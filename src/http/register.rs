//! `POST /v1/register`.

use std::sync::Arc;

use axum::extract::State;
use http::HeaderMap;
use kez_core::{Envelope, Record, Registration};
use kez_serve::body::JsonBytes;
use kez_serve::client_addr::Client;

use super::schema::{ProblemBody, RecordBody, RegistrationEnvelopeBody};
use crate::app::App;
use crate::error::ApiError;
use crate::invite::{InviteHash, InviteToken};
use crate::registration::decide;
use crate::store::{Past, Registered};
use kez_serve::reply::Stored;

/// The longest body, in bytes. SPEC "Registration".
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024;
/// The header that carries an invite token.
const INVITE_HEADER: &str = "kez-invite";

/// Registers the sender's key under a handle.
///
/// The body is one signed envelope. The same registration sent again is answered 200 with the record, so a client
/// that lost the answer may repeat it.
#[utoipa::path(
    post, path = "/v1/register", tag = "registry",
    request_body = RegistrationEnvelopeBody,
    params(("Kez-Invite" = Option<String>, Header, description = "An invite token, where registration asks for one")),
    responses(
        (status = 201, description = "Registered, durably", body = RecordBody),
        (status = 200, description = "Was registered before", body = RecordBody),
        (status = 400, description = "`malformed`, `wrong_type`, `key_mismatch`, `bad_signature`, `wrong_server`, `bad_handle`, `clock_skew`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`reserved_handle`, `registration_closed`, `invite_required`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`envelope_used`, `handle_taken`, `key_taken`, `handle_confusable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: more than 16 KiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    client: Client,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes<BODY_BYTES_MAX>,
) -> Result<Stored<Record>, ApiError> {
    app.admit_registration(client)?;
    let envelope = Envelope::parse(&body)?.verify::<Registration>()?;
    if let Some(past) = app.store.past_registration(envelope.payload_sha256()).await? {
        return repeated(&app, past);
    }
    let accepted = decide(&envelope, invite(&headers), app.clock.now(), &app.policy)?;
    match app.store.register(accepted).await?? {
        Registered::New(account) => Ok(Stored::New(app.records.record(account))),
        Registered::Before(past) => repeated(&app, past),
    }
}

fn repeated(app: &App, past: Past) -> Result<Stored<Record>, ApiError> {
    match past {
        Past::Holds(account) => Ok(Stored::Before(app.records.record(account))),
        Past::GivenUp => Err(ApiError::EnvelopeUsed),
    }
}

/// The invite token of the request; a malformed one is as good as none.
fn invite(headers: &HeaderMap) -> Option<InviteHash> {
    let token: InviteToken = headers.get(INVITE_HEADER)?.to_str().ok()?.parse().ok()?;
    Some(token.hash())
}
