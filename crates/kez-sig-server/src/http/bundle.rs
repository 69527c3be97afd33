//! `GET /v1/sigchains/{system}/{id}/bundle`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use kez_core::encoding;
use kez_serve::client_addr::Client;
use kez_serve::storage::StoreError;

use super::schema::ProblemBody;
use super::{ChainPath, chain, fresh};
use crate::chains::Chains;
use crate::error::ApiError;
use crate::store::Reading;

/// The longest chain that is bundled, in bytes of JSON lines: some 8,000 events, compressed in a fraction of a second.
pub(crate) const CHAIN_BYTES_MAX: usize = 4 * 1024 * 1024;

const _: () =
    assert!(CHAIN_BYTES_MAX <= encoding::BUNDLE_BYTES_MAX, "every reader takes what is bundled here");

/// A chain as one line of text, to be carried by hand: `kez:zc1:` and base64url of the compressed lines.
#[utoipa::path(
    get, path = "/v1/sigchains/{system}/{id}/bundle", tag = "sigchains",
    params(
        ("system" = String, Path, description = "`ed25519` or `nostr`", example = "ed25519", pattern = "^ed25519$"),
        ("id" = String, Path, description = "64 lower-case hex digits, or `npub1…`",
         example = "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12", pattern = "^[0-9a-f]{64}$"),
    ),
    responses(
        (status = 200, description = "The whole chain", body = String, content_type = "text/plain"),
        (status = 304, description = "The chain still ends with the event of If-None-Match"),
        (status = 400, description = "`bad_key`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: the key has no chain here", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`bundle_too_large`: more than 4 MiB; read it as it is", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn bundle(
    State(chains): State<Arc<Chains>>,
    client: Client,
    path: ChainPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    chains.admit_bundle(client)?;
    let reading = chains.store.read(&chain(path)?, None).await?.ok_or(ApiError::NotFound)?;
    let head = reading.head;
    fresh(&headers, &head, async {
        let _place = chains.bundle_place().ok_or(StoreError::Busy)?;
        let text = bundled(reading).await?;
        let media = [(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];
        Ok((media, text).into_response())
    })
    .await
}

async fn bundled(reading: Reading) -> Result<String, ApiError> {
    let mut lines = Vec::new();
    let mut pieces = reading.lines;
    while let Some(piece) = pieces.try_next().await? {
        if lines.len() + piece.len() > CHAIN_BYTES_MAX {
            return Err(ApiError::BundleTooLarge);
        }
        lines.extend_from_slice(&piece);
    }
    let text = tokio::task::spawn_blocking(move || {
        let lines = String::from_utf8(lines).map_err(StoreError::failed)?;
        encoding::bundle(&lines).map_err(|_| ApiError::BundleTooLarge)
    });
    text.await.map_err(StoreError::failed)?
}
