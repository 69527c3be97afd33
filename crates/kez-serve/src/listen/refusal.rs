//! Answers to what never becomes a request: sent as bytes, because no service is there to answer.

use http::StatusCode;

use super::slots::Full;
use crate::edge::Edge;
use crate::problem::Problem;

/// Writes refusals with what every response of this server carries.
#[derive(Debug)]
pub(super) struct Refusals {
    edge: std::sync::Arc<Edge>,
}

impl Refusals {
    pub(super) fn new(edge: std::sync::Arc<Edge>) -> Self {
        Self { edge }
    }

    /// What to send in place of `bytes` if these are a bare refusal that hyper made itself.
    ///
    /// hyper answers a head it cannot read with a status, `connection: close` and no body. No answer of ours looks like
    /// that: all carry a request id before hyper's own fields.
    pub(super) fn instead_of(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let rest = bytes.strip_prefix(b"HTTP/1.1 4")?;
        let end = rest.iter().position(|byte| *byte == b'\r')?;
        let bare = rest[end..].starts_with(b"\r\nconnection: close\r\ncontent-length: 0\r\n");
        bare.then(|| self.bytes(&unreadable(rest)))
    }

    /// For a connection there is no place for.
    pub(super) fn no_place(&self, full: Full) -> Vec<u8> {
        self.bytes(&match full {
            Full::Server => Problem::of_status(StatusCode::SERVICE_UNAVAILABLE)
                .detail("Too many connections. Try again in a moment.")
                .retry_after(5),
            Full::Network => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", "Too many connections")
                    .detail("Too many connections from this network. Close some.")
                    .retry_after(5)
            }
        })
    }

    /// For a head that did not come to its end in time.
    pub(super) fn slow_head(&self) -> Vec<u8> {
        self.bytes(&Problem::of_status(StatusCode::REQUEST_TIMEOUT))
    }

    fn bytes(&self, problem: &Problem) -> Vec<u8> {
        let problem = problem.clone().close();
        let status = problem.status();
        let body = problem.body();
        let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
        let mut put = |name: &str, value: &[u8]| {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        };
        for (name, value) in &self.edge.refused(&problem) {
            put(name.as_str(), value.as_bytes());
        }
        put("content-length", body.len().to_string().as_bytes());
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&body);
        bytes
    }
}

/// The problem behind hyper's status; `rest` is what follows the first digit, a 4.
fn unreadable(rest: &[u8]) -> Problem {
    match rest.get(..2) {
        Some(b"31") => Problem::of_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        Some(b"14") => Problem::of_status(StatusCode::URI_TOO_LONG),
        _ => Problem::of_status(StatusCode::BAD_REQUEST).detail("This is no valid HTTP/1.1 request head."),
    }
}
