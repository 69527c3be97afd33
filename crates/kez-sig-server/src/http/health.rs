//! `GET /v1/healthz`, `GET /v1/readyz`.

use std::sync::Arc;

use axum::extract::State;
use kez_serve::health::Readiness;
use kez_serve::reply::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::SERVICE;
use crate::chains::Chains;

/// The program runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
    /// `kez-sig-server`, also where a home server has it within.
    #[schema(example = "kez-sig-server")]
    service: &'static str,
    /// Of the program.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// The program runs; says nothing about whether it can do its work.
#[utoipa::path(get, path = "/v1/healthz", tag = "server", responses((status = 200, description = "It runs", body = Health)))]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok", service: SERVICE, version: env!("CARGO_PKG_VERSION") })
}

/// Whether requests should be sent here: 503 with reasons while the server stops or its store takes no writes.
#[utoipa::path(
    get, path = "/v1/readyz", tag = "server",
    responses((status = 200, description = "Send requests", body = Readiness),
              (status = 503, description = "Send none, with reasons", body = Readiness))
)]
pub(crate) async fn readyz(State(chains): State<Arc<Chains>>) -> Readiness {
    Readiness::of(chains.is_draining(), [chains.store.health()])
}
