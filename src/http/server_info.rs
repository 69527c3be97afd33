//! `GET /v1/server`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::registration::SKEW_MAX_S;
use kez_serve::reply::Json;

/// What a client has to know before it starts.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServerInfo<'a> {
    /// The name behind the `@`; registrations are signed for it.
    #[schema(example = "kez.lat")]
    server: &'a str,
    /// Of the program.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Where this server is reached.
    public_urls: Vec<&'a str>,
    /// `open`, `invite` or `closed`.
    #[schema(example = "open", pattern = "^(open|invite|closed)$")]
    registration: &'static str,
    /// Where its people publish their sigchains.
    sig_server_url: &'a str,
    /// Days after which an event goes although a device has not acknowledged it; 30 at most.
    #[schema(example = 30, minimum = 1, maximum = 30)]
    retention_days: u8,
    /// Bounds of single requests.
    limits: LimitsInfo,
    /// The server's clock, for a client whose own is wrong.
    #[schema(format = DateTime)]
    time: String,
}

/// Bounds of single requests.
#[derive(Serialize, ToSchema)]
struct LimitsInfo {
    /// The shortest handle.
    handle_bytes_min: usize,
    /// The longest handle.
    handle_bytes_max: usize,
    /// The longest body of a registration.
    registration_bytes_max: usize,
    /// How far `created_at` may lie from the server's clock.
    clock_skew_max_s: u32,
}

/// What a client has to know before it starts.
#[utoipa::path(get, path = "/v1/server", tag = "server", responses((status = 200, description = "Its name, addresses, rules and time", body = ServerInfo)))]
pub(crate) async fn server_info(State(app): State<Arc<App>>) -> Response {
    Json(ServerInfo {
        server: app.server().as_str(),
        version: env!("CARGO_PKG_VERSION"),
        public_urls: app.public_urls.iter().map(crate::base_url::BaseUrl::as_str).collect(),
        registration: app.policy.mode.as_str(),
        sig_server_url: app.sig_server_url.as_str(),
        retention_days: app.retention_days,
        limits: LimitsInfo {
            handle_bytes_min: kez_core::HANDLE_BYTES_MIN,
            handle_bytes_max: kez_core::HANDLE_BYTES_MAX,
            registration_bytes_max: super::register::BODY_BYTES_MAX,
            clock_skew_max_s: SKEW_MAX_S,
        },
        time: app.clock.now().truncated().to_string(),
    })
    .into_response()
}
