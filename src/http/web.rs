//! `GET /` and everything that no other route answers: the web client and its files.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use kez_serve::page;
use kez_serve::problem::Problem;
use tower::ServiceExt;
use tower_http::services::{ServeDir, ServeFile};

use crate::app::App;
use crate::error::ApiError;
use crate::web::{Answer, WebClient, answer};

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
    frame-ancestors 'none'";
// script-src: the client's own files; wasm-unsafe-eval compiles its engine, and allows no eval of text.
// worker-src: the engine runs in a Worker. connect-src: the client talks to its own origin only.
// img-src: data: for icons, blob: for pictures that were decrypted in the page.

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
