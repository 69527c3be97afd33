//! Calls over NATS: each becomes a request to the one router, by the caller that the subject names.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use async_nats::Message;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderValue, Request, StatusCode};
use kez_core::PublicKey;
use kez_nats_auth::{CallSubject, Device};
use kez_serve::client_addr::speaks_as;
use kez_serve::problem::Problem;
use kez_serve::reply::Json;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use super::budget::{Budget, Verdict};
use super::connections::list;
use super::kick::kick;
use super::{Failed, Nats, ops};
use crate::app::App;
use crate::caller::{Authenticated, Caller};
use crate::error::ApiError;
use crate::router;

/// Of all nodes, one takes each call.
const CALLS: &str = "kez.rpc.*.*.*";
const QUEUE: &str = "kez-rpc";
/// Calls under way at once; the others wait in the client's own queue of 64 KiB messages.
const AT_ONCE: usize = 1_024;
/// The longest answer, in bytes: the broker takes 128 KiB, and a reader far away should not be cut off by ten of them.
const ANSWER_BYTES_MAX: usize = 96 * 1024;
/// In a path or a query, what stands for itself.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// What a call holds; all of it optional.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CallBody<'a> {
    /// The parameters of the route's path.
    path: BTreeMap<String, String>,
    /// The query.
    query: BTreeMap<String, Scalar>,
    /// The body, exactly as it stands there.
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(u64),
    Text(String),
}

/// What is answered.
#[derive(Serialize)]
struct Answer<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    body: Option<&'a RawValue>,
}

/// The first call of a connection.
#[derive(Serialize)]
struct Hello {
    /// Below it the hints come.
    inbox: String,
    /// The number of the last event; of a primary key, which has no cursor, there is none.
    head: Option<u64>,
    server_time: String,
    /// When this connection is ended by the server, give or take the seconds since it began.
    expires_at: String,
}

/// Serves until the client closes.
pub(super) async fn run(app: Arc<App>, nats: Arc<Nats>) -> Result<(), Failed> {
    let mut calls = nats.home.queue_subscribe(CALLS, QUEUE.to_owned()).await?;
    let service = Arc::new(Service {
        router: router::router(Arc::clone(&app)),
        budget: Budget::new(&app.clock),
        places: Arc::new(Semaphore::new(AT_ONCE)),
        app,
        nats,
    });
    while let Some(call) = calls.next().await {
        // invariant: the semaphore is never closed.
        let place = Arc::clone(&service.places).acquire_owned().await.expect("an open semaphore");
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            service.take(call).await;
            drop(place);
        });
    }
    Ok(())
}

struct Service {
    app: Arc<App>,
    nats: Arc<Nats>,
    router: Router,
    budget: Budget,
    places: Arc<Semaphore>,
}

impl Service {
    /// Answers a call, once. Without a reply subject nobody waits: nats-server sends its own tracing events there.
    async fn take(&self, message: Message) {
        let Some(reply) = message.reply.clone() else { return };
        let Ok(call) = CallSubject::read(&message.subject) else { return };
        let response = match self.budget.spend(&call.account, message.payload.len()) {
            Verdict::Within => self.done(&call, &message.payload).await,
            Verdict::Beyond(retry_after_s) => {
                Problem::of_status(StatusCode::TOO_MANY_REQUESTS).retry_after(retry_after_s).into_response()
            }
            Verdict::FarBeyond => return self.end(&call).await,
        };
        let answer = answer(response).await;
        if let Err(error) = self.nats.home.publish(reply, answer.into()).await {
            tracing::warn!(error = %error, "an answer was not sent");
        }
    }

    async fn done(&self, call: &CallSubject<'_>, payload: &[u8]) -> Response {
        match self.called(call, payload).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        }
    }

    async fn called(&self, call: &CallSubject<'_>, payload: &[u8]) -> Result<Response, ApiError> {
        let by = self.authenticated(call).await?;
        let body: CallBody<'_> = if payload.is_empty() {
            CallBody::default()
        } else {
            serde_json::from_slice(payload).map_err(|_| ApiError::Shape)?
        };
        match call.op {
            "hello" => self.hello(call, by.caller()).await,
            name => {
                let op = ops::find(name).ok_or(ApiError::NotFound)?;
                let mut request = request(op, &body).ok_or(ApiError::Shape)?;
                request.extensions_mut().insert(by);
                speaks_as(&mut request, stand_in(&call.account));
                Ok(match self.router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                })
            }
        }
    }

    /// Looked at with each call: a device that was revoked calls no more, also before it is kicked.
    async fn authenticated(&self, call: &CallSubject<'_>) -> Result<Authenticated, ApiError> {
        match call.device {
            Device::Enrolled(device_id) => Authenticated::device(&self.app, &call.account, &device_id).await,
            Device::Primary => Authenticated::primary(&self.app, &call.account).await,
        }
    }

    async fn hello(&self, call: &CallSubject<'_>, caller: Option<&Caller>) -> Result<Response, ApiError> {
        let inbox = self.app.inboxes.subject(&*self.app.store, &call.account).await?;
        let inbox = inbox.ok_or(ApiError::NotFound)?;
        let head = match caller {
            None => None,
            Some(caller) => {
                let mailbox = self.app.store.mailbox(caller.device).await?;
                Some(mailbox.map_err(|_| ApiError::UnknownDevice)?.head)
            }
        };
        let now = self.app.clock.now().truncated();
        let ends = crate::callout::lifetime(&call.account, call.device);
        let expires_at = now.plus_seconds(ends).unwrap_or(now);
        let expires_at = caller.map_or(expires_at, |caller| expires_at.min(caller.expires_at));
        let (server_time, expires_at) = (now.to_string(), expires_at.to_string());
        Ok(Json(Hello { inbox, head, server_time, expires_at }).into_response())
    }

    /// Ends the connections of a device that asks without end.
    async fn end(&self, call: &CallSubject<'_>) {
        let name = format!("{}:{}", call.account.to_hex(), call.device);
        tracing::warn!(key.short = %call.account.short(), "an account is far beyond its budget; its connection ends");
        if let Err(error) = list(&self.nats, &name, |one| kick(&self.nats, &one)).await {
            tracing::error!(error = %error, "connections cannot be listed");
        }
    }
}

