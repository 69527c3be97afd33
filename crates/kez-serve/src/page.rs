//! Pages that a server writes itself: their style, and what they may do.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{HeaderMap, HeaderValue};

/// The style of such pages.
const STYLE: &str = include_str!("page/page.css");
/// Where they look for it: outside the folders that a web client may fill.
pub const STYLE_PATH: &str = "/openapi.css";
/// Asked for again, and mostly answered 304.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
/// Such a page has a style and an empty icon, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page that runs no script.
pub fn html(html: Bytes) -> Response {
    let mut response = html.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    guard(response.headers_mut(), HeaderValue::from_static(POLICY));
    response
}

/// The style sheet, for [`STYLE_PATH`].
pub fn style() -> Response {
    let headers =
        [(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8")), (CACHE_CONTROL, REVALIDATE)];
    (headers, STYLE).into_response()
}

/// Puts on an answer what a page has to carry: its policy (Content Security Policy), and no word to other sites.
pub fn guard(headers: &mut HeaderMap, policy: HeaderValue) {
    headers.insert(CACHE_CONTROL, REVALIDATE);
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
