//! `POST /v1/account/delete`, `GET /v1/account/export`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method};
use kez_core::{AccountDeletion, Envelope, Timestamp, Verified};
use kez_serve::body::JsonBytes;
use kez_serve::client_addr::Client;
use kez_serve::reply::JsonText;
use serde_json::json;

use super::inbox::EventBody;
use super::schema::{DeletionEnvelopeBody, ProblemBody, SignedReceiptBody};
use crate::app::{App, to_the_end};
use crate::caller::{Caller, Signed};
use crate::error::ApiError;
use crate::leaving::{carry_out, decide_deletion};
use crate::store::{Deletion, Exhibit, ExportPlace, Exported, StoreError};

/// The longest body, in bytes: as of other envelopes.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024;

/// Deletes the signer's account, for ever.
///
/// The body is one signed envelope, by the account's primary key. The account ends at once; the answer comes when the last of
/// it is deleted, and is a receipt. A deletion that is broken off goes on by itself. The same envelope sent again is answered
/// with the same receipt.
#[utoipa::path(
    post, path = "/v1/account/delete", tag = "account",
    request_body = DeletionEnvelopeBody,
    responses(
        (status = 200, description = "Deleted, durably, now or before", body = SignedReceiptBody),
        (status = 400, description = "`malformed`, `wrong_type`, `key_mismatch`, `bad_signature`, `wrong_server`, `clock_skew`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: the key does not hold this handle", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: more than 16 KiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    client: Client,
    JsonBytes(body): JsonBytes<BODY_BYTES_MAX>,
) -> Result<JsonText, ApiError> {
    app.admit_device_change(client)?;
    let envelope = Envelope::parse(&body)?.verify::<AccountDeletion>()?;
    to_the_end(async move {
        let deletion = begin(&app, &envelope).await?;
        let deleted_at = match deletion.finished_at {
            Some(deleted_at) => deleted_at,
            None => carry_out(&app, deletion.row).await?,
        };
        let receipt = app.receipts.sign(&envelope, deletion.receipt_key, deleted_at)?;
        Ok(JsonText(receipt.to_json().into_bytes()))
    })
    .await
}

/// The deletion, accepted now or before: its date is then no longer looked at.
async fn begin(app: &App, envelope: &Verified<AccountDeletion>) -> Result<Deletion, ApiError> {
    let begun = if let Some(before) = app.store.past_deletion(envelope.payload_sha256()).await? {
        Ok(Ok(before))
    } else {
        let accepted = decide_deletion(envelope, app.clock.now(), app.server(), app.receipts.current())?;
        app.store.begin_deletion(accepted).await
    };
    app.cut_off(&envelope.primary()); // also after a failure, and when it is asked again: see `devices::revoke`
    Ok(begun??)
}

/// Everything that this server keeps of the caller's account.
///
/// A line of JSON for each thing, with a member `type`: first `export`, last `end` with the number of lines before it. An
/// answer without `end` is not whole. What did not change from the first line to the last is in it exactly once.
#[utoipa::path(
    get, path = "/v1/account/export", tag = "account",
    security(("signature" = [])),
    responses(
        (status = 200, description = "Lines of JSON", body = String, content_type = "application/jsonl"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    client: Client,
    method: Method,
    Signed(caller): Signed,
) -> Result<Response, ApiError> {
    if method == Method::HEAD {
        return Err(ApiError::NoHead);
    }
    app.admit_export(client)?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/jsonl")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Export::new(app, caller).into_body()).into_response())
}

/// An export under way. It reads a page when its connection takes more, so that a slow reader holds one.
struct Export {
    app: Arc<App>,
    caller: Caller,
    started_at: Timestamp,
    /// Where it goes on; `None`: `end` was sent.
    place: Option<ExportPlace>,
    lines: u64,
}

/// Why an export is broken off.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error("the device is not active any more")]
    NotActive,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Export {
    fn new(app: Arc<App>, caller: Caller) -> Self {
        let started_at = app.clock.now();
        Self { app, caller, started_at, place: Some(ExportPlace::default()), lines: 0 }
    }

    /// The answer has begun, so all that can be done is to break it off; the client sees that it is not whole.
    fn into_body(self) -> Body {
        Body::from_stream(stream::try_unfold(self, async |mut export| {
            let piece = export.piece().await.inspect_err(|error| {
                tracing::warn!(error = %error, "an export was broken off");
            })?;
            Ok::<_, BrokenOff>(piece.map(|piece| (piece, export)))
        }))
    }

    /// The next lines; `None`: that was all.
    async fn piece(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        let Some(mut place) = self.place else { return Ok(None) };
        let mut text = Vec::new();
        if self.lines == 0 {
            self.line(&mut text, &self.head());
        }
        let whose = Exported { account: self.caller.account, primary: self.caller.primary };
        loop {
            // Looked at before each page, so that nothing follows a revocation.
            let mailbox = self.app.store.mailbox(self.caller.device).await?;
            mailbox.ok().filter(|it| it.expires_at > self.app.clock.now()).ok_or(BrokenOff::NotActive)?;
            let page = self.app.store.export(whose, place).await?;
            for exhibit in page.exhibits {
                match exhibit {
                    Exhibit::Event(event) => self.line(&mut text, &event_line(&EventBody::from(event))),
                    Exhibit::Other(value) => self.line(&mut text, &value),
                }
            }
            self.place = page.next;
            match page.next {
                Some(next) => place = next,
                None => self.line(&mut text, &json!({"type": "end", "lines": self.lines})),
            }
            if !text.is_empty() {
                return Ok(Some(text.into()));
            }
            tokio::task::yield_now().await; // many empty pages: others have their turn
        }
    }

    fn head(&self) -> serde_json::Value {
        json!({
            "type": "export",
            "version": 1,
            "server": self.app.server(),
            "primary": self.caller.primary,
            "started_at": self.started_at.truncated().to_string(),
        })
    }

    fn line(&mut self, text: &mut Vec<u8>, value: &serde_json::Value) {
        self.lines += 1;
        // invariant: a JSON value is JSON, and a Vec takes all of it.
        serde_json::to_writer(&mut *text, value).expect("a value is JSON");
        text.push(b'\n');
    }
}

/// `{"type": "event", "event": …}`, where the event is as `GET /v1/inbox` shows it.
fn event_line(event: &EventBody) -> serde_json::Value {
    json!({"type": "event", "event": event})
}
