//! `GET /v1/healthz`, `GET /v1/readyz`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kez_serve::health::Readiness;
use kez_serve::reply::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;

/// The program runs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health<'a> {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
    /// The name behind the `@`.
    #[schema(example = "kez.lat")]
    server: &'a str,
    /// Of the program.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// The program runs; says nothing about whether it can do its work.
#[utoipa::path(get, path = "/v1/healthz", tag = "server", responses((status = 200, description = "It runs", body = Health)))]
pub(crate) async fn healthz(State(app): State<Arc<App>>) -> Response {
    let server = app.server().as_str();
    Json(Health { status: "ok", server, version: env!("CARGO_PKG_VERSION") }).into_response()
}

/// Whether requests should be sent here: 503 with reasons while the server stops or its store takes no writes, and before
/// logins to a configured NATS are possible for the first time.
#[utoipa::path(
    get, path = "/v1/readyz", tag = "server",
    responses((status = 200, description = "Send requests", body = Readiness),
              (status = 503, description = "Send none, with reasons", body = Readiness))
)]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Readiness {
    let readiness = Readiness::of(app.is_draining(), app.stores());
    // Later NATS may be gone for a while: HTTP goes on.
    if app.nats.as_ref().is_some_and(|nats| !nats.is_up()) { readiness.but("nats") } else { readiness }
}
