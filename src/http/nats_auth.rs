//! `POST /internal/nats/auth`.

use std::sync::Arc;

use axum::extract::State;

use super::schema::ProblemBody;
use crate::app::App;
use crate::error::ApiError;

/// Reserved for a bridge that asks about NATS logins over HTTP; nats-server itself never calls it.
#[utoipa::path(
    post, path = "/internal/nats/auth", tag = "internal",
    responses(
        (status = 404, description = "`not_found`: this server runs with NATS, which asks it by itself", body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "`nats_not_configured`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn nats_auth(State(app): State<Arc<App>>) -> ApiError {
    if app.nats.is_some() { ApiError::NotFound } else { ApiError::NatsNotConfigured }
}
