//! `GET /` and everything that no other route answers: the web client and its files.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use kez_serve::problem::Problem;
use kez_serve::{etag, page};
use tower::ServiceExt;
use tower_http::services::{ServeDir, ServeFile};
use web_assets::File;

use crate::app::App;
use crate::error::ApiError;
use crate::web::{Answer, WebClient, answer, content_type};

/// Files below `/assets` have the hash of their content in their name.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// What a page of ours may do: nothing but what is listed.
const POLICY: &str = "default-src 'none'; \
    script-src 'self' 'wasm-unsafe-eval'; \
    worker-src 'self'; \
    connect-src 'self'; \
    style-src 'self'; \
    img-src 'self' data: blob:; \
    font-src 'self'; \
    manifest-src 'self'; \
    base-uri 'none'; \
    form-action 'none'; \
    frame-ancestors 'none'; \
    require-trusted-types-for 'script'; \
    trusted-types svelte-trusted-html kez-worker";
// script-src: the client's own files; wasm-unsafe-eval compiles its engine, and allows no eval of text.
// worker-src: the engine runs in a Worker. connect-src: the client talks to its own origin only.
// img-src: data: for icons, blob: for pictures that were decrypted in the page. trusted-types: text becomes markup or a
// script's address in two places only, the templates of Svelte's compiler and the address of the one Worker.

/// Answers by the path: a page, a file, or 404.
pub(crate) async fn web(State(app): State<Arc<App>>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return match answer(request.uri().path()) {
            Answer::Nothing => ApiError::NotFound.into_response(),
            _ => method_not_allowed(),
        };
    }
    let path = request.uri().path().to_owned();
    match (answer(&path), &app.web) {
        (Answer::Nothing, _) => ApiError::NotFound.into_response(),
        (Answer::File, WebClient::Folder(folder)) => file(folder, &path, request).await,
        (Answer::Page, WebClient::Folder(folder)) => index(folder, request).await,
        (Answer::File, WebClient::BuiltIn(client)) => {
            built_in(client.file(path.trim_start_matches('/')), request.headers())
        }
        (Answer::Page, WebClient::BuiltIn(client)) => built_in(client.file("index.html"), request.headers()),
        (Answer::File, WebClient::Placeholder(_)) => ApiError::NotFound.into_response(),
        (Answer::Page, WebClient::Placeholder(page)) => page_of_ours(page.clone()),
    }
}

/// An HTML page written by the server itself.
fn page_of_ours(html: Bytes) -> Response {
    let mut response = html.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    guard(response.headers_mut());
    response
}

/// A file that is part of this program. Its compressed forms were made with it.
fn built_in(file: Option<&'static File>, request: &HeaderMap) -> Response {
    let Some(file) = file else { return ApiError::NotFound.into_response() };
    let (coding, bytes) = form(file, request);
    let is_known = etag::is_known(request, file.etag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Bytes::from_static(bytes).into_response();
        let kind = HeaderValue::from_static(content_type(file.path));
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    };
    let headers = response.headers_mut();
    guard(headers);
    headers.insert(ETAG, HeaderValue::from_static(file.etag));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(coding) = coding.filter(|_| !is_known) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    if file.path.starts_with("assets/") {
        headers.insert(CACHE_CONTROL, IMMUTABLE);
    }
    response
}

/// The smallest form of a file that the client takes, with the name of its coding.
fn form(file: &'static File, request: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
    let compressed = [("br", file.brotli), ("gzip", file.gzip)];
    let taken = compressed.into_iter().find_map(|(coding, bytes)| {
        bytes.filter(|_| accepts(request, coding)).map(|bytes| (Some(coding), bytes))
    });
    taken.unwrap_or((None, file.plain))
}

/// Whether `Accept-Encoding` names `coding` with a weight above zero (RFC 9110 section 12.5.3).
fn accepts(request: &HeaderMap, coding: &str) -> bool {
    let lines = request.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        is_named && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

async fn index(folder: &Path, request: Request) -> Response {
    let mut response =
        served(ServeFile::new(folder.join("index.html")).oneshot(request).await.into_response());
    guard(response.headers_mut());
    response
}

async fn file(folder: &Path, path: &str, request: Request) -> Response {
    let files =
        ServeDir::new(folder).append_index_html_on_directories(false).precompressed_br().precompressed_gzip();
    let mut response = served(files.oneshot(request).await.into_response());
    let is_hashed = path.starts_with("/assets/") && response.status().is_success();
    // Also files: one may be a page, or the script of a Worker, which has the policy it came with.
    guard(response.headers_mut());
    if is_hashed {
        response.headers_mut().insert(CACHE_CONTROL, IMMUTABLE);
    }
    response
}

/// 404 as everywhere else; a folder that cannot be read is our fault and is logged.
fn served(response: Response) -> Response {
    match response.status() {
        StatusCode::NOT_FOUND => ApiError::NotFound.into_response(),
        status if status.is_server_error() => Problem::of_status(status).into_response(),
        _ => response,
    }
}

fn guard(headers: &mut HeaderMap) {
    page::guard(headers, HeaderValue::from_static(POLICY));
}

fn method_not_allowed() -> Response {
    let allow = HeaderValue::from_static("GET,HEAD");
    Problem::of_status(StatusCode::METHOD_NOT_ALLOWED).header(http::header::ALLOW, allow).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_is_taken_when_it_is_named_and_not_refused() {
        let accepts = |line: &'static str, coding| {
            accepts(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(line))]), coding)
        };
        for line in ["br", "gzip, deflate, br, zstd", "BR;q=0.1", "gzip;q=0,br; q=1"] {
            assert!(accepts(line, "br"), "{line}");
        }
        for line in ["", "gzip", "br;q=0", "br;q=0.000", "brotli", "br;q=x", "*"] {
            assert!(!accepts(line, "br"), "{line}");
        }
    }
}
