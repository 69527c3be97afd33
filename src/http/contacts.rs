//! `GET /v1/contacts`, `DELETE /v1/contacts/{primary}`, `POST /v1/conversations/{cid}/accept`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use kez_core::{ContactState, ConversationId, ConversationState, Handle, PublicKey, Timestamp};
use kez_serve::reply::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::conversations::{author, conversation};
use super::cursor::Cursor;
use super::lookup::{Param, text};
use super::schema::ProblemBody;
use crate::app::App;
use crate::caller::Signed;
use crate::contacts::REQUEST_SECONDS;
use crate::error::ApiError;
use crate::store::{Contact, Peer};

/// Somebody of this server.
#[derive(Serialize, ToSchema)]
#[schema(as = Peer)]
pub(crate) struct PeerBody {
    /// The key.
    #[schema(value_type = String, pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: PublicKey,
    /// The handle that it holds; missing: none any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "alice")]
    handle: Option<Handle>,
    /// Since when it holds that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    registered_at: Option<Timestamp>,
}

impl From<Peer> for PeerBody {
    fn from(Peer { primary, handle }: Peer) -> Self {
        let (handle, registered_at) = handle.unzip();
        Self { primary, handle, registered_at }
    }
}

/// A contact, or a request that waits.
#[derive(Serialize, ToSchema)]
#[schema(as = Contact)]
pub(crate) struct ContactBody {
    #[serde(flatten)]
    peer: PeerBody,
    /// `outgoing`, `incoming`, `accepted` or `declined`.
    #[schema(value_type = String, pattern = "^(outgoing|incoming|accepted|declined)$")]
    state: ContactState,
    /// When one asked the other.
    #[schema(value_type = String, format = DateTime)]
    asked_at: Timestamp,
    /// Since when the state is so.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Of a request: when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// The conversation of the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{32}$")]
    cid: Option<ConversationId>,
    /// Its generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
}

impl From<Contact> for ContactBody {
    fn from(found: Contact) -> Self {
        let waits = found.state != ContactState::Accepted;
        let (cid, generation) = found.conversation.unzip();
        Self {
            peer: found.peer.into(),
            state: found.state,
            asked_at: found.asked_at,
            at: found.at,
            expires_at: found.asked_at.plus_seconds(REQUEST_SECONDS).filter(|_| waits),
            cid,
            generation,
        }
    }
}

/// Contacts.
#[derive(Serialize, ToSchema)]
#[schema(as = ContactList)]
pub(crate) struct ListBody {
    /// In the order in which they came to this server.
    contacts: Vec<ContactBody>,
    /// Where there is more: the `after` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    next: Option<PublicKey>,
}

/// A conversation that is open.
#[derive(Serialize, ToSchema)]
#[schema(as = AcceptedConversation)]
pub(crate) struct AcceptedBody {
    /// Its id.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    cid: ConversationId,
    /// `open`.
    #[schema(value_type = String, example = "open")]
    state: ConversationState,
}

/// What somebody is now.
#[derive(Serialize, ToSchema)]
#[schema(as = RemovedContact)]
pub(crate) struct RemovedBody {
    /// The key.
    #[schema(value_type = String, pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: PublicKey,
    /// `declined`; missing: a stranger.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "declined")]
    state: Option<ContactState>,
}

/// The contacts of the caller's account, and the requests that wait.
#[utoipa::path(
    get, path = "/v1/contacts", tag = "contacts",
    params(
        ("after" = Option<String>, Query, description = "The key that the list goes on after", pattern = "^ed25519:[0-9a-f]{64}$"),
        ("limit" = Option<u32>, Query, description = "1 to 500; 100 when it is missing", minimum = 1, maximum = 500),
    ),
    security(("signature" = [])),
    responses(
        (status = 200, description = "A page; `next`, where there is more, is the `after` of the next one", body = ListBody),
        (status = 400, description = "`bad_cursor`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_contacts(
    State(app): State<Arc<App>>,
    query: RawQuery,
    Signed(caller): Signed,
) -> Result<Json<ListBody>, ApiError> {
    let Cursor { after, limit } = Cursor::<PublicKey>::parse(query)?;
    let found = app.store.contacts(caller.account, after, limit + 1, app.clock.now()).await?;
    let mut found = found.map_err(|_| ApiError::BadCursor)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let goes_on = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| goes_on).map(|last| last.peer.primary);
    Ok(Json(ListBody { contacts: found.into_iter().map(ContactBody::from).collect(), next }))
}

/// Accepts the request that a conversation is.
///
/// Where it was accepted before, and in a conversation that is no request, nothing changes.
#[utoipa::path(
    post, path = "/v1/conversations/{cid}/accept", tag = "contacts",
    params(("cid" = String, Path, description = "The conversation", pattern = "^[0-9a-f]{32}$")),
    security(("signature" = [])),
    responses(
        (status = 200, description = "It is open, durably", body = AcceptedBody),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`, `not_a_member`, `request_pending`: the caller asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`conversation_closed`: the request has expired, or the conversation is closed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`, `too_many_writes`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn accept(
    State(app): State<Arc<App>>,
    cid: Param,
    Signed(caller): Signed,
) -> Result<Json<AcceptedBody>, ApiError> {
    let (cid, by, at) = (conversation(cid)?, author(&caller), app.clock.now().truncated_to_millis());
    let accepted = app.write(by.account, {
        let app = Arc::clone(&app);
        async move {
            let accepted = app.store.accept(by, cid, at).await??;
            app.wake(&accepted.woken);
            Ok::<_, ApiError>(())
        }
    });
    accepted.await?;
    Ok(Json(AcceptedBody { cid, state: ConversationState::Open }))
}

/// Declines the request of somebody, or makes a stranger of a contact.
///
/// Who declines is the only one to know. Who removes a contact closes the conversation of the two, for both. One's own
/// request cannot be taken back.
#[utoipa::path(
    delete, path = "/v1/contacts/{primary}", tag = "contacts",
    params(("primary" = String, Path, description = "The key", pattern = "^ed25519:[0-9a-f]{64}$")),
    security(("signature" = [])),
    responses(
        (status = 200, description = "What they are now, durably", body = RemovedBody),
        (status = 400, description = "`bad_key`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`, `request_pending`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`, `too_many_writes`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove_contact(
    State(app): State<Arc<App>>,
    primary: Param,
    Signed(caller): Signed,
) -> Result<Json<RemovedBody>, ApiError> {
    let (by, at) = (author(&caller), app.clock.now().truncated_to_millis());
    let primary = key(primary)?;
    let removed = app.write(by.account, {
        let app = Arc::clone(&app);
        async move {
            let removed = app.store.remove_contact(by, primary, at).await??;
            app.wake(&removed.woken);
            Ok::<_, ApiError>(removed)
        }
    });
    Ok(Json(RemovedBody { primary, state: removed.await?.state }))
}

/// The key of a path.
pub(super) fn key(primary: Param) -> Result<PublicKey, ApiError> {
    text(primary).and_then(|text| text.parse().ok()).ok_or(ApiError::BadKey)
}
