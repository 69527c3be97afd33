//! Signed calls whose body is too long to be held.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use kez_core::http_signature::content_digest_sha256;
use kez_serve::body::{is_encoded, unreadable};
use kez_serve::problem::Problem;

use super::check::{Call, lines};
use super::{CONTENT_DIGEST, Caller, admit};
use crate::app::App;
use crate::error::ApiError;

/// A signed call with a body of any type that is read piece by piece, or without one.
#[derive(Debug)]
pub(crate) struct SignedStream {
    /// Who signed.
    pub caller: Caller,
    /// The headers; of these, only what is named in the signature was signed.
    pub headers: HeaderMap,
    /// The body.
    pub body: SignedBody,
}

/// A body whose digest was signed. Nothing of it counts before all of it is read and has that digest.
#[derive(Debug)]
pub(crate) struct SignedBody {
    body: Body,
    bytes: Option<u64>,
    digest: Option<[u8; 32]>,
}

impl FromRequest<Arc<App>> for SignedStream {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        admit(&mut parts, app).await?;
        let header = lines(&parts.headers, &CONTENT_DIGEST)?;
        let has_body = !body.is_end_stream();
        let (caller, _) = Call::read(&parts, app, has_body.then_some(&*header))?.caller(app).await?;
        if is_encoded(&parts.headers) {
            let problem = Problem::of_status(http::StatusCode::UNSUPPORTED_MEDIA_TYPE);
            return Err(ApiError::body(problem.detail("No Content-Encoding is undone here.")));
        }
        let digest = if has_body { Some(content_digest_sha256(&header)?) } else { None };
        let announced = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = if has_body { announced } else { Some(0) };
        Ok(Self { caller, body: SignedBody { body, bytes, digest }, headers: parts.headers })
    }
}

impl SignedBody {
    /// How many bytes are announced; it never has more, and else breaks off.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// SHA-256 that was signed for; `None`: there is no body.
    pub(crate) fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| ApiError::body(unreadable(&error)))?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
