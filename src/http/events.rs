//! `GET /v1/events`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::cursor;
use super::inbox::mailbox;
use super::schema::ProblemBody;
use crate::app::App;
use crate::caller::Signed;
use crate::error::ApiError;
use crate::events::EventStream;
use crate::store::{CursorRefusal, Mailbox};

/// WHATWG HTML section 9.2.4.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Tells nginx, and what took the habit from it, to pass on what comes as it comes.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Streams the events of the caller's account: those after a number, then each as it comes.
///
/// The first event is `ready`, with the number of the last event there is. Each further one has its number as `id`, its
/// type as `event`, and as `data` the JSON that `GET /v1/inbox` gives. Where events after the cursor were dropped while
/// the stream was open, it ends with the event `gone`. It ends after an hour, with its device, and with the server: go on
/// after the last number.
#[utoipa::path(
    get, path = "/v1/events", tag = "inbox",
    params(
        ("after" = Option<u64>, Query, description = "A number from 0 to the head; without it `Last-Event-ID` counts, without both what the calling device acknowledged"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The same, for whoever goes on"),
    ),
    security(("signature" = [])),
    responses(
        (status = 200, description = "A stream", body = String, content_type = "text/event-stream"),
        (status = 400, description = "`bad_cursor`: no such number, or none yet", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`gone`, with `oldest`: events after that number were dropped", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_streams`: 4 of a device or 16 of an account are open; `rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    method: Method,
    Signed(caller): Signed,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if method == Method::HEAD {
        return Err(ApiError::NoHead);
    }
    let after = wanted(query, &headers)?;
    let place = app.streams.take(caller.account, caller.device)?;
    let hints = app.bus.listen(caller.primary); // before the first look: so nothing falls between
    let cursor = begin(&mailbox(&app, &caller).await?, after)?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    Ok((headers, EventStream::new(app, caller, hints, cursor, place).into_body()).into_response())
}

/// The query counts before the header: a client that says where to begin means it, while a header may be its library's.
fn wanted(query: RawQuery, headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let mut lines = headers.get_all(LAST_EVENT_ID).iter();
    let last_event_id = match (lines.next(), lines.next()) {
        (None, _) => None,
        (Some(line), None) => Some(cursor::exactly(line.to_str().map_err(|_| ApiError::BadCursor)?)?),
        (Some(_), Some(_)) => return Err(ApiError::BadCursor),
    };
    Ok(cursor::after(query)?.or(last_event_id))
}

/// Where the stream begins.
fn begin(mailbox: &Mailbox, after: Option<u64>) -> Result<u64, CursorRefusal> {
    let after = after.unwrap_or(mailbox.acked);
    if after > mailbox.head {
        return Err(CursorRefusal::BeyondHead { head: mailbox.head });
    }
    if after + 1 < mailbox.oldest {
        return Err(CursorRefusal::Gone { oldest: mailbox.oldest });
    }
    Ok(after)
}
