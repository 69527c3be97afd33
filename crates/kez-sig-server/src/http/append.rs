//! `POST /v1/sigchains/{system}/{id}`.

use std::sync::Arc;

use axum::extract::State;
use kez_core::sigchain::{ChainError, EventHash, Head};
use kez_core::{Envelope, PrimaryKey};
use kez_serve::body::JsonBytes;
use kez_serve::client_addr::Client;
use kez_serve::reply::Stored;
use kez_serve::storage::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use super::schema::{EventBody, NotTheHeadBody, ProblemBody};
use super::{ChainPath, chain};
use crate::chains::Chains;
use crate::error::ApiError;
use crate::extension::Extension;
use crate::store::{AppendRefusal, Appended};

/// The longest event, in bytes. SPEC "Sigchain server".
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Where an event stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Place {
    /// Its position.
    #[schema(example = 0)]
    seq: u64,
    /// Its hash: SHA-256 of the canonical envelope.
    #[schema(
        value_type = String,
        example = "sha256:27d310a28d8af0dc546640e33dd0893300883e11ca1b1656954d9bc2449400dc",
        pattern = "^sha256:[0-9a-f]{64}$"
    )]
    hash: EventHash,
}

/// Appends an event to the chain of the key in the path.
///
/// The body is one signed envelope. The signature is all the permission there is. The same event sent again is answered
/// 200, so a client that lost the answer may repeat it. `…/{id}/events` is another name of this path.
#[utoipa::path(
    post, path = "/v1/sigchains/{system}/{id}", tag = "sigchains",
    request_body = EventBody,
    params(
        ("system" = String, Path, description = "`ed25519` or `nostr`", example = "ed25519", pattern = "^ed25519$"),
        ("id" = String, Path, description = "64 lower-case hex digits, or `npub1…`: the key of the chain's first event",
         example = "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12", pattern = "^[0-9a-f]{64}$"),
    ),
    responses(
        (status = 201, description = "Appended, durably", body = Place),
        (status = 200, description = "Was appended before", body = Place),
        (status = 400, description = "`malformed`, `wrong_type`, `bad_key`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`chain_full`: it has 10,000 events", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: this server keeps no sigchains", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`bad_sequence`, `wrong_prev`: it does not extend the chain, whose end is told", body = NotTheHeadBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: more than 16 KiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`key_mismatch`, `bad_signature`, `wrong_primary`, `bad_rotation`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`: the client's network, or the chain", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn append(
    State(chains): State<Arc<Chains>>,
    client: Client,
    path: ChainPath,
    JsonBytes(body): JsonBytes<BODY_BYTES_MAX>,
) -> Result<Stored<Place>, ApiError> {
    chains.admit_append(client)?;
    let chain = chain(path)?;
    let envelope = Envelope::parse(&body).map_err(ApiError::document)?;
    let hash = EventHash::from(&envelope);
    let head = chains.store.head(&chain).await?;
    let extension = match Extension::check(chain, head, envelope) {
        Ok(extension) => extension,
        Err(fault) => return passed(&chains, chain, hash, fault, head).await,
    };
    if head.is_none() {
        chains.admit_creation(client)?;
    }
    let seq = extension.head().seq;
    match chains.store.append(extension, chains.clock.now(), &chains.quotas).await? {
        Ok(Appended::New(_)) => Ok(Stored::New(Place { seq, hash })),
        Ok(Appended::SameAgain) => Ok(Stored::Before(Place { seq, hash })),
        Err(AppendRefusal::Conflict { head }) => Err(overtaken(seq, head)),
        Err(AppendRefusal::RateLimited(wait)) => Err(wait.into()),
        Err(AppendRefusal::StorageMax) => Err(StoreError::Full.into()),
    }
}

/// The answer to an event that is not the next one: at a place that the chain has passed, it may be the one that stands
/// there.
async fn passed(
    chains: &Chains,
    chain: PrimaryKey,
    hash: EventHash,
    fault: ChainError,
    head: Option<Head>,
) -> Result<Stored<Place>, ApiError> {
    if let ChainError::BadSequence { found: seq, .. } = fault
        && chains.store.event_hash(&chain, seq).await? == Some(hash)
    {
        return Ok(Stored::Before(Place { seq, hash }));
    }
    Err(ApiError::Chain { fault, head: head.map(Box::new) })
}

/// The answer to an event that another one was faster than.
fn overtaken(seq: u64, head: Option<Head>) -> ApiError {
    let expected = head.map_or(0, |head| head.seq + 1);
    ApiError::Chain { fault: ChainError::BadSequence { expected, found: seq }, head: head.map(Box::new) }
}
