//! One HTTP exchange with all its limits. What the bytes mean is decided by the callers.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use serde::de::DeserializeOwned;

use crate::error::{AnswerFault, ClientError, Contradiction, Problem};

/// The largest body read of an answer whose call sets no bound of its own, in bytes. A record has under 1 KiB.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest time for one call, from name resolution to the last byte, in seconds.
pub const CALL_S_MAX: u64 = 10;

const USER_AGENT: &str = concat!("kez/", env!("CARGO_PKG_VERSION"));

/// Sends requests to one scheme: encrypted ones trust the certificate authorities of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    client: Client,
    call_max: Duration,
    /// How long nothing may come, where that is bounded by itself.
    idle_max: Option<Duration>,
}

/// A request, and how much of an answer it may have.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    /// Further headers; the media types are seen to.
    pub(crate) headers: HeaderMap,
    /// One JSON document.
    pub(crate) json: Option<String>,
    /// The largest body of the answer, in bytes.
    pub(crate) bytes_max: usize,
}

/// An answer whose body is read piece by piece, with whatever length. The caller bounds it.
#[derive(Debug)]
pub(crate) struct Pieces {
    url: Url,
    head: Answer,
    after_s: u64,
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
        Self::with_timeout(url, Duration::from_secs(CALL_S_MAX))
    }

    fn with_timeout(url: &Url, timeout: Duration) -> Result<Self, ClientError> {
        Self::build(builder(url)?.timeout(timeout), url, timeout)
    }

    /// A transport for streams, which are broken off when nothing comes for `idle_max`. How long they may go on is said
    /// when they are opened.
    pub(crate) fn for_streams(url: &Url, idle_max: Duration) -> Result<Self, ClientError> {
        let builder = builder(url)?.connect_timeout(Duration::from_secs(CALL_S_MAX)).read_timeout(idle_max);
        Ok(Self { idle_max: Some(idle_max), ..Self::build(builder, url, idle_max)? })
    }

    /// Reads `url`.
    pub(crate) async fn get(&self, url: &Url) -> Result<Answer, ClientError> {
        self.get_large(url, BODY_BYTES_MAX).await
    }

    /// Reads `url`, whose body may have `bytes_max` bytes.
    pub(crate) async fn get_large(&self, url: &Url, bytes_max: usize) -> Result<Answer, ClientError> {
        self.ask(Ask { method: Method::GET, url, headers: HeaderMap::new(), json: None, bytes_max }).await
    }

    /// Makes one exchange.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Answer, ClientError> {
        let Ask { method, url, headers, json, bytes_max } = ask;
        let mut request = self.client.request(method, url.clone()).headers(headers);
        if let Some(json) = json {
            request = request.header(CONTENT_TYPE, "application/json").body(json);
        }
        let accept = "application/json, application/jrd+json, application/problem+json";
        let (head, response) = send(url, request, accept, self.call_max).await?;
        whole(url, head, response, self.call_max, bytes_max).await
    }

    /// Reads `url` as `media` piece by piece within `call_max` altogether; an answer other than 200 comes whole.
    pub(crate) async fn open(
        &self,
        url: &Url,
        media: &str,
        headers: HeaderMap,
        call_max: Duration,
    ) -> Result<Result<Pieces, Answer>, ClientError> {
        let request = self.client.get(url.clone()).headers(headers).timeout(call_max);
        let accept = &format!("{media}, application/problem+json");
        let call_max = self.idle_max.unwrap_or(call_max);
        let (head, response) = send(url, request, accept, call_max).await?;
        if head.status == StatusCode::OK {
            return Ok(Ok(Pieces { url: url.clone(), head, after_s: call_max.as_secs(), response }));
        }
        whole(url, head, response, call_max, BODY_BYTES_MAX).await.map(Err)
    }

    /// Sends one JSON document, with further headers.
    pub(crate) async fn post(
        &self,
        url: &Url,
        json: String,
        headers: HeaderMap,
    ) -> Result<Answer, ClientError> {
        let ask = Ask { method: Method::POST, url, headers, json: Some(json), bytes_max: BODY_BYTES_MAX };
        self.ask(ask).await
    }

    fn build(builder: ClientBuilder, url: &Url, call_max: Duration) -> Result<Self, ClientError> {
        let client = builder.build().map_err(|source| unanswered(url, call_max, source))?;
        Ok(Self { client, call_max, idle_max: None })
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
    call_max: Duration,
) -> Result<(Answer, Response), ClientError> {
    let sent = request.header(ACCEPT, accept).send().await;
    let response = sent.map_err(|source| unanswered(url, call_max, source))?;
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
    call_max: Duration,
    bytes_max: usize,
) -> Result<Answer, ClientError> {
    while let Some(chunk) = response.chunk().await.map_err(|source| unanswered(url, call_max, source))? {
        if answer.body.len() + chunk.len() > bytes_max {
            return Err(answer.not_protocol(AnswerFault::TooLarge));
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn unanswered(url: &Url, call_max: Duration, source: reqwest::Error) -> ClientError {
    let origin = origin(url);
    if source.is_timeout() {
        return ClientError::TimedOut { origin, after_s: call_max.as_secs() };
    }
    ClientError::Unreachable { origin, source: source.without_url() }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whole seconds; the date form of RFC 9110 section 10.2.3 is left alone.
fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

impl Pieces {
    /// The next piece; `None` at the end of the body. A body that breaks off is an error.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let call_max = Duration::from_secs(self.after_s);
        let chunk = self.response.chunk().await.map_err(|source| unanswered(&self.url, call_max, source))?;
        Ok(chunk.map(Into::into))
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

    #[tokio::test]
    async fn a_silent_server_is_given_up() {
        let server = Canned::start(vec![]).await;
        let transport = Transport::with_timeout(&server.url("/"), Duration::from_millis(50)).unwrap();
        let fault = transport.get(&server.url("/")).await.unwrap_err();
        assert!(matches!(fault, ClientError::TimedOut { .. }) && fault.is_transient());
    }

    #[tokio::test]
    async fn a_stream_that_falls_silent_is_broken_off() {
        let server = Canned::start(vec![]).await;
        let (url, idle_max) = (server.url("/"), Duration::from_millis(50));
        let streams = Transport::for_streams(&url, idle_max).unwrap();
        let opened =
            streams.open(&url, "text/event-stream", HeaderMap::new(), Duration::from_secs(CALL_S_MAX));
        assert!(matches!(opened.await, Err(fault @ ClientError::TimedOut { .. }) if fault.is_transient()));
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
