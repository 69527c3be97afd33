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
    /// hyper answers a head it cannot read with a status, `connection: close`, `content-length: 0` and a date. That no
    /// answer of ours is taken for one hangs on the length: the edge gives every error a body, and the answer to HEAD
    /// tells that body's length. The rest proves nothing; a refusal of ours may well begin with `connection: close`.
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use axum::body::Body;
    use http::{Request, Response};
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::rng::SystemRng;

    fn refusals() -> Refusals {
        Refusals::new(Arc::new(Edge::new(&SystemRng)))
    }

    /// What hyper itself answers to `head`.
    async fn hyper_says(head: &str) -> String {
        let (mut client, server) = tokio::io::duplex(1024 * 1024);
        client.write_all(head.as_bytes()).await.unwrap();
        let service =
            service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(Body::empty())));
        let outcome =
            http1::Builder::new().max_headers(4).serve_connection(TokioIo::new(server), service).await;
        assert!(outcome.is_err(), "hyper takes {head:.99}");
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        said
    }

    /// Fails when hyper changes its words, which would then go out without a body.
    #[tokio::test]
    async fn what_hyper_says_by_itself_is_known() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(5));
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000));
        let table = [
            ("nonsense\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/3.0\r\n\r\n", "400 Bad Request"),
            ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400 Bad Request"),
            (&many, "431 Request Header Fields Too Large"),
            (&long, "414 URI Too Long"),
        ];
        for (head, status) in table {
            let said = hyper_says(head).await;
            let known = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: ");
            assert!(said.starts_with(&known) && said.ends_with(" GMT\r\n\r\n"), "{head:.99}: {said}");
            let ours = String::from_utf8(refusals().instead_of(said.as_bytes()).unwrap()).unwrap();
            assert!(ours.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head:.99}: {ours}");
            assert!(ours.contains("\r\ncontent-type: application/problem+json\r\n"), "{head:.99}: {ours}");
        }
    }

    #[test]
    fn an_answer_with_a_body_is_never_replaced() {
        for ours in [
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 1\r\n\r\n0",
            "HTTP/1.1 404 Not Found\r\nx-request-id: 0\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 4",
        ] {
            assert_eq!(refusals().instead_of(ours.as_bytes()), None, "{ours}");
        }
        let refusals = refusals();
        for ours in [refusals.slow_head(), refusals.no_place(Full::Network)] {
            assert_eq!(refusals.instead_of(&ours), None);
        }
    }
}