/// The request that does `op`; `None`: a parameter is missing, surplus or empty.
fn request(op: &ops::Op, call: &CallBody<'_>) -> Option<Request<Body>> {
    let mut target = String::new();
    let mut used = 0;
    for segment in op.path.split('/').skip(1) {
        target.push('/');
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => {
                let value = call.path.get(name).filter(|value| !matches!(&***value, "" | "." | ".."))?;
                target.extend(utf8_percent_encode(value, PLAIN));
                used += 1;
            }
            None => target.push_str(segment),
        }
    }
    if used != call.path.len() {
        return None;
    }
    for (at, (name, value)) in call.query.iter().enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        target.extend(utf8_percent_encode(name, PLAIN));
        target.push('=');
        match value {
            Scalar::Number(number) => target.push_str(&number.to_string()),
            Scalar::Text(text) => target.extend(utf8_percent_encode(text, PLAIN)),
        }
    }
    let mut request = Request::builder().method(op.method.clone()).uri(target);
    for (name, value) in [(IF_MATCH, &call.if_match), (IF_NONE_MATCH, &call.if_none_match)] {
        if let Some(value) = value {
            request = request.header(name, HeaderValue::from_str(value).ok()?);
        }
    }
    let body = match call.body {
        Some(body) => {
            request = request.header(CONTENT_TYPE, "application/json");
            Body::from(Bytes::copy_from_slice(body.get().as_bytes()))
        }
        None => Body::empty(),
    };
    request.body(body).ok()
}

/// The network that an account's calls are counted by: one of its own, in IPv6's range of private addresses.
fn stand_in(account: &PublicKey) -> IpAddr {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&account.as_bytes()[..8]);
    bytes[0] = 0xfd;
    Ipv6Addr::from(bytes).into()
}

async fn answer(response: Response) -> Vec<u8> {
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await;
    if parts.status.is_server_error() {
        tracing::error!(status = parts.status.as_u16(), "a call over NATS failed");
    }
    let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Ok(body) = body else { return too_large() };
    let json = if body.is_empty() { None } else { serde_json::from_slice::<&RawValue>(&body).ok() };
    let answer = Answer {
        status: parts.status.as_u16(),
        etag: text(ETAG),
        retry_after: text(RETRY_AFTER).and_then(|value| value.parse().ok()),
        body: json,
    };
    // invariant: plain data with string keys is JSON.
    let bytes = serde_json::to_vec(&answer).expect("an answer is JSON");
    if bytes.len() > ANSWER_BYTES_MAX { too_large() } else { bytes }
}

fn too_large() -> Vec<u8> {
    // The problem body of SPEC "Errors", by hand: its one caller stands below the router.
    br#"{"status":413,"body":{"type":"urn:kez:problem:answer_too_large","title":"Answer is too large for NATS","status":413,"code":"answer_too_large","detail":"ask for less, or over HTTP"}}"#.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(op: &str, call: &str) -> Option<String> {
        let call: CallBody<'_> = serde_json::from_str(call).unwrap();
        request(ops::find(op).unwrap(), &call).map(|request| request.uri().to_string())
    }

    #[test]
    fn parameters_stay_in_their_places() {
        assert_eq!(target("by_handle", r#"{"path":{"handle":"alice"}}"#).unwrap(), "/v1/u/alice");
        let escaped = target("by_handle", r#"{"path":{"handle":"a/../devices?x#y%2f"}}"#).unwrap();
        assert_eq!(escaped, "/v1/u/a%2F..%2Fdevices%3Fx%23y%252f");
        let query = target("inbox", r#"{"query":{"after":7,"limit":"5&after=9"}}"#).unwrap();
        assert_eq!(query, "/v1/inbox?after=7&limit=5%26after%3D9");
        for call in [
            r"{}",
            r#"{"path":{"handle":""}}"#,
            r#"{"path":{"handle":".."}}"#,
            r#"{"path":{"handle":"a","x":"y"}}"#,
        ] {
            assert_eq!(target("by_handle", call), None, "{call}");
        }
    }

    #[test]
    fn a_caller_says_nothing_of_itself() {
        for call in
            [r#"{"headers":{}}"#, r#"{"account":"a"}"#, r#"{"method":"PUT"}"#, r#"{"body":1,"body":2}"#]
        {
            assert!(serde_json::from_str::<CallBody<'_>>(call).is_err(), "{call}");
        }
    }
}
