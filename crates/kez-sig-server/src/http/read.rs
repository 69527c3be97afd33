//! `GET /v1/sigchains/{system}/{id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use kez_serve::client_addr::Client;
use kez_serve::problem;

use super::schema::ProblemBody;
use super::{ChainPath, chain, fresh};
use crate::chains::Chains;
use crate::error::ApiError;
use crate::store::Reading;

/// The events of a chain, oldest first, one canonical envelope a line.
///
/// Verify what you get: nothing else makes it true.
#[utoipa::path(
    get, path = "/v1/sigchains/{system}/{id}", tag = "sigchains",
    params(
        ("system" = String, Path, description = "`ed25519` or `nostr`", example = "ed25519", pattern = "^ed25519$"),
        ("id" = String, Path, description = "64 lower-case hex digits, or `npub1…`",
         example = "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12", pattern = "^[0-9a-f]{64}$"),
        ("since" = Option<u64>, Query, description = "Only events after this position: the last one you have", minimum = 0),
    ),
    responses(
        (status = 200, description = "JSON lines; the ETag is the hash of the last event", body = String, content_type = "application/jsonl"),
        (status = 304, description = "The chain still ends with the event of If-None-Match"),
        (status = 400, description = "`bad_key`, `bad_since`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: the key has no chain here", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read(
    State(chains): State<Arc<Chains>>,
    client: Client,
    path: ChainPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    chains.admit_read(client)?;
    let chain = chain(path)?;
    let since = since(query.as_deref().unwrap_or_default())?;
    let reading = chains.store.read(&chain, since).await?.ok_or(ApiError::NotFound)?;
    let head = reading.head;
    fresh(&headers, &head, lines(reading)).await
}

async fn lines(mut reading: Reading) -> Result<Response, ApiError> {
    // Before the answer begins, so that a chain of which nothing can be read is answered 503.
    let first = stream::iter(reading.lines.try_next().await?.map(Ok));
    // The answer has begun, so all that can be done is to break it off; the client sees that it is not whole.
    let pieces = first.chain(reading.lines).inspect_err(|error| {
        tracing::error!(error = %problem::chain(error), "a sigchain could not be read to its end");
    });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    if let Some(bytes) = reading.bytes {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    Ok(response)
}

/// The position after which reading begins; `None`: at the first event. Other parameters are ignored.
fn since(query: &str) -> Result<Option<u64>, ApiError> {
    let mut positions = query.split('&').filter_map(|pair| match pair.split_once('=') {
        Some(("since", position)) => Some(position),
        None if pair == "since" => Some(""),
        _ => None,
    });
    match (positions.next(), positions.next()) {
        (None, _) => Ok(None),
        (Some(text), None) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map(Some).map_err(|_| ApiError::BadSince)
        }
        _ => Err(ApiError::BadSince),
    }
}
