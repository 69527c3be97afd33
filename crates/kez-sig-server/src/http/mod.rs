//! The HTTP interface: one file per route. What a handler can answer stands in its description, which is also the
//! OpenAPI document.

pub(crate) mod append;
pub(crate) mod bundle;
pub(crate) mod head;
pub(crate) mod health;
pub(crate) mod read;

mod schema;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use kez_core::PrimaryKey;
use kez_core::sigchain::Head;

use crate::error::ApiError;

/// The two parts of the path that name a chain; what is not UTF-8 names none.
type ChainPath = Result<Path<(String, String)>, PathRejection>;

fn chain(path: ChainPath) -> Result<PrimaryKey, ApiError> {
    let Ok(Path((system, id))) = path else { return Err(ApiError::BadKey) };
    format!("{system}:{id}").parse().map_err(|_| ApiError::BadKey)
}

/// An answer that is right as long as the chain has this end, or 304 when the client has it: then `answer` is not made.
async fn fresh(
    request: &HeaderMap,
    head: &Head,
    answer: impl Future<Output = Result<Response, ApiError>>,
) -> Result<Response, ApiError> {
    let etag = format!("\"{}\"", head.hash);
    let is_known = kez_serve::etag::is_known(request, &etag);
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { answer.await? };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_maybe_shared(etag) {
        headers.insert(ETAG, etag);
    }
    Ok(response)
}
