//! `POST /internal/nats/auth`.

use super::schema::ProblemBody;
use crate::error::ApiError;

/// Decides on a NATS login for a bridge; nats-server itself never calls it. This server runs without NATS.
#[utoipa::path(
    post, path = "/internal/nats/auth", tag = "internal",
    responses((status = 501, description = "`nats_not_configured`", body = ProblemBody, content_type = "application/problem+json"))
)]
pub(crate) async fn nats_auth() -> ApiError {
    ApiError::NatsNotConfigured
}
