//! `GET /v1/sigchains/{system}/{id}/head`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use kez_core::sigchain::EventHash;
use kez_serve::client_addr::Client;
use kez_serve::reply::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::schema::ProblemBody;
use super::{ChainPath, chain, fresh};
use crate::chains::Chains;
use crate::error::ApiError;

/// Where a chain ends.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Head)]
pub(crate) struct HeadBody {
    /// The position of the last event.
    #[schema(example = 1)]
    seq: u64,
    /// The hash of the last event.
    #[schema(value_type = String, pattern = "^sha256:[0-9a-f]{64}$")]
    hash: EventHash,
    /// How many events there are.
    #[schema(example = 2)]
    count: u64,
}

/// Where a chain ends.
#[utoipa::path(
    get, path = "/v1/sigchains/{system}/{id}/head", tag = "sigchains",
    params(
        ("system" = String, Path, description = "`ed25519` or `nostr`", example = "ed25519", pattern = "^ed25519$"),
        ("id" = String, Path, description = "64 lower-case hex digits, or `npub1…`",
         example = "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12", pattern = "^[0-9a-f]{64}$"),
    ),
    responses(
        (status = 200, description = "By the word of this server", body = HeadBody),
        (status = 304, description = "The chain still ends with the event of If-None-Match"),
        (status = 400, description = "`bad_key`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: the key has no chain here", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn head(
    State(chains): State<Arc<Chains>>,
    client: Client,
    path: ChainPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    chains.admit_read(client)?;
    let head = chains.store.head(&chain(path)?).await?.ok_or(ApiError::NotFound)?;
    let body = HeadBody { seq: head.seq, hash: head.hash, count: head.seq + 1 };
    fresh(&headers, &head, async { Ok(Json(body).into_response()) }).await
}
