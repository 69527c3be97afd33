//! One HTTP exchange with all its limits. What the bytes mean is decided by the callers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, RANGE, RETRY_AFTER,
};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::error::{AnswerFault, ClientError, Contradiction, Problem};

/// The largest body read of an answer whose call sets no bound of its own, in bytes. A record has under 1 KiB.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest time for one call whose request and answer have 64 KiB at most, from name resolution to the last byte, in
/// seconds: for so much on a line of 40 kbit/s.
pub const CALL_S_MAX: u64 = 30;
/// The same for a larger one, in seconds: for a page of 1.4 MB on that line.
pub const LARGE_CALL_S_MAX: u64 = 300;
/// How long nothing may come of an answer before it counts as lost, in seconds.
pub const IDLE_S_MAX: u64 = 15;
/// How long a server may have nothing to say because a larger request is still on its way to it, in seconds. Ours take no
/// longer for one (SPEC "Limits"), and then say so.
const UPLOAD_S_MAX: u64 = 15;
/// The longest time to make a connection, in seconds.
const CONNECT_S_MAX: u64 = 10;

const USER_AGENT: &str = concat!("kez/", env!("CARGO_PKG_VERSION"));

/// Sends requests to one scheme: encrypted ones trust the certificate authorities of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    client: Client,
    /// How long nothing may come.
    idle_max: Duration,
}

/// What one exchange may take: how long nothing may come before the answer begins and while it does, and all of it.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    before_head: Duration,
    between_pieces: Duration,
    altogether: Duration,
}

/// A request, and how much of an answer it may have.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    /// Further headers; the media types are seen to.
    pub(crate) headers: HeaderMap,
    pub(crate) content: Option<Content>,
    /// The largest body of the answer, in bytes.
    pub(crate) bytes_max: usize,
}

/// What a request carries. A clone has the same bytes.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    media: &'static str,
    bytes: Bytes,
}

/// An answer whose body is read piece by piece, with whatever length. The caller bounds it.
#[derive(Debug)]
pub(crate) struct Pieces {
    url: Url,
    head: Answer,
    bounds: Bounds,
    response: Response,
}

/// A whole answer, with whatever status.
#[derive(Debug)]
pub(crate) struct Answer {
    origin: String,
    status: StatusCode,
    retry_after_s: Option<u64>,
    body: Vec<u8>,
}

impl Transport {
    /// A transport for URLs with the scheme of `url`.
    pub(crate) fn for_url(url: &Url) -> Result<Self, ClientError> {
        Self::for_streams(url, Duration::from_secs(IDLE_S_MAX))
    }

    /// A transport for streams, which are broken off when nothing comes for `idle_max`. How long they may go on is said
    /// when they are opened.
    pub(crate) fn for_streams(url: &Url, idle_max: Duration) -> Result<Self, ClientError> {
        let client = builder(url)?.connect_timeout(Duration::from_secs(CONNECT_S_MAX)).build();
        Ok(Self { client: client.map_err(|source| unreachable(url, source))?, idle_max })
    }

    /// Reads `url`.
    pub(crate) async fn get(&self, url: &Url) -> Result<Answer, ClientError> {
        self.get_large(url, BODY_BYTES_MAX).await
    }

    /// Reads `url`, whose body may have `bytes_max` bytes.
    pub(crate) async fn get_large(&self, url: &Url, bytes_max: usize) -> Result<Answer, ClientError> {
        self.ask(Ask { method: Method::GET, url, headers: HeaderMap::new(), content: None, bytes_max }).await
    }

