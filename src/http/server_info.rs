//! `GET /v1/server`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kez_core::{ExchangeKey, PublicKey};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::caller::SESSION_SECONDS_MAX;
use crate::registration::SKEW_MAX_S;
use crate::store::ACTIVE_DEVICES_MAX;
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
    /// The X25519 key (RFC 7748) that sessions are opened with, in base64url without padding.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{43}$")]
    session_key: ExchangeKey,
    /// The key that receipts of deletions are signed with.
    #[schema(value_type = String, pattern = "^ed25519:[0-9a-f]{64}$")]
    receipt_key: PublicKey,
    /// The web client that it serves: `built_in`, `folder` or `none`.
    #[schema(example = "built_in", pattern = "^(built_in|folder|none)$")]
    web_client: &'static str,
    /// Where clients reach NATS, the preferred first; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    nats_urls: Option<&'a [String]>,
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
    /// The longest body of an enrolment or a revocation.
    device_bytes_max: usize,
    /// The most devices of an account that may be active at once.
    devices_max: u32,
    /// The longest life of a device.
    device_seconds_max: i64,
    /// The most frames in one request.
    frames_max: usize,
    /// The longest body of a request with frames.
    frames_bytes_max: usize,
    /// The longest life of a signature of a call.
    signature_seconds_max: i64,
    /// The longest life of a session.
    session_seconds_max: i64,
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
        session_key: app.sessions.public_key(),
        receipt_key: app.receipts.public_key(),
        web_client: app.web.name(),
        nats_urls: app.nats.as_ref().map(|nats| &*nats.public_urls).filter(|urls| !urls.is_empty()),
        limits: LimitsInfo {
            handle_bytes_min: kez_core::HANDLE_BYTES_MIN,
            handle_bytes_max: kez_core::HANDLE_BYTES_MAX,
            registration_bytes_max: super::register::BODY_BYTES_MAX,
            device_bytes_max: super::devices::BODY_BYTES_MAX,
            devices_max: ACTIVE_DEVICES_MAX,
            device_seconds_max: kez_core::DEVICE_SECONDS_MAX,
            frames_max: kez_core::FRAMES_MAX,
            frames_bytes_max: kez_core::FRAMES_BODY_BYTES_MAX,
            signature_seconds_max: kez_core::http_signature::LIFETIME_S_MAX,
            session_seconds_max: SESSION_SECONDS_MAX,
            clock_skew_max_s: SKEW_MAX_S,
        },
        time: app.clock.now().truncated().to_string(),
    })
    .into_response()
}
