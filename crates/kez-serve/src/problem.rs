//! Error bodies: `application/problem+json`, RFC 9457.
//!
//! Which error becomes which problem is the server's own business; this module only gives the shape.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The media type of a problem body. RFC 9457 section 3.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What went wrong with a request, as its sender is told: a status, a stable code, and words.
///
/// On the wire: `{"type":"urn:kez:problem:<code>","title":…,"status":…,"code":…,"detail":…}` and extension
/// members.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    extra: Map<String, Value>,
    headers: HeaderMap,
    cause: Option<Cause>,
}

/// Why a 5xx happened: for the log, never for the client. Travels in the response's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) Arc<str>);

/// What went wrong, for programs (`code`) and for people (`title`, `detail`). RFC 9457.
#[derive(Debug, ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes the body for OpenAPI; never made")]
pub struct ProblemBody {
    /// `urn:kez:problem:` and the code.
    #[schema(example = "urn:kez:problem:not_found")]
    r#type: String,
    /// The same for each occurrence.
    #[schema(example = "Not found")]
    title: String,
    /// The status of the answer.
    #[schema(example = 404)]
    status: u16,
    /// Stable; clients decide by it.
    #[schema(example = "not_found", pattern = "^[a-z0-9_]+$")]
    code: String,
    /// What is special about this occurrence.
    detail: Option<String>,
}

impl Problem {
    /// A problem with a stable `code` (lower case, `_`) and a `title` that is the same every time (RFC 9457 section
    /// 3.1.3).
    pub fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            title,
            detail: Cow::Borrowed(""),
            extra: Map::new(),
            headers: HeaderMap::new(),
            cause: None,
        }))
    }

    /// 500 `internal_error`: a constant body. `cause` and its sources go to the log, once.
    pub fn internal(cause: &dyn Error) -> Self {
        Self::of_status(StatusCode::INTERNAL_SERVER_ERROR).caused_by(chain(cause))
    }

    /// The problem a bare status stands for: for answers that were made without a body.
    pub fn of_status(status: StatusCode) -> Self {
        let (code, title) = words(status);
        Self::new(status, code, title)
    }

    /// What is special about this occurrence. It becomes a JSON string, and so is always escaped.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// An extension member (RFC 9457 section 3.2). The five members of every problem cannot be replaced.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(name.to_owned(), value.into());
        self
    }

    /// A response header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Says after how many seconds a retry makes sense. RFC 9110 section 10.2.3.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Ends the connection after this answer: what the client still sends on it cannot be trusted or is not wanted.
    #[must_use]
    pub fn close(self) -> Self {
        self.header(CONNECTION, HeaderValue::from_static("close"))
    }

    /// The reason behind a 5xx, for the log only.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Arc<str>>) -> Self {
        self.0.cause = Some(Cause(cause.into()));
        self
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code that clients decide by.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The extension members.
    pub fn extensions(&self) -> &Map<String, Value> {
        &self.0.extra
    }

    /// The body: one JSON object.
    pub(crate) fn body(&self) -> Vec<u8> {
        let parts = &self.0;
        let mut members = parts.extra.clone();
        members.insert("type".into(), format!("urn:kez:problem:{}", parts.code).into());
        members.insert("title".into(), parts.title.into());
        members.insert("status".into(), parts.status.as_u16().into());
        members.insert("code".into(), parts.code.into());
        if parts.detail.is_empty() {
            members.remove("detail");
        } else {
            members.insert("detail".into(), parts.detail.as_ref().into());
        }
        Value::Object(members).to_string().into_bytes()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.0.status, self.body()).into_response();
        *response.headers_mut() = self.0.headers;
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Some(cause) = self.0.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}

/// An error and its sources in one line: `a: b: c`.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        // Some errors of libraries print their source themselves.
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = error.source();
    }
    line
}

/// Code and title for a status that came without a problem of its own.
fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::UNAUTHORIZED => ("unauthorized", "Not authenticated"),
        StatusCode::FORBIDDEN => ("forbidden", "Not allowed"),
        StatusCode::NOT_FOUND => ("not_found", "Not found"),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "Method not allowed"),
        StatusCode::NOT_ACCEPTABLE => ("not_acceptable", "Not acceptable"),
        StatusCode::REQUEST_TIMEOUT => ("request_timeout", "Request took too long"),
        StatusCode::CONFLICT => ("conflict", "Conflict"),
        StatusCode::LENGTH_REQUIRED => ("length_required", "Length required"),
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "Body too large"),
        StatusCode::URI_TOO_LONG => ("uri_too_long", "Request target too long"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported_media_type", "Unsupported media type"),
        StatusCode::RANGE_NOT_SATISFIABLE => ("range_not_satisfiable", "Range not satisfiable"),
        StatusCode::TOO_MANY_REQUESTS => ("rate_limited", "Too many requests"),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ("headers_too_large", "Request headers too large"),
        StatusCode::NOT_IMPLEMENTED => ("not_implemented", "Not implemented"),
        StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "Not available now"),
        status if status.is_server_error() => ("internal_error", "Internal error"),
        _ => ("bad_request", "Bad request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(problem: &Problem) -> Value {
        serde_json::from_slice(&problem.body()).unwrap()
    }

    #[test]
    fn the_members_are_those_of_rfc_9457_and_a_code() {
        let problem =
            Problem::new(StatusCode::CONFLICT, "taken", "Taken").detail("by <b>\"you\"</b>").with("n", 3);
        let expected = serde_json::json!({
            "type": "urn:kez:problem:taken", "title": "Taken", "status": 409, "code": "taken",
            "detail": "by <b>\"you\"</b>", "n": 3
        });
        assert_eq!(json(&problem), expected);
    }

    #[test]
    fn an_extension_never_replaces_a_standard_member() {
        let problem = Problem::of_status(StatusCode::NOT_FOUND).with("code", "other").with("detail", "x");
        assert_eq!(json(&problem)["code"], "not_found");
        assert!(json(&problem).get("detail").is_none());
    }

    #[test]
    fn an_internal_error_says_nothing_but_keeps_its_cause() {
        let error = std::io::Error::other("disk 7 on fire");
        let response = Problem::internal(&error).into_response();
        assert_eq!(&*response.extensions().get::<Cause>().unwrap().0, "disk 7 on fire");
        let body = String::from_utf8(Problem::internal(&error).body()).unwrap();
        assert!(!body.contains("fire"), "{body}");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }
}
