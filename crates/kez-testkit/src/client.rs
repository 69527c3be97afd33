//! A plain HTTP client: sends what it is told, follows nothing, tries nothing twice.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kez_core::Timestamp;
use kez_core::http_signature::{LIFETIME_S_MAX, Nonce, RequestParts, Signer, content_digest, sign};
use kez_serve::rng::SystemRng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answer::Answer;
use crate::events::Events;

/// Nothing a test waits for takes this long: what does is broken.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The client's side of all connections of a test.
#[derive(Debug, Clone)]
pub(crate) struct Connections(Client<HttpConnector, Full<Bytes>>);

impl Connections {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector))
    }

    /// `None`: the connection ended before the end of an answer.
    async fn send(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let whole = async {
            let (parts, body) = self.0.request(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Answer::new(parts.status, parts.headers, body))
        };
        timeout(DEADLINE, whole).await.expect("an answer in time, or none")
    }

    async fn stream(&self, request: Request<Full<Bytes>>) -> Result<Events, Answer> {
        let opened = async {
            let response = self.0.request(request).await.expect("a head");
            Events::of(response).await
        };
        timeout(DEADLINE, opened).await.expect("an answer in time")
    }
}

/// A request that is being put together; [`send`](Self::send) makes the call.
#[derive(Debug, Clone)]
#[must_use]
pub struct Call {
    connections: Connections,
    request: Request<Bytes>,
}

impl Call {
    /// A call of a server that no [`Net`](crate::Net) stands for, on a connection of its own.
    pub fn to(addr: SocketAddr, method: &str, target: &str) -> Self {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        Self::new(&Connections::new(), addr, method, target)
    }

    /// `target` goes out byte for byte; it has to be a request target that a URI can hold.
    pub(crate) fn new(connections: &Connections, to: SocketAddr, method: Method, target: &str) -> Self {
        let uri = Uri::builder().scheme("http").authority(to.to_string()).path_and_query(target);
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri.build().expect("a request target");
        Self { connections: connections.clone(), request }
    }

    /// Adds a header.
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.request.headers_mut().append(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// Sets the body and says that it is JSON.
    pub fn json(self, body: impl Into<Bytes>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    /// Signs it as it stands, for a minute from `now`, which is the server's time. SPEC "Signed calls".
    pub fn signed(self, signer: &Signer, now: Timestamp) -> Self {
        let body = self.request.body();
        let digest = (!body.is_empty()).then(|| content_digest(body));
        let uri = self.request.uri();
        let parts = RequestParts {
            method: self.request.method().as_str(),
            authority: uri.authority().expect("set by the constructor").as_str(),
            path: uri.path(),
            query: uri.query(),
            content_digest: digest.as_deref(),
        };
        let nonce = Nonce::from_random(kez_serve::rng::bytes(&SystemRng));
        let headers = sign(signer, &parts, now.unix_seconds(), LIFETIME_S_MAX, &nonce);
        let headers = headers.expect("a request that can be signed");
        let call = digest.into_iter().fold(self, |call, digest| call.header("content-digest", &digest));
        call.header("signature-input", &headers.signature_input).header("signature", &headers.signature)
    }

    /// Sends it, and checks of the answer what every answer has to have.
    pub async fn send(self) -> Answer {
        self.try_send().await.expect("a whole answer")
    }

    /// [`send`](Self::send) to a server that may be killed meanwhile; `None`: no whole answer came.
    pub async fn try_send(self) -> Option<Answer> {
        let answer = self.connections.send(self.request.map(Full::new)).await?;
        answer.expect_marks();
        Some(answer)
    }

    /// Sends it for a stream of events; the answer, where it is none.
    pub async fn stream(self) -> Result<Events, Answer> {
        self.connections.stream(self.request.map(Full::new)).await
    }
}

/// Says `bytes` on a connection of its own and reads answers until the server closes it.
pub(crate) async fn raw(to: SocketAddr, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    let mut all = Vec::new();
    let talk = async {
        let _ = stream.write_all(bytes).await; // a refusal may come before all is sent
        let mut piece = [0; 4096];
        // A reset counts as closing.
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            all.extend(piece.iter().take(count));
        }
    };
    timeout(DEADLINE, talk).await.expect("the server closes the connection");
    let mut rest = all.as_slice();
    std::iter::from_fn(|| next_answer(&mut rest)).collect()
}

/// Takes one answer with a `Content-Length`, or without a body, from the front of `bytes`.
fn next_answer(bytes: &mut &[u8]) -> Option<Answer> {
    if bytes.is_empty() {
        return None;
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
    let (head, body) = bytes.split_at(end + 4);
    let head = std::str::from_utf8(head).expect("a head in UTF-8");
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let status = StatusCode::from_bytes(status.as_bytes()).expect("a status");
    let headers: http::HeaderMap = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").expect("a header line");
            let value = HeaderValue::from_str(value).expect("a header value");
            (name.parse::<HeaderName>().expect("a header name"), value)
        })
        .collect();
    let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
    let (body, rest) = body.split_at(length.unwrap_or(0));
    *bytes = rest;
    Some(Answer::new(status, headers, Bytes::copy_from_slice(body)))
}