    /// Makes one exchange.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Answer, ClientError> {
        let Ask { method, url, headers, content, bytes_max } = ask;
        let bounds = self.bounds(content.as_ref().map_or(0, |content| content.bytes.len()), bytes_max);
        let mut request =
            self.client.request(method, url.clone()).headers(headers).timeout(bounds.altogether);
        if let Some(content) = content {
            request = request.header(CONTENT_TYPE, content.media).body(content.bytes);
        }
        let accept = "application/json, application/jrd+json, application/problem+json";
        let (head, response) = send(url, request, accept, bounds).await?;
        whole(url, head, response, bounds, bytes_max).await
    }

    /// Reads `url` as `media` piece by piece within `call_max` altogether; an answer other than 200 comes whole, or than
    /// 206 where a range is asked for.
    pub(crate) async fn open(
        &self,
        url: &Url,
        media: &str,
        headers: HeaderMap,
        call_max: Duration,
    ) -> Result<Result<Pieces, Answer>, ClientError> {
        let is_part = headers.contains_key(RANGE);
        let request = self.client.get(url.clone()).headers(headers).timeout(call_max);
        let accept = &format!("{media}, application/problem+json");
        let bounds = Bounds { altogether: call_max, ..self.bounds(0, BODY_BYTES_MAX) };
        let (head, response) = send(url, request, accept, bounds).await?;
        if head.status == StatusCode::OK || (is_part && head.status == StatusCode::PARTIAL_CONTENT) {
            return Ok(Ok(Pieces { url: url.clone(), head, bounds, response }));
        }
        whole(url, head, response, bounds, BODY_BYTES_MAX).await.map(Err)
    }

    /// Of a call whose request has `sent` bytes and whose answer has at most `bytes_max`.
    fn bounds(&self, sent: usize, bytes_max: usize) -> Bounds {
        let upload_s = if sent > BODY_BYTES_MAX { UPLOAD_S_MAX } else { 0 };
        let call_s = if sent.max(bytes_max) > BODY_BYTES_MAX { LARGE_CALL_S_MAX } else { CALL_S_MAX };
        Bounds {
            before_head: self.idle_max + Duration::from_secs(upload_s),
            between_pieces: self.idle_max,
            altogether: Duration::from_secs(call_s),
        }
    }

    /// Sends one JSON document, with further headers.
    pub(crate) async fn post(
        &self,
        url: &Url,
        json: String,
        headers: HeaderMap,
    ) -> Result<Answer, ClientError> {
        let content = Some(Content::json(json));
        self.ask(Ask { method: Method::POST, url, headers, content, bytes_max: BODY_BYTES_MAX }).await
    }
}

fn builder(url: &Url) -> Result<ClientBuilder, ClientError> {
    Ok(Client::builder()
        .tls_backend_preconfigured(tls(url.scheme() == "https")?)
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        // A proxy would read and could change what goes to a plain http server, and it cannot reach the
        // loopback server that the first steps in the README start.
        .no_proxy())
}

/// The authorities are read only when they are needed: plain http works on a machine that has none.
fn tls(with_authorities: bool) -> Result<ClientConfig, ClientError> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let no_roots = |source| ClientError::NoTrustRoots { source };
    let builder =
        ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions().map_err(no_roots)?;
    let builder = if with_authorities {
        builder.with_platform_verifier().map_err(no_roots)?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}

/// The head of an answer, and its body still to be read.
async fn send(
    url: &Url,
    request: RequestBuilder,
    accept: &str,
    bounds: Bounds,
) -> Result<(Answer, Response), ClientError> {
    let sent = request.header(ACCEPT, accept).send();
    let response = within(url, bounds.before_head, bounds.altogether, false, sent).await?;
    let head = Answer {
        origin: origin(url),
        status: response.status(),
        retry_after_s: retry_after_s(response.headers()),
        body: Vec::new(),
    };
    Ok((head, response))
}

