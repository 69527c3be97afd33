//! What a server answered, with the checks that every answer has to pass.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self { status, headers, body }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The answer, which has to have this status.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "mostly called for the check")]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "{self}");
        self
    }

    /// The answer, which has to be a problem (RFC 9457) with this status and code.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "mostly called for the check")]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status(), self.code().as_str()), (status, code), "{self}");
        self
    }

    /// The code of a problem, after checking that it is a whole one.
    #[track_caller]
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status(), "{self}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{self}");
        let code = problem["code"].as_str().unwrap_or_default();
        assert_eq!(problem["type"], format!("urn:kez:problem:{code}"), "{self}");
        code.to_owned()
    }

    /// The first value of a header, as text.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header in ASCII"))
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body as it came.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }

    /// The members of a JSON object, in the order of the answer.
    #[track_caller]
    pub fn members(&self) -> Vec<String> {
        let Value::Object(members) = self.json() else { panic!("no object: {self}") };
        members.keys().cloned().collect()
    }

    /// Checks what every answer of the server carries, whatever it is.
    #[track_caller]
    pub(crate) fn expect_marks(&self) {
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self}");
        assert_eq!(self.header("access-control-allow-origin"), Some("*"), "{self}");
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()), "{self}");
        assert!(self.header("set-cookie").is_none(), "{self}");
        assert_ne!(self.status(), 500, "{self}");
    }
}

/// Status, content type, body; JSON is set in lines. For snapshots and failures.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let media = self.headers.get("content-type").map_or("-", |value| value.to_str().unwrap_or("?"));
        writeln!(f, "{} {media}", self.status.as_u16())?;
        let json = media.contains("json").then(|| serde_json::from_slice::<Value>(&self.body).ok()).flatten();
        match json {
            Some(json) => write!(f, "{json:#}"),
            None => f.write_str(&String::from_utf8_lossy(&self.body)),
        }
    }
}
