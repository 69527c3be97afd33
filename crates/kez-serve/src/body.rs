//! Reading a request body: only what was announced as JSON, only so much, only so long.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;

use crate::listen::BodyTimeout;
use crate::problem::Problem;

/// The bytes of an `application/json` body, `MAX` bytes at most. Nothing is parsed.
///
/// Refused: another content type or any content coding (415 `unsupported_media_type`), a longer body (413
/// `too_large`, before reading when the length is announced), one that takes too long (408 `body_timeout`), one that
/// breaks off (400 `bad_request`).
#[derive(Debug, Clone)]
pub struct JsonBytes<const MAX: usize>(pub Bytes);

impl<const MAX: usize, S: Sync> FromRequest<S> for JsonBytes<MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        Self::read(&parts.headers, body).await
    }
}

impl<const MAX: usize> JsonBytes<MAX> {
    /// Reads the body that came with `headers`, for who has to look at these first.
    pub async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        if !is_json(headers) || is_encoded(headers) {
            return Err(not_json());
        }
        read(headers, body, MAX).await.map(Self)
    }
}

/// `application/json`, alone or with `charset=utf-8` (RFC 8259 section 8.1 knows no other).
fn is_json(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let Ok(line) = line.to_str() else { return false };
    let mut parts = line.split(';').map(str::trim);
    parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json")) && parts.all(is_utf8)
}

fn is_utf8(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8")
}

/// Whether a content coding other than `identity` is announced: we decompress nothing a stranger sends.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

async fn read(headers: &HeaderMap, mut body: Body, max: usize) -> Result<Bytes, Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(length).unwrap_or(0);
    if announced > max {
        return Err(too_large(max));
    }
    let mut whole = BytesMut::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| unreadable(&error))?;
        let Ok(data) = frame.into_data() else { continue }; // trailers say nothing to us
        if data.len() > max - whole.len() {
            return Err(too_large(max));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

fn length(value: &HeaderValue) -> Option<usize> {
    value.to_str().ok()?.parse().ok()
}

fn not_json() -> Problem {
    Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        .detail("Send Content-Type: application/json in UTF-8, without a Content-Encoding.")
}

fn too_large(max: usize) -> Problem {
    Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE)
        .detail(format!("The body may have {max} bytes at most."))
        .with("bytes_max", max)
        .close()
}

/// Why a body cannot be read to its end: 408 `body_timeout`, 400 `bad_request`.
pub fn unreadable(error: &axum::Error) -> Problem {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<BodyTimeout>() {
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "Body took too long").close();
        }
        source = error.source();
    }
    Problem::of_status(StatusCode::BAD_REQUEST).detail("The body broke off or is framed wrongly.").close()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn outcome(headers: &[(&'static str, &'static str)], body: &'static str) -> Result<Bytes, String> {
        let mut request = Request::new(Body::from(body));
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        match JsonBytes::<8>::from_request(request, &()).await {
            Ok(JsonBytes(bytes)) => Ok(bytes),
            Err(problem) => Err(format!("{} {}", problem.status().as_u16(), problem.code())),
        }
    }

    #[tokio::test]
    async fn only_plain_utf8_json_is_read() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert_eq!(outcome(&[("content-type", good)], "{}").await.unwrap(), "{}", "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/jsonp",
            "application/json; charset=latin1",
            "application/json; boundary=x",
            "application/json;",
            "application/json, text/html",
            "application/problem+json",
        ] {
            assert_eq!(
                outcome(&[("content-type", bad)], "{}").await.unwrap_err(),
                "415 unsupported_media_type"
            );
        }
        assert_eq!(outcome(&[], "{}").await.unwrap_err(), "415 unsupported_media_type");
        let twice = [("content-type", "application/json"), ("content-type", "application/json")];
        assert_eq!(outcome(&twice, "{}").await.unwrap_err(), "415 unsupported_media_type");
    }

    #[tokio::test]
    async fn no_content_coding_is_undone() {
        for coding in ["gzip", "br", "identity, gzip", ""] {
            let headers = [("content-type", "application/json"), ("content-encoding", coding)];
            assert_eq!(outcome(&headers, "{}").await.unwrap_err(), "415 unsupported_media_type", "{coding}");
        }
        let identity = [("content-type", "application/json"), ("content-encoding", "identity")];
        outcome(&identity, "{}").await.unwrap();
    }

    #[tokio::test]
    async fn a_body_may_be_as_long_as_max_and_no_longer() {
        let json = ("content-type", "application/json");
        assert_eq!(outcome(&[json], "12345678").await.unwrap(), "12345678");
        assert_eq!(outcome(&[json], "123456789").await.unwrap_err(), "413 too_large");
        assert_eq!(outcome(&[json, ("content-length", "9")], "").await.unwrap_err(), "413 too_large");
    }
}
