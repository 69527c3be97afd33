//! `GET /v1/healthz`, `GET /v1/readyz`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::reply::Json;
use crate::app::App;
use crate::store::StoreHealth;

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

/// Whether requests should be sent here.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready` or `not_ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// `stopping`, `storage_full`, `storage_failing`; empty when ready.
    reasons: Vec<&'static str>,
}

/// The program runs; says nothing about whether it can do its work.
#[utoipa::path(get, path = "/v1/healthz", tag = "server", responses((status = 200, description = "It runs", body = Health)))]
pub(crate) async fn healthz(State(app): State<Arc<App>>) -> Response {
    let server = app.server().as_str();
    Json(Health { status: "ok", server, version: env!("CARGO_PKG_VERSION") }).into_response()
}

/// Whether requests should be sent here: 503 with reasons while the server stops or its store takes no writes.
#[utoipa::path(
    get, path = "/v1/readyz", tag = "server",
    responses((status = 200, description = "Send requests", body = Readiness),
              (status = 503, description = "Send none, with reasons", body = Readiness))
)]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let reasons = reasons(&app);
    if reasons.is_empty() {
        Json(Readiness { status: "ready", reasons }).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Readiness { status: "not_ready", reasons })).into_response()
    }
}

fn reasons(app: &App) -> Vec<&'static str> {
    let storage = match app.store.health() {
        StoreHealth::Ok => None,
        StoreHealth::Full => Some("storage_full"),
        StoreHealth::Failing => Some("storage_failing"),
    };
    app.is_draining().then_some("stopping").into_iter().chain(storage).collect()
}
