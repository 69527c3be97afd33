//! Typed answers.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::problem::Problem;

/// Room for the usual answer, in bytes.
const BODY_BYTES: usize = 512;

/// `application/json`, not to be used again without asking.
#[derive(Debug)]
pub struct Json<T>(pub T);

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
            Ok(()) => {
                let headers = [
                    (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                    (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
                ];
                (headers, body).into_response()
            }
            Err(error) => Problem::internal(&error).into_response(),
        }
    }
}

impl<T: Serialize> IntoResponse for Stored<T> {
    fn into_response(self) -> Response {
        match self {
            Self::New(body) => (StatusCode::CREATED, Json(body)).into_response(),
            Self::Before(body) => Json(body).into_response(),
        }
    }
}
