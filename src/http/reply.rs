//! Typed answers.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// `application/json`, not to be used again without asking.
pub(crate) struct Json<T>(pub(super) T);

/// A [`Json`] answer with 201 for something new and 200 for something that was there.
pub(crate) enum Stored<T> {
    /// 201.
    New(T),
    /// 200.
    Before(T),
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                let headers = [
                    (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                    (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
                ];
                (headers, body).into_response()
            }
            Err(error) => kez_serve::problem::Problem::internal(&error).into_response(),
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
