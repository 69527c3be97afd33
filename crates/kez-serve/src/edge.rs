//! What every request meets first and every response last: identity, refusals, panics, CORS, the access log.

mod request_id;
mod route;

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE,
    HOST, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use tower::Service as _;

use self::request_id::RequestIds;
use self::route::Route;
use crate::client_addr::TrustedProxies;
use crate::listen::Flaw;
use crate::problem::{Cause, PROBLEM_JSON, Problem};
use crate::rng::Rng;

pub(crate) use self::route::NoteRoute;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const ANY: HeaderValue = HeaderValue::from_static("*");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// Response headers a script of another origin may read. Fetch, section 3.3.5.
const EXPOSED: HeaderValue = HeaderValue::from_static("Content-Range, ETag, Retry-After, X-Request-Id");
/// How long browsers may remember a preflight, in seconds: as long as the strictest of them remembers any.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
/// Longest request target, unless the listener's limits say otherwise.
const TARGET_BYTES_MAX: usize = 4 * 1024;

/// The one layer around a router. A listener puts it there.
///
/// - A request id: `X-Request-Id`, ours unless a trusted proxy sent a harmless one.
/// - `X-Content-Type-Options: nosniff`, and CORS for everybody (there are no cookies), on every response.
/// - Refused: framing that others may read differently (400), a wrong number of `Host` (400), too long a target (414).
/// - A panic, and every error without a body of its own, becomes a problem.
/// - One event per request at debug; the cause of a 5xx once, at error. Neither holds a query, a body or a secret.
#[derive(Debug)]
pub struct Edge {
    ids: RequestIds,
    proxies: TrustedProxies,
    request_headers: HeaderValue,
    target_bytes_max: usize,
}

impl Edge {
    /// An edge that trusts no proxy. `rng` makes request ids differ between processes.
    pub fn new(rng: &dyn Rng) -> Self {
        Self {
            ids: RequestIds::new(rng),
            proxies: TrustedProxies::default(),
            request_headers: HeaderValue::from_static("Content-Type, If-None-Match"),
            target_bytes_max: TARGET_BYTES_MAX,
        }
    }

    /// The proxies whose `X-Forwarded-For` and `X-Request-Id` count.
    #[must_use]
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        Self { proxies, ..self }
    }

    /// The request headers a script of another origin may send, separated by commas; not `*`, which excludes some.
    #[must_use]
    pub fn cors_request_headers(self, names: &'static str) -> Self {
        Self { request_headers: HeaderValue::from_static(names), ..self }
    }

    pub(crate) fn target_bytes_max(self, target_bytes_max: usize) -> Self {
        Self { target_bytes_max, ..self }
    }

    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.proxies.trusts(peer)
    }

    /// Answers `request` from `peer`, with `router` if nothing stands against it.
    pub(crate) async fn answer(
        &self,
        router: Router,
        mut request: Request<Body>,
        peer: SocketAddr,
        flaw: Option<Flaw>,
    ) -> Response {
        let id = self.ids.choose(peer.ip(), request.headers(), &self.proxies);
        let call = Call::of(&request);
        let mut response = if let Some(problem) = self.refuse(&request, flaw) {
            problem.into_response()
        } else {
            let caller = Caller { peer: peer.ip(), proxies: self.proxies.clone() };
            request.extensions_mut().insert(caller);
            pass(router, request).await
        };
        if needs_words(&response) {
            response = with_words(response);
        }
        self.mark(&mut response, &call, id);
        call.log(&response);
        response
    }

    /// Why `request` goes no further.
    fn refuse(&self, request: &Request<Body>, flaw: Option<Flaw>) -> Option<Problem> {
        if let Some(flaw) = flaw {
            return Some(malformed(flaw.detail()));
        }
        if !frames_well(request.headers()) {
            return Some(malformed("The only Transfer-Encoding of a request is chunked, given once."));
        }
        if !names_host(request) {
            return Some(malformed("A request names its host once."));
        }
        if target_bytes(request) > self.target_bytes_max {
            let problem = Problem::of_status(StatusCode::URI_TOO_LONG);
            return Some(problem.with("bytes_max", self.target_bytes_max).close());
        }
        if !has_path(request) {
            return Some(malformed("The target of a request is a path, or a URL with one."));
        }
        if request.method() == Method::CONNECT {
            let allow = HeaderValue::from_static("GET,HEAD,POST,OPTIONS");
            return Some(Problem::of_status(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, allow).close());
        }
        None
    }

    /// Puts on `response` what every response carries.
    fn mark(&self, response: &mut Response, call: &Call, id: HeaderValue) {
        if call.method == Method::OPTIONS && response.status() == StatusCode::METHOD_NOT_ALLOWED {
            self.preflight(response);
        }
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id);
        mark_all(headers);
        if call.last {
            headers.insert(CONNECTION, CLOSE);
        }
    }

    /// Turns the refusal of OPTIONS into the answer to it: the router knows best which methods a path has.
    fn preflight(&self, response: &mut Response) {
        let methods = response.headers_mut().remove(ALLOW).map(with_options);
        *response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        if let Some(methods) = methods {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
            headers.insert(ALLOW, methods);
        }
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.request_headers.clone());
        headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
    }

    /// The headers of a refusal that is sent without a request, `problem`'s own among them.
    pub(crate) fn refused(&self, problem: &Problem) -> HeaderMap {
        let mut headers = problem.headers().clone();
        headers.insert(REQUEST_ID, self.ids.next());
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        mark_all(&mut headers);
        headers
    }
}

