//! `GET /v1/u/{handle}`, `GET /v1/by-primary/{primary}`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::Uri;
use kez_core::{Handle, PrimaryKey};
use kez_serve::client_addr::Client;

use super::schema::{ProblemBody, RecordBody};
use crate::app::App;
use crate::error::ApiError;
use kez_serve::reply::JsonText;
use percent_encoding::percent_decode_str;

/// A path parameter as text; one that is not UTF-8 names nothing.
pub(super) type Param = Result<Path<String>, PathRejection>;

/// The record of a handle.
#[utoipa::path(
    get, path = "/v1/u/{handle}", tag = "registry",
    params(("handle" = String, Path, description = "Without `@` and server", example = "alice")),
    responses(
        (status = 200, description = "By the word of this server", body = RecordBody),
        (status = 404, description = "`not_found`: nobody holds it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn by_handle(
    State(app): State<Arc<App>>,
    client: Client,
    uri: Uri,
) -> Result<JsonText, ApiError> {
    app.admit_lookup(client)?;
    let handle: Handle = last_segment(&uri).and_then(|text| text.parse().ok()).ok_or(ApiError::NotFound)?;
    let account = app.store.by_handle(&handle).await?.ok_or(ApiError::NotFound)?;
    Ok(JsonText(app.records.json(&account)))
}

/// The record of a key.
#[utoipa::path(
    get, path = "/v1/by-primary/{primary}", tag = "registry",
    params(("primary" = String, Path, description = "`ed25519:` and 64 lower-case hex digits, or `nostr:npub1…`",
            example = "ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
            pattern = "^ed25519:[0-9a-f]{64}$")),
    responses(
        (status = 200, description = "By the word of this server", body = RecordBody),
        (status = 400, description = "`bad_key`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: it holds no handle here", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn by_primary(
    State(app): State<Arc<App>>,
    client: Client,
    uri: Uri,
) -> Result<JsonText, ApiError> {
    app.admit_lookup(client)?;
    let primary = last_segment(&uri).and_then(|text| text.parse().ok()).ok_or(ApiError::BadKey)?;
    let PrimaryKey::Ed25519(primary) = primary else { return Err(ApiError::NotFound) }; // no chat account has one
    let account = app.store.by_primary(&primary).await?.ok_or(ApiError::NotFound)?;
    Ok(JsonText(app.records.json(&account)))
}

pub(super) fn text(param: Param) -> Option<String> {
    param.ok().map(|Path(text)| text)
}

/// The end of the path as text; one that is not UTF-8 names nothing. axum's `Path` takes ten times as long for it.
fn last_segment(uri: &Uri) -> Option<Cow<'_, str>> {
    let (_, segment) = uri.path().rsplit_once('/')?;
    percent_decode_str(segment).decode_utf8().ok()
}
