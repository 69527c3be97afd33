//! `PUT`, `GET` and `DELETE /v1/blobs/{sha256}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, IF_RANGE,
    RANGE,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use kez_core::Timestamp;
use kez_serve::etag;
use kez_serve::reply::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::lookup::{Param, text};
use super::schema::ProblemBody;
use crate::app::{App, to_the_end};
use crate::blobs::upload::{Sent, let_go, receive};
use crate::blobs::{BadBlobHash, BadPart, BlobHash, Part, Wanted};
use crate::caller::{Signed, SignedStream};
use crate::error::{ApiError, BlobError};
use crate::store::Reference;

/// A blob never changes, so whoever has it need not ask again. RFC 8246.
const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// A blob that is whole, and the caller's reference to it.
#[derive(Serialize, ToSchema)]
#[schema(as = Blob)]
pub(crate) struct BlobBody {
    /// Its name: SHA-256 of its bytes.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
    /// How many bytes it has.
    #[schema(maximum = 104_857_600)]
    bytes: u64,
    /// When the caller's reference ends, unless it is sent again.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// How far an upload is.
#[derive(Serialize, ToSchema)]
#[schema(as = BlobUpload)]
pub(crate) struct UploadBody {
    /// How many bytes are here: where the next part begins.
    offset: u64,
}

/// What a PUT is answered.
pub(crate) enum Put {
    /// 201 or 200.
    Whole(BlobBody, bool),
    /// 202.
    Part(UploadBody),
}

impl Put {
    fn of(hash: &BlobHash, sent: Sent) -> Self {
        match sent {
            Sent::More { offset } => Self::Part(UploadBody { offset }),
            Sent::Stored(Reference { bytes, expires_at, is_new }) => {
                Self::Whole(BlobBody { sha256: hash.to_string(), bytes, expires_at }, is_new)
            }
        }
    }
}

impl IntoResponse for Put {
    fn into_response(self) -> Response {
        match self {
            Self::Whole(body, true) => (StatusCode::CREATED, Json(body)).into_response(),
            Self::Whole(body, false) => Json(body).into_response(),
            Self::Part(body) => (StatusCode::ACCEPTED, Json(body)).into_response(),
        }
    }
}

/// Sends a blob, or the next part of one.
///
/// Parts go in order, each of 64 KiB to 1 MiB but the last, with `Content-Range: bytes <first>-<last>/<size>`; a blob of
/// up to 1 MiB may go without. `Content-Range: bytes */<size>` without a body asks where to go on, and begins an upload.
/// A blob that is here already need not be sent: the caller gets its own reference to it.
#[utoipa::path(
    put, path = "/v1/blobs/{sha256}", tag = "blobs",
    params(
        ("sha256" = String, Path, description = "SHA-256 of the whole blob, in lower-case hex"),
        ("content-range" = Option<String>, Header, description = "Which part it is", example = "bytes 0-1048575/10485760"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    security(("signature" = [])),
    responses(
        (status = 201, description = "The blob is whole and durable", body = BlobBody),
        (status = 200, description = "It was before; the reference is renewed", body = BlobBody),
        (status = 202, description = "The part is durable; more are to come", body = UploadBody),
        (status = 400, description = "`bad_blob`, `bad_range`, `digest_mismatch`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`wrong_offset` with `offset`, `wrong_size` with `bytes`, `displaced`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 411, description = "`length_required`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large` with `bytes_max`, `quota_exceeded`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`: a content coding", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`, `too_many_uploads`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn send_blob(
    State(app): State<Arc<App>>,
    sha256: Param,
    call: SignedStream,
) -> Result<Put, ApiError> {
    let hash = name(sha256)?;
    let range = match call.headers.get(CONTENT_RANGE) {
        None => None,
        Some(range) => Some(range.to_str().map_err(|_| BlobError::from(BadPart::BadRange))?),
    };
    let part = Part::read(range, call.body.bytes()).map_err(BlobError::from)?;
    Ok(Put::of(&hash, receive(app, &call.caller, hash, part, call.body).await?))
}

/// Reads a blob, or one range of it.
///
/// For every active device that knows the name.
#[utoipa::path(
    get, path = "/v1/blobs/{sha256}", tag = "blobs",
    params(
        ("sha256" = String, Path, description = "SHA-256 of the whole blob, in lower-case hex"),
        ("range" = Option<String>, Header, description = "One range of bytes", example = "bytes=1048576-"),
    ),
    security(("signature" = [])),
    responses(
        (status = 200, description = "All of it", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The client has it"),
        (status = 400, description = "`bad_blob`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 416, description = "`range_not_satisfiable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read_blob(
    State(app): State<Arc<App>>,
    sha256: Param,
    method: Method,
    headers: HeaderMap,
    _caller: Signed,
) -> Result<Response, ApiError> {
    let hash = name(sha256)?;
    let size = app.store.blob(&hash).await?.ok_or(ApiError::NotFound)?;
    let tag = format!("\"{hash}\"");
    if etag::is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, lasting(&tag)).into_response());
    }
    let (status, range) = match wanted(&headers, &tag, size) {
        Wanted::Whole => (StatusCode::OK, 0..size),
        Wanted::Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => return Err(BlobError::NoSuchRange { size }.into()),
    };
    let mut answer = lasting(&tag);
    answer.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    answer.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    answer.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        let bytes = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        answer.extend(HeaderValue::try_from(bytes).map(|bytes| (CONTENT_RANGE, bytes)));
    }
    if method == Method::HEAD {
        return Ok((status, answer).into_response());
    }
    Ok((status, answer, Body::from_stream(app.depot.read(&hash, range).await?)).into_response())
}

/// Gives up the caller's own reference to a blob, and what it was sending of it.
///
/// Others who refer to the blob keep it; when nobody does, it is removed.
#[utoipa::path(
    delete, path = "/v1/blobs/{sha256}", tag = "blobs",
    params(("sha256" = String, Path, description = "SHA-256 of the whole blob, in lower-case hex")),
    security(("signature" = [])),
    responses(
        (status = 204, description = "Given up, durably"),
        (status = 400, description = "`bad_blob`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: the caller has none, whoever else has", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_blob(
    State(app): State<Arc<App>>,
    sha256: Param,
    Signed(caller): Signed,
) -> Result<StatusCode, ApiError> {
    let hash = name(sha256)?;
    let was_there =
        to_the_end(async move { let_go(&*app.store, &app.depot, caller.account, &hash).await }).await?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::NotFound) }
}

fn name(sha256: Param) -> Result<BlobHash, BlobError> {
    Ok(text(sha256).ok_or(BadBlobHash)?.parse::<BlobHash>()?)
}

/// What a GET asks for. RFC 9110 section 13.1.5: a range of another blob is no range.
fn wanted(headers: &HeaderMap, tag: &str, size: u64) -> Wanted {
    let is_other = headers.get(IF_RANGE).is_some_and(|own| own.as_bytes() != tag.as_bytes());
    let mut ranges = headers.get_all(RANGE).iter();
    match (ranges.next().map(HeaderValue::to_str), ranges.next()) {
        (Some(Ok(range)), None) if !is_other => Wanted::read(range, size),
        _ => Wanted::Whole,
    }
}

fn lasting(tag: &str) -> HeaderMap {
    let headers: [(HeaderName, Option<HeaderValue>); 2] =
        [(CACHE_CONTROL, Some(FOR_EVER)), (ETAG, HeaderValue::try_from(tag).ok())];
    headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
