//! Typed answers.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use crate::problem::Problem;

/// Room for the usual answer, in bytes.
const BODY_BYTES: usize = 512;

/// Room for the headers of an answer, those of the edge among them: a table that grows is hashed again.
const HEADERS: usize = 12;

/// `application/json`, not to be used again without asking.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// A [`Json`] answer whose text is there already.
#[derive(Debug)]
pub struct JsonText(pub Vec<u8>);

/// A [`Json`] answer with 201 for something new and 200 for something that was there.
#[derive(Debug)]
pub enum Stored<T> {
    /// 201.
    New(T),
    /// 200.
    Before(T),
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(BODY_BYTES);
        match serde_json::to_writer(&mut body, &self.0) {
            Ok(()) => JsonText(body).into_response(),
            Err(error) => Problem::internal(&error).into_response(),
        }
    }
}

impl IntoResponse for JsonText {
    fn into_response(self) -> Response {
        let mut response = bare(self.0);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// 200 with a body, no header yet, and room for all of them.
pub fn bare(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    response
}

impl<T: Serialize> IntoResponse for Stored<T> {
    fn into_response(self) -> Response {
        match self {
            Self::New(body) => (StatusCode::CREATED, Json(body)).into_response(),
            Self::Before(body) => Json(body).into_response(),
        }
    }
}