fn mark_all(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// What is known about where a request comes from. In its extensions, for the extractors.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) peer: IpAddr,
    pub(crate) proxies: TrustedProxies,
}

impl Caller {
    /// Fails only where a router is called without an edge around it.
    pub(crate) fn of(parts: &Parts) -> Result<&Self, Problem> {
        let missing =
            || Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR).caused_by("no edge around the router");
        parts.extensions.get::<Self>().ok_or_else(missing)
    }
}

/// What is remembered of a request until it is answered.
struct Call {
    method: Method,
    /// The connection ends with it: what follows a chunked body is not read as a request. See `listen::heads`.
    last: bool,
    /// `None`: nobody wants to know how long it takes.
    began: Option<Instant>,
}

impl Call {
    fn of(request: &Request<Body>) -> Self {
        let last = request.headers().contains_key(TRANSFER_ENCODING);
        let began = tracing::enabled!(tracing::Level::DEBUG).then(Instant::now);
        Self { method: request.method().clone(), last, began }
    }

    fn log(&self, response: &Response) {
        let status = response.status().as_u16();
        let id = || response.headers().get(REQUEST_ID).map_or("", request_id::text);
        let route = || response.extensions().get().map_or("", Route::as_str);
        if status >= 500
            && let Some(Cause(cause)) = response.extensions().get()
        {
            tracing::error!(
                request.id = id(), http.method = %self.method, http.route = route(), http.status = status,
                error = %cause, "request failed"
            );
        }
        tracing::debug!(
            request.id = id(), http.method = %self.method, http.route = route(), http.status = status,
            duration_us = self.began.map(|began| u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)),
            "request answered"
        );
    }
}

fn malformed(detail: &'static str) -> Problem {
    Problem::of_status(StatusCode::BAD_REQUEST).detail(detail).close()
}

/// RFC 9112 section 6.1: hyper takes any list of codings that ends in chunked; nothing here undoes others.
fn frames_well(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// RFC 9112 section 3.2: exactly one `Host` in HTTP/1.1, at most one before.
fn names_host(request: &Request<Body>) -> bool {
    let hosts = request.headers().get_all(HOST).iter().take(2).count();
    hosts == 1 || (hosts == 0 && request.version() != Version::HTTP_11)
}

/// RFC 9112 section 3.2: `host:port` is for CONNECT only, `*` for OPTIONS only.
fn has_path(request: &Request<Body>) -> bool {
    match *request.method() {
        Method::CONNECT => true,
        Method::OPTIONS if request.uri().path() == "*" => true,
        _ => request.uri().path().starts_with('/'),
    }
}

fn target_bytes(request: &Request<Body>) -> usize {
    let uri = request.uri();
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    authority + uri.path_and_query().map_or(0, |target| target.as_str().len())
}

fn with_options(methods: HeaderValue) -> HeaderValue {
    match methods.to_str() {
        Ok(names) if !names.contains("OPTIONS") => {
            HeaderValue::try_from(format!("{names},OPTIONS")).unwrap_or(methods)
        }
        _ => methods,
    }
}

/// The router's answer, or a problem if it panicked.
async fn pass(mut router: Router, request: Request<Body>) -> Response {
    let answer = async move { router.call(request).await.unwrap_or_else(|never| match never {}) };
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|payload| panicked(&*payload))
}

fn panicked(payload: &(dyn std::any::Any + Send)) -> Response {
    let words = payload.downcast_ref::<&str>().copied();
    let words =
        words.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let problem = Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR);
    problem.caused_by(format!("a handler panicked: {words}")).into_response()
}

/// Whether it is an error that nobody gave a body: axum leaves it empty, or writes a line of plain text.
fn needs_words(response: &Response) -> bool {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return false;
    }
    response.headers().get(CONTENT_TYPE).is_none_or(|media| media.as_bytes().starts_with(b"text/plain"))
}

/// The same answer as a problem; its other headers stay.
fn with_words(bare: Response) -> Response {
    let (parts, _) = bare.into_parts();
    let mut response = Problem::of_status(parts.status).into_response();
    let own = [CONTENT_TYPE, CONTENT_LENGTH];
    for (name, value) in parts.headers.iter().filter(|(name, _)| !own.contains(name)) {
        response.headers_mut().append(name.clone(), value.clone());
    }
    response.extensions_mut().extend(parts.extensions);
    response
}