/// The answer with its body, up to `bytes_max`.
async fn whole(
    url: &Url,
    mut answer: Answer,
    mut response: Response,
    bounds: Bounds,
    bytes_max: usize,
) -> Result<Answer, ClientError> {
    while let Some(chunk) = piece(url, &mut response, bounds).await? {
        if answer.body.len() + chunk.len() > bytes_max {
            return Err(answer.not_protocol(AnswerFault::TooLarge));
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

/// The next piece of a body; `None` at its end.
async fn piece(url: &Url, response: &mut Response, bounds: Bounds) -> Result<Option<Vec<u8>>, ClientError> {
    let chunk = within(url, bounds.between_pieces, bounds.altogether, true, response.chunk()).await?;
    Ok(chunk.map(Into::into))
}

/// What comes within `idle_max`, and within what is left of `call_max`, which reqwest sees to.
async fn within<T>(
    url: &Url,
    idle_max: Duration,
    call_max: Duration,
    has_begun: bool,
    coming: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, ClientError> {
    let timed_out =
        |after: Duration| ClientError::TimedOut { origin: origin(url), after_s: after.as_secs(), has_begun };
    match timeout(idle_max, coming).await {
        Err(_) => Err(timed_out(idle_max)),
        Ok(Err(source)) if source.is_connect() && source.is_timeout() => {
            Err(timed_out(Duration::from_secs(CONNECT_S_MAX)))
        }
        Ok(Err(source)) if source.is_timeout() => Err(timed_out(call_max)),
        Ok(come) => come.map_err(|source| unreachable(url, source)),
    }
}

fn unreachable(url: &Url, source: reqwest::Error) -> ClientError {
    ClientError::Unreachable { origin: origin(url), source: source.without_url() }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whole seconds; the date form of RFC 9110 section 10.2.3 is left alone.
fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

impl Content {
    /// One JSON document.
    pub(crate) fn json(text: String) -> Self {
        Self { media: "application/json", bytes: text.into() }
    }

    /// Bytes that mean nothing to the server.
    pub(crate) fn opaque(bytes: Vec<u8>) -> Self {
        Self { media: "application/octet-stream", bytes: bytes.into() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Pieces {
    /// The next piece; `None` at the end of the body. A body that breaks off is an error.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        piece(&self.url, &mut self.response, self.bounds).await
    }

    /// The head of the answer; its body is empty.
    pub(crate) fn head(&self) -> &Answer {
        &self.head
    }

    /// `application/jsonl`, without parameters; empty when there is none.
    pub(crate) fn media_type(&self) -> &str {
        self.header(&CONTENT_TYPE).split(';').next().unwrap_or_default().trim()
    }

    /// The entity tag without its quotes; empty when there is none.
    pub(crate) fn etag(&self) -> &str {
        self.header(&ETAG).trim_start_matches("W/").trim_matches('"')
    }

    /// What the body has altogether, in bytes, as its head says.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header(&CONTENT_LENGTH).parse().ok()
    }

    /// Where the body begins in what was asked for; `None` where it is not a part.
    pub(crate) fn begins_at(&self) -> Option<u64> {
        self.header(&CONTENT_RANGE).strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
    }

    fn header(&self, name: &HeaderName) -> &str {
        self.response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The body as the JSON of a success.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|_| self.not_protocol(AnswerFault::NotJson))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> Result<String, ClientError> {
        String::from_utf8(self.body.clone()).map_err(|_| self.not_protocol(AnswerFault::NotText))
    }

    /// The error of an answer that is no success.
    pub(crate) fn refusal(&self) -> ClientError {
        if self.status.is_redirection() {
            return self.not_protocol(AnswerFault::Redirect);
        }
        let is_refusal = self.status.is_client_error() || self.status.is_server_error();
        let problem = Problem::read(self.status.as_u16(), &self.body, self.retry_after_s);
        match problem.filter(|_| is_refusal) {
            Some(problem) => ClientError::Refused(Box::new(problem)),
            None => self.not_protocol(AnswerFault::NoCode),
        }
    }

    pub(crate) fn not_protocol(&self, what: AnswerFault) -> ClientError {
        ClientError::NotProtocol { origin: self.origin.clone(), status: self.status.as_u16(), what }
    }

    pub(crate) fn contradiction(&self, what: Contradiction) -> ClientError {
        ClientError::Contradiction { origin: self.origin.clone(), what }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::canned::Canned;

    async fn get(answer: &str) -> Result<Answer, ClientError> {
        let server = Canned::start(vec![answer.to_owned()]).await;
        Transport::for_url(&server.url("/"))?.get(&server.url("/")).await
    }

    fn body_of(len: usize) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{}", " ".repeat(len))
    }

    #[tokio::test]
    async fn a_body_of_64_kib_is_read_and_one_byte_more_is_not() {
        assert!(get(&body_of(BODY_BYTES_MAX)).await.is_ok());
        let fault = get(&body_of(BODY_BYTES_MAX + 1)).await.unwrap_err();
        assert!(matches!(fault, ClientError::NotProtocol { what: AnswerFault::TooLarge, .. }));
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let answer = get("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n").await;
        let fault = answer.unwrap().refusal();
        assert!(matches!(fault, ClientError::NotProtocol { what: AnswerFault::Redirect, status: 302, .. }));
    }

    #[tokio::test]
    async fn a_broken_off_answer_is_no_answer() {
        let fault = get("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}").await.unwrap_err();
        assert!(matches!(fault, ClientError::Unreachable { .. }) && fault.is_transient());
    }

    /// Time stands still while something happens, and jumps to the next deadline when nothing does.
    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up() {
        let server = Canned::start(vec![]).await;
        let (url, began) = (server.url("/"), Instant::now());
        let transport = Transport::for_url(&url).unwrap();
        let fault = transport.get(&url).await.unwrap_err();
        assert!(
            matches!(fault, ClientError::TimedOut { has_begun: false, after_s: IDLE_S_MAX, .. }),
            "{fault:?}"
        );
        assert!(fault.is_transient() && began.elapsed().as_secs() == IDLE_S_MAX);
        // A large request takes its time.
        let json = "7".repeat(BODY_BYTES_MAX + 1);
        let began = Instant::now();
        let fault = transport.post(&url, json, HeaderMap::new()).await.unwrap_err();
        assert!(matches!(fault, ClientError::TimedOut { has_begun: false, .. }), "{fault:?}");
        assert_eq!(began.elapsed().as_secs(), IDLE_S_MAX + UPLOAD_S_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_waited_for_and_one_that_stops_is_not() {
        let slow = |pieces: usize| vec!["x".repeat(9); pieces];
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 180\r\n\r\n".to_owned();
        let pause = Duration::from_secs(IDLE_S_MAX - 1);
        let answer = |pieces| [vec![head.clone()], slow(pieces)].concat();
        let large = async |pieces: usize| {
            let server = Canned::start_slowly(answer(pieces), pause).await;
            let (url, began) = (server.url("/"), Instant::now());
            let answer = Transport::for_url(&url).unwrap().get_large(&url, BODY_BYTES_MAX + 1).await;
            (answer, began.elapsed().as_secs())
        };
        let (whole, took_s) = large(20).await;
        assert_eq!(whole.unwrap().text().unwrap().len(), 180);
        assert!(took_s > CALL_S_MAX, "{took_s}");
        let (fault, _) = large(2).await;
        let fault = fault.unwrap_err();
        assert!(
            matches!(fault, ClientError::TimedOut { has_begun: true, after_s: IDLE_S_MAX, .. }),
            "{fault:?}"
        );
        // A small answer has less time altogether.
        let server = Canned::start_slowly(answer(20), pause).await;
        let (url, began) = (server.url("/"), Instant::now());
        let fault = Transport::for_url(&url).unwrap().get(&url).await.unwrap_err();
        assert!(matches!(fault, ClientError::TimedOut { after_s: CALL_S_MAX, .. }), "{fault:?}");
        assert_eq!(began.elapsed().as_secs(), CALL_S_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_falls_silent_is_broken_off() {
        let server = Canned::start(vec![]).await;
        let (url, idle_max, began) = (server.url("/"), Duration::from_secs(61), Instant::now());
        let streams = Transport::for_streams(&url, idle_max).unwrap();
        let opened = streams.open(&url, "text/event-stream", HeaderMap::new(), idle_max * 60);
        assert!(matches!(opened.await, Err(fault @ ClientError::TimedOut { .. }) if fault.is_transient()));
        assert_eq!(began.elapsed(), idle_max);
    }

    #[tokio::test]
    async fn a_gateways_page_is_worth_another_attempt_and_a_refusal_is_not() {
        let page = get("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>").await.unwrap();
        assert!(page.refusal().is_transient());
        let refusal = "HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nContent-Length: 23\r\n\r\n{\"code\":\"rate_limited\"}";
        let fault = get(refusal).await.unwrap().refusal();
        assert_eq!(fault.problem().unwrap().retry_after_s, Some(7));
        assert!(!fault.is_transient());
    }
}
