//! `GET /v1/inbox`, `POST /v1/inbox/ack`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use kez_core::{ContactChange, ConversationId, ConversationKind, DeviceId, FrameKind, MessageId, Timestamp};
use kez_serve::reply::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::contacts::PeerBody;
use super::cursor::Cursor;
use super::schema::ProblemBody;
use crate::app::App;
use crate::base64url::Base64Url;
use crate::caller::{Caller, Signed, SignedJson};
use crate::error::ApiError;
use crate::store::{AckRefusal, DeviceChange, Event, InboxLimits, Mailbox, News};

/// The most bytes of frames and Welcomes in a page, unless the first is longer: some 15 of the longest frames.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// The longest acknowledgement, in bytes: one number.
const ACK_BYTES_MAX: usize = 256;

/// A piece of an inbox.
#[derive(Serialize, ToSchema)]
#[schema(as = InboxPage)]
pub(crate) struct PageBody {
    /// In the order of their numbers, without a gap.
    events: Vec<EventBody>,
    /// The number of the last event that was ever put in.
    head: u64,
}

/// Something that an account has to know.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = Event)]
pub(crate) enum EventBody {
    /// A frame of a conversation that the account is, or was, a member of.
    Frame {
        /// The event's number in the inbox.
        n: u64,
        /// The conversation.
        #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
        cid: ConversationId,
        /// The frame's number in the conversation.
        seq: u64,
        /// When the server took it.
        #[schema(value_type = String, format = DateTime)]
        at: Timestamp,
        /// The id that its sender gave it.
        #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
        mid: MessageId,
        /// `app` or `commit`.
        #[schema(value_type = String, pattern = "^(app|commit)$")]
        kind: FrameKind,
        /// One MLS message; base64url without padding.
        #[schema(value_type = String)]
        frame: Base64Url,
    },
    /// A Welcome to a conversation.
    Welcome {
        /// The event's number in the inbox.
        n: u64,
        /// The conversation.
        #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
        cid: ConversationId,
        /// `direct`, `group` or `self`.
        #[schema(value_type = String, pattern = "^(direct|group|self)$")]
        kind: ConversationKind,
        /// The commit that it belongs to; read on after it.
        seq: u64,
        /// When the server took that commit.
        #[schema(value_type = String, format = DateTime)]
        at: Timestamp,
        /// One MLS message; base64url without padding.
        #[schema(value_type = String)]
        welcome: Base64Url,
        /// The devices of this account that it is for.
        #[schema(value_type = Vec<String>)]
        device_ids: Vec<DeviceId>,
    },
    /// Something happened to a device of the account.
    Device {
        /// The event's number in the inbox.
        n: u64,
        /// The device.
        #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
        device_id: DeviceId,
        /// `enrolled`, `renewed` or `revoked`.
        #[schema(value_type = String, pattern = "^(enrolled|renewed|revoked)$")]
        change: DeviceChange,
        /// When.
        #[schema(value_type = String, format = DateTime)]
        at: Timestamp,
    },
    /// Something happened between the account and somebody.
    Contact {
        /// The event's number in the inbox.
        n: u64,
        /// The conversation of the two.
        #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
        cid: ConversationId,
        /// `outgoing`, `incoming`, `accepted`, `declined`, `closed` or `replaced`.
        #[schema(value_type = String, pattern = "^(outgoing|incoming|accepted|declined|closed|replaced)$")]
        change: ContactChange,
        /// When.
        #[schema(value_type = String, format = DateTime)]
        at: Timestamp,
        /// The other side; missing: it has left the server.
        #[serde(flatten)]
        peer: Option<PeerBody>,
    },
}

impl From<Event> for EventBody {
    fn from(Event { n, news }: Event) -> Self {
        match news {
            News::Frame { cid, seq, at, mid, kind, frame } => {
                Self::Frame { n, cid, seq, at, mid, kind, frame: Base64Url(frame) }
            }
            News::Welcome { cid, kind, seq, at, welcome, device_ids } => {
                Self::Welcome { n, cid, kind, seq, at, welcome: Base64Url(welcome), device_ids }
            }
            News::Device { device_id, change, at } => Self::Device { n, device_id, change, at },
            News::Contact { cid, change, at, peer } => {
                Self::Contact { n, cid, change, at, peer: peer.map(PeerBody::from) }
            }
        }
    }
}

impl EventBody {
    /// The member `type`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Frame { .. } => "frame",
            Self::Welcome { .. } => "welcome",
            Self::Device { .. } => "device",
            Self::Contact { .. } => "contact",
        }
    }
}

/// What the calling device needs no more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Acknowledgement)]
pub(crate) struct AckBody {
    /// No event up to this number.
    n: u64,
}

/// How far the calling device is.
#[derive(Serialize, ToSchema)]
#[schema(as = Acknowledged)]
pub(crate) struct AckedBody {
    /// The highest number that it ever acknowledged.
    acked: u64,
}

/// Reads the events of the caller's account after a number.
///
/// Without `after` the page begins where the calling device's acknowledgement ends. A page has at most 1 MiB of frames
/// and Welcomes, and one event whatever its size; more is there when its last event is not `head`.
#[utoipa::path(
    get, path = "/v1/inbox", tag = "inbox",
    params(
        ("after" = Option<u64>, Query, description = "A number from 0 to `head`"),
        ("limit" = Option<u32>, Query, description = "1 to 500; 100 without it"),
    ),
    security(("signature" = [])),
    responses(
        (status = 200, description = "A page", body = PageBody),
        (status = 400, description = "`bad_cursor`: no such number, or none yet", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`gone`, with `oldest`: events after that number were dropped", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn inbox(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    query: RawQuery,
) -> Result<Json<PageBody>, ApiError> {
    let Cursor { after, limit: events } = Cursor::<u64>::parse(query)?;
    let after = match after {
        Some(after) => after,
        None => mailbox(&app, &caller).await?.acked,
    };
    let limits = InboxLimits { events, bytes: PAGE_BYTES_MAX };
    let page = app.store.events(caller.account, after, limits).await??;
    Ok(Json(PageBody { events: page.events.into_iter().map(EventBody::from).collect(), head: page.head }))
}

/// Says that the calling device needs no event up to a number any more.
///
/// A lower number than before changes nothing.
#[utoipa::path(
    post, path = "/v1/inbox/ack", tag = "inbox",
    request_body = AckBody,
    security(("signature" = [])),
    responses(
        (status = 200, description = "How far the device is", body = AckedBody),
        (status = 400, description = "`malformed`, `digest_mismatch`, `bad_cursor`: no such event yet", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`, `too_many_writes`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn ack(
    State(app): State<Arc<App>>,
    call: SignedJson<ACK_BYTES_MAX>,
) -> Result<Json<AckedBody>, ApiError> {
    let AckBody { n } = call.parse()?;
    let Caller { account, device, .. } = call.caller;
    let store = Arc::clone(&app.store);
    let acked = app.write(account, async move { Ok::<_, ApiError>(store.ack(device, n).await??) }).await?;
    Ok(Json(AckedBody { acked }))
}

/// The inbox as the calling device finds it.
pub(super) async fn mailbox(app: &App, caller: &Caller) -> Result<Mailbox, ApiError> {
    Ok(app.store.mailbox(caller.device).await?.map_err(AckRefusal::from)?)
}
