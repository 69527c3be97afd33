//! `GET /v1/inbox`, `POST /v1/inbox/ack`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use kez_core::{ConversationId, ConversationKind, DeviceId, FrameKind, MessageId, Timestamp};
use kez_serve::reply::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schema::ProblemBody;
use crate::app::App;
use crate::base64url::Base64Url;
use crate::caller::{Caller, Signed, SignedJson};
use crate::error::ApiError;
use crate::store::{AckRefusal, DeviceChange, Event, InboxLimits, Mailbox, News};

/// The most events of a page.
const PAGE_EVENTS_MAX: u32 = 500;

/// The events of a page, unless the query says otherwise.
const PAGE_EVENTS: u32 = 100;

/// The most bytes of frames and Welcomes in a page, unless the first is longer: some 15 of the longest frames.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// The longest acknowledgement, in bytes: one number.
const ACK_BYTES_MAX: usize = 256;

/// The largest number that JSON carries everywhere. RFC 8259 section 6.
const NUMBER_MAX: u64 = (1 << 53) - 1;

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
    RawQuery(query): RawQuery,
) -> Result<Json<PageBody>, ApiError> {
    let query = query.unwrap_or_default();
    let (after, events) = (number(&query, "after")?, limit(&query)?);
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
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn ack(
    State(app): State<Arc<App>>,
    call: SignedJson<ACK_BYTES_MAX>,
) -> Result<Json<AckedBody>, ApiError> {
    let AckBody { n } = call.parse()?;
    Ok(Json(AckedBody { acked: app.store.ack(call.caller.device, n).await?? }))
}

/// The inbox as the calling device finds it.
pub(super) async fn mailbox(app: &App, caller: &Caller) -> Result<Mailbox, ApiError> {
    Ok(app.store.mailbox(caller.device).await?.map_err(AckRefusal::from)?)
}

/// A query member that is a number, given once at most.
pub(super) fn number(query: &str, name: &str) -> Result<Option<u64>, ApiError> {
    let mut values = query.split('&').filter_map(|member| member.strip_prefix(name)?.strip_prefix('='));
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => cursor(value).map(Some),
        (Some(_), Some(_)) => Err(ApiError::BadCursor),
    }
}

/// A number in text: decimal digits, at most 2^53 - 1.
pub(super) fn cursor(text: &str) -> Result<u64, ApiError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_plain && *number <= NUMBER_MAX);
    number.ok_or(ApiError::BadCursor)
}

fn limit(query: &str) -> Result<u32, ApiError> {
    let limit = number(query, "limit")?.unwrap_or(PAGE_EVENTS.into());
    let limit = u32::try_from(limit).ok().filter(|limit| (1..=PAGE_EVENTS_MAX).contains(limit));
    limit.ok_or(ApiError::BadCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain_and_stand_once() {
        for (query, wanted) in [
            ("", None),
            ("limit=5", None),
            ("xafter=5", None),
            ("after=0", Some(0)),
            ("limit=3&after=007", Some(7)),
            ("after=9007199254740991", Some(NUMBER_MAX)),
        ] {
            assert_eq!(number(query, "after").ok(), Some(wanted), "{query}");
        }
        for query in [
            "after=",
            "after=-1",
            "after=+1",
            "after=%31",
            "after=1e3",
            "after=1&after=1",
            "after=9007199254740992",
            "after=99999999999999999999",
        ] {
            assert!(number(query, "after").is_err(), "{query}");
        }
    }

    #[test]
    fn a_page_has_1_to_500_events() {
        for (query, wanted) in [("", Some(100)), ("limit=1", Some(1)), ("limit=500", Some(500))] {
            assert_eq!(limit(query).ok(), wanted);
        }
        for query in ["limit=0", "limit=501", "limit=4294967297", "limit=", "limit=1&limit=1"] {
            assert!(limit(query).is_err(), "{query}");
        }
    }
}
