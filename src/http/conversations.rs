//! `POST /v1/conversations`, `GET /v1/conversations`, `GET /v1/conversations/{cid}`, `POST …/{cid}/commit`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use kez_core::{ConversationId, ConversationKind};
use kez_serve::client_addr::Client;
use kez_serve::reply::{Json, Stored};

use super::conversation_bodies::{
    BundleBody, CommittedBody, ConversationBody, CreateBody, CreatedBody, ListBody,
};
use super::cursor::Cursor;
use super::lookup::{Param, text};
use super::schema::ProblemBody;
use crate::app::App;
use crate::caller::{Caller, Signed, SignedJson};
use crate::conversations::{BUNDLE_BYTES_MAX, RECIPIENTS_MAX, check_bundle, check_first_bundle};
use crate::error::ApiError;
use crate::sending::weight;
use crate::store::{Author, BundleRefusal, Committed, Creation, NotAdmitted};

/// The longest body, in bytes: the longest bundle in base64url, its recipients and members by name (136 and 77 bytes
/// each), and what stands around them.
const BODY_BYTES_MAX: usize = BUNDLE_BYTES_MAX.div_ceil(3) * 4 + RECIPIENTS_MAX * 160 + 64 * 96 + 8 * 1024;

/// Creates a conversation by its first commit.
///
/// The same request sent again is answered 200 with what was answered first. Two people have one direct conversation:
/// whoever comes second gets `conversation_exists` with its id, and is in it by the Welcome of the first. With a stranger
/// it is a request; where the other side has asked, that request is accepted, and the answer is `conversation_exists` too.
#[utoipa::path(
    post, path = "/v1/conversations", tag = "conversations",
    request_body = CreateBody,
    security(("signature" = [])),
    responses(
        (status = 201, description = "Created, durably", body = CreatedBody),
        (status = 200, description = "The same request was accepted before", body = CreatedBody),
        (status = 400, description = "`malformed`, `digest_mismatch`, `bad_frame`, `bad_members`, `bad_welcome`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`, `contact_required` with `primary`, `too_many_conversations`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`conversation_exists` with `cid`, `cid_taken`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`, `quota_exceeded`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`requests_limited`, `rate_limited`, `sending_limited`, `too_many_writes`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_conversation(
    State(app): State<Arc<App>>,
    client: Client,
    signed: SignedJson<BODY_BYTES_MAX>,
) -> Result<Stored<CreatedBody>, ApiError> {
    let CreateBody { cid, kind, bundle } = signed.parse()?;
    if kind == ConversationKind::Direct {
        app.admit_direct_conversation(client)?;
    }
    let by = author(&signed.caller);
    let bundle = check_first_bundle(bundle.into(), cid, kind, &signed.caller.primary, app.clock.now())?;
    app.admit_sending(by.account, cid, weight(bundle.bytes()))?;
    let members = bundle.members_after.clone();
    let created =
        app.write(by.account, {
            let app = Arc::clone(&app);
            async move {
                let created = app.store.create(by, cid, kind, bundle).await??;
                let (Creation::Made { committed: Committed { woken, .. }, .. }
                | Creation::Accepts { woken, .. }) = &created;
                app.wake(woken);
                Ok::<_, ApiError>(created)
            }
        });
    let (Committed { placed, generation, .. }, state) = match created.await? {
        Creation::Made { committed, state } => (committed, state),
        Creation::Accepts { cid, .. } => return Err(BundleRefusal::ConversationExists { cid }.into()),
    };
    let body =
        CreatedBody { cid, kind, state, members, generation, epoch: 1, seq: placed.seq, at: placed.at };
    Ok(if placed.is_repeated { Stored::Before(body) } else { Stored::New(body) })
}

/// Ends the epoch of a conversation by a commit, with the Welcomes, the group info and the members that belong to it.
///
/// Of all commits in one epoch one is accepted; the others get `stale_epoch`. The same request sent again is answered
/// 200 with what was answered first.
#[utoipa::path(
    post, path = "/v1/conversations/{cid}/commit", tag = "conversations",
    params(("cid" = String, Path, description = "The conversation", pattern = "^[0-9a-f]{32}$")),
    request_body = BundleBody,
    security(("signature" = [])),
    responses(
        (status = 201, description = "Accepted, durably", body = CommittedBody),
        (status = 200, description = "The same request was accepted before", body = CommittedBody),
        (status = 400, description = "`malformed`, `digest_mismatch`, `bad_frame`, `bad_members`, `bad_welcome`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`, `not_a_member`, `request_pending`, `contact_required` with `primary`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`conversation_closed`, `stale_epoch` with `epoch` and `seq` of the head, `mid_reused`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`, `quota_exceeded`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`, `sending_limited`, `too_many_writes`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn commit(
    State(app): State<Arc<App>>,
    cid: Param,
    signed: SignedJson<BODY_BYTES_MAX>,
) -> Result<Stored<CommittedBody>, ApiError> {
    let (cid, by) = (conversation(cid)?, author(&signed.caller));
    let body: BundleBody = signed.parse()?;
    let bundle = check_bundle(body.into(), cid, &signed.caller.primary, app.clock.now());
    let bundle = match bundle {
        Ok(bundle) => bundle,
        Err(fault) => return Err(unless_stranger(&app, &signed.caller, cid, fault.into()).await),
    };
    app.admit_sending(by.account, cid, weight(bundle.bytes()))?;
    let epoch = bundle.epoch;
    let committed = app.write(by.account, {
        let app = Arc::clone(&app);
        async move {
            let committed = app.store.commit(by, cid, bundle).await??;
            app.wake(&committed.woken);
            Ok::<_, ApiError>(committed)
        }
    });
    let Committed { placed, .. } = committed.await?;
    // The epoch after it, which is one that the store has: it refuses every bundle of an epoch that it never came to.
    let body = CommittedBody { epoch: epoch + 1, seq: placed.seq, at: placed.at };
    Ok(if placed.is_repeated { Stored::Before(body) } else { Stored::New(body) })
}

/// A conversation that the caller is in.
#[utoipa::path(
    get, path = "/v1/conversations/{cid}", tag = "conversations",
    params(("cid" = String, Path, description = "The conversation", pattern = "^[0-9a-f]{32}$")),
    security(("signature" = [])),
    responses(
        (status = 200, description = "Its members, its head, and what a device needs to join by itself", body = ConversationBody),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`, `not_a_member`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show_conversation(
    State(app): State<Arc<App>>,
    cid: Param,
    Signed(caller): Signed,
) -> Result<Json<ConversationBody>, ApiError> {
    let found = app.store.conversation(caller.account, conversation(cid)?, app.clock.now()).await?;
    found.map(|found| Json(found.into())).ok_or(NotAdmitted::NotAMember.into())
}

/// The conversations that the caller is in, oldest first.
#[utoipa::path(
    get, path = "/v1/conversations", tag = "conversations",
    params(
        ("after" = Option<String>, Query, description = "A conversation of the caller, now or once: the list goes on after it", pattern = "^[0-9a-f]{32}$"),
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
pub(crate) async fn list_conversations(
    State(app): State<Arc<App>>,
    query: RawQuery,
    Signed(caller): Signed,
) -> Result<Json<ListBody>, ApiError> {
    let Cursor { after, limit } = Cursor::<ConversationId>::parse(query)?;
    let page = app.store.conversations(caller.account, after, limit + 1, app.clock.now()).await?;
    Ok(Json(ListBody::new(page.map_err(|_| ApiError::BadCursor)?, limit)))
}

pub(super) fn author(caller: &Caller) -> Author {
    Author { account: caller.account, device: caller.device }
}

/// The conversation of a path. What is no id is the id of no conversation.
pub(super) fn conversation(cid: Param) -> Result<ConversationId, ApiError> {
    text(cid).and_then(|text| text.parse().ok()).ok_or(NotAdmitted::NotAMember.into())
}

/// `fault`, if the caller is in the conversation: whether it may ask at all comes before what it asks.
pub(super) async fn unless_stranger(
    app: &App,
    caller: &Caller,
    cid: ConversationId,
    fault: ApiError,
) -> ApiError {
    match app.store.is_member(caller.account, cid).await {
        Ok(true) => fault,
        Ok(false) => NotAdmitted::NotAMember.into(),
        Err(error) => error.into(),
    }
}
