//! The answer to "should requests be sent here?".

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::reply::Json;
use crate::storage::StoreHealth;

/// Whether requests should be sent here.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready` or `not_ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// `stopping`, `storage_full`, `storage_failing`; empty when ready.
    reasons: Vec<&'static str>,
}

impl Readiness {
    /// Ready, unless the server is about to stop or its stores take no writes.
    pub fn of(is_stopping: bool, stores: impl IntoIterator<Item = StoreHealth>) -> Self {
        let mut reasons: Vec<_> = is_stopping.then_some("stopping").into_iter().collect();
        for reason in stores.into_iter().filter_map(StoreHealth::reason) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        Self { status: if reasons.is_empty() { "ready" } else { "not_ready" }, reasons }
    }

    /// Not ready, also for this reason.
    #[must_use]
    pub fn but(mut self, reason: &'static str) -> Self {
        self.status = "not_ready";
        self.reasons.push(reason);
        self
    }
}

/// 200, or 503 with the reasons.
impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = if self.reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_stands_once() {
        let readiness = Readiness::of(true, [StoreHealth::Full, StoreHealth::Ok, StoreHealth::Full]);
        assert_eq!(readiness.reasons, ["stopping", "storage_full"]);
        assert_eq!(Readiness::of(false, [StoreHealth::Ok]).status, "ready");
    }
}
